"""Labels in doubt: photos that runs are sure are something else.

Takes: predictions of labelled records, by runs that have not learned from them. Gives: `Doubt`s, the gravest first.

A label is in doubt by confident learning (Northcutt, Jiang & Chuang, 2021, "Confident Learning: Estimating Uncertainty
in Dataset Labels"): another class has at least the probability that it has on average for photos that are called so.
"""

from dataclasses import dataclass

import numpy as np

from corolla.run import Predictions

LEAST_RECORDS = 2
"""Of a class, that say what its probability is on average."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A record whose label is likely wrong: given and likely label, and what the run gives to either."""

    id: str
    label: int
    likely: int
    given_probability: float
    likely_probability: float


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
