"""What a photo looks like at a glance, as it is, mirrored, and in each of its crops: numbers that twins share.

Takes: gray thumbnails uint8[n, 64, 64]. Gives: `glances`: float32[n, 63] unit vectors, for one `View` of them;
`zoomed`: the thumbnails of a view.

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

_MIDDLES = (0.87, 0.76, 0.67)
"""Part of a side that is left of a photo which others have cut to a square: 0.67 of one that is 1.5 times as long as
wide. Where it was pressed into a square, or laid on one, this is what both show."""


@dataclass(frozen=True)
class View:
    """A part of a photo: where it begins, how much of the height and the width it has; and whether it is mirrored."""

    top: float
    left: float
    tall: float
    wide: float
    mirrored: bool = False

    @property
    def stretches(self) -> bool:
        """Whether its sides are scaled differently."""
        return self.tall != self.wide


def middle(tall: float, wide: float) -> View:
    """The middle of a photo."""
    return View((1 - tall) / 2, (1 - wide) / 2, tall, wide)


_CORNERS = ((0.5, 0.5), (0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (0.0, 0.5), (0.5, 0.0), (0.5, 1.0), (1.0, 0.5))
PLAIN = View(0.0, 0.0, 1.0, 1.0)
CROPS: tuple[View, ...] = tuple(
    View(*part, mirrored)
    for mirrored in (False, True)
    for part in (
        (0.0, 0.0, 1.0, 1.0),
        *((down * (1 - _KEPT), right * (1 - _KEPT), _KEPT, _KEPT) for down, right in _CORNERS),
    )
)
"""Of one photo, to be compared with others as they are: whole, nine crops, and the mirror images of these."""
MIDDLES: tuple[View, ...] = tuple(
    middle(*sides) for part in _MIDDLES for sides in ((1.0, part), (part, 1.0), (part, part))
)
"""What is left of one photo in the other where a square was made of it in another way."""
VIEWS = CROPS + MIDDLES


def glances(thumbnails: NDArray[np.uint8], view: View = PLAIN) -> NDArray[np.float32]:
    """What photos look like in a view: float32[n, 63], rows of length 1 (0 for a photo of a single gray)."""
    rows, columns = _waves(view.top, view.tall), _waves(view.left, view.wide)
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


def zoomed(thumbnails: NDArray[np.uint8], view: View) -> NDArray[np.uint8]:
    """A view of thumbnails uint8[n, 64, 64], as large as they are, not mirrored."""
    rows, columns = _between(view.top, view.tall), _between(view.left, view.wide)
    return np.rint(rows @ (thumbnails.astype(np.float32) @ columns.T)).astype(np.uint8)


def _between(start: float, kept: float) -> NDArray[np.float32]:
    """Linear interpolation of a part of a side: float32[64, 64], rows sum to 1."""
    places = np.clip(SIDE * start + (np.arange(SIDE) + 0.5) * kept - 0.5, 0, SIDE - 1)
    return np.maximum(1 - np.abs(places[:, None] - np.arange(SIDE)), 0).astype(np.float32)


_ORDER = np.arange(FREQUENCIES, dtype=np.float32)
_WEIGHTS = np.hypot(_ORDER[:, None], _ORDER[None])
