"""Reads every record of a data set and says what is wrong, and where; it goes on after a fault and lists them all.

Takes: DATA, a folder as in `records.shards`. Gives: `CheckReport`; `.ok` is False where a record, a shard or a split
cannot be used as it is. Exact copies of an image in two splits are a warning, a split without its share of classes a
note.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from corolla.classes import NAMES
from corolla.errors import DataError
from corolla.images import ImageError, Progress, decode, in_order, wrong_size
from corolla.records.framing import CRC_IS_FAST, count_records
from corolla.records.shards import Found, Shard, Unread, data_folder, list_shards, numbering_faults, unread_shards
from corolla.storage import AnyPath, RemotePath, any_path
from corolla.types import SPLITS, BadRecord, Example, Split

NEEDED: tuple[Split, ...] = ("train", "val")
"""Splits that training cannot do without, and whose records need labels."""

_EXAMPLES = 3
_PRINTED = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault. number (from 0) and offset (bytes) are None where the fault is not a record's."""

    split: str
    path: str
    number: int | None
    offset: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands: split, file name, number in the file (from 0), byte it starts at, and its id."""

    split: str
    file: str
    number: int
    offset: int
    id: str

    def __str__(self) -> str:
        return f"{self.split}/{self.file} record {self.number} at byte {self.offset}"


@dataclass(frozen=True, slots=True)
class Copy:
    """Two records of different splits whose images are the same, byte for byte."""

    first: Place
    second: Place


@dataclass
class SplitReport:
    """What one split holds.

    declared: records that the shards' names promise (None where a name does not say). records: those that are good.
    class_counts: good records of each label, 104 numbers. image_sizes: "WIDTHxHEIGHT" -> images.
    """

    split: str
    shards: int = 0
    declared: int | None = None
    records: int = 0
    labelled: int = 0
    without_id: int = 0
    class_counts: list[int] = field(default_factory=lambda: [0] * len(NAMES))
    image_sizes: dict[str, int] = field(default_factory=dict)
    problems: int = 0

    @property
    def missing_classes(self) -> list[str]:
        """Names of the classes that no good record of this split has."""
        return [name for name, count in zip(NAMES, self.class_counts, strict=True) if not count]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        present = len(NAMES) - len(self.missing_classes)
        return asdict(self) | {"classes_present": present, "missing_classes": self.missing_classes}


@dataclass
class CheckReport:
    """The result of `check`: problems make it not ok; warnings and notes do not.

    folder: the folder that was read, where DATA offers several image sizes.
    """

    data: AnyPath
    folder: AnyPath
    splits: list[SplitReport] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True where every record of every split can be used."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file, nothing left out."""
        return {
            "ok": self.ok,
            "data": str(self.data),
            "folder": str(self.folder),
            "splits": {split.split: split.to_json() for split in self.splits},
            "problems": [asdict(problem) for problem in self.problems],
            "copies": [asdict(copy) for copy in self.copies],
            "warnings": self.warnings,
            "notes": self.notes,
        }


# --------------------------------------------------------------------------------------------------------- checking


def check(data: AnyPath | str, image_size: int | None = None, progress: Progress | None = None) -> CheckReport:
    """Read, decode and compare every record of DATA (of the size that `find_split` would take).

    progress is called with (records done, records in all). Costs about as much as loading the data.
    Raises DataError where DATA is no folder or holds no split at all; every other fault goes into the report.
    """
    report = CheckReport(any_path(data), data_folder(data, image_size))
    checker = _Checker(report, progress)
    checker.run()
    return report


@dataclass(frozen=True, slots=True)
class _Seen:
    """A good record: where it is, its content, its size as (height, width), the SHA-256 of its encoded image."""

    found: Found
    size: tuple[int, ...]
    digest: bytes


class _Checker:
    """What has to be remembered from one record to the next."""

    def __init__(self, report: CheckReport, progress: Progress | None) -> None:
        self.report = report
        self.progress = progress
        self.done = self.total = 0
        self.ids: dict[str, Place] = {}
        self.images: dict[bytes, Place] = {}
        self.sizes: dict[str, tuple[int, ...]] = {}

    def run(self) -> None:
        shards = {split: self.shards_of(split) for split in SPLITS}
        self.total = sum(_count(shard) for found in shards.values() for shard in found)
        for split in SPLITS:
            if shards[split]:
                self.read(split, shards[split])
        self.conclude()

    def problem(self, split: str, path: AnyPath, reason: str, item: BadRecord | Found | None = None) -> None:
        number, offset = (item.number, item.offset) if item else (None, None)
        self.report.problems.append(Problem(split, str(path), number, offset, reason))

    def shards_of(self, split: Split) -> tuple[Shard, ...]:
        folder = self.report.folder / split
        if not folder.is_dir():
            self.missing(split, folder)
            return ()
        try:
            shards = list_shards(folder)
        except DataError as error:
            self.problem(split, folder, _without_path(error, folder))
            return ()
        for fault in numbering_faults(folder, shards):
            self.problem(split, folder, fault.removeprefix(f"{folder}: "))
        return shards

    def missing(self, split: Split, folder: AnyPath) -> None:
        if split in NEEDED:
            self.problem(split, folder, "this split is missing: training needs it")
        else:
            self.report.notes.append(f"there is no {split} split")

    def read(self, split: Split, shards: tuple[Shard, ...]) -> None:
        counts = [shard.count for shard in shards]
        declared = None if None in counts else sum(count for count in counts if count is not None)
        summary = SplitReport(split, len(shards), declared)
        self.report.splits.append(summary)
        before = len(self.report.problems)
        labels = "need" if split in NEEDED else "maybe"
        for shard, items in zip(shards, unread_shards(shards, labels=labels), strict=True):
            try:
                self.read_shard(summary, items)
            except DataError as error:
                self.problem(split, shard.path, _without_path(error, shard.path))
        summary.problems = len(self.report.problems) - before
        self.compare_names(summary, shards)

    def read_shard(self, summary: SplitReport, items: Iterator[Unread | BadRecord]) -> None:
        for item in in_order(_inspect, items):
            if isinstance(item, BadRecord):
                self.problem(summary.split, item.path, item.reason, item)
            else:
                self.add(summary, item)
            self.done = min(self.done + 1, self.total)
            if self.progress:
                self.progress(self.done, self.total)

    def add(self, summary: SplitReport, seen: _Seen) -> None:
        """Count a record that is good by itself, unless its size or its id does not fit the others'."""
        found, example = seen.found, seen.found.example
        size = f"{seen.size[1]}x{seen.size[0]}"
        summary.image_sizes[size] = summary.image_sizes.get(size, 0) + 1
        place = Place(summary.split, found.path.name, found.number, found.offset, example.id)
        misfit = self.misfit(place, seen)
        if misfit:
            self.problem(summary.split, found.path, misfit, found)
            return
        summary.records += 1
        summary.without_id += not example.id
        if example.label is not None:
            summary.labelled += 1
            summary.class_counts[example.label] += 1

    def misfit(self, place: Place, seen: _Seen) -> str:
        """Compare a record with those before it: "", or what does not fit. Notes copies of other splits' images."""
        original = self.images.setdefault(seen.digest, place)
        if original.split != place.split:
            self.report.copies.append(Copy(original, place))
        first = self.ids.setdefault(place.id, place) if place.id else place
        if first is not place:
            which = "this split" if first.split == place.split else "two splits"
            return f"id {place.id!r} stands twice in {which}, first in {first}: remove one of the two"
        fault = wrong_size(seen.size, self.sizes.setdefault(place.split, seen.size))
        return f"id {place.id!r}: {fault}" if fault else ""

    def compare_names(self, summary: SplitReport, shards: tuple[Shard, ...]) -> None:
        declared = {f"{shard.image_size}x{shard.image_size}" for shard in shards if shard.image_size}
        if summary.image_sizes and declared and declared != set(summary.image_sizes):
            self.report.warnings.append(
                f"{summary.split}: the names declare images of {', '.join(sorted(declared))} px, the records hold "
                f"{', '.join(summary.image_sizes)} px"
            )

    def conclude(self) -> None:
        report = self.report
        if not CRC_IS_FAST:
            report.warnings.append("google-crc32c runs in pure Python, about 1,000 times slower: install its wheel")
        report.warnings.extend(_copies_warnings(report.copies))
        for split in report.splits:
            if split.without_id:
                report.warnings.append(f"{split.split}: {split.without_id} records carry no id")
            if split.labelled and split.missing_classes:
                report.notes.append(_classes_note(split))


def _inspect(item: Unread | BadRecord) -> _Seen | BadRecord:
    found = item.read() if isinstance(item, Unread) else item
    if isinstance(found, BadRecord):
        return found
    image = found.example.image
    try:
        pixels = decode(image) if isinstance(image, bytes) else image
    except ImageError as error:
        return found.bad(f"id {found.example.id!r}: {error}")
    return _Seen(found, pixels.shape[:2], _digest(found.example))


def _digest(example: Example) -> bytes:
    image = example.image
    return hashlib.sha256(image if isinstance(image, bytes) else image.tobytes()).digest()


def _count(shard: Shard) -> int:
    if isinstance(shard.path, RemotePath):
        return shard.count or 0  # to count is to fetch
    try:
        return count_records(shard.path)
    except DataError:
        return 0  # read again, and reported, when its turn comes


def _without_path(error: DataError, path: AnyPath) -> str:
    return str(error).removeprefix(f"{path}: ")


def _copies_warnings(copies: list[Copy]) -> Iterator[str]:
    for (first, second), count in Counter((copy.first.split, copy.second.split) for copy in copies).items():
        pairs = [copy for copy in copies if (copy.first.split, copy.second.split) == (first, second)]
        examples = "; ".join(f"{copy.first.id!r} = {copy.second.id!r}" for copy in pairs[:_EXAMPLES])
        yield f"{count} images of {second} are in {first} too, byte for byte, so {second} flatters: ids {examples}"


def _classes_note(split: SplitReport) -> str:
    missing = split.missing_classes
    names = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
    return f"{split.split}: {len(missing)} of {len(NAMES)} classes have no image: {names}"


# --------------------------------------------------------------------------------------------------------- printing


def print_report(report: CheckReport, console: Console) -> None:
    """Print a report for a person: a line a split, then problems (the first 20), warnings and notes."""
    console.print(Text(_printable(str(report.folder)), style="bold"))
    console.print(_table(report))
    for problem in report.problems[:_PRINTED]:
        console.print(_line("✗", "red", _problem_text(problem, report.folder)))
    if len(report.problems) > _PRINTED:
        console.print(_line("✗", "red", f"and {len(report.problems) - _PRINTED:,} more: --json lists them all"))
    for warning in report.warnings:
        console.print(_line("!", "yellow", warning))
    for note in report.notes:
        console.print(_line("·", "dim", note))
    console.print(_verdict(report))


def _table(report: CheckReport) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("split")
    for name in ("shards", "records", "declared", "labelled", "classes", "size (px)", "problems"):
        table.add_column(name, justify="right")
    for split in report.splits:
        table.add_row(*_row(split))
    return table


def _row(split: SplitReport) -> list[Text | str]:
    declared = "-" if split.declared is None else f"{split.declared:,}"
    present = f"{len(NAMES) - len(split.missing_classes)}/{len(NAMES)}" if split.labelled else "-"
    sizes = list(split.image_sizes)
    size = sizes[0] if len(sizes) == 1 else f"{len(sizes)} sizes" if sizes else "-"
    problems = Text(f"{split.problems:,}", style="red" if split.problems else "green")
    labelled = f"{split.labelled:,}" if split.labelled else "-"
    return [split.split, f"{split.shards}", f"{split.records:,}", declared, labelled, present, size, problems]


def _problem_text(problem: Problem, folder: AnyPath) -> str:
    where = problem.path.removeprefix(f"{folder}/")
    record = "" if problem.number is None else f" record {problem.number} at byte {problem.offset}"
    return f"{where}{record}: {problem.reason}"


def _line(mark: str, style: str, text: str) -> Text:
    return Text.assemble((mark, style), " ", _printable(text))


def _printable(text: str) -> str:
    """A path that is not UTF-8 would stop a UTF-8 terminal's writer: its odd bytes are shown as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _verdict(report: CheckReport) -> Text:
    records = sum(split.records for split in report.splits)
    if report.ok:
        return Text(f"{records:,} records, all good", style="bold green")
    count = len(report.problems)
    return Text(f"{count:,} problem{'s' if count > 1 else ''}, {records:,} good records", style="bold red")
