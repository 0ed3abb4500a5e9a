"""The work of a build, in tasks that any worker can do, in any order, once or twice: a part of the photos, or a shard.

Takes: `Part`: some photos and how they become squares. Gives: its two files in the draft; and of several parts
`ShardTask`: a finished shard. Each file appears whole or not at all, and holds the same bytes whoever writes it.

A part is `NNNNNN.tfrec` with the JPEGs and the thumbnails, and `NNNNNN.json`, written last, which says what each photo
became. All that a worker needs of others is the folder, so on several machines that has to be a disk that all of them
see.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corolla.build.item import Item, Slot
from corolla.build.record import Box, Look, rendered
from corolla.checkpoint import write_file
from corolla.errors import DataError
from corolla.likeness import SIDE
from corolla.records.example import encode_example
from corolla.records.framing import FOOTER, HEADER, write_records
from corolla.types import Example

PHOTOS_A_PART = 32


Driver = Callable[[Callable[[Any], int], Iterable[Any]], Iterator[int]]
"""Does work(task) for each task and yields how many photos each had. `local.threads` and `beam.workers` make them."""


@dataclass(frozen=True)
class Chosen:
    """A photo that has a label, and where in it the flower is, if the source says so."""

    item: Item
    label: int
    box: Box | None = None


@dataclass(frozen=True)
class Part:
    """Some photos, the path of their files without its ending, and how they become squares."""

    path: Path
    photos: tuple[Chosen, ...]
    look: Look

    def __len__(self) -> int:
        return len(self.photos)


@dataclass(frozen=True, slots=True)
class Made:
    """What a photo became. sha256: of its own bytes; fault: "" or why it is none; slots: of its JPEGs, one a size, and
    last of its thumbnail.
    """

    sha256: str
    fault: str
    slots: tuple[Slot, ...]

    def thumbnail(self) -> NDArray[np.uint8]:
        """uint8[64, 64], of a photo without a fault. Raises DataError (a damaged part)."""
        return np.frombuffer(self.slots[-1].data(), np.uint8).reshape(SIDE, SIDE)


def beside(path: Path, ending: str) -> Path:
    """The file of a part."""
    return path.with_name(path.name + ending)


# ------------------------------------------------------------------------------------------------------------ photos


def render_part(part: Part) -> int:
    """Write a part's files; return how many photos it has. Raises RunError (no room)."""
    records: list[bytes] = []
    rows, offset = [], 0
    for chosen in part.photos:
        row, made = _render(chosen, part.look)
        for record in made:
            end = offset + HEADER.size + len(record)
            row["slots"].append([offset, end])
            offset = end + FOOTER.size
        records += made
        rows.append(row)
    if records:
        write_records(beside(part.path, ".tfrec"), records)
    write_file(beside(part.path, ".json"), json.dumps(rows, separators=(",", ":")).encode())
    return len(rows)


def _render(chosen: Chosen, look: Look) -> tuple[dict[str, Any], tuple[bytes, ...]]:
    row: dict[str, Any] = {"sha256": "", "fault": "", "slots": []}
    try:
        content = chosen.item.content()
        row["sha256"] = hashlib.sha256(content).hexdigest()
        made = rendered(content, look, chosen.box, chosen.item.rotation)
    except DataError as error:
        row["fault"] = str(error).removeprefix("the photo: ")
        return row, ()
    return row, (*made.images, made.thumbnail)


def read_part(part: Part) -> list[Made] | None:
    """What a part's photos became, or None where it is still to be made, or was left damaged."""
    try:
        rows = json.loads(beside(part.path, ".json").read_bytes())
        made = [_made(row, part) for row in rows]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return made if len(made) == len(part.photos) else None


def _made(row: dict[str, Any], part: Part) -> Made:
    path = beside(part.path, ".tfrec")
    slots = tuple(Slot(path, offset, end) for offset, end in row["slots"])
    if slots and path.stat().st_size < slots[-1].end + FOOTER.size:
        raise ValueError("cut")
    return Made(row["sha256"], row["fault"], slots)


# ------------------------------------------------------------------------------------------------------------ shards


@dataclass(frozen=True)
class ShardTask:
    """A shard to write: its path, and of each record id, label (None in the test split) and JPEG."""

    path: Path
    records: tuple[tuple[str, int | None, Slot], ...]

    def __len__(self) -> int:
        return len(self.records)


def write_shard(task: ShardTask) -> int:
    """Write a shard; return how many records it has. Raises RunError (no room), DataError (a damaged part)."""
    return write_records(
        task.path, (encode_example(Example(name, label, slot.data())) for name, label, slot in task.records)
    )
