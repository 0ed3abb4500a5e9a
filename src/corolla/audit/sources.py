"""Every photo of one or more data folders, small enough to be kept, and a second look at those that are wanted large.

Takes: DATA folders as in `records.shards`, and folders that hold shards without splits, as the ready pack of external
images does. Gives: `Gathered`: place, id, label, SHA-256 and a thumbnail of each record; `pixels`: some of them again.

Memory: 4 kB a photo for the thumbnail and about 0.5 kB for the rest (100,000 photos: 450 MB), whatever their size.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from corolla.errors import DataError, WishError
from corolla.images import ImageError, decode, in_order
from corolla.likeness import Photos, thumbnail
from corolla.records.framing import RecordError
from corolla.records.shards import (
    WAY_OUT,
    Found,
    Places,
    SplitFiles,
    Unread,
    data_folder,
    find_split,
    list_shards,
    refuse_twice,
    size_folders,
    unread_split,
)
from corolla.reporter import SILENT, Reporter
from corolla.storage import AnyPath, any_path
from corolla.types import SPLITS, BadRecord, OnBadRecord

UNSPLIT = "records"
"""Stands for the split of a folder whose shards lie in no split's folder."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Record:
    """One photo. source: number of its DATA; number: its place in the file (from 0); digest: SHA-256 of the encoded
    image; size: height and width [px].
    """

    source: int
    split: str
    path: AnyPath
    number: int
    id: str
    label: int | None
    digest: bytes
    size: tuple[int, int]


@dataclass(frozen=True)
class Source:
    """One DATA: a short name of its own, and its splits.

    folder: DATA itself, or its `tfrecords-jpeg-SxS` that is looked at. others: the same splits in DATA's other sizes,
    each with its folder; of them only ids and bytes are read, and only to write a clean set.
    """

    name: str
    folder: AnyPath
    splits: tuple[SplitFiles, ...]
    others: tuple[tuple[AnyPath, tuple[SplitFiles, ...]], ...]
    sized: bool
    """Whether `folder` is one of a size."""


@dataclass(frozen=True)
class Gathered:
    """All records in order: sources as given, train before val before test. thumbnails: uint8[n, 64, 64]."""

    sources: tuple[Source, ...]
    records: list[Record]
    thumbnails: Pixels
    bad: list[BadRecord]

    def __len__(self) -> int:
        return len(self.records)

    def photos(self) -> Photos:
        """As `find_twins` takes them."""
        return Photos([record.digest for record in self.records], self.thumbnails, partial(pixels, self))

    def place(self, index: int) -> str:
        """Where a record stands, for people: SPLIT, or SOURCE/SPLIT where there are several sources."""
        record = self.records[index]
        return self.part(record.source, record.split)

    def part(self, source: int, split: str) -> str:
        """The same for a whole split."""
        return split if len(self.sources) == 1 else f"{self.sources[source].name}/{split}"


# -------------------------------------------------------------------------------------------------------- first look


def gather(
    data: Sequence[AnyPath | str],
    image_size: int | None = None,
    on_bad_record: OnBadRecord = "fail",
    reporter: Reporter = SILENT,
) -> Gathered:
    """Read every record of every DATA (of the size that `find_split` would take), decoding each image once.

    Raises WishError (no DATA, or one twice) and DataError (no data there; a broken record, under "fail").
    """
    sources = _sources(data, image_size)
    records: list[Record] = []
    thumbnails: list[Pixels] = []
    bad: list[BadRecord] = []
    for number, source in enumerate(sources):
        for files in source.splits:
            before, places = len(records), Places()
            for seen in in_order(_seen, unread_split(files)):
                found = refuse_twice(seen.found, places) if isinstance(seen, _Seen) else seen
                if isinstance(found, BadRecord):
                    _keep(bad, found, on_bad_record)
                    continue
                assert isinstance(seen, _Seen)
                place = (number, files.split, found.path, found.number)
                records.append(Record(*place, found.example.id, found.example.label, seen.digest, seen.size))
                thumbnails.append(seen.thumbnail)
                if len(records) % 64 == 0:
                    done = len(records) - before
                    reporter.progress(f"reading {source.name}/{files.split}", done, max(files.count or 0, done))
    if not records:
        raise DataError(f"{', '.join(map(str, data))}: not one record can be used; the first: {bad[0]}")
    return Gathered(sources, records, np.stack(thumbnails), bad)


def _keep(bad: list[BadRecord], found: BadRecord, on_bad_record: OnBadRecord) -> None:
    if on_bad_record == "fail":
        raise RecordError(found, WAY_OUT)
    bad.append(found)


@dataclass(frozen=True, slots=True)
class _Seen:
    found: Found
    digest: bytes
    size: tuple[int, int]
    thumbnail: Pixels


def _seen(item: Unread | BadRecord) -> _Seen | BadRecord:
    found = item.read() if isinstance(item, Unread) else item
    if isinstance(found, BadRecord):
        return found
    image = found.example.image
    try:
        pixels = decode(image) if isinstance(image, bytes) else image
    except ImageError as error:
        return found.bad(f"id {found.example.id!r}: {error}")
    digest = hashlib.sha256(image if isinstance(image, bytes) else image.tobytes()).digest()
    return _Seen(found.without_image(), digest, (pixels.shape[0], pixels.shape[1]), thumbnail(pixels))


# -------------------------------------------------------------------------------------------------------- finding


def _sources(data: Sequence[AnyPath | str], image_size: int | None) -> tuple[Source, ...]:
    if not data:
        raise WishError("audit needs at least one DATA folder")
    paths = [any_path(one) for one in data]
    whole = [path.resolve() for path in paths]
    for path, own in zip(paths, whole, strict=True):
        if whole.count(own) > 1:
            raise WishError(f"{path} is given twice: every photo would be its own twin")
    return tuple(_source(name, path, image_size) for name, path in zip(_names(whole), paths, strict=True))


def _names(paths: Sequence[AnyPath]) -> list[str]:
    """The shortest ends of the paths by which they differ."""
    for parts in range(1, 64):
        names = ["/".join(str(path).rstrip("/").split("/")[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _source(name: str, data: AnyPath, image_size: int | None) -> Source:
    folder = _folder(data, image_size)
    sizes = list(size_folders(data).values())
    others = [(one, _splits(one)) for one in sorted(sizes, key=str) if one != folder] if folder in sizes else []
    return Source(name, folder, _splits(folder), tuple(others), folder in sizes)


def _folder(data: AnyPath, image_size: int | None) -> AnyPath:
    """Where the splits of a DATA lie; or its shards, where they lie in the folder itself."""
    try:
        return data_folder(data, image_size)
    except DataError:
        if not data.is_dir():
            raise
        try:
            list_shards(data)
        except DataError:
            data_folder(data, image_size)  # its line says more
        return data


def _splits(folder: AnyPath) -> tuple[SplitFiles, ...]:
    """The splits in a folder, or its shards as one."""
    splits = [split for split in SPLITS if (folder / split).is_dir()]
    if splits:
        return tuple(find_split(folder, split) for split in splits)
    return (SplitFiles(UNSPLIT, folder, list_shards(folder), None),)


# ------------------------------------------------------------------------------------------------------- second look


def pixels(
    gathered: Gathered, wanted: Collection[int], make: Callable[[Pixels], Pixels]
) -> Iterator[tuple[int, Pixels]]:
    """Yield (number of the record, what `make` makes of its image uint8[h, w, 3]) for some records, in order."""
    places = {(gathered.records[i].path, gathered.records[i].number): i for i in wanted}
    touched = {path for path, _ in places}

    def again(item: Unread) -> tuple[int, Pixels] | None:
        found = item.read()
        if isinstance(found, BadRecord):  # it was good a moment ago
            raise RecordError(found)
        image = found.example.image
        return places[found.path, found.number], make(decode(image) if isinstance(image, bytes) else image)

    for source in gathered.sources:
        for files in source.splits:
            shards = tuple(shard for shard in files.shards if shard.path in touched)
            items = unread_split(SplitFiles(files.split, files.folder, shards, files.image_size)) if shards else ()
            chosen = (one for one in items if isinstance(one, Unread) and (one.frame.path, one.frame.number) in places)
            yield from filter(None, in_order(again, chosen))
