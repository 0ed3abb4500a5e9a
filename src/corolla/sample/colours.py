"""Colours in linear light, and the paints that petals wear.

Takes: hex colours (sRGB), paints such as "a b:.4 #ffffff". Gives: `Palette`, `linear`, `mixed`.
"""

from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
"""Arrays of float32, unless something says otherwise."""

_STOPS = 128


@dataclass(frozen=True)
class Palette:
    """The colours of one bloom: a species' form, shifted a little for each photo.

    form: hex colours, named by the letters a, b, c, … in traits. shift: float32[3], multiplies linear light.
    """

    form: tuple[str, ...]
    shift: Floats = field(default_factory=lambda: np.ones(3, np.float32))

    def colour(self, name: str) -> Floats:
        """Return float32[3] in linear light for a letter of the form or a hex colour like "#ffcc00"."""
        return linear(_hex(name, self.form)) * self.shift

    def gradient(self, paint: str, s: Floats) -> Floats:
        """Return float32[3, ...] along s for a paint such as "a b:.4 #ffffff": colours, with places where given."""
        table = _gradient_table(paint, self.form) * self.shift[:, None]
        steps = np.clip(s * np.float32(_STOPS - 1), 0, _STOPS - 1).astype(np.int64)
        return table.take(steps, axis=1)


def _hex(name: str, form: tuple[str, ...]) -> str:
    return name if name.startswith("#") else form[min(ord(name) - ord("a"), len(form) - 1)]


@cache
def _gradient_table(paint: str, form: tuple[str, ...]) -> Floats:
    """A paint's colours at even steps from base to tip: float32[3, steps]."""
    words = [word.partition(":") for word in paint.split()]
    even = np.linspace(0, 1, len(words)) if len(words) > 1 else [0.0]
    places = [float(place) if colon else at for (_, colon, place), at in zip(words, even, strict=True)]
    colours = np.stack([linear(_hex(name, form)) for name, _, _ in words])
    steps = np.linspace(0, 1, _STOPS)
    return np.stack([np.interp(steps, places, colours[:, c]) for c in range(3)]).astype(np.float32)


@cache
def linear(text: str) -> Floats:
    """Turn a hex colour (sRGB) into linear light, float32[3]."""
    srgb = np.array([int(text[i : i + 2], 16) for i in (1, 3, 5)], np.float32) / 255
    return srgb**2.2


def mixed(colours: Floats, other: Floats, share: Floats) -> Floats:
    """Blend colours float32[3, h, w] with one colour float32[3], by shares float32[h, w]."""
    return colours + (other[:, None, None] - colours) * share
