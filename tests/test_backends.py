"""Keras on TensorFlow or torch: the Keras loop trains, evaluates and predicts; TensorFlow also over two devices."""

import dataclasses
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from corolla.backend import keras
from corolla.run import RunFolder
from corolla.train import train
from flow import SETTINGS, options, without_seconds

THERE = {name: importlib.util.find_spec(name) is not None for name in ("tensorflow", "torch")}


def needs(backend: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not THERE[backend], reason=f"{backend} is not installed (pip install corolla[{backend}])")


KERAS = dataclasses.replace(SETTINGS, loop="keras", dropout=0.0)
"""Without dropout, whose random numbers are each backend's own."""

TWO_DEVICES = """
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from corolla.network import _strategy
assert _strategy().num_replicas_in_sync == 2
"""


def command(backend: str, *words: str, before: str = "") -> subprocess.CompletedProcess:
    """Run the command line in a process of its own, after some lines of Python."""
    program = f"{before}\nfrom corolla.cli import main\nmain({list(words)!r})"
    environment = os.environ | {"KERAS_BACKEND": backend}
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)


class Stop(keras.callbacks.Callback):
    """Ends a run before its first step."""

    def on_train_begin(self, logs=None):
        raise InterruptedError


def probed_alone(flowers: Path, folder: Path) -> Path:
    """A run that has its probe, and no step yet: L-BFGS stops in other places where features round otherwise."""
    with pytest.raises(InterruptedError):
        train(flowers, folder, KERAS, callbacks=[Stop()])
    return folder


@pytest.mark.parametrize(
    ("backend", "before"),
    [
        pytest.param("tensorflow", "", id="tensorflow", marks=needs("tensorflow")),
        pytest.param("tensorflow", TWO_DEVICES, id="tensorflow on two devices", marks=needs("tensorflow")),
        pytest.param("torch", "", id="torch", marks=needs("torch")),
    ],
)
def test_it_trains_as_on_jax_evaluates_and_predicts(flowers, tmp_path, backend, before):
    run = shutil.copytree(probed_alone(flowers, tmp_path / "jax"), tmp_path / "run")
    train(flowers, tmp_path / "jax", KERAS)
    done = command(backend, "train", str(flowers), "--out", str(run), *options(KERAS), before=before)
    assert done.returncode == 0, done.stderr[-3000:]
    one, other = (RunFolder(folder).newest_checkpoint()[0] for folder in (tmp_path / "jax", run))
    assert one.arrays.keys() == other.arrays.keys()
    for name, value in one.arrays.items():
        assert np.linalg.norm(other.arrays[name] - value) <= 1e-3 * np.linalg.norm(value) + 1e-6, name
    for line, same in zip(RunFolder(tmp_path / "jax").metrics(), RunFolder(run).metrics(), strict=True):
        assert without_seconds([same])[0] == pytest.approx(without_seconds([line])[0], rel=1e-3)
    done = command(backend, "evaluate", str(run), "--data", str(flowers), before=before)
    assert done.returncode == 0, done.stderr[-3000:]
    told, kept = RunFolder(run).scores(), RunFolder(run)
    assert told["accuracy"] == (kept.predictions("predictions").probabilities.argmax(1) == np.arange(26) % 6).mean()
    words = ("predict", str(run), "--data", str(flowers), "--tta", "flip", "--out", str(tmp_path / "submission.csv"))
    done = command(backend, *words, before=before)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len((tmp_path / "submission.csv").read_text().splitlines()) == 10


@pytest.mark.parametrize("backend", [pytest.param(name, marks=needs(name)) for name in THERE])
def test_the_custom_loop_wants_jax(flowers, tmp_path, backend):
    done = command(backend, "train", str(flowers), "--out", str(tmp_path / "run"))
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == (
        f"corolla: --loop jax wants Keras on JAX, not on {backend}: use --loop keras, or unset KERAS_BACKEND"
    )


@pytest.mark.parametrize("backend", THERE)
def test_a_backend_that_is_not_there_is_one_line(flowers, tmp_path, backend):
    if THERE[backend]:
        pytest.skip(f"{backend} is installed")
    done = command(backend, "train", str(flowers), "--out", str(tmp_path / "run"), "--loop", "keras")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == (
        f"corolla: KERAS_BACKEND={backend}: {backend} is not installed: pip install 'corolla[{backend}]', or unset it"
    )
