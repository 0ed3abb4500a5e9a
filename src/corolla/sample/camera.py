"""The camera: from light to a file's pixels.

Takes: a picture in linear light float32[3, side, side], a random generator. Gives: uint8[side, side, 3].
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from corolla.sample.colours import Floats

_GRAIN_PX = 512


def develop(picture: Floats, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Expose, balance, vignette, add grain, blur."""
    side = picture.shape[1]
    balance = np.exp(rng.normal(0, (0.06, 0.02, 0.07)) + rng.normal(0.05, 0.13)).astype(np.float32)
    line = np.linspace(-1, 1, side, dtype=np.float32) ** 2
    vignette = 1024 - np.float32(1024 * rng.uniform(0.0, 0.18)) * (line[:, None] + line)
    film = _film()
    exposed = picture * vignette
    exposed *= balance[:, None, None]
    np.clip(exposed, 0, len(film) - 1, out=exposed)
    shown = film.take(exposed.astype(np.int32))
    shown += _grain(side, rng) * np.float32(rng.uniform(0.4, 3.0))
    np.clip(shown, 0, 255, out=shown)
    pixels = np.empty((side, side, 3), np.uint8)
    for channel in range(3):
        pixels[:, :, channel] = shown[channel]
    image = Image.fromarray(pixels)
    blur = max(0.0, rng.normal(-0.1, 0.6)) * side / 224
    return np.asarray(image.filter(ImageFilter.BoxBlur(blur)) if blur > 0.25 else image)


@cache
def _film() -> Floats:
    """Brightness 0 to 255 for linear light 0, 1/1024, … 4: a shoulder for highlights, sRGB, a contrast curve."""
    light = np.arange(4096, dtype=np.float32) / 1024
    bent = np.where(light < 0.55, light, 0.55 + 0.45 * (1 - np.exp(-(light - 0.55) / 0.45)))
    shown = bent ** (1 / 2.2)
    return (255 * (shown - 0.045 * np.sin(2 * np.pi * shown))).astype(np.float32)


@cache
def _grain_sheet(tiles: int) -> Floats:
    """Noise float32[3, n, n], mostly of brightness; drawn once, as it would take a tenth of each photo's time."""
    sheet = np.random.default_rng(20).standard_normal((3, _GRAIN_PX, _GRAIN_PX), np.float32)
    return np.tile(sheet + sheet[:1], (1, tiles, tiles))


def _grain(side: int, rng: np.random.Generator) -> Floats:
    """Cut a square out of the grain sheet at a random place: float32[3, side, side]."""
    sheet = _grain_sheet(side // _GRAIN_PX + 1)
    top, left = rng.integers(0, sheet.shape[1] - side, 2)
    return sheet[:, top : top + side, left : left + side]
