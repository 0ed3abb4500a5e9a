"""Which photos a sample holds: how many of each kind, in which order, under which ids.

Takes: a number of images and a seed. Gives: `Plan`, a pure function of both, and `photo`, the bytes of one photo.
Workers make the same plan from the same two numbers, so nothing but these travels between processes.
"""

from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from corolla import classes
from corolla.sample.scenes import paint_photo
from corolla.types import SPLITS, Split

SHARES: dict[Split, float] = {"train": 2 / 3, "val": 1 / 5, "test": 2 / 15}
FLOORS: dict[Split, int] = {"train": 6, "val": 3, "test": 1}
"""Fewest photos of a kind, where a split is large enough: the competition's 18 to 782 would leave rare kinds none."""

JPEG_QUALITY = 92
_ID_STEP = 0x9E3779B97  # odd, so that multiples of it modulo 16**9 never repeat


@dataclass(frozen=True)
class Plan:
    """What stands where: labels int64[n] of each split, in the order of its records."""

    seed: int
    image_size: int
    labels: dict[Split, NDArray[np.int64]]

    def __len__(self) -> int:
        return sum(len(labels) for labels in self.labels.values())

    def id(self, split: Split, index: int) -> str:
        """Return the nine hex characters that name a photo, unique over the splits."""
        before = sum(len(self.labels[name]) for name in SPLITS[: SPLITS.index(split)])
        return f"{((before + index + 1) * _ID_STEP + self.seed * 0x2545F4914) % 16**9:09x}"


def plan(images: int, image_size: int, seed: int) -> Plan:
    """Divide images over splits and kinds, and shuffle each split."""
    val, test = (round(images * SHARES[split]) for split in ("val", "test"))
    totals: dict[Split, int] = {"train": images - val - test, "val": val, "test": test}
    return Plan(seed, image_size, {split: _labels(total, split, seed) for split, total in totals.items()})


def _labels(total: int, split: Split, seed: int) -> NDArray[np.int64]:
    counts = class_counts(total, FLOORS[split])
    labels = np.repeat(np.arange(classes.COUNT), counts)
    return _generator(seed, split, 1 << 31).permutation(labels)


def class_counts(total: int, floor: int) -> NDArray[np.int64]:
    """Divide `total` over the kinds as the competition's training photos are, each kind at least `floor` where it fits.

    Returns int64[104] with the sum `total`. Below 104 the most photographed kinds come first.
    """
    weights = np.array(classes.TRAIN_IMAGES, np.float64)
    floor = min(floor, total // classes.COUNT)
    exact = (total - floor * classes.COUNT) * weights / weights.sum()
    counts = np.floor(exact).astype(np.int64)
    rest = total - floor * classes.COUNT - int(counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[:rest]] += 1
    return counts + floor


def _generator(seed: int, split: Split, index: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, SPLITS.index(split), index])))


def photo(wanted: Plan, split: Split, index: int) -> bytes:
    """Paint one photo of a plan and return its JPEG bytes."""
    label = int(wanted.labels[split][index])
    pixels = paint_photo(label, wanted.image_size, _generator(wanted.seed, split, index))
    return simplejpeg.encode_jpeg(pixels, quality=JPEG_QUALITY, colorspace="RGB", colorsubsampling="420")
