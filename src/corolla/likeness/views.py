"""What a photo looks like at a glance, as it is, mirrored, and in each of its crops: numbers that twins share.

Takes: gray thumbnails uint8[n, 64, 64]. Gives: `glances`: float32[n, 63] unit vectors, for one `View` of them.

The lowest 8 x 8 frequencies of the cosine transform, without the mean: a perceptual hash (Zauner, 2010,
"Implementation and Benchmarking of Perceptual Image Hash Functions") before only the signs are kept of it. Signs would
be shorter, but with the numbers themselves far fewer strangers look alike, and neighbours are found by matrix products.
Low frequencies are weighed down by what they weigh in any photo, so that each says about as much.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE = 64
"""Side of the thumbnails [px]."""
FREQUENCIES = 8

_KEPT = 0.9
"""Part of the sides that is seen in a crop: one of 10 % lies within 5 % of the nearest of them."""


@dataclass(frozen=True)
class View:
    """A part of a photo, as parts of its sides, and whether it is mirrored."""

    top: float
    left: float
    kept: float
    mirrored: bool


_CORNERS = ((0.5, 0.5), (0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (0.0, 0.5), (0.5, 0.0), (0.5, 1.0), (1.0, 0.5))
PLAIN = View(0.0, 0.0, 1.0, False)
VIEWS: tuple[View, ...] = tuple(
    View(*part, mirrored)
    for mirrored in (False, True)
    for part in ((0.0, 0.0, 1.0), *((down * (1 - _KEPT), right * (1 - _KEPT), _KEPT) for down, right in _CORNERS))
)
"""Of one photo, to be compared with others as they are: whole, nine crops, and the mirror images of these."""


def glances(thumbnails: NDArray[np.uint8], view: View = PLAIN) -> NDArray[np.float32]:
    """What photos look like in a view: float32[n, 63], rows of length 1 (0 for a photo of a single gray)."""
    rows, columns = _waves(view.top, view.kept), _waves(view.left, view.kept)
    if view.mirrored:  # turns the sign of odd waves
        columns = columns * np.where(np.arange(FREQUENCIES) % 2, -1, 1).astype(np.float32)[:, None]
    seen = rows @ (thumbnails.astype(np.float32) @ columns.T)
    flat = (seen * _WEIGHTS).reshape(len(thumbnails), -1)[:, 1:]
    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.divide(flat, lengths, out=np.zeros_like(flat), where=lengths > _FLAT)


_FLAT = 1.0
"""Length [gray levels] below which there is nothing but noise to compare."""


def _waves(start: float, kept: float) -> NDArray[np.float32]:
    """Cosines over a part of a side: float32[8, 64]; pixels that are partly in it count in part."""
    edges = np.arange(SIDE + 1) / SIDE
    inside = np.clip((edges - start) / kept, 0, 1)
    middle, width = (inside[1:] + inside[:-1]) / 2, np.diff(inside)
    waves = np.cos(np.pi * np.arange(FREQUENCIES)[:, None] * middle) * width
    return waves.astype(np.float32)


_ORDER = np.arange(FREQUENCIES, dtype=np.float32)
_WEIGHTS = np.hypot(_ORDER[:, None], _ORDER[None])
