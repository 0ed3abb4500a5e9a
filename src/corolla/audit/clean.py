"""A data set without twins where they do harm: the same records, byte for byte, but those that are left out.

Takes: what an audit has found. Gives: a folder in the competition's layout, whole or not at all, with `audit.json`
that says which records were left out, and why.

val and test stay as they are: they are what others are measured by. Of train (and of folders without splits), records
go that have a twin in a val or test of any source, in an earlier source's train, or that were there before.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from corolla.audit.report import AuditReport
from corolla.audit.sources import UNSPLIT, Gathered, Source
from corolla.errors import DataError, RunError, WishError
from corolla.records.framing import Record, write_records
from corolla.records.shards import Shard, SplitFiles, Unread, unread_shards
from corolla.storage import AnyPath

Twins = Literal["one", "all", "none"]
"""What is kept of twins within train: the first of each group, all of them, or none."""

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
    """Write the clean set: OUT/{train,val,test} of one source, OUT/SOURCE/{train,val,test} of several.

    Shards keep their order; names say the new counts. Raises WishError (OUT is taken), RunError (no room, no
    permission), DataError (a split of which nothing would be left).
    """
    out = refuse_taken(out)
    dropped = to_leave_out(report, twins)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{out.name[:100]}.", suffix=".partial", dir=out.parent))
        try:
            kept = _write(report.gathered, draft, dropped)
            (draft / "audit.json").write_text(json.dumps(_told(report, dropped, kept), indent=1) + "\n", "utf-8")
            draft.chmod(0o755)  # mkdtemp made it private
            draft.replace(out)  # over an empty folder, too
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise RunError(f"{out}: cannot be written ({error.strerror}): make room or choose another folder") from error
    return Cleaned(out, kept, _counted(dropped))


def _write(gathered: Gathered, draft: Path, dropped: dict[int, str]) -> int:
    gone = {(gathered.records[i].path, gathered.records[i].number) for i in dropped}
    gone |= {(bad.path, bad.number) for bad in gathered.bad}
    sizes = {record.path: record.size for record in gathered.records}
    kept = 0
    for source in gathered.sources:
        folder = draft if len(gathered.sources) == 1 else draft / _folder(gathered, source)
        for files in source.splits:
            kept += _write_split(files, folder, gone, sizes)
        _copy_sample(source, folder)
    return kept


def _folder(gathered: Gathered, source: Source) -> str:
    name = source.name.strip("/").replace("/", "-")
    names = [each.name.strip("/").replace("/", "-") for each in gathered.sources]
    return name if names.count(name) == 1 else f"{gathered.sources.index(source)}-{name}"


def _write_split(files: SplitFiles, folder: Path, gone: set, sizes: dict[AnyPath, tuple[int, int]]) -> int:
    split = folder if files.split == UNSPLIT else folder / files.split
    number = kept = 0
    for shard, items in zip(files.shards, unread_shards(files.shards), strict=True):
        records = list(_left(shard, items, gone))
        if not records:
            continue
        height, width = sizes[shard.path]
        write_records(split / f"{number:02d}-{width}x{height}-{len(records)}.tfrec", records)
        number, kept = number + 1, kept + len(records)
    if not kept:
        raise DataError(f"{files.folder}: nothing of this split would be left: keep more with --twins")
    return kept


def _left(shard: Shard, items: Iterator[Any], gone: set) -> Iterator[bytes]:
    """The bytes of the records that stay."""
    for item in items:
        if isinstance(item, Unread) and (shard.path, item.frame.number) not in gone:
            record = item.frame.checked()
            if isinstance(record, Record):
                yield record.data


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
