"""The format `onnx`: for ONNX Runtime, in a browser, a phone or a server.

Takes: a `Source` whose model is one of plain operations. Gives: `write` and `answers`; wants the extra `onnx`.

It is written operation by operation, of the graph that every such run keeps, by `onnx_graph`.
"""

import json
from importlib.util import find_spec
from pathlib import Path

from corolla.errors import WishError
from corolla.export import checking
from corolla.export.checking import Images, Logits
from corolla.export.source import Source


def refuse_missing() -> None:
    """Raise WishError where the extra is not installed: a file that cannot be run cannot be compared."""
    missing = " and ".join(name for name in ("onnx", "onnxruntime") if find_spec(name) is None)
    if missing:
        raise WishError(f"--format onnx wants {missing}, which is not installed: pip install 'corolla[onnx]'")


def write(source: Source, path: Path) -> None:
    """Write the model; `metadata_props` hold what it says of itself: a text an entry, lists as JSON."""
    from corolla.export.onnx_graph import model_of

    about = {name: each if isinstance(each, str) else json.dumps(each) for name, each in source.about().items()}
    path.write_bytes(model_of(source.interpreter, about).SerializeToString())


def answers(path: Path, images: Images) -> Logits:
    """As ONNX Runtime loads it, on the processor."""
    import onnxruntime  # pyright: ignore

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return checking.answers(lambda part: session.run(["logits"], {"images": part})[0], images)
