"""A data set without twins where they do harm: the same records, byte for byte, but those that are left out.

Takes: what an audit has found. Gives: a folder in the competition's layout, whole or not at all, with `audit.json`
that says which records were left out, and why.

val and test stay as they are: they are what others are measured by. Of train (and of folders without splits), records
go that have a twin in a val or test of any source, in an earlier source's train, or that were there before.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from corolla.audit.report import AuditReport
from corolla.audit.sources import UNSPLIT, Gathered, Source
from corolla.errors import DataError, RunError, WishError
from corolla.images import ImageError, read_size
from corolla.records.framing import Record, RecordError, write_records
from corolla.records.shards import WAY_OUT, Found, SplitFiles, Unread, unread_shards
from corolla.storage import AnyPath
from corolla.types import BadRecord

Twins = Literal["one", "all", "none"]
"""What is kept of twins within train: the first of each group, all of them, or none."""

Keeps = Callable[[Found | BadRecord], bool]
"""Whether a record stays."""

SAMPLE = "sample_submission.csv"
HELD_OUT = ("val", "test")
REASONS = ("twin in val or test", "twin in another source", "twin in train", "twins with two labels")


@dataclass(frozen=True)
class Cleaned:
    """What was written: folder, records kept and left out, by reason."""

    path: Path
    kept: int
    left_out: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"path": str(self.path), "kept": self.kept, "left_out": self.left_out}


def to_leave_out(report: AuditReport, twins: Twins = "one") -> dict[int, str]:
    """The numbers of records that are left out, each with its reason."""
    found: dict[int, str] = {}
    records = report.gathered.records
    for group in report.groups():
        train = [i for i in group if records[i].split not in HELD_OUT]
        if len(train) < len(group):
            found |= dict.fromkeys(train, REASONS[0])
            continue
        first = records[train[0]].source
        own, other = ([i for i in train if (records[i].source == first) == here] for here in (True, False))
        found |= dict.fromkeys(other, REASONS[1])
        found |= _within(report, own, twins)
    return found


def _within(report: AuditReport, own: Sequence[int], twins: Twins) -> dict[int, str]:
    """Of a group in one source's train. Where its labels differ none is kept: nobody knows which of them is right."""
    if twins == "all" or len(own) < 2:
        return {}
    labels = {report.gathered.records[i].label for i in own}
    if len(labels) > 1:
        return dict.fromkeys(own, REASONS[3])
    return dict.fromkeys(own if twins == "none" else own[1:], REASONS[2])


def refuse_taken(out: AnyPath) -> Path:
    """Raise WishError where `out` is not on the disk, or not empty; before any work."""
    if not isinstance(out, Path):
        raise WishError(f"{out}: a clean set is written to a folder on the disk, and copied from there")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise WishError(f"{out} is there already: choose another --write-clean")
    return out


def write_clean(report: AuditReport, out: AnyPath, twins: Twins = "one") -> Cleaned:
    """Write the clean set in the layout of DATA: OUT/{train,val,test}, or OUT/tfrecords-jpeg-SxS/{train,val,test} of
    every size there is; of several DATA the same in OUT/SOURCE.

    In sizes that were not looked at, records go by their ids. Shards keep their order; names say the new counts. A
    process that is killed leaves no OUT, and the next one begins anew. Raises WishError (OUT is taken), RunError (no
    room, no permission, another process at it), DataError (a split of which nothing would be left; sizes that hold
    other records).
    """
    out = refuse_taken(out)
    dropped = to_leave_out(report, twins)
    with _draft(out) as draft:
        kept = _write(report.gathered, draft, dropped)
        (draft / "audit.json").write_text(json.dumps(_told(report, dropped, kept), indent=1) + "\n", "utf-8")
        draft.replace(out)  # over an empty folder, too
    return Cleaned(out, kept, _counted(dropped))


@contextmanager
def _draft(out: Path) -> Iterator[Path]:
    """An empty folder beside OUT, of one process alone; gone afterwards."""
    place = out.absolute().parent / f".{out.name[:100]}.cleaning"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(place / "lock", timeout=0):
            shutil.rmtree(place / "data", ignore_errors=True)  # of a process that was killed
            (place / "data").mkdir()
            try:
                yield place / "data"
            finally:
                shutil.rmtree(place, ignore_errors=True)
    except Timeout as error:
        raise RunError(f"{out}: another process is writing it: wait for it") from error
    except OSError as error:
        raise RunError(f"{out}: cannot be written ({error.strerror}): make room or choose another folder") from error


def _write(gathered: Gathered, draft: Path, dropped: dict[int, str]) -> int:
    """Write all sources; return how many records were kept of the sizes that were looked at."""
    kept = 0
    for number, source in enumerate(gathered.sources):
        folder = draft if len(gathered.sources) == 1 else draft / _folder(gathered, source)
        kept += _write_size(source, source.folder, source.splits, folder, _places(gathered, dropped))
        for other, splits in source.others:
            _write_size(source, other, splits, folder, _ids(gathered, number, other, dropped))
        _copy_sample(source, folder)
    return kept


def _places(gathered: Gathered, dropped: dict[int, str]) -> Keeps:
    """By file and number, for the size that was looked at."""
    gone = {(gathered.records[i].path, gathered.records[i].number) for i in dropped}
    gone |= {(bad.path, bad.number) for bad in gathered.bad}

    def keeps(found: Found | BadRecord) -> bool:
        return not _bad(gathered, found) and (found.path, found.number) not in gone

    return keeps


def _ids(gathered: Gathered, source: int, folder: AnyPath, dropped: dict[int, str]) -> Keeps:
    """By id, for the other sizes of a source."""
    kept = {record.id: i not in dropped for i, record in enumerate(gathered.records) if record.source == source}
    if "" in kept:
        raise DataError(f"{gathered.sources[source].folder}: has records without id: {_ONE_SIZE}")

    def keeps(found: Found | BadRecord) -> bool:
        if _bad(gathered, found) or not isinstance(found, Found):
            return False
        name = found.example.id
        if name not in kept and not gathered.bad:
            raise DataError(f"{found.path}: holds id {name!r}, which the size that was looked at has not: {_ONE_SIZE}")
        return kept.get(name, False)

    return keeps


def _bad(gathered: Gathered, found: Found | BadRecord) -> bool:
    """Whether a record cannot be used. The audit has refused such records, or left some out and told of them."""
    if isinstance(found, BadRecord) and not gathered.bad:
        raise RecordError(found, WAY_OUT)
    return isinstance(found, BadRecord)


_ONE_SIZE = "audit one size after the other, by its own folder"


def _folder(gathered: Gathered, source: Source) -> str:
    name = source.name.strip("/").replace("/", "-")
    names = [each.name.strip("/").replace("/", "-") for each in gathered.sources]
    return name if names.count(name) == 1 else f"{gathered.sources.index(source)}-{name}"


def _write_size(source: Source, own: AnyPath, splits: Sequence[SplitFiles], folder: Path, keeps: Keeps) -> int:
    folder = folder / own.name if source.sized else folder
    return sum(
        _write_split(files, folder if files.split == UNSPLIT else folder / files.split, keeps) for files in splits
    )


def _write_split(files: SplitFiles, folder: Path, keeps: Keeps) -> int:
    number = kept = 0
    for items in unread_shards(files.shards):
        records = [record for item in items if (record := _kept(item, keeps))]
        if not records:
            continue
        height, width = records[0][0]
        write_records(folder / f"{number:02d}-{width}x{height}-{len(records)}.tfrec", (data for _, data in records))
        number, kept = number + 1, kept + len(records)
    if not kept:
        raise DataError(f"{files.folder}: nothing of this split would be left: keep more with --twins")
    return kept


def _kept(item: Unread | BadRecord, keeps: Keeps) -> tuple[tuple[int, int], bytes] | None:
    """Size and bytes of a record that stays."""
    found = item.read() if isinstance(item, Unread) else item
    if not keeps(found) or isinstance(found, BadRecord) or isinstance(item, BadRecord):
        return None
    record, image = item.frame.checked(), found.example.image
    assert isinstance(record, Record)
    try:
        size = read_size(image) if isinstance(image, bytes) else image.shape[:2]
    except ImageError as error:
        raise RecordError(found.bad(f"id {found.example.id!r}: {error}")) from error
    return (int(size[0]), int(size[1])), record.data


def _copy_sample(source: Source, folder: Path) -> None:
    parent = source.splits[0].folder.parent
    for beside in (parent / SAMPLE, parent.parent / SAMPLE):
        if beside.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / SAMPLE).write_bytes(beside.read_bytes())
            return


def _counted(dropped: dict[int, str]) -> dict[str, int]:
    return {reason: sum(each == reason for each in dropped.values()) for reason in REASONS}


def _told(report: AuditReport, dropped: dict[int, str], kept: int) -> dict[str, Any]:
    records = report.gathered.records
    gone = [
        {"split": report.gathered.place(i), "file": records[i].path.name, "number": records[i].number}
        | {"id": records[i].id, "reason": reason}
        for i, reason in sorted(dropped.items())
    ]
    return {"kept": kept, "left_out": _counted(dropped), "records": gone}
