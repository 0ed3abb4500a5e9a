"""The values that flow through Corolla on the host; the device's own are in `step`.

Takes: nothing. Gives: `Example`, `BadRecord`, `Photos`: plain data with shapes and dtypes named.
Every other module imports from here; this one imports nothing heavy (NumPy costs 0.1 s, and settings need these words).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from corolla.storage import AnyPath

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

OnBadRecord = Literal["fail", "skip"]

Preset = Literal["quick", "balanced", "best"]
"""Recipes by name; see `presets`."""

ClassWeights = Literal["none", "balanced", "effective"]
"""What the loss of a class's records is multiplied by; see `imbalance.class_weights`."""

Weighing = Literal["equal", "fitted"]
"""How runs that are brought to their temperatures are weighed in a mean."""

Tta = Literal["none", "flip", "scales", "crops"]
"""Views of a photo that are averaged: itself; its mirror image too; both of its middle too; ten crops."""


@dataclass(frozen=True, slots=True)
class Example:
    """One record's content.

    id: the record's name, unique over all splits ("" where the record carries none).
    label: 0 to classes - 1, or None where the record carries none (the test split).
    image: an encoded file (bytes) or decoded pixels (uint8[h, w, 3]).
    """

    id: str
    label: int | None
    image: bytes | NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that could not be used: which file, its number in the file (from 0), the byte it starts at, and why."""

    path: AnyPath
    number: int
    offset: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: record {self.number} at byte {self.offset}: {self.reason}"


@dataclass(frozen=True)
class Photos:
    """A whole split, decoded; or, of its pixels, the part that one of several hosts needs.

    images: uint8[n, h, w, 3], in the order of the sorted shards; a part holds those from record `first` on.
    labels: int32[n], or None for a split without labels.
    ids: n strings, aligned with images.
    bad: records that were skipped (always empty under on_bad_record="fail").
    places: the shard that each record of `images` stands in, and its number there (from 0); empty where nobody asked.
    targets: float32[n, classes], rows summing to 1: what the records teach in the place of labels (`soft`), or None.
    """

    split: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int32] | None
    ids: list[str]
    bad: list[BadRecord] = field(default_factory=list)
    first: int = 0
    places: list[tuple[AnyPath, int]] = field(default_factory=list)
    targets: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels, those included that other hosts hold."""
        return len(self) * math.prod(self.images.shape[1:])

    def pixels(self, records: NDArray[np.integer]) -> NDArray[np.uint8]:
        """The images of these records: uint8[..., h, w, 3]."""
        return self.images[records - self.first]
