"""What lies out of focus behind everything: foliage, earth, stone, water, sky, soft discs of light.

Takes: a place, a light, a palette, a side, a random generator. Gives: float32[3, side, side], linear light.
"""

import numpy as np
from PIL import Image

from corolla.sample.colours import Floats, Palette, linear
from corolla.sample.painting import Light
from corolla.sample.traits import Place

_GROUNDS: dict[str, tuple[str, ...]] = {
    "garden": ("#1c3312 #3a5f22 #7a9a48", "#20381c #466a34 #94ac6a", "#2a3a18 #5a7030 #a8b060"),
    "meadow": ("#3a5a1c #6a8c30 #b4c468", "#4a6a24 #86a044 #c8cc80", "#345020 #6f8a3c #a8bc60"),
    "soil": ("#2a1f16 #54402e #8a7258", "#1f1a14 #4a3a2a #7a6850", "#3a2c20 #6a5440 #a08868"),
    "rock": ("#3a3a38 #6a6a66 #a4a29c", "#2c2c30 #5c5c60 #94949a", "#4a4440 #807870 #b8b0a4"),
    "water": ("#0c1a1c #1c3638 #4a6a66", "#101c2a #26405a #6a8aa0", "#14200f #2a4024 #5a7850"),
    "dark": ("#050705 #0e140c #24301c", "#080808 #141614 #2a2c28", "#0a0c08 #1a2012 #343c22"),
    "sky": ("#5a8ac8 #8ab4e4 #d4e4f4", "#7a9ec0 #b0c8dc #e8eef0", "#4a7ac0 #7aa4dc #b8d4f0"),
}


def _noise(side: int, cells: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Smooth noise float32[side, side] from cells (down, across), about 0 to 1."""
    small = rng.random(cells, np.float32)
    return np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC))


def background(place: Place, palette: Palette, side: int, light: Light, rng: np.random.Generator) -> Floats:
    """Paint what lies behind everything: float32[3, side, side], linear light."""
    cells = {"water": (9, 4), "sky": (2, 2), "soil": (14, 14), "rock": (11, 11)}.get(place, (5, 5))
    field = 0.65 * _noise(side, cells, rng) + 0.35 * _noise(side, (cells[0] * 3, cells[1] * 3), rng)
    if place in ("soil", "rock"):
        field = 0.75 * field + 0.25 * _noise(side, (side // 3, side // 3), rng)
    slope = np.linspace(-1, 1, side, dtype=np.float32)[:, None]
    field = field - slope * rng.uniform(-0.05, 0.22)
    words = str(rng.choice(_GROUNDS[place])).split()
    colours = np.stack([linear(word) for word in words])
    picture = np.stack([np.interp(field, (0.18, 0.5, 0.85), colours[:, c]) for c in range(3)]).astype(np.float32)
    if place in ("garden", "meadow", "dark"):
        _bokeh(picture, colours, palette, place, rng)
    picture *= (light.sky + 0.6 * light.sun)[:, None, None] * np.float32(1.05)
    return picture


def _bokeh(picture: Floats, colours: Floats, palette: Palette, place: Place, rng: np.random.Generator) -> None:
    """Add soft discs of light and of far blossoms, in place."""
    side = picture.shape[1]
    rows, columns = np.ogrid[0:side, 0:side]
    rows, columns = (axis.astype(np.float32) / side for axis in (rows, columns))
    for _ in range(int(rng.integers(0, 4 if place == "dark" else 11))):
        x, y, radius = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.03, 0.11)
        blossom = rng.random() < 0.3
        colour = palette.colour("a") * 0.7 if blossom else colours[2] * rng.uniform(0.8, 1.7)
        apart = np.sqrt((rows - y) ** 2 + (columns - x) ** 2)
        share = np.clip((radius - apart) / (0.45 * radius) + 0.5, 0, 1) * rng.uniform(0.15, 0.6)
        picture += (colour.astype(np.float32)[:, None, None] - picture) * share
