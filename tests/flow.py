"""What training tests share: a model that compiles in a second, photos that it can learn, and short calls."""

from typing import Any

import jax
import numpy as np

from corolla.backend import keras
from corolla.mesh import copied, make_mesh
from corolla.optim import AdamW
from corolla.order import Lanes
from corolla.step import Learner, State, Sums, empty_sums
from corolla.types import Photos

SIDE = 8
COLOURS = ((40, 40, 40), (215, 40, 40), (40, 215, 40), (40, 40, 215), (215, 215, 215))
CLASSES = len(COLOURS)


def photos(n: int, side: int = SIDE, seed: int = 0) -> Photos:
    """Return n photos whose colour gives the label away; no two are equal."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, n).astype(np.int32)
    images = np.array(COLOURS)[labels][:, None, None] + random.integers(-30, 31, (n, side, side, 3))
    return Photos("train", images.astype(np.uint8), labels, [f"photo{i}" for i in range(n)])


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
    given = {"image_size": SIDE, "label_smoothing": 0.1, "crop_area": 0.5, "flip": True}
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
