"""A run as a file: plain Keras loads it, and it says the same."""

import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from corolla import classes
from corolla import export as exporting
from corolla.errors import RunError, WishError
from corolla.export import export
from corolla.images import load_split
from corolla.judge import judge
from corolla.records.shards import find_split
from corolla.reporter import SILENT

PLAIN = """
import sys, numpy, keras
model = keras.saving.load_model(sys.argv[1])
assert not [name for name in sys.modules if name.startswith("corolla")]
images = numpy.load(sys.argv[2])
numpy.save(sys.argv[3], model.predict_on_batch(images))
assert all(type(layer).__module__.startswith("keras") for layer in model.layers)
"""


def test_plain_keras_says_what_the_run_says(flowers, finished, tmp_path):
    made = export(finished, tmp_path / "deep" / "model.keras")
    assert made.classes == 104 and made.difference < 1e-3
    photos = load_split(find_split(flowers, "val"))
    np.save(tmp_path / "images.npy", photos.images.astype(np.float32))
    arguments = [str(made.path), str(tmp_path / "images.npy"), str(tmp_path / "logits.npy")]
    environment = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PATH": "/usr/bin", "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", PLAIN, *arguments], env=environment, check=True)
    logits = np.load(tmp_path / "logits.npy").astype(np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    judged = judge(finished, flowers, "val", "none", "fail", labels=True, reporter=SILENT)
    np.testing.assert_allclose(probabilities, judged.probabilities, atol=1e-4)


def test_the_file_tells_its_labels(finished, tmp_path):
    made = export(finished, tmp_path / "model.keras")
    with zipfile.ZipFile(made.path) as archive:
        told = json.loads(archive.read("corolla.json"))
    assert told["labels"] == list(classes.NAMES) and told["image_size_px"] == 32


def test_a_file_that_differs_gets_no_name(finished, tmp_path, monkeypatch):
    stock = exporting.plain

    def wrong(model):
        copy = stock(model)
        copy.get_layer("head").bias.assign_add(np.ones(104, np.float32))
        return copy

    monkeypatch.setattr(exporting, "plain", wrong)
    with pytest.raises(RunError, match=r"^model\.keras differs from its run by 1 in a logit: it was not written$"):
        export(finished, tmp_path / "model.keras")
    assert not list(tmp_path.iterdir())


def test_wishes_that_make_no_sense(finished, tmp_path):
    with pytest.raises(WishError, match=r"wants the ending \.keras$"):
        export(finished, tmp_path / "model.onnx")
    with pytest.raises(RunError, match="is no run folder"):
        export(tmp_path)
