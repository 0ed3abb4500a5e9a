"""The Keras path: it ends where the custom loop ends, stopped anywhere it goes on, and callbacks are the user's own."""

import dataclasses
import os
import signal

import numpy as np
import pytest

from corolla import job
from corolla.backend import keras
from corolla.errors import RunError, WishError
from corolla.interrupt import InterruptedRunError
from corolla.models import freeze, registry
from corolla.optim import AdamW
from corolla.run import RunFolder
from corolla.train import train
from flow import SETTINGS, Recorder, assert_ended_at, assert_same_run, told_steps, without_seconds

pytestmark = pytest.mark.xdist_group("fits")

KERAS = dataclasses.replace(SETTINGS, loop="keras")


@pytest.fixture(scope="module")
def fitted(flowers, tmp_path_factory):
    """The run folder of an uninterrupted training with `KERAS`; nobody may change it."""
    folder = tmp_path_factory.mktemp("fitted") / "run"
    train(flowers, folder, KERAS)
    return folder


def undetermined() -> set[str]:
    """Arrays of a checkpoint that no two programs agree on where batch norm takes the statistics of the batch.

    The last block ends with a shift that the next convolution's batch norm takes away again. Its gradient is zero but
    for rounding, and Adam makes steps of full length of any gradient; the norm's running mean follows the shift.
    """
    model = registry.classifier(SETTINGS.model, 104, 32, "none")
    freeze.freeze(model, len(freeze.blocks(model)) // 2, "batch")
    optimizer = AdamW(1e-3, 0.1, 0.01, 0.999)
    optimizer.build(model.trainable_variables)
    trainable, rest = ([v.path for v in group] for group in (model.trainable_variables, model.non_trainable_variables))
    shift, mean = trainable.index("block3a_project_bn/beta"), rest.index("top_bn/moving_mean")
    return {f"trainable/{shift}", f"optimizer/{optimizer.average_places()[shift]}", f"non_trainable/{mean}"}


LEANING = {
    "layer_decay": 0.7,
    "logit_adjustment": 1.0,
    "class_weights": "effective",
    "balanced_sampling": 0.5,
    "focal": 1.0,
}
CHANGES = {"rotate": 20.0, "zoom": 0.2, "brightness": 0.3, "hue": 0.1, "erase": 0.3, "mixup": 0.4, "cutmix": 1.0}


@pytest.mark.parametrize(
    "changes", [{}, {"batch_norm": "batch"}, CHANGES | LEANING], ids=["frozen", "batch", "mixed images"]
)
def test_both_loops_end_with_the_same_variables(flowers, fitted, finished, tmp_path, changes):
    """Six steps with augmentation, dropout, averages, padded batches: weights, averages, moments, statistics."""
    folders = [finished, fitted]
    if changes:
        folders = [tmp_path / "jax", tmp_path / "keras"]
        for folder, loop in zip(folders, ("jax", "keras"), strict=True):
            train(flowers, folder, dataclasses.replace(SETTINGS, loop=loop, **changes))
    one, other = (RunFolder(folder).newest_checkpoint()[0] for folder in folders)
    assert one.number == other.number == 6 and one.arrays.keys() == other.arrays.keys()
    moved, free = 0, undetermined() if "batch_norm" in changes else set()
    assert free <= one.arrays.keys()
    for name in one.arrays.keys() - free:
        value = one.arrays[name]
        assert np.linalg.norm(other.arrays[name] - value) <= 2e-5 * np.linalg.norm(value) + 1e-7, name
        moved += np.linalg.norm(value) > 0
    assert moved > 20
    first, second = (without_seconds(RunFolder(folder).metrics()) for folder in folders)
    for line, same in zip(first, second, strict=True):
        assert line == pytest.approx(same, rel=1e-4)


def test_resident_or_streaming_it_is_the_same(flowers, fitted, tmp_path):
    train(flowers, tmp_path / "run", dataclasses.replace(KERAS, resident="no"))
    assert_same_run(tmp_path / "run", fitted)


class Stopper(keras.callbacks.Callback):
    """Sends this process a signal before its n-th step."""

    def __init__(self, step: int = 1) -> None:
        super().__init__()
        self.left = step

    def on_train_batch_begin(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)


def test_stopped_after_every_step_it_ends_the_same(flowers, fitted, tmp_path):
    for step in range(1, 7):
        with pytest.raises(InterruptedRunError, match=f"stopped at epoch {(step + 1) // 2}, step {2 - step % 2}; "):
            train(flowers, tmp_path / "run", KERAS, callbacks=[Stopper()])
    train(flowers, tmp_path / "run", KERAS)
    assert_same_run(tmp_path / "run", fitted)


class Watcher(keras.callbacks.Callback):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.batches, self.epochs = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append(dict(logs))

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(dict(logs))


def test_callbacks_are_told_what_the_run_folder_says(flowers, fitted, tmp_path):
    watcher = Watcher()
    train(flowers, tmp_path / "run", KERAS, callbacks=[watcher])
    assert_same_run(tmp_path / "run", fitted)  # who only watches changes nothing
    lines = RunFolder(fitted).metrics()[1:]
    assert len(watcher.batches) == 6 and len(watcher.epochs) == len(lines) == 3
    for told, line in zip(watcher.epochs, lines, strict=True):
        for name in ("val_loss", "val_accuracy", "val_macro_f1", "val_macro_f1_present"):
            assert told[name] == line[name]
        assert told["loss"] == pytest.approx(line["train_loss"], rel=1e-5)
        assert told["macro_f1"] == pytest.approx(line["train_macro_f1"], rel=1e-5)
    assert watcher.batches[-1]["loss"] == watcher.epochs[-1]["loss"]


def test_keras_early_stopping_ends_a_run(flowers, tmp_path):
    enough = keras.callbacks.EarlyStopping("val_macro_f1", patience=0, mode="max", min_delta=2)  # nothing is enough
    scores = train(flowers, tmp_path / "run", KERAS, callbacks=[enough])
    folder = RunFolder(tmp_path / "run")
    assert folder.finished() and [line["epoch"] for line in folder.metrics()] == [0, 1, 2]
    assert scores.n == 26


class Raising(keras.callbacks.Callback):
    """Breaks in its third step."""

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations == 3:
            raise ZeroDivisionError("mine")


def test_a_callback_that_raises_leaves_a_run_that_goes_on(flowers, fitted, tmp_path):
    with pytest.raises(ZeroDivisionError, match=r"^mine$"):
        train(flowers, tmp_path / "run", KERAS, callbacks=[Raising()])
    assert not RunFolder(tmp_path / "run").finished()
    assert keras.distribution.distribution() is None
    train(flowers, tmp_path / "run", KERAS)
    assert_same_run(tmp_path / "run", fitted)


def test_the_custom_loop_calls_no_callbacks(flowers, tmp_path):
    with pytest.raises(WishError, match=r"^--loop jax calls no callbacks: callbacks want loop='keras'$"):
        train(flowers, tmp_path / "run", SETTINGS, callbacks=[Watcher()])
    assert not (tmp_path / "run").exists()


def test_the_other_loop_does_not_take_a_run_up(flowers, fitted):
    with pytest.raises(WishError, match=r"other settings \(loop was keras, is jax\): choose another --out"):
        train(flowers, fitted, SETTINGS)


def test_a_loss_that_is_no_number_stops_the_run(flowers, tmp_path):
    with pytest.raises(RunError, match=r"^the loss became (nan|inf) in epoch \d+: lower --learning-rate"):
        train(flowers, tmp_path / "run", dataclasses.replace(KERAS, learning_rate=1e9, epochs=30))


def test_minutes_are_filled_and_kept(flowers, tmp_path, monkeypatch):
    """The clock jumps after the first epoch: what is left of six seconds is too short for the plan."""
    reporter = Recorder()
    monkeypatch.setattr(job, "process_seconds", lambda: 5.5 if "epoch 2" in reporter.stages else 0.0)
    train(flowers, tmp_path / "run", dataclasses.replace(KERAS, minutes=0.1, checkpoint_minutes=2.0), reporter)
    told = told_steps(reporter.notes)
    assert len(told) >= 2 and told[-1] < told[0]
    assert_ended_at(tmp_path / "run", told[-1])
