"""One photo as the records of it: squares of every wanted size, its thumbnail, its name.

Takes: the bytes of a photo of any size and kind. Gives: `rendered`: a JPEG a size and a thumbnail, by which look-alikes
are found; `ids`: nine hexadecimal characters a photo, of where it comes from; `displayed`: any name in one line of
plain text.

These are pure functions: whoever calls them, in whatever order, gets the same bytes. A JPEG is decoded at the smallest
eighth of its size that suffices, by libjpeg-turbo; what that does not know (PNG, WebP, CMYK) comes through `photo`.
What is damaged is refused, not patched over. The largest square is cut out and scaled once, and the smaller ones are
made of it. A JPEG that is a square of a wanted size already stays as it is, byte for byte.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from corolla import photo
from corolla.build.scaling import Resample, scaled
from corolla.likeness import SIDE, thumbnail
from corolla.photo import PhotoError, Seen
from corolla.records.example import JPEG_MAGIC

Fit = Literal["crop", "pad"]
"""crop: the largest centred square, or the one around the box that the source gives. pad: all of it, on gray."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom of what is meant in a photo, as fractions of its width and height."""

Pixels = NDArray[np.uint8]
"""uint8[h, w, 3], RGB."""

ID_CHARACTERS = 9
_GRAY = 128
_AS_EXIF = {0: 1, 90: 8, 180: 3, 270: 6}
"""Degrees counterclockwise, and the orientation of a photo that is turned by them."""

_AROUND_BOX = 1.1
"""A box is cut out with so much more than its longer side."""


@dataclass(frozen=True)
class Look:
    """How photos become squares. sizes: sides [px], ascending; quality: of the JPEGs, 1 to 100."""

    sizes: tuple[int, ...]
    fit: Fit = "crop"
    resample: Resample = "lanczos"
    quality: int = 95


@dataclass(frozen=True)
class Rendered:
    """images: a JPEG for each size; thumbnail: uint8[64, 64], of `likeness`, row by row."""

    images: tuple[bytes, ...]
    thumbnail: bytes


# ----------------------------------------------------------------------------------------------------------- pixels


def rendered(content: bytes, look: Look, box: Box | None = None, rotation: int = 0) -> Rendered:
    """The squares of a photo. box: in the upright photo. rotation: counterclockwise, where EXIF says nothing of it.

    Raises PhotoError for what is no photo, is damaged, or has too many pixels.
    """
    seen = photo.look(content, "the photo")
    box = (0.0, 0.0, 1.0, 1.0) if box is None or look.fit == "pad" else box
    turned_by = seen.orientation if seen.orientation > 1 else _AS_EXIF[rotation]
    whole = _decoded(content, seen, turned_by, _wanted_px(look, box))
    square, squares = _cut(whole, box) if look.fit == "crop" else whole, []
    as_it_is = turned_by == 1 and _is_plain(content, seen) and square.shape == (seen.width, seen.height, 3)
    for size in reversed(look.sizes):
        square = _squared(square, size, look.resample)
        squares.append(square)
    squares.reverse()
    images = tuple(content if as_it_is and len(one) == seen.width else _encoded(one, look.quality) for one in squares)
    large_enough = next((one for one in squares if len(one) >= SIDE), squares[-1])
    return Rendered(images, thumbnail(large_enough).tobytes())


def _encoded(square: Pixels, quality: int) -> bytes:
    return simplejpeg.encode_jpeg(square, quality, "RGB", "420", fastdct=False)


def _is_plain(content: bytes, seen: Seen) -> bool:
    """Whether it is a JPEG that libjpeg-turbo decodes by itself."""
    return content.startswith(JPEG_MAGIC) and seen.mode in ("RGB", "L")


def _wanted_px(look: Look, box: Box) -> int:
    """Least shorter side of the decoded photo, for the cut square to have the size of the largest output."""
    side = max(box[2] - box[0], box[3] - box[1], 1 / 64)
    return int(np.ceil(look.sizes[-1] / min(1.0, side)))


def _decoded(content: bytes, seen: Seen, orientation: int, least_px: int) -> Pixels:
    """Upright, at least least_px on its shorter side where the photo has as many."""
    if not _is_plain(content, seen):
        pixels = np.asarray(photo.upright(content, least_px, "the photo"))
        return pixels if seen.orientation > 1 else _turned(pixels, orientation)
    try:
        pixels = simplejpeg.decode_jpeg(
            content, "RGB", fastdct=False, fastupsample=False, min_height=least_px, min_width=least_px
        )
    except ValueError as error:
        raise PhotoError(f"the photo: damaged ({error}): take another copy of it") from error
    return _turned(pixels, orientation)


def _turned(pixels: Pixels, orientation: int) -> Pixels:
    """Undo what EXIF's orientation 1 to 8 says of the camera. From 5 on rows and columns are exchanged first."""
    pixels = pixels.swapaxes(0, 1) if orientation >= 5 else pixels
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _cut(whole: Pixels, box: Box) -> Pixels:
    """The square around the box's middle, moved into the photo where it stands out, no larger than the photo."""
    height, width = whole.shape[:2]
    longest = max((box[2] - box[0]) * width, (box[3] - box[1]) * height)
    side = max(1, min(width, height, round(longest * _AROUND_BOX)))
    left = min(max(round((box[0] + box[2]) / 2 * width - side / 2), 0), width - side)
    top = min(max(round((box[1] + box[3]) / 2 * height - side / 2), 0), height - side)
    return whole[top : top + side, left : left + side]


def _squared(image: Pixels, size: int, resample: Resample) -> Pixels:
    """As a square of so many pixels a side."""
    longer = max(image.shape[:2])
    height, width = (max(1, round(size * side / longer)) for side in image.shape[:2])
    made = scaled(image, height, width, resample)
    if width == height:
        return made
    canvas = np.full((size, size, 3), _GRAY, np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    canvas[top : top + height, left : left + width] = made
    return canvas


# ------------------------------------------------------------------------------------------------------------ names


def ids(photos: Sequence[tuple[str, str, str]]) -> list[str]:
    """A name for each (source, original name, id that it has): the id, for the first that has it; for the others the
    start of a SHA-256, the next one where it is taken.

    The same photos in the same order have the same names; among 100,000 two would meet in one build of fourteen.
    """
    kept: dict[str, int] = {}
    for place, (_, _, own) in enumerate(photos):
        if own:
            kept.setdefault(own, place)
    found: dict[str, None] = {}
    for place, (source, name, own) in enumerate(photos):
        number, candidate = 0, own
        while not candidate or (kept[candidate] != place if candidate in kept else candidate in found):
            candidate, number = _hashed(source, name, number), number + 1
        found[candidate] = None
    return list(found)


def _hashed(source: str, name: str, number: int) -> str:
    text = f"{source}\0{name}\0{number}".encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()[:ID_CHARACTERS]


def displayed(name: str) -> str:
    """A file's name in one line of text: what cannot be shown, and bytes that are no UTF-8, as \\xNN; \\ as \\\\."""
    parts = []
    for character in name:
        if character == "\\":
            parts.append("\\\\")
        elif character.isprintable():
            parts.append(character)
        else:
            parts += [f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape")]
    return "".join(parts)
