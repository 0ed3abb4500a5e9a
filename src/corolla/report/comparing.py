"""The section that compares runs: their figures in a table, and differences with intervals.

Takes: `Told`s. Gives: `Difference`s from the first run, where both judged the same records; a piece of a page.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from corolla import metrics
from corolla.page import Markup, element, section, table
from corolla.report.reading import Told
from corolla.report.scores import interval


@dataclass(frozen=True)
class Difference:
    """Of a run from the first: macro F1 over the classes present, on the same records, with its 95 % interval; records
    that only one of the two has right.
    """

    run: str
    against: str
    macro_f1_present: float
    interval: tuple[float, float]
    only_this_right: int
    only_other_right: int

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def differences(runs: Sequence[Told]) -> list[Difference | None]:
    """Of each run but the first; None where the two did not judge the same records."""
    return [_difference(runs[0], other) for other in runs[1:]]


def _difference(first: Told, other: Told) -> Difference | None:
    one, two = first.predictions, other.predictions
    place = {name: i for i, name in enumerate(two.ids)}
    if one.ids != two.ids and (len(place) < len(two.ids) or sorted(one.ids) != sorted(place)):
        return None
    order = np.array([place[name] for name in one.ids] if one.ids != two.ids else np.arange(len(one.ids)))
    if not np.array_equal(one.labels, two.labels[order]):
        return None
    before, after = first.predicted, other.predicted[order]
    gain, between = metrics.paired_difference(one.labels, before, after, len(first.classes))
    right = before == one.labels, after == one.labels
    only_this, only_other = int((right[1] & ~right[0]).sum()), int((right[0] & ~right[1]).sum())
    return Difference(other.name, first.name, gain, between, only_this, only_other)


def compared(runs: Sequence[Told], found: Sequence[Difference | None]) -> Markup:
    """The section."""
    columns = (
        "run",
        "model",
        "px",
        "macro F1, present",
        "95 %",
        "all classes",
        "accuracy",
        "calibration error",
        "time",
    )
    rows = [
        (
            told.name,
            told.settings["model"],
            told.settings["image_size"],
            f"{told.scores.macro_f1_present:.4f}",
            interval(*told.scores.macro_f1_present_interval),
            f"{told.scores.macro_f1:.4f}",
            f"{told.scores.accuracy:.2%}",
            f"{told.calibration_error:.4f}",
            _minutes(told),
        )
        for told in runs
    ]
    said = (
        "Differences are of macro F1 over the classes present, on the same records, which are drawn anew together for "
        "both runs (paired bootstrap within each class): such an interval is narrower than the two single ones suggest."
    )
    return section(
        "Comparison",
        table(columns, rows, "The runs side by side"),
        element("p", said, kind="dim"),
        table(
            ("difference", "macro F1, present", "95 %", "", "right only here", "right only there"),
            [_row(runs, place, each) for place, each in enumerate(found, 1)],
            f"Against {runs[0].name}",
        ),
        name="comparison",
    )


def _minutes(told: Told) -> str:
    seconds = sum(sum(history.seconds.values()) for history in told.histories)
    return f"{seconds / 60:.1f} min" if seconds else "–"


def _row(runs: Sequence[Told], place: int, found: Difference | None) -> tuple[object, ...]:
    if found is None:
        return (runs[place].name, "–", "–", "judged by other records", "–", "–")
    low, high = found.interval
    verdict = "better" if low > 0 else "worse" if high < 0 else "no clear difference"
    between = interval(low, high, signed=True)
    return (
        found.run,
        f"{found.macro_f1_present:+.4f}",
        between,
        verdict,
        found.only_this_right,
        found.only_other_right,
    )
