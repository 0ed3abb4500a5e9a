"""A photo from anywhere as a classifier sees it: upright, square, RGB, of one size.

Takes: the bytes of a JPEG, PNG or WebP file of any size. Gives: `prepared`: uint8[s, s, 3]; for who cuts it otherwise
`upright`, the whole photo, and `look`, its header.

The largest centred square is taken, and scaled with Lanczos' filter. Of a moving picture the first frame counts, and
what is transparent lies on white. Records of data sets do not come this way: they
are square already, and `images` reads them strictly.
"""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from corolla.errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 178_000_000
"""A JPEG with more pixels is refused before it is decoded [px]; Pillow's own limit is just above. It is decoded at a
fraction of its size."""

MAX_WHOLE_PIXELS = 50_000_000
"""The same for what has to be decoded whole, which takes up to a dozen bytes a pixel: PNG, WebP, progressive JPEG."""

_LIMITS = f"JPEG {MAX_PIXELS:,} px, others {MAX_WHOLE_PIXELS:,} px"

T = TypeVar("T")

_WORTH_REDUCING = 2.0
"""A large photo is first reduced by whole pixels to this many times the size, which is several times faster."""


class PhotoError(DataError):
    """The bytes are no photo that can be shown to a classifier."""


class FormatError(PhotoError):
    """The bytes are of no kind of file that is read here."""


class PixelsError(PhotoError):
    """The photo has more pixels than are decoded."""


class Seen(NamedTuple):
    """What the header of a photo says: height and width as stored [px], Pillow's mode, orientation (EXIF, 1 to 8)."""

    height: int
    width: int
    mode: str
    orientation: int


def look(content: bytes, name: str) -> Seen:
    """Read the header alone. name: what a message calls it. Raises PhotoError as `upright` does."""

    def seen(photo: Image.Image) -> Seen:
        orientation = photo.getexif().get(ExifTags.Base.Orientation, 1)
        return Seen(photo.height, photo.width, photo.mode, orientation if orientation in range(1, 9) else 1)

    return _opened(content, name, seen)


def upright(content: bytes, least_px: int, name: str) -> Image.Image:
    """The whole photo, upright, as RGB. A JPEG may come at a half, a quarter or an eighth, where its sides keep
    least_px. name: what a message calls it. Raises PhotoError.
    """
    return _opened(content, name, lambda photo: _upright(photo, least_px))


def _upright(photo: Image.Image, least_px: int) -> Image.Image:
    photo.draft("RGB", (least_px, least_px))  # a JPEG decodes to an eighth, a quarter or half by itself
    return _on_white(ImageOps.exif_transpose(photo))


def _opened(content: bytes, name: str, use: Callable[[Image.Image], T]) -> T:
    try:
        with _quiet(), Image.open(io.BytesIO(content), formats=FORMATS) as photo:
            _refuse_large(photo, name)
            return use(photo)
    except PhotoError:
        raise
    except Image.UnidentifiedImageError as error:
        raise FormatError(f"{name}: no JPEG, PNG or WebP: convert it to one of these") from error
    except Image.DecompressionBombError as error:
        raise PixelsError(f"{name}: more pixels than the limits ({_LIMITS}): make it smaller") from error
    except Exception as error:  # Pillow's readers of broken files raise nearly anything
        raise PhotoError(f"{name}: damaged ({error}): take another copy of it") from error


def prepared(content: bytes, size: int, name: str, most_px: float = MAX_PIXELS) -> NDArray[np.uint8]:
    """The photo as uint8[size, size, 3]. name: what a message calls it; most_px: that it may have, beside what is the
    limit for all. Raises PhotoError.
    """

    def squared(photo: Image.Image) -> NDArray[np.uint8]:
        if photo.width * photo.height > most_px:
            found = f"{name}: {photo.width}x{photo.height} px"
            raise PixelsError(f"{found}, the limit is {most_px / 1e6:g} megapixels: make it smaller")
        pixels = _as_records(content, photo, size)
        return _square(_upright(photo, size * 2), size) if pixels is None else pixels

    return _opened(content, name, squared)


def _square(photo: Image.Image, size: int) -> NDArray[np.uint8]:
    side = min(photo.size)
    left, top = (photo.width - side) / 2, (photo.height - side) / 2
    box = (left, top, left + side, top + side)
    return np.asarray(photo.resize((size, size), Image.Resampling.LANCZOS, box, _WORTH_REDUCING))


def _as_records(content: bytes, photo: Image.Image, size: int) -> NDArray[np.uint8] | None:
    """A JPEG that is upright and of this size already, in a third of Pillow's time: the same pixels. None for others,
    and for a damaged one, of which Pillow says what is wrong with it.
    """
    fits = photo.format == "JPEG" and photo.mode == "RGB" and photo.size == (size, size)
    if not fits or photo.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        return None
    try:
        return simplejpeg.decode_jpeg(content, "RGB", fastdct=False, fastupsample=False)
    except ValueError:
        return None


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
        raise PixelsError(f"{name}: {width}x{height} px, the limit is {most:,} px in all: make it smaller")


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
