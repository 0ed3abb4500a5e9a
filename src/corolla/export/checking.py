"""The one way in which an exported file is compared with what it was made of.

Takes: an image size, and data where there are any; two models as functions.
Gives: `images`, `answers`, `compare`; `on_cpu`, in which both are worked off.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from corolla import augment
from corolla.images import load_split
from corolla.records.shards import find_split
from corolla.storage import AnyPath

CHECKED = 64
"""Images by which a file is compared."""

AT_ONCE = 16

Images, Logits = NDArray[np.float32], NDArray[np.float32]

Answer = Callable[[Images], Any]
"""A model: float32[b, s, s, 3] in 0..255 -> logits float32[b, classes]."""


@contextmanager
def on_cpu() -> Iterator[None]:
    """Let JAX compute on the processor, in float32 to the last bit: a GPU rounds convolutions to 10 bits."""
    with jax.default_device(jax.devices("cpu")[0]):
        yield


def images(size: int, data: AnyPath | None) -> tuple[Images, str]:
    """`CHECKED` images float32[n, size, size, 3] in 0..255, and what they are. Raises DataError."""
    if data is None:
        return _random(size), f"{CHECKED} random images (--data takes photos)"
    files = find_split(data, "val", size)
    photos = load_split(files, on_bad_record="skip", labels="maybe", most=CHECKED)
    seen = np.asarray(augment.resize(jax.numpy.asarray(photos.images), size), np.float32)
    return seen, f"{len(seen)} photos of {files.folder}"


def _random(size: int) -> Images:
    """Patches of colour, from one to as many as there are pixels: a model names noise alike whatever it is."""
    random = np.random.default_rng(0)
    sides = np.geomspace(1, size, CHECKED).round().astype(int)
    patches = (random.integers(0, 256, (side, side, 3), np.uint8) for side in sides)
    scaled = [Image.fromarray(each).resize((size, size), Image.Resampling.BICUBIC) for each in patches]
    return np.stack([np.asarray(each, np.float32) for each in scaled])


def answers(answer: Answer, images: Images) -> Logits:
    """What a model says of images, a few at a time, always as many: one shape to compile."""
    full = np.concatenate([images, np.zeros((-len(images) % AT_ONCE, *images.shape[1:]), np.float32)])
    parts = full.reshape(-1, AT_ONCE, *images.shape[1:])
    return np.concatenate([np.asarray(answer(part), np.float32) for part in parts])[: len(images)]


def compare(wanted: Logits, found: Logits) -> tuple[float, int, float]:
    """Largest difference of a logit, images named alike, and the largest logit."""
    if wanted.shape != found.shape:
        return float("inf"), 0, 0.0
    alike = wanted.argmax(axis=1) == found.argmax(axis=1)
    return float(np.abs(wanted - found).max()), int(alike.sum()), float(np.abs(wanted).max())
