"""What training tests share: a model that compiles in a second, photos that it can learn, whole runs, short calls."""

import dataclasses
import os
import re
import signal
from pathlib import Path
from typing import Any

import jax
import numpy as np
import simplejpeg

from corolla.backend import keras
from corolla.config import Augmentation, GrowSettings, TrainSettings
from corolla.losses import Objective
from corolla.mesh import copied, make_mesh
from corolla.optim import AdamW
from corolla.order import Lanes
from corolla.reporter import Reporter
from corolla.run import RunFolder
from corolla.step import Learner, State, Sums, empty_sums
from corolla.types import Example, Photos
from tiny import TINY_CLASSES, write_shard

SIDE = 8
COLOURS = ((40, 40, 40), (215, 40, 40), (40, 215, 40), (40, 40, 215), (215, 215, 215))
CLASSES = len(COLOURS)


def photos(n: int, side: int = SIDE, seed: int = 0) -> Photos:
    """Return n photos whose colour gives the label away; no two are equal."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, n).astype(np.int32)
    images = np.array(COLOURS)[labels][:, None, None] + random.integers(-30, 31, (n, side, side, 3))
    return Photos("train", images.astype(np.uint8), labels, [f"photo{i}" for i in range(n)])


def softened(data: Photos, seed: int = 0) -> Photos:
    """Return the photos with targets: half of it the label, half of it any probabilities."""
    told = np.random.default_rng(seed).dirichlet(np.ones(CLASSES), len(data))
    targets = 0.5 * np.eye(CLASSES)[data.labels] + 0.5 * told
    return dataclasses.replace(data, targets=targets.astype(np.float32))


def small_model(dropout: float = 0.0) -> keras.Model:
    """Build convolution, batch normalisation, head: float[b, SIDE, SIDE, 3] -> logits[b, CLASSES]."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 64, -2)(inputs)
    x = layers.Conv2D(6, 3, strides=2, use_bias=False, name="conv")(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.8, name="norm")(x))
    x = layers.Dropout(dropout)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(CLASSES, name="head")(x))


def small_learner(batch_norm: str = "frozen", dropout: float = 0.0, total_steps: int = 10, **changes: Any) -> Learner:
    """Return a learner around `small_model` with augmentation; `changes` go to the Learner."""
    model = small_model(dropout)
    model.get_layer("norm").trainable = batch_norm == "batch"
    optimizer = AdamW(learning_rate=0.01, warmup=0.2, weight_decay=0.01, ema=0.9)
    optimizer.total_steps.assign(total_steps)
    given = {"image_size": SIDE, "objective": Objective(0.1), "augmentation": Augmentation(crop_area=0.5, flip=True)}
    return Learner(model, optimizer, **given | changes)


def start(learner: Learner, mesh: jax.sharding.Mesh | None = None) -> tuple[State, Sums]:
    """Return the initial state and empty sums, on every device of the mesh."""
    mesh = mesh or make_mesh()
    return jax.device_put((learner.initial_state(), empty_sums(CLASSES)), copied(mesh))


def lanes_of(data: Photos, batch_size: int) -> Lanes:
    """Return the lanes of a split."""
    return Lanes(len(data), batch_size)


def assert_equal_trees(one: Any, other: Any, **tolerance: float) -> None:
    """Compare leaf by leaf: to the bit, or within rtol/atol where given."""
    leaves, others = jax.tree.leaves(one), jax.tree.leaves(other)
    assert len(leaves) == len(others)
    for leaf, second in zip(leaves, others, strict=True):
        if tolerance:
            np.testing.assert_allclose(np.asarray(leaf), np.asarray(second), **tolerance)
        else:
            np.testing.assert_array_equal(np.asarray(leaf), np.asarray(second))


# --------------------------------------------------------------------------------------------------------- whole runs

SETTINGS = TrainSettings(
    model="micro",
    weights="none",
    image_size=32,
    batch_size=16,
    epochs=3,
    learning_rate=0.001,
    dropout=0.1,
    ema=0.5,
    crop_area=0.9,
    checkpoint_minutes=0,
)
"""Two steps an epoch, the second padded; a checkpoint after each."""

PROBE = dataclasses.replace(SETTINGS, epochs=0)
SIZES = {"train": 30, "val": 26, "test": 9}
MIDDLES = ((150, 90, 90), (90, 150, 90), (90, 90, 150), (140, 140, 80), (80, 140, 140), (140, 80, 140))


def flower(label: int, seed: int, side: int = 32) -> bytes:
    """Return a JPEG whose colour tells its label less than half of the time, so that scores are no round numbers."""
    random = np.random.default_rng(seed)
    pixels = np.array(MIDDLES[label]) + random.normal(0, 30, 3) + random.normal(0, 20, (side, side, 3))
    return simplejpeg.encode_jpeg(np.clip(pixels, 0, 255).astype(np.uint8), quality=90)


def write_flowers(data: Path, side: int = 32) -> Path:
    """Write SIZES photos, side x side, in two shards a split; return the folder."""
    for place, (split, n) in enumerate(SIZES.items()):
        labels = [None if split == "test" else i % TINY_CLASSES for i in range(n)]
        examples = [
            Example(f"{split}{i:03d}", label, flower(i % TINY_CLASSES, 1000 * place + i, side))
            for i, label in enumerate(labels)
        ]
        for number, part in enumerate((examples[: n // 2], examples[n // 2 :])):
            write_shard(data / split, number, part, side)
    return data


def options(settings: GrowSettings | TrainSettings) -> list[str]:
    """Return the settings as words of the command line."""
    changed = {
        field.name: getattr(settings, field.name)
        for field in dataclasses.fields(settings)
        if getattr(settings, field.name) != field.default
    }
    return [word for name, value in changed.items() for word in ("--" + name.replace("_", "-"), str(value))]


class Recorder(Reporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.stages: list[str] = []
        self.epochs: list[dict[str, Any]] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def progress(self, stage: str, done: int, total: int, **figures: float) -> None:
        self.stages.append(stage)

    def epoch(self, line: dict[str, Any]) -> None:
        self.epochs.append(line)


class Stopper(Recorder):
    """Sends this process a signal after its first step, in either loop, as a preempted machine does."""

    def progress(self, stage: str, done: int, total: int, **figures: float) -> None:
        super().progress(stage, done, total, **figures)
        if (
            stage.startswith("epoch ")
            and self.stages.count(stage) == len([s for s in self.stages if s[:6] == "epoch "]) == 1
        ):
            os.kill(os.getpid(), signal.SIGTERM)


def without_seconds(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl but for what the clock says."""
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def assert_same_run(one: Path, other: Path) -> None:
    """Compare everything that a run leaves, to the bit, but for what the clock says."""
    assert without_seconds(RunFolder(one).metrics()) == without_seconds(RunFolder(other).metrics())
    assert without_seconds([RunFolder(one).scores()]) == without_seconds([RunFolder(other).scores()])
    for read in (RunFolder.best, lambda folder: folder.newest_checkpoint()[0]):
        first, second = read(RunFolder(one)), read(RunFolder(other))
        assert first.number == second.number and first.arrays.keys() == second.arrays.keys()
        for name, value in first.arrays.items():
            np.testing.assert_array_equal(value, second.arrays[name], err_msg=name)
    for name in ("predictions", "predictions-probe"):
        np.testing.assert_array_equal(
            RunFolder(one).predictions(name).probabilities, RunFolder(other).predictions(name).probabilities
        )


def told_steps(notes: list[str]) -> list[int]:
    """The numbers of steps that a time-boxed run told: its plan, and every new one."""
    found = (re.search(r"^(\d+) steps |planned anew .*: (\d+) steps instead of", note) for note in notes)
    return [int(one[1] or one[2]) for one in found if one]


def assert_ended_at(run: Path, steps: int) -> None:
    """The last line, the checkpoint and the learning rate's schedule end at the same step."""
    assert RunFolder(run).metrics()[-1]["step"] == steps
    saved = RunFolder(run).newest_checkpoint()[0]
    assert saved is not None and saved.meta["position"]["total_steps"] == steps == saved.number
    place = [variable.name for variable in small_learner().optimizer.variables].index("total_steps")
    assert int(saved.arrays[f"optimizer/{place}"]) == steps
