"""A photo before it is read: where it lies, and what its source says of it.

Takes: the words of the adapters. Gives: `Item`, and its bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from corolla.build.record import Box
from corolla.errors import DataError
from corolla.records.example import parse_example
from corolla.records.framing import FOOTER, HEADER, Frame
from corolla.types import BadRecord


@dataclass(frozen=True, slots=True)
class Slot:
    """A record inside a TFRecord file: the byte that it starts at, and the one after its data."""

    path: Path
    offset: int
    end: int

    def data(self) -> bytes:
        """The record's content, its checksum compared. Raises DataError."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                content = file.read(self.end + FOOTER.size - self.offset)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error.strerror}): check the disk") from error
        if len(content) < self.end + FOOTER.size - self.offset or HEADER.unpack_from(content)[0] != (
            self.end - self.offset - HEADER.size
        ):
            raise DataError(f"{self.path}: was changed while it was read: build again")
        record = Frame(self.path, 0, 0, content, len(content) - FOOTER.size).checked()
        if isinstance(record, BadRecord):
            raise DataError(f"{self.path}: {record.reason}")
        return record.data


@dataclass(frozen=True, slots=True)
class Item:
    """One photo of a source.

    source: the source's name. vocabulary: whose words its kinds are (`mapping`). name: of the file, below the source's
    folder, as Python writes undecodable bytes. kinds: what the source calls what is in it, the best word first.
    place: a file, or a record of the ready pack. several: whether the kinds are several things in the photo, and not
    words for one. boxes: of each kind in the upright photo, where the source has them. licence: "" where the source
    states none. rotation: degrees counterclockwise to turn the photo by, where EXIF says nothing of it. split: train,
    val or test, where the source says it. id: that it has in the source, nine hexadecimal characters; it is kept.
    """

    source: str
    vocabulary: str
    name: str
    kinds: tuple[str, ...]
    place: Path | Slot
    several: bool = False
    boxes: Mapping[str, Box] = field(default_factory=dict)
    licence: str = ""
    rotation: int = 0
    split: str | None = None
    id: str = ""

    def content(self) -> bytes:
        """The photo's bytes. Raises DataError where it cannot be read."""
        if isinstance(self.place, Slot):
            image = parse_example(self.place.data()).image
            if not isinstance(image, bytes):
                raise DataError("the record holds raw pixels, wanted a JPEG")
            return image
        try:
            return self.place.read_bytes()
        except OSError as error:
            raise DataError(f"the file cannot be read ({error.strerror})") from error
