"""What an audit has found: twins by where they stand, leaks, labels in conflict or in doubt.

Takes: `Gathered`, twins, conflicts, doubts. Gives: `AuditReport`, as plain data for JSON too.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from corolla.audit.labels import Conflict
from corolla.audit.sources import Gathered, Record
from corolla.classes import NAMES
from corolla.doubts import Doubt
from corolla.likeness import Twin, groups

Part = tuple[int, str]
"""A split of a source."""


@dataclass(frozen=True)
class Leak:
    """Of a split: its records, and how many of them have a twin in each split (its own included; see `others`)."""

    part: str
    records: int
    twins: dict[str, int]
    others: int
    """Records with a twin in any other split."""


@dataclass
class AuditReport:
    """The result of `audit`; the figures of `leaks` count records, not pairs."""

    gathered: Gathered
    twins: list[Twin]
    conflicts: list[Conflict]
    doubts: list[Doubt] | None = None
    """None where no predictions were given."""
    strangers: int = 0
    """Predictions of records that are not among the data."""
    leaks: list[Leak] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.leaks = leaks(self.gathered, self.twins)

    def groups(self) -> list[list[int]]:
        """Records joined by twins."""
        return groups(len(self.gathered), self.twins)

    def across(self) -> list[Twin]:
        """Twins in two splits."""
        return [twin for twin in self.twins if not self._together(twin)]

    def within(self) -> list[Twin]:
        """Twins in one split."""
        return [twin for twin in self.twins if self._together(twin)]

    def _together(self, twin: Twin) -> bool:
        return part_of(self.gathered.records[twin.first]) == part_of(self.gathered.records[twin.second])

    def to_json(self) -> dict[str, Any]:
        """Plain data, nothing left out."""
        return {
            "sources": [source.name for source in self.gathered.sources],
            "records": len(self.gathered),
            "skipped_records": [str(bad) for bad in self.gathered.bad],
            "leaks": [asdict(leak) for leak in self.leaks],
            "twins": [self._twin(twin) for twin in self.twins],
            "groups": [[self._record(i) for i in group] for group in self.groups()],
            "conflicts": [
                {"first": self._record(each.first), "second": self._record(each.second)} for each in self.conflicts
            ],
            "doubts": None if self.doubts is None else [_doubt(each) for each in self.doubts],
        }

    def _twin(self, twin: Twin) -> dict[str, Any]:
        told = asdict(twin) | {"first": self._record(twin.first), "second": self._record(twin.second)}
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in told.items()}

    def _record(self, index: int) -> dict[str, Any]:
        record = self.gathered.records[index]
        return {
            "split": self.gathered.place(index),
            "file": record.path.name,
            "number": record.number,
            "id": record.id,
            "label": record.label,
        }


def _doubt(doubt: Doubt) -> dict[str, Any]:
    return asdict(doubt) | {"name": NAMES[doubt.label], "likely_name": NAMES[doubt.likely]}


def part_of(record: Record) -> Part:
    """The split that a record stands in."""
    return record.source, record.split


def leaks(gathered: Gathered, twins: Sequence[Twin]) -> list[Leak]:
    """A line for each split, in order. A record counts where it has a twin, directly or through others."""
    sizes: dict[Part, int] = {}
    for record in gathered.records:
        sizes[part_of(record)] = sizes.get(part_of(record), 0) + 1
    counts: dict[Part, dict[Part, int]] = defaultdict(lambda: defaultdict(int))
    others: dict[Part, int] = defaultdict(int)
    for group in groups(len(gathered), twins):
        times: dict[Part, int] = defaultdict(int)
        for i in group:
            times[part_of(gathered.records[i])] += 1
        for own, count in times.items():
            others[own] += count if len(times) > 1 else 0
            for other, theirs in times.items():
                counts[own][other] += count if other != own or theirs > 1 else 0
    return [
        Leak(gathered.part(*own), size, {gathered.part(*other): counts[own][other] for other in sizes}, others[own])
        for own, size in sizes.items()
    ]
