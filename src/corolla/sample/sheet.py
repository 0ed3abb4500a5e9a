"""One picture of many photos.

Takes: a seed, a size. Gives: uint8[rows * side, columns * side, 3]: one photo of each kind, by label; or a file.
"""

from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from corolla import classes
from corolla.sample.scenes import paint_photo

SEED = 1


def contact_sheet(
    *, side: int = 96, columns: int = 13, seed: int = SEED, kinds: tuple[int, ...] = tuple(range(classes.COUNT))
) -> NDArray[np.uint8]:
    """Paint one photo of each kind into a grid: uint8[rows * side, columns * side, 3]; empty places are white."""
    rows = -(-len(kinds) // columns)
    sheet = np.full((rows * side, columns * side, 3), 255, np.uint8)
    for place, label in enumerate(kinds):
        row, column = divmod(place, columns)
        photo = paint_photo(label, 2 * side, np.random.default_rng([seed, label]))
        small = photo.reshape(side, 2, side, 2, 3).mean(axis=(1, 3))
        sheet[row * side : (row + 1) * side, column * side : (column + 1) * side] = small + 0.5
    return sheet


def write_contact_sheet(path: Path) -> None:
    """Write the contact sheet as a JPEG of under 300 kB: what docs/pictures/sample.jpg is."""
    path.write_bytes(
        simplejpeg.encode_jpeg(contact_sheet(), quality=84, colorspace="RGB", colorsubsampling="420", fastdct=False)
    )
