"""The TFRecord container: where one record ends and the next begins, and whether its bytes are still the written ones.

Takes: a file of `uint64 length | uint32 masked CRC of length | data | uint32 masked CRC of data`, little-endian, plain
or gzipped. Gives: `Record` (number, offset, data) or `BadRecord`, in the file's order (or a
`Frame`, whose data are still to be checked); and writes such files whole.

Source: TensorFlow, `tsl/lib/io/record_writer.h` (layout) and `tsl/lib/hash/crc32c.h` (mask). Both CRCs are always
checked: that costs under 2 µs a photo of 15 kB. A file is read into memory whole, so memory is one shard a reader.
"""

import contextlib
import os
import struct
import uuid
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import google_crc32c

from corolla.errors import DataError, RunError
from corolla.storage import AnyPath, Opener
from corolla.types import BadRecord

HEADER = struct.Struct("<QI")
FOOTER = struct.Struct("<I")

DRAFTS = ".*.tmp"
"""Names of files that `write_records` had not finished; where its process was killed they stay."""

GZIP_MAGIC = b"\x1f\x8b"
MAX_UNPACKED_BYTES = 8 << 30
"""A gzip file may unpack to this much and no more: a bomb of 8 MB could otherwise ask for 8 GB of memory."""

CRC_IS_FAST: bool = google_crc32c.implementation == "c"
"""False where google-crc32c fell back to pure Python, which is about 1,000 times slower and says nothing."""

# What people save under the name of a shard, by its first bytes.
_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"<!doctype", "an HTML page (often a log-in or error page saved by a download)"),
    (b"<html", "an HTML page (often a log-in or error page saved by a download)"),
    (b"<?xml", "an XML page (often a storage service's error message)"),
    (b"version https://git-lfs", "a Git LFS pointer (fetch the file itself with: git lfs pull)"),
    (b"pk\x03\x04", "a ZIP archive (unpack it first)"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89png", "a PNG image"),
    (b"{", "a JSON text (often a service's error message)"),
)


@dataclass(frozen=True, slots=True)
class Record:
    """One intact record: its number in the file (from 0), the byte its length field starts at, and its content.

    In a gzipped file the offset counts unpacked bytes.
    """

    number: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Frame:
    """A record whose length is intact and whose data, contents[offset:end] with a header, nobody has looked at yet."""

    path: AnyPath
    number: int
    offset: int
    contents: bytes
    end: int

    def checked(self) -> Record | BadRecord:
        """Compare the CRC of the data. Any thread may do this."""
        content = self.contents[self.offset + HEADER.size : self.end]
        (stored,) = FOOTER.unpack_from(self.contents, self.end)
        found = masked_crc(content)
        if found == stored:
            return Record(self.number, self.offset, content)
        reason = f"damaged data (their checksum is {found:#010x}, stored is {stored:#010x}): download the file again"
        return BadRecord(self.path, self.number, self.offset, reason)


class RecordError(DataError):
    """One record cannot be used. `bad` says which, where and why, as do `path`, `number`, `offset`, `reason`."""

    def __init__(self, bad: BadRecord, way_out: str = "") -> None:
        super().__init__(bad, way_out)
        self.bad = bad
        self.path, self.number, self.offset, self.reason = bad.path, bad.number, bad.offset, bad.reason
        self.way_out = way_out

    def __str__(self) -> str:
        return f"{self.bad}{self.way_out}"


class FramingError(RecordError):
    """The container itself is broken at this record: a wrong CRC, an impossible length, a cut, another kind of file."""


def masked_crc(data: bytes) -> int:
    """Return the CRC-32C of `data`, rotated and offset as TFRecord stores it (so that a CRC of CRCs stays useful)."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


# ---------------------------------------------------------------------------------------------------------- reading


def read_records(path: AnyPath) -> Iterator[Record]:
    """Yield every record of a file, or raise FramingError at the first that is not intact.

    Raises DataError where the file cannot be opened.
    """
    for item in scan_records(path):
        if isinstance(item, BadRecord):
            raise FramingError(item)
        yield item


def scan_records(path: AnyPath, opened: Opener | None = None) -> Iterator[Record | BadRecord]:
    """Yield every record of a file, and a BadRecord in the place of each that is not intact.

    As `scan_frames`, with each frame checked.
    """
    return (item.checked() if isinstance(item, Frame) else item for item in scan_frames(path, opened))


def scan_frames(path: AnyPath, opened: Opener | None = None) -> Iterator[Frame | BadRecord]:
    """Yield every record of a file as the lengths in it lead there, to be checked by whoever uses it.

    opened: opens the file, where it is not to be opened by its path.
    After a wrong CRC of the data the next record follows. After a damaged length nothing says where the next record
    starts: that BadRecord is the last item and stands for the rest of the file. An empty file gives one BadRecord.
    Raises DataError where the file cannot be opened.
    """
    data, gzip_fault = _contents(path, opened)
    number = offset = 0
    while offset < len(data):
        end, fault = _data_end(data, offset)
        if fault:
            yield BadRecord(path, number, offset, _explain(data, number, gzip_fault or fault))
            return
        yield Frame(path, number, offset, data, end)
        number, offset = number + 1, end + FOOTER.size
    if gzip_fault or number == 0:
        yield BadRecord(path, number, offset, gzip_fault or "the file is empty: download it again")


def count_records(path: AnyPath, opened: Opener | None = None) -> int:
    """Return how many records the lengths in a file lead to, without reading the data or checking a CRC.

    opened: as for `scan_records`. A remote file is fetched for it, whole.
    Never less than `scan_records` yields as intact, so that memory can be set aside before reading.
    """
    with _opened(path, opened) as file:
        if file.read(2) == GZIP_MAGIC:
            return sum(isinstance(item, Record) for item in scan_records(path, opened))
        size, offset, number = file.seek(0, os.SEEK_END), 0, 0
        while offset + HEADER.size + FOOTER.size <= size:
            file.seek(offset)
            offset += HEADER.size + HEADER.unpack(file.read(HEADER.size))[0] + FOOTER.size
            number += offset <= size
    return number


def _data_end(data: bytes, offset: int) -> tuple[int, str]:
    """Return where the data of the record at `offset` end, and "" or what is wrong with its length."""
    left = len(data) - offset
    if left < HEADER.size:
        return 0, f"the file ends in the middle of this record ({left} bytes are left): download it again"
    length, stored = HEADER.unpack_from(data, offset)
    found = masked_crc(data[offset : offset + 8])
    if found != stored:
        return 0, (
            f"damaged length (its checksum is {found:#010x}, stored is {stored:#010x}), so the rest of the file, "
            f"{left} bytes, cannot be read: download it again"
        )
    # Compared before anything is sliced: a length of 2**62 must not become an allocation.
    if length > left - HEADER.size - FOOTER.size:
        return 0, (
            f"the file ends in the middle of this record, which wants {length + HEADER.size + FOOTER.size} bytes "
            f"where {left} are left: download it again"
        )
    return offset + HEADER.size + length, ""


def _explain(data: bytes, number: int, fault: str) -> str:
    """Return `fault`, or the name of what the file really is where its first bytes tell."""
    start = data[:256].lstrip().lower()
    kind = next((name for magic, name in _FOREIGN if start.startswith(magic)), None) if number == 0 else None
    return f"the file is not a TFRecord file but {kind}: download it again" if kind else fault


def _opened(path: AnyPath, opened: Opener | None) -> IO[bytes]:
    try:
        return opened() if opened else path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror}): check the path and its permissions") from error


def _contents(path: AnyPath, opened: Opener | None) -> tuple[bytes, str]:
    """Return the file's bytes, unpacked, and "" or what is wrong with its gzip layer."""
    try:
        with _opened(path, opened) as file:
            data = file.read()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}): check the disk, or copy the file again") from error
    except MemoryError as error:
        raise DataError(
            f"{path}: does not fit in memory ({path.stat().st_size} bytes): split it into shards of 100 MB"
        ) from error
    return _unpack(data) if data.startswith(GZIP_MAGIC) else (data, "")


def _unpack(data: bytes) -> tuple[bytes, str]:
    """Unpack gzip as far as it goes: the records before a fault are still good, for their own CRCs say so."""
    chunks: list[bytes] = []
    room = MAX_UNPACKED_BYTES
    while data:
        member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        while not member.eof:
            try:
                chunk = member.decompress(data, 1 << 20)
            except zlib.error as error:
                return b"".join(chunks), f"damaged gzip data ({error}): download the file again"
            chunks.append(chunk)
            room -= len(chunk)
            data = member.unconsumed_tail
            if room < 0:
                return b"".join(
                    chunks
                ), f"the gzip data unpack to more than {MAX_UNPACKED_BYTES} bytes: unpack it first"
            if not chunk and not data and not member.eof:
                return b"".join(chunks), "the gzip data end early: download the file again"
        data = member.unused_data.lstrip(b"\0")
    return b"".join(chunks), ""


# ---------------------------------------------------------------------------------------------------------- writing


def frame(data: bytes) -> bytes:
    """Return `data` as one record of a TFRecord file."""
    length = struct.pack("<Q", len(data))
    return b"".join((length, FOOTER.pack(masked_crc(length)), data, FOOTER.pack(masked_crc(data))))


def write_records(path: Path, records: Iterable[bytes]) -> int:
    """Write a TFRecord file and return the number of records in it.

    The file appears whole or not at all: it is written beside its place, flushed to the disk, and renamed. Missing
    parent folders are made. Raises DataError for no records at all (readers refuse an empty file), RunError where the
    disk refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own, short whatever the length of the final one, hidden from every listing of shards.
        draft = path.parent / DRAFTS.replace("*", uuid.uuid4().hex)
        try:
            count = _write_draft(draft, records)
            if count == 0:
                raise DataError(f"{path}: there are no records to write, and readers refuse an empty file")
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise RunError(
            f"{path}: cannot be written ({error.strerror}): free some room or choose another folder"
        ) from error
    return count


def _write_draft(draft: Path, records: Iterable[bytes]) -> int:
    count = 0
    with draft.open("xb") as file:
        for data in records:
            file.write(frame(data))
            count += 1
        file.flush()
        os.fsync(file.fileno())
    return count


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last through a power cut; some file systems cannot, and lose nothing else by it."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
