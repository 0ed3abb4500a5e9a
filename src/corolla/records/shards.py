"""A split on the disk: which folder, which shards, how many records they should hold, and the examples inside.

Takes: DATA, a folder that holds `train/ val/ test/` with `NN-SxS-COUNT.tfrec` files, or the parent of folders
`tfrecords-jpeg-SxS`. Gives: `SplitFiles`, and from it every `Example` with the place it was read from, in the order of
the shards, checked: framing, schema, labels, the count in the name, ids that occur twice.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

from corolla import classes as flowers
from corolla.errors import DataError
from corolla.records.example import SchemaError, parse_example
from corolla.records.framing import Frame, Record, RecordError, count_records, scan_frames
from corolla.storage import AnyPath, Opener, RemotePath, any_path, no_folder, opened_ahead
from corolla.types import SPLITS, BadRecord, Example, OnBadRecord

SUFFIXES = (".tfrec", ".tfrecord", ".tfrecords")
LEAST_DEFAULT_PX = 224
"""Without a wish, the smallest size from here on is taken: what most pretrained models were trained at."""

WAY_OUT = " (to go on without such records: --on-bad-record skip)"

Labels = Literal["need", "maybe"]
"""need: a record without a label is bad. maybe: it is not (the test split)."""

_SIZE_FOLDER = re.compile(r"tfrecords-jpeg-(\d+)x\1")
_COMPETITION_NAME = re.compile(r"(?P<number>\d+)-(?P<size>\d+)x(?P=size)-(?P<count>\d+)")
_TENSORFLOW_NAME = re.compile(r".*-(?P<number>\d+)-of-(?P<total>\d+)")


@dataclass(frozen=True, slots=True)
class Shard:
    """One file: its path, and what its name says of it (None where it does not): number, count, total, image size.

    opened: opens it where its content is in memory already, fetched to know how many records there are.
    """

    path: AnyPath
    number: int | None = None
    count: int | None = None
    total: int | None = None
    image_size: int | None = None
    opened: Opener | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class SplitFiles:
    """The files of one split, in order.

    count: records that the names declare together, or None where a name does not say.
    image_size: pixels a side, from the folder's name or else the files' names, or None.
    """

    split: str
    folder: AnyPath
    shards: tuple[Shard, ...]
    image_size: int | None

    @property
    def count(self) -> int | None:
        counts = [shard.count for shard in self.shards]
        return None if None in counts else sum(count for count in counts if count is not None)


@dataclass(frozen=True, slots=True)
class Found:
    """An Example and the place it was read from."""

    path: AnyPath
    number: int
    offset: int
    example: Example

    def without_image(self) -> "Found":
        """Return its place, id and label, with no bytes for an image."""
        return Found(self.path, self.number, self.offset, Example(self.example.id, self.example.label, b""))

    def bad(self, reason: str) -> BadRecord:
        """Return this record as one that cannot be used."""
        return BadRecord(self.path, self.number, self.offset, reason)


@dataclass(frozen=True, slots=True)
class Unread:
    """A record that is to be checked and parsed, by any thread."""

    frame: Frame
    labels: Labels
    classes: int

    def read(self) -> Found | BadRecord:
        """Check its CRC, parse it, and see to its label."""
        record = self.frame.checked()
        if isinstance(record, BadRecord):
            return record
        return _parsed(self.frame.path, record, self.labels, self.classes)

    def bad(self, reason: str) -> BadRecord:
        """Return this record as one that cannot be used."""
        return BadRecord(self.frame.path, self.frame.number, self.frame.offset, reason)


class MissingSplitError(DataError):
    """The data are there, but this split of them is not."""


# ---------------------------------------------------------------------------------------------------------- finding


def find_split(data: AnyPath | str, split: str, image_size: int | None = None) -> SplitFiles:
    """Return the files of a split.

    Where DATA offers several sizes, `image_size` takes the nearest (of two equally near, the larger); None takes the
    smallest from 224 px on. Where DATA offers one size, that one is taken.
    Raises MissingSplitError for a split that is not there, DataError for a missing or empty folder or shard.
    """
    folder = split_folder(data, split, image_size)
    shards = list_shards(folder)
    for fault in numbering_faults(folder, shards):
        raise DataError(fault)
    return SplitFiles(split, folder, shards, _image_size(folder, shards))


def data_folder(data: AnyPath | str, image_size: int | None = None) -> AnyPath:
    """Return the folder that holds the split folders: DATA itself, or its `tfrecords-jpeg-SxS` of the wanted size."""
    data = any_path(data)
    if not data.is_dir():
        what = "is a file, wanted a folder" if data.exists() else no_folder(data)
        raise DataError(f"{data}: {what}: DATA is a folder that holds train/, val/ and test/")
    if any((data / split).is_dir() for split in SPLITS):
        return data
    sizes = size_folders(data)
    if not sizes:
        hint = f"give its parent, {data.resolve().parent}" if _shard_paths(data) else "check the path"
        raise DataError(f"{data}: holds neither train/, val/ or test/ nor tfrecords-jpeg-SxS folders: {hint}")
    return sizes[_pick_size(list(sizes), image_size)]


def size_folders(data: AnyPath) -> dict[int, AnyPath]:
    """The `tfrecords-jpeg-SxS` folders of DATA, by S."""
    return {int(match[1]): path for path in data.iterdir() if (match := _SIZE_FOLDER.fullmatch(path.name))}


def split_folder(data: AnyPath | str, split: str, image_size: int | None = None) -> AnyPath:
    """Return the folder of a split; raises as `find_split` does, the shards aside."""
    parent = data_folder(data, image_size)
    folder = parent / split
    if not folder.is_dir():
        found = ", ".join(name for name in SPLITS if (parent / name).is_dir()) or "none"
        raise MissingSplitError(f"{parent}: there is no split {split!r} (found: {found}): add the folder {folder}")
    return folder


def list_shards(folder: AnyPath) -> tuple[Shard, ...]:
    """Return the shards of a folder in the order of their numbers, then names; raises DataError where there is none."""
    shards = [_named(path) for path in _shard_paths(folder)]
    if not shards:
        raise DataError(f"{folder}: holds no {', '.join(SUFFIXES)} files: check the path, or download the data again")
    return tuple(sorted(shards, key=lambda shard: (shard.number is None, shard.number or 0, shard.path.name)))


def numbering_faults(folder: AnyPath, shards: Sequence[Shard]) -> list[str]:
    """Return one line for each fault that the shards' names give away: numbers missing, or taken twice.

    The loss of the last shard shows only in names that carry a total (`-00003-of-00016`).
    """
    numbers = [shard.number for shard in shards if shard.number is not None]
    total = max((shard.total or 0 for shard in shards), default=0)
    missing = sorted(set(range(max([*numbers, total - 1], default=-1) + 1)) - set(numbers)) if numbers else []
    twice = sorted({number for number in numbers if numbers.count(number) > 1})
    faults = []
    if missing:
        faults.append(f"{folder}: shard {_listed(missing)} is missing: download it again")
    if twice:
        faults.append(f"{folder}: two shards have the number {_listed(twice)}: remove the one that does not belong")
    return faults


def _listed(numbers: list[int]) -> str:
    more = f" and {len(numbers) - 8} more" if len(numbers) > 8 else ""
    return ", ".join(f"{number:02d}" for number in numbers[:8]) + more


def _shard_paths(folder: AnyPath) -> list[AnyPath]:
    """Hidden files are left out: unfinished ones of our own, and the `._*` that some systems leave beside each file."""
    return [p for p in folder.iterdir() if p.suffix in SUFFIXES and not p.name.startswith(".") and p.is_file()]


def _named(path: AnyPath) -> Shard:
    if match := _COMPETITION_NAME.fullmatch(path.stem):
        return Shard(path, int(match["number"]), int(match["count"]), None, int(match["size"]))
    if match := _TENSORFLOW_NAME.fullmatch(path.stem):
        return Shard(path, int(match["number"]), None, int(match["total"]))
    return Shard(path)


def _pick_size(sizes: list[int], wish: int | None) -> int:
    if wish is None:
        return min((size for size in sizes if size >= LEAST_DEFAULT_PX), default=max(sizes))
    return min(sizes, key=lambda size: (abs(size - wish), -size))


def _image_size(folder: AnyPath, shards: Sequence[Shard]) -> int | None:
    if match := _SIZE_FOLDER.fullmatch(folder.parent.name):
        return int(match[1])
    sizes = {shard.image_size for shard in shards}
    return sizes.pop() if len(sizes) == 1 else None


# ---------------------------------------------------------------------------------------------------------- reading


def even_ranges(count: int, parts: int) -> list[range]:
    """Divide records 0 to count - 1 over so many shards, of sizes one apart at most; none is empty."""
    parts = min(count, parts)
    edges = [count * i // parts for i in range(parts + 1)] if parts else []
    return [range(low, high) for low, high in pairwise(edges)]


def with_room(files: SplitFiles) -> tuple[SplitFiles, int]:
    """Return the files and how many records they hold at most, to set memory aside for.

    On a disk the lengths inside are followed. Of a remote shard the name is believed (`read_shard` compares it later),
    and where it does not say, the shard is fetched now and stays in memory with the files returned.
    """
    unnamed = opened_ahead([shard.path for shard in files.shards if _must_be_fetched(shard)])
    found = [counted(shard, next(unnamed) if _must_be_fetched(shard) else None) for shard in files.shards]
    return replace(files, shards=tuple(shard for shard, _ in found)), sum(room for _, room in found)


def counted(shard: Shard, opened: Opener | None = None) -> tuple[Shard, int]:
    """Return a shard and how many records it holds at most, as `with_room` does for all. opened: opens its content."""
    shard = replace(shard, opened=opened) if opened else shard
    if isinstance(shard.path, RemotePath) and shard.count is not None:
        return shard, shard.count
    return shard, count_records(shard.path, shard.opened)


def _must_be_fetched(shard: Shard) -> bool:
    return isinstance(shard.path, RemotePath) and shard.count is None and shard.opened is None


def read_split(
    files: SplitFiles,
    *,
    on_bad_record: OnBadRecord = "fail",
    labels: Labels = "maybe",
    classes: int = flowers.COUNT,
) -> Iterator[Found | BadRecord]:
    """Yield every Example of a split, with its place, in the order of the shards.

    on_bad_record: "fail" raises RecordError (a DataError) at the first bad record; "skip" yields a BadRecord instead
    and goes on. Bad are: a broken frame, a broken schema, a label that is missing where `labels` is "need", an id
    that stood in this split before, and (once a shard, at its end) a count that differs from the name's.
    """
    places: Places = {}
    for item in unread_split(files, labels=labels, classes=classes):
        found = item.read() if isinstance(item, Unread) else item
        found = refuse_twice(found, places) if isinstance(found, Found) else found
        if on_bad_record == "fail" and isinstance(found, BadRecord):
            raise RecordError(found, WAY_OUT)
        yield found


def unread_split(
    files: SplitFiles, *, labels: Labels = "maybe", classes: int = flowers.COUNT
) -> Iterator[Unread | BadRecord]:
    """Yield every record of a split, to be read by any thread; and a BadRecord where there is nothing to be read."""
    for items in unread_shards(files.shards, labels=labels, classes=classes):
        yield from items


def unread_shards(
    shards: Sequence[Shard], *, labels: Labels = "maybe", classes: int = flowers.COUNT
) -> Iterator[Iterator[Unread | BadRecord]]:
    """Yield the records of one shard after the other, as `unread_shard` does; remote ones are fetched a few ahead."""
    unread = opened_ahead([shard.path for shard in shards if shard.opened is None])
    for shard in shards:
        opened = shard.opened or next(unread)
        yield unread_shard(replace(shard, opened=opened), labels=labels, classes=classes)


def read_shard(shard: Shard, *, labels: Labels = "maybe", classes: int = flowers.COUNT) -> Iterator[Found | BadRecord]:
    """Yield every Example of one shard, or a BadRecord in its place; at the end one more where the count is wrong."""
    unread = unread_shard(shard, labels=labels, classes=classes)
    return (item.read() if isinstance(item, Unread) else item for item in unread)


def unread_shard(
    shard: Shard, *, labels: Labels = "maybe", classes: int = flowers.COUNT
) -> Iterator[Unread | BadRecord]:
    """Yield what `read_shard` yields, with the records still to be read."""
    item = None
    for item in scan_frames(shard.path, shard.opened):
        yield Unread(item, labels, classes) if isinstance(item, Frame) else item
    # A shard that ends in a broken record is not short as well: one fault, one line.
    if not isinstance(item, Frame) or isinstance(item.checked(), BadRecord):
        return
    if shard.count not in (None, item.number + 1):
        reason = (
            f"the file ends here with {item.number + 1} records, its name declares {shard.count}: download it again"
        )
        yield BadRecord(shard.path, item.number + 1, shard.path.stat().st_size, reason)


def _parsed(path: AnyPath, record: Record, labels: Labels, classes: int) -> Found | BadRecord:
    try:
        found = Found(path, record.number, record.offset, parse_example(record.data, classes=classes))
    except SchemaError as error:
        return BadRecord(path, record.number, record.offset, str(error))
    if labels == "need" and found.example.label is None:
        return found.bad(f"id {found.example.id!r}: feature 'class' (or 'label') is missing: this split needs labels")
    return found


Places = dict[str, tuple[AnyPath, int, int]]
"""Where each id was first seen: file, number, offset."""


def refuse_twice(found: Found, places: Places) -> Found | BadRecord:
    """Return a record, or a BadRecord where its id is among `places`; else put it there."""
    name, here = found.example.id, (found.path, found.number, found.offset)
    path, number, offset = first = places.setdefault(name, here) if name else here
    if first is here:
        return found
    there = f"{path.name} record {number} at byte {offset}"
    return found.bad(f"id {name!r} stands already in {there}: remove one of the two")
