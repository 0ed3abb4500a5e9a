"""Labels that cannot all be right: twins that are called differently, and photos that runs are sure are something else.

Takes: twins; or out-of-fold predictions (`corolla cross`) of labelled records. Gives: `Conflict`s and `Doubt`s, the
gravest first.

A label is in doubt by confident learning (Northcutt, Jiang & Chuang, 2021, "Confident Learning: Estimating Uncertainty
in Dataset Labels"): another class has at least the probability that it has on average for photos that are called so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from corolla import soft
from corolla.audit.sources import Gathered
from corolla.audit.twins import Twin
from corolla.classes import COUNT
from corolla.run import Predictions
from corolla.storage import AnyPath

PREDICTIONS = "predictions.npz"
LEAST_RECORDS = 2
"""Of a class, that say what its probability is on average."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two twins with two labels; numbers of records, first < second."""

    first: int
    second: int
    labels: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Doubt:
    """A record whose label is likely wrong: given and likely label, and what the run gives to either."""

    id: str
    label: int
    likely: int
    given_probability: float
    likely_probability: float


def conflicts(gathered: Gathered, twins: Sequence[Twin]) -> list[Conflict]:
    """Twins that both have a label, and not the same one; in order."""
    found = []
    for twin in twins:
        one, other = (gathered.records[i].label for i in (twin.first, twin.second))
        if one is not None and other is not None and one != other:
            found.append(Conflict(twin.first, twin.second, (one, other)))
    return found


def doubts(predictions: Predictions) -> list[Doubt]:
    """Records whose label is likely wrong, the one with the largest gap between the two probabilities first.

    The predictions must come from runs that have not learned from the records they speak of. A class that fewer than
    `LEAST_RECORDS` records are called by accuses none.
    """
    labels, probabilities = predictions.labels.astype(np.int64), predictions.probabilities.astype(np.float64)
    rows = np.arange(len(labels))
    own = probabilities[rows, labels]
    classes = probabilities.shape[1]
    times = np.bincount(labels, minlength=classes)
    mean = np.bincount(labels, weights=own, minlength=classes) / np.maximum(times, 1)
    accused = probabilities >= np.where(times >= LEAST_RECORDS, mean, np.inf)
    accused[rows, labels] = False
    others = np.where(accused, probabilities, -1.0)
    likely = others.argmax(axis=1)
    gap = others[rows, likely] - own
    wrong = np.flatnonzero((others[rows, likely] >= 0) & (gap > 0))
    return [
        Doubt(predictions.ids[i], int(labels[i]), int(likely[i]), float(own[i]), float(probabilities[i, likely[i]]))
        for i in wrong[np.argsort(-gap[wrong], kind="stable")]
    ]


def out_of_fold(path: AnyPath) -> Predictions:
    """The predictions of a cross-validation: its folder, or the file. Raises as `soft.read`: none, or damaged."""
    return soft.read(str(path / PREDICTIONS if path.is_dir() else path), COUNT)
