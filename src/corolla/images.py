"""Bytes to pixels: one image, or a whole split into one array.

Takes: encoded JPEG or PNG bytes, or the files of a split. Gives: uint8[h, w, 3] RGB, or `Photos`.

Decoding is strict: what libjpeg would patch over with a warning is refused here. The orientation noted in EXIF is not
applied, like in `tf.io.decode_jpeg`. A split is decoded by all cores straight into its final array, in the order of
the shards whatever the threads do, so memory is the array plus one shard.
"""

import io
import os
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from corolla import classes as flowers
from corolla.errors import DataError
from corolla.memory import populate, small_pages
from corolla.records.example import JPEG_MAGIC, PNG_MAGIC
from corolla.records.framing import RecordError
from corolla.records.shards import (
    WAY_OUT,
    Found,
    Labels,
    Places,
    SplitFiles,
    Unread,
    refuse_twice,
    unread_split,
    with_room,
)
from corolla.types import BadRecord, OnBadRecord, Photos

MAX_PIXELS = 50_000_000
"""No image larger than this is decoded (150 MB as uint8 RGB); the header says so before anything is allocated."""

_CHUNK = 32  # images a task: 5 % faster than 16, as fast as 64; each takes some 400 µs

T = TypeVar("T")
R = TypeVar("R")

Progress = Callable[[int, int], None]
"""Called with (records done, records in all) from the calling thread."""


class ImageError(DataError):
    """The bytes are no image that can be decoded, or one of the wrong size."""


# -------------------------------------------------------------------------------------------------------- one image


def decode(image: bytes) -> NDArray[np.uint8]:
    """Return a JPEG or PNG as uint8[h, w, 3], RGB. Gray becomes three equal channels; CMYK and palettes become RGB.

    Raises ImageError for anything damaged, cut, larger than MAX_PIXELS, 16 bits deep, or of another format.
    """
    size = read_size(image)
    out = np.empty((*size, 3), np.uint8)
    decode_into(image, out)
    return out


def read_size(image: bytes) -> tuple[int, int]:
    """Return (height, width) in pixels from the header alone. Raises ImageError as `decode` does."""
    if image.startswith(JPEG_MAGIC):
        return _jpeg_size(image)
    if image.startswith(PNG_MAGIC):
        return _png_size(image)
    start = f"{len(image)} bytes starting {bytes(image[:12])!r}" if image else "no bytes"
    raise ImageError(f"neither JPEG nor PNG but {start}: convert the image to JPEG")


def decode_into(image: bytes | NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """Decode an image (or copy pixels) into `out`, a contiguous uint8[h, w, 3].

    Raises ImageError as `decode` does, and where the image's size is not that of `out`; what `out` then holds is
    undefined.
    """
    if isinstance(image, np.ndarray):
        _refuse(image.shape[:2], out)
        out[:] = image
    elif image.startswith(JPEG_MAGIC):
        _decode_jpeg(image, out)
    else:
        _refuse(read_size(image), out)
        _decode_png(image, out)


def _refuse(size: tuple[int, ...], out: NDArray[np.uint8]) -> None:
    if fault := wrong_size(size, out.shape[:2]):
        raise ImageError(fault)


def wrong_size(found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """Return "" where two sizes, (height, width) in pixels, are the same, else the line that says they are not."""
    if found == wanted:
        return ""
    return f"the image is {_by(found)} px, the split's first is {_by(wanted)} px: resize them to one size"


def _by(size: tuple[int, ...]) -> str:
    return f"{size[1]}x{size[0]}"


def _capped(height: int, width: int) -> tuple[int, int]:
    if height < 1 or width < 1:
        raise ImageError(f"the image is {width}x{height} px: nothing to see")
    if height * width > MAX_PIXELS:
        raise ImageError(f"the image is {width}x{height} px, the limit is {MAX_PIXELS} px in all: make it smaller")
    return height, width


def _jpeg_size(image: bytes) -> tuple[int, int]:
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(image)
    except ValueError as error:
        raise ImageError(f"damaged JPEG ({error}): replace the image") from error
    return _capped(int(height), int(width))


def _decode_jpeg(image: bytes, out: NDArray[np.uint8]) -> None:
    """The library refuses an image that needs more bytes than `out` has; a smaller one fills a part of it."""
    try:
        decoded = simplejpeg.decode_jpeg(image, "RGB", buffer=out)
        _refuse(decoded.shape[:2], out)
    except ValueError as error:
        _refuse(_jpeg_size(image), out)
        raise ImageError(f"damaged JPEG ({error}): replace the image") from error


def _png_size(image: bytes) -> tuple[int, int]:
    if len(image) < 24:
        raise ImageError("damaged PNG (cut in its header): replace the image")
    width, height = struct.unpack_from(">II", image, 16)
    return _capped(height, width)


def _decode_png(image: bytes, out: NDArray[np.uint8]) -> None:
    try:
        with Image.open(io.BytesIO(image), formats=["PNG"]) as png:
            png.verify()  # the CRC of every chunk; the object cannot be used after it
        with Image.open(io.BytesIO(image), formats=["PNG"]) as png:
            deep = png.mode.startswith(("I", "F"))
            pixels = None if deep else np.asarray(png.convert("RGB"))
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ImageError(f"damaged PNG ({error}): replace the image") from error
    if pixels is None:
        raise ImageError("PNG with 16 bits a channel: convert it to 8 bits")
    out[:] = pixels


# ------------------------------------------------------------------------------------------------------ whole split


def load_split(
    files: SplitFiles,
    *,
    on_bad_record: OnBadRecord = "fail",
    labels: Labels = "need",
    classes: int = flowers.COUNT,
    progress: Progress | None = None,
    most: int | None = None,
) -> Photos:
    """Read, check and decode a split into one array, uint8[n, h, w, 3], in the order of its shards.

    All images must have the size of the first. labels: "need" makes a record without a label a bad one; "maybe" gives
    labels where every record has one and None where none has. on_bad_record: "fail" raises RecordError at the first
    bad record of the split; "skip" leaves it out and lists it in `Photos.bad`. most: stop after so many records.
    Raises DataError where no record is left, where only some records have labels, or where memory does not suffice.
    """
    files, room = with_room(files)
    room = room if most is None else min(room, most)
    canvas, places = _Canvas(room), Places()
    kept: list[tuple[int, Found]] = []
    bad: list[BadRecord] = []
    items = map(canvas.place, islice(unread_split(files, labels=labels, classes=classes), most))
    for done, item in enumerate(in_order(canvas.paint, items), 1):
        slot, seen = item
        found = refuse_twice(seen, places) if isinstance(seen, Found) else seen
        if isinstance(found, Found):
            kept.append((slot, found))
        elif on_bad_record == "fail":
            raise RecordError(found, WAY_OUT)
        else:
            bad.append(found)
        if progress and done % 64 == 0 and done < room:
            progress(done, room)
    if not kept:
        raise DataError(f"{files.folder}: none of {room} records can be used; the first: {bad[0]}")
    if progress:
        progress(room, room)
    founds = [found for _, found in kept]
    names, places = [found.example.id for found in founds], [(found.path, found.number) for found in founds]
    images = canvas.compacted([slot for slot, _ in kept])
    return Photos(files.split, images, _labels(founds), names, bad, places=places)


class _Canvas:
    """The array that a split is decoded into. The first image that has a size sets the size of all."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.used = 0
        self.images: NDArray[np.uint8] | None = None

    def place(self, item: Unread | BadRecord) -> tuple[int, Unread | BadRecord]:
        """Give a record its row, -1 where it has none. Called in the order of the shards, by one thread."""
        if isinstance(item, BadRecord):
            return -1, item
        if self.used == self.room:  # only where remote names were believed, and lied
            return -1, item.bad(
                f"the names of the shards declare {self.room} records in all, there are more: copy them again"
            )
        if self.images is None:
            found = item.read()
            if isinstance(found, BadRecord):
                return -1, found
            try:
                self.images = self._array(found.example.image)
            except ImageError as error:
                return -1, found.bad(f"id {found.example.id!r}: {error}")
        self.used += 1
        return self.used - 1, item

    def paint(self, placed: tuple[int, Unread | BadRecord]) -> tuple[int, Found | BadRecord]:
        """Check, parse and decode a record into its row. Called by any thread; rows do not overlap."""
        slot, item = placed
        found = item.read() if isinstance(item, Unread) else item
        if isinstance(found, BadRecord):
            return slot, found
        assert self.images is not None
        if slot % _CHUNK == 0:
            populate(self.images[slot : slot + _CHUNK])
        try:
            decode_into(found.example.image, self.images[slot])
        except ImageError as error:
            return slot, found.bad(f"id {found.example.id!r}: {error}")
        return slot, found.without_image()

    def compacted(self, slots: list[int]) -> NDArray[np.uint8]:
        """Return the rows `slots` (ascending), moved together in place: a copy would need the memory twice."""
        assert self.images is not None
        for row, slot in enumerate(slots):
            if row != slot:
                self.images[row] = self.images[slot]
        return self.images[: len(slots)]

    def _array(self, image: bytes | NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = image.shape[:2] if isinstance(image, np.ndarray) else read_size(image)
        try:
            return small_pages((self.room, height, width, 3))
        except (MemoryError, OSError) as error:
            gigabytes = self.room * height * width * 3 / 1e9
            raise DataError(
                f"{self.room} images of {width}x{height} px need {gigabytes:.1f} GB of memory, which this machine does "
                "not give: take a smaller image size"
            ) from error


def _labels(kept: list[Found]) -> NDArray[np.int32] | None:
    without = [found for found in kept if found.example.label is None]
    if len(without) == len(kept):
        return None
    if without:
        raise DataError(
            f"{without[0].bad('has no label')}, like {len(without)} of the split's {len(kept)} records, where others "
            "have one: give all of them labels, or none"
        )
    return np.array([found.example.label for found in kept], np.int32)


# ---------------------------------------------------------------------------------------------------------- threads


def in_order(
    work: Callable[[T], R], items: Iterable[T], threads: int | None = None, chunk: int | None = None
) -> Iterator[R]:
    """Yield work(item) for each item, in order, computed by threads (default: all cores) a little ahead of it.

    chunk: items that a thread takes at once (default: what suits single images). An exception in `items` or `work` is
    raised in its place in that order; what had not started then never starts.
    """
    threads = threads or os.cpu_count() or 1
    pending: deque[Future[list[R]]] = deque()
    late: list[Exception] = []
    chunks = _chunks(items, late, chunk or _CHUNK)
    pool = ThreadPoolExecutor(threads, "corolla")
    try:
        for part in chunks:
            pending.append(pool.submit(lambda part: [work(item) for item in part], part))
            if len(pending) > 2 * threads:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    if late:
        raise late[0]


def _chunks(items: Iterable[T], late: list[Exception], size: int) -> Iterator[list[T]]:
    """Yield so many items at a time; an exception of theirs goes to `late`, to be raised after what came before it."""
    chunk: list[T] = []
    try:
        for item in items:
            chunk.append(item)
            if len(chunk) == size:
                yield chunk
                chunk = []
    except Exception as error:
        late.append(error)
    if chunk:
        yield chunk
