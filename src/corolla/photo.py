"""A photo from anywhere as a classifier sees it: upright, square, RGB, of one size.

Takes: the bytes of a JPEG, PNG or WebP file of any size. Gives: `prepared`: uint8[s, s, 3].

The largest centred square is taken, and scaled with Lanczos' filter. Of a moving picture the first frame counts, and
what is transparent lies on white. Records of data sets do not come this way: they
are square already, and `images` reads them strictly.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from corolla.errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 178_000_000
"""A JPEG with more pixels is refused before it is decoded [px]; Pillow's own limit is just above. It is decoded at a
fraction of its size."""

MAX_WHOLE_PIXELS = 50_000_000
"""The same for what has to be decoded whole, which takes up to a dozen bytes a pixel: PNG, WebP, progressive JPEG."""

_LIMITS = f"JPEG {MAX_PIXELS:,} px, others {MAX_WHOLE_PIXELS:,} px"

_WORTH_REDUCING = 2.0
"""A large photo is first reduced by whole pixels to this many times the size, which is several times faster."""


class PhotoError(DataError):
    """The bytes are no photo that can be shown to a classifier."""


def prepared(content: bytes, size: int, name: str) -> NDArray[np.uint8]:
    """The photo as uint8[size, size, 3]. name: what a message calls it. Raises PhotoError."""
    try:
        with _quiet(), Image.open(io.BytesIO(content), formats=FORMATS) as photo:
            _refuse_large(photo, name)
            photo.draft("RGB", (size * 2, size * 2))  # a JPEG decodes to an eighth, a quarter or half by itself
            upright = _on_white(ImageOps.exif_transpose(photo))
    except PhotoError:
        raise
    except Image.UnidentifiedImageError as error:
        raise PhotoError(f"{name}: no JPEG, PNG or WebP: convert it to one of these") from error
    except Image.DecompressionBombError as error:
        raise PhotoError(f"{name}: more pixels than the limits ({_LIMITS}): make it smaller") from error
    except Exception as error:  # Pillow's readers of broken files raise nearly anything
        raise PhotoError(f"{name}: damaged ({error}): take another copy of it") from error
    side = min(upright.size)
    left, top = (upright.width - side) / 2, (upright.height - side) / 2
    box = (left, top, left + side, top + side)
    return np.asarray(upright.resize((size, size), Image.Resampling.LANCZOS, box, _WORTH_REDUCING))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Pillow's own warnings, of sizes below the limits here and of broken EXIF data."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _refuse_large(photo: Image.Image, name: str) -> None:
    """By the header, before memory is taken."""
    width, height = photo.size
    at_a_fraction = photo.format == "JPEG" and not photo.info.get("progressive")
    most = MAX_PIXELS if at_a_fraction else MAX_WHOLE_PIXELS
    if width * height > most:
        raise PhotoError(f"{name}: {width}x{height} px, the limit is {most:,} px in all: make it smaller")


def _on_white(photo: Image.Image) -> Image.Image:
    """As RGB. Of 16 bits the upper ones count: Pillow would make everything above 255 white."""
    if photo.mode.startswith("I"):
        levels = np.asarray(photo).astype(np.int64) >> 8
        return Image.fromarray(levels.clip(0, 255).astype(np.uint8)).convert("RGB")
    if not photo.has_transparency_data:
        return photo.convert("RGB")
    solid = Image.new("RGB", photo.size, "white")
    clear = photo.convert("RGBA")
    solid.paste(clear, mask=clear.getchannel("A"))
    return solid
