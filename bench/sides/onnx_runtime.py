"""ONNX Runtime's side: timm's model, exported. Run in an environment with ONNX Runtime; see `rounds`."""

from typing import Any

from rounds import Round, serve


def prediction(wish: dict[str, Any]) -> Round:
    """Class scores of images that are ready in memory as float arrays."""
    import numpy as np
    import onnxruntime

    told = onnxruntime.SessionOptions()
    told.intra_op_num_threads = wish["cores"]
    session = onnxruntime.InferenceSession(wish["onnx"], told, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    shape = wish["batch"], 3, wish["size"], wish["size"]
    images = np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)

    def once() -> int:
        for _ in range(wish["steps"]):
            session.run(None, {name: images})
        return wish["steps"] * wish["batch"]

    once()
    return once


if __name__ == "__main__":
    serve({"predict": prediction}, ("onnxruntime", "numpy"))
