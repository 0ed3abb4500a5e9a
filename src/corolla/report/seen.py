"""What was found of a run's photos, as the page shows it; nothing here needs JAX or Keras.

Takes: nothing. Gives: `Seen`, and what it is made of.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""uint8[h, w, 3]."""


@dataclass(frozen=True)
class Taught:
    """A record that a run has learned from."""

    id: str
    label: int
    image: Pixels


@dataclass(frozen=True)
class Near:
    """A photo that taught, and the cosine of its features with those of the photo in question."""

    taught: Taught
    similarity: float


@dataclass
class Seen:
    """Of records by their numbers: photos, the nearest photos that taught, and maps by (record, label).

    exact: whether maps are (`saliency.Saliency.exact`); compared: photos that taught among which the nearest were
    sought; why: what keeps photos or maps away.
    """

    images: Mapping[int, Pixels] = field(default_factory=dict)
    near: dict[int, list[Near]] = field(default_factory=dict)
    maps: dict[tuple[int, int], Pixels] = field(default_factory=dict)
    exact: bool = True
    compared: int = 0
    why: str = ""
