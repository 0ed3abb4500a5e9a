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


def photo(wish: dict[str, Any]) -> Round:
    """Class scores of one photo, from an ONNX file. Done when it is ready."""
    import numpy as np
    import onnxruntime
    from PIL import Image

    session = onnxruntime.InferenceSession(wish["onnx"], providers=["CPUExecutionProvider"])
    seen = Image.open(wish["photo"]).convert("RGB").resize((wish["size"], wish["size"]), Image.Resampling.BICUBIC)
    pixels = np.asarray(seen, np.float32).transpose(2, 0, 1)[None] / 255
    print(np.argsort(session.run(None, {session.get_inputs()[0].name: pixels})[0])[0, -5:])
    return lambda: 1


if __name__ == "__main__":
    serve({"predict": prediction, "photo": photo}, ("onnxruntime", "numpy"))
