"""A split read by several hosts: each reads the shards that its devices' records stand in, and hears of the rest.

Takes: the files of a split, the mesh, the batch size. Gives: `Photos` with the pixels of this host's records, and the
ids and labels of all; and the digests by which a run knows its data again.

Records keep the places that one host alone would give them. Where bad records are skipped, places move when it is known
how many are bad; a host then reads the shard, at its edges, that it did not expect to need.
"""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from corolla import classes as flowers
from corolla import hosts
from corolla.errors import DataError
from corolla.images import Progress, load_split
from corolla.order import Lanes
from corolla.records.framing import RecordError
from corolla.records.shards import WAY_OUT, Found, Labels, Shard, SplitFiles, counted, read_shard
from corolla.resident import own_records
from corolla.storage import AnyPath
from corolla.types import BadRecord, OnBadRecord, Photos


def load_share(
    files: SplitFiles,
    mesh: Mesh,
    batch_size: int,
    *,
    on_bad_record: OnBadRecord = "fail",
    labels: Labels = "need",
    classes: int = flowers.COUNT,
    progress: Progress | None = None,
) -> Photos:
    """Read a split as `images.load_split` does; over several hosts with the pixels of this host's records alone.

    Raises what `load_split` raises, on all hosts where one of them fails.
    """
    options: dict[str, Any] = {"on_bad_record": on_bad_record, "labels": labels, "classes": classes}
    if not hosts.several():
        return load_split(files, progress=progress, **options)
    counts = hosts.together(lambda: _counts(files))
    expected = _shards_of(own_records(mesh, Lanes(max(sum(counts), 1), batch_size)), counts)
    read = {}
    hosts.together(lambda: read.update(_read(files, expected, progress, options)))
    split = _agreed(files, read, on_bad_record)
    first, end = own_records(mesh, Lanes(len(split.records), batch_size))
    wanted = split.records[first:end]
    missing = sorted({shard for shard, _ in wanted} - set(read))
    hosts.together(lambda: read.update(_read(files, missing, None, options)))
    return Photos(files.split, _pixels(read, wanted), split.labels, split.ids, split.bad, first)


def digests(photos: Photos, mesh: Mesh, batch_size: int) -> NDArray[np.uint8]:
    """SHA-256 of each record's pixels (of every 16th row and column): uint8[n, 32], of all hosts' records.

    Hashing every pixel of 12,753 photos at 512 px would cost 10 s; a grid tells photos apart as well.
    """
    first, end = own_records(mesh, Lanes(len(photos), batch_size)) if hosts.several() else (0, len(photos))
    end = max(end, first)
    own = photos.images[first - photos.first : end - photos.first, ::16, ::16]
    found = np.array([list(hashlib.sha256(one.tobytes()).digest()) for one in own], np.uint8).reshape(-1, 32)
    parts = hosts.gather(json.dumps([first, end]).encode())
    rows = hosts.gather_rows(found)
    places = np.concatenate([np.arange(*json.loads(part)) for part in parts])  # the last record may come twice
    joined = np.zeros((len(photos), 32), np.uint8)
    joined[places] = rows
    return joined


# ---------------------------------------------------------------------------------------------------------- reading


@dataclass
class _Part:
    """One shard that was read: what is known of its good records, whose pixels stand in `images` from `begin` on.

    numbers: of the records in the file. Of two shards read together, the second lacks an id that the first has too;
    read apart, it has it. So hosts name a record by its number, never by its row.
    """

    images: NDArray[np.uint8]
    begin: int
    numbers: list[int]
    ids: list[str]
    labels: NDArray[np.int32] | None
    bad: list[BadRecord]


def _counts(files: SplitFiles) -> list[int]:
    """How many records each shard holds at most; counting is shared out, for a remote shard may have to be fetched."""
    own = {i: counted(shard)[1] for i, shard in enumerate(files.shards) if i % hosts.count() == hosts.index()}
    told = [json.loads(one) for one in hosts.gather(json.dumps(own).encode())]
    return [told[i % len(told)][str(i)] for i in range(len(files.shards))]


def _shards_of(records: tuple[int, int], counts: list[int]) -> list[int]:
    """The shards that the records, first to last - 1, stand in."""
    ends = np.cumsum(counts)
    return [i for i, end in enumerate(ends) if end > records[0] and end - counts[i] < records[1]]


def _read(files: SplitFiles, shards: list[int], progress: Progress | None, options: dict[str, Any]) -> dict[int, _Part]:
    """Read shards into one array, and note what is whose."""
    if not shards:
        return {}
    chosen = replace(files, shards=tuple(files.shards[i] for i in shards))
    photos = load_split(chosen, progress=progress, **options)
    counted, parts, begin = Counter(path for path, _ in photos.places), {}, 0
    for i in shards:
        path = files.shards[i].path
        rows = slice(begin, begin + counted[path])
        numbers = [number for _, number in photos.places[rows]]
        labels = None if photos.labels is None else photos.labels[rows]
        bad = [one for one in photos.bad if one.path == path]
        parts[i] = _Part(photos.images, begin, numbers, photos.ids[rows], labels, bad)
        begin = rows.stop
    return parts


def _pixels(read: dict[int, _Part], wanted: list[tuple[int, int]]) -> NDArray[np.uint8]:
    """The records (shard, number) of what was read, as one array: where they stand together, a view."""
    rows = {(i, number): part.begin + row for i, part in read.items() for row, number in enumerate(part.numbers)}
    places, arrays = [rows[one] for one in wanted], [read[shard].images for shard, _ in wanted]
    if all(array is arrays[0] for array in arrays) and places == list(range(places[0], places[-1] + 1)):
        return arrays[0][places[0] : places[-1] + 1]
    return np.stack([array[place] for array, place in zip(arrays, places, strict=True)])


# --------------------------------------------------------------------------------------------------------- agreeing


@dataclass
class _Whole:
    """What all hosts know of a split. records: the shard of each, and its number there."""

    records: list[tuple[int, int]]
    ids: list[str]
    labels: NDArray[np.int32] | None
    bad: list[BadRecord]


def _agreed(files: SplitFiles, read: dict[int, _Part], on_bad_record: OnBadRecord) -> _Whole:
    """Tell what this host has read, hear what the others have, and put it together in the order of the shards."""
    told = [json.loads(one) for one in hosts.gather(json.dumps({i: _plain(part) for i, part in read.items()}).encode())]
    heard = {int(i): part for one in reversed(told) for i, part in one.items()}
    records, ids, labels, bad, places = [], [], [], [], {}
    for i in sorted(heard):
        path = files.shards[i].path
        bad += [BadRecord(path, *one) for one in heard[i]["bad"]]
        for row, (name, number) in enumerate(zip(heard[i]["ids"], heard[i]["numbers"], strict=True)):
            if name and (there := places.setdefault(name, i)) != i:
                bad.append(_twice(files.shards[i], name, files.shards[there]))
                continue
            records.append((i, number))
            ids.append(name)
            labels.append(None if heard[i]["labels"] is None else heard[i]["labels"][row])
    if bad and on_bad_record == "fail":
        raise RecordError(bad[0], WAY_OUT).of_all()
    if len(sides := {tuple(part["side"]) for part in heard.values()}) > 1:
        raise DataError(f"{files.folder}: holds images of {_listed(sides)} px: resize them to one size").of_all()
    return _Whole(records, ids, _labels(files.folder, labels), bad)


def _twice(shard: Shard, name: str, before: Shard) -> BadRecord:
    """The record of an id that stood in another shard before; its place is looked up, for this is rare."""
    reason = f"id {name!r} stands already in {before.path.name}: remove one of the two"
    items = (item for item in read_shard(shard) if isinstance(item, Found) and item.example.id == name)
    return next(items).bad(reason)


def _listed(sides: set[tuple[int, ...]]) -> str:
    return ", ".join(f"{width}x{height}" for height, width in sorted(sides))


def _plain(part: _Part) -> dict[str, Any]:
    bad = [(one.number, one.offset, one.reason) for one in part.bad]
    labels = None if part.labels is None else part.labels.tolist()
    return {"ids": part.ids, "numbers": part.numbers, "labels": labels, "bad": bad, "side": part.images.shape[1:3]}


def _labels(folder: AnyPath, labels: list[int | None]) -> NDArray[np.int32] | None:
    without = labels.count(None)
    if without and without < len(labels):
        fault = f"{without} of {len(labels)} records have no label"
        raise DataError(f"{folder}: {fault}: give all of them labels, or none").of_all()
    return None if without else np.array(labels, np.int32)
