"""A photo from anywhere as a classifier sees it: upright, square, RGB, of one size.

Takes: the bytes of a JPEG, PNG or WebP file of any size. Gives: `prepared`: uint8[s, s, 3].

The largest centred square is taken, and scaled with Lanczos' filter. Records of data sets do not come this way: they
are square already, and `images` reads them strictly.
"""

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from corolla.errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 200_000_000
"""A photo with more pixels is refused before it is decoded [px]."""

_WORTH_REDUCING = 2.0
"""A large photo is first reduced by whole pixels to this many times the size, which is several times faster."""


class PhotoError(DataError):
    """The bytes are no photo that can be shown to a classifier."""


def prepared(content: bytes, size: int, name: str) -> NDArray[np.uint8]:
    """The photo as uint8[size, size, 3]. name: what a message calls it. Raises PhotoError."""
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(content), formats=FORMATS) as photo:
            warnings.simplefilter("ignore")  # Pillow's own, of sizes below the limit here and of broken EXIF data
            width, height = photo.size
            if width * height > MAX_PIXELS:
                raise PhotoError(f"{name}: {width}x{height} px, the limit is {MAX_PIXELS:,} px in all: make it smaller")
            photo.draft("RGB", (size * 2, size * 2))  # a JPEG decodes to an eighth, a quarter or half by itself
            upright = ImageOps.exif_transpose(photo).convert("RGB")
    except Image.UnidentifiedImageError as error:
        raise PhotoError(f"{name}: no JPEG, PNG or WebP: convert it to one of these") from error
    except Image.DecompressionBombError as error:
        raise PhotoError(f"{name}: more pixels than the limit of {MAX_PIXELS:,}: make it smaller") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:
        raise PhotoError(f"{name}: damaged ({error}): take another copy of it") from error
    side = min(upright.size)
    left, top = (upright.width - side) / 2, (upright.height - side) / 2
    box = (left, top, left + side, top + side)
    return np.asarray(upright.resize((size, size), Image.Resampling.LANCZOS, box, _WORTH_REDUCING))
