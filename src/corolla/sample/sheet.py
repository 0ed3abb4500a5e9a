"""One picture of many photos.

Takes: a seed, a size. Gives: uint8[rows * side, columns * side, 3]: one photo of each kind of flower.
"""

import numpy as np
from numpy.typing import NDArray

from corolla import classes
from corolla.sample.scenes import paint_photo


def contact_sheet(
    *, side: int = 112, columns: int = 13, seed: int = 0, kinds: tuple[int, ...] = tuple(range(classes.COUNT))
) -> NDArray[np.uint8]:
    """Paint one photo of each kind into a grid: uint8[rows * side, columns * side, 3]; empty places are white."""
    rows = -(-len(kinds) // columns)
    sheet = np.full((rows * side, columns * side, 3), 255, np.uint8)
    for place, label in enumerate(kinds):
        row, column = divmod(place, columns)
        photo = paint_photo(label, side, np.random.default_rng([seed, label]))
        sheet[row * side : (row + 1) * side, column * side : (column + 1) * side] = photo
    return sheet
