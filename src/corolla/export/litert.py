"""The format `litert`: a `.tflite` file for phones and small devices, in float32.

Takes: a `Source`. Gives: `write` and `answers`; wants the extra `tensorflow`.

Only TensorFlow writes such files, and Keras has one backend a process: both steps are done by children that know
nothing of Corolla. What the file says of itself is appended as a zip archive, as LiteRT's own metadata are.
"""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from corolla.errors import RunError, WishError
from corolla.export import keras_file
from corolla.export.archive import add_about
from corolla.export.checking import Images, Logits
from corolla.export.source import Source

_BEGIN = """
import os, sys
os.environ.update(KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
"""

WRITING = f"""{_BEGIN}
import keras
keras.saving.load_model(sys.argv[1], compile=False).export(sys.argv[2], format="litert", verbose=False)
"""

ANSWERING = f"""{_BEGIN}
import numpy, tensorflow
images = numpy.load(sys.argv[2])
run = tensorflow.lite.Interpreter(sys.argv[1])
(taken,), (given,) = run.get_input_details(), run.get_output_details()
run.resize_tensor_input(taken["index"], images.shape)
run.allocate_tensors()
run.set_tensor(taken["index"], images)
run.invoke()
numpy.save(sys.argv[3], run.get_tensor(given["index"]))
"""


def refuse_missing() -> None:
    """Raise WishError where the extra is not installed."""
    if find_spec("tensorflow") is None:
        raise WishError(
            "--format litert wants tensorflow, which is not installed: pip install 'corolla[tensorflow]', or take onnx"
        )


def write(source: Source, path: Path) -> None:
    """Let TensorFlow convert the file of the format `keras`."""
    between = path.with_name("between.keras")
    keras_file.write(source, between)
    _child(WRITING, between, path)
    add_about(path, source.about())


def answers(path: Path, images: Images) -> Logits:
    """As LiteRT's interpreter says, on the processor."""
    seen, said = path.with_name("images.npy"), path.with_name("logits.npy")
    np.save(seen, images)
    _child(ANSWERING, path, seen, said)
    return np.load(said)


def _child(program: str, *paths: Path) -> None:
    """Raise RunError with the last line of what a child complains of, should it fail."""
    done = subprocess.run([sys.executable, "-c", program, *map(str, paths)], capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise RunError(f"TensorFlow did not convert the model ({lines[-1]}): use --format onnx")
