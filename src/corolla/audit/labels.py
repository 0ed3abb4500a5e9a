"""Labels that cannot all be right: twins that are called differently.

Takes: twins. Gives: `Conflict`s; and `out_of_fold`, the predictions (`corolla cross`) by which `doubts` finds others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from corolla import soft
from corolla.audit.sources import Gathered
from corolla.classes import COUNT
from corolla.likeness import Twin
from corolla.run import Predictions
from corolla.storage import AnyPath

PREDICTIONS = "predictions.npz"


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two twins with two labels; numbers of records, first < second."""

    first: int
    second: int
    labels: tuple[int, int]


def conflicts(gathered: Gathered, twins: Sequence[Twin]) -> list[Conflict]:
    """Twins that both have a label, and not the same one; in order."""
    found = []
    for twin in twins:
        one, other = (gathered.records[i].label for i in (twin.first, twin.second))
        if one is not None and other is not None and one != other:
            found.append(Conflict(twin.first, twin.second, (one, other)))
    return found


def out_of_fold(path: AnyPath) -> Predictions:
    """The predictions of a cross-validation: its folder, or the file. Raises as `soft.read`: none, or damaged."""
    return soft.read(str(path / PREDICTIONS if path.is_dir() else path), COUNT)
