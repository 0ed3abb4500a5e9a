"""The decision: labels that make the expected macro F1 of a whole set of photos as large as possible.

Takes: calibrated probabilities float[n, classes] of all the photos to be labelled together.
Gives: `best_labels`, int64[n]; and `judge_rule`, what that gains on labelled records over the likeliest labels.

Macro F1 is no mean over photos. Where a photo is in doubt between two classes, the label that is worth more is that of
the class with few photos, or with few that were called so. F1 of a class is 2 TP / (photos of it + photos called so);
with probabilities for labels, TP and the photos of it are expected numbers, and the ratio of expected numbers stands
for the expected ratio: the plug-in of Dembczyński et al. (2017, "Consistency Analysis for Binary Classification
Revisited"), for many classes and a given set of records raised by coordinate ascent as in Schultheis et al. (2023,
"Generalized Test Utilities for Long-Tail Performance in Extreme Multi-Label Classification"). It fits nothing to labels
but the temperature, so there is hardly anything that could be fitted too closely; factors for each class, raised on
labelled records, are (docs/log.md).
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corolla import metrics
from corolla.calibrate import FOLDS, refuse_few, scaled, temperature
from corolla.folds import places

SURE = 0.999
"""A photo whose likeliest label has at least this probability keeps it: a second look costs time and moves none."""

PASSES = 30
"""Most rounds over all photos in doubt; it takes five or so until none of them moves."""


@dataclass(frozen=True)
class Rule:
    """How labels are made of probabilities: at a temperature, and by expected F1 or as the likeliest.

    expected_f1: False where the likeliest labels were as good on the records that the rule was fitted on.
    """

    temperature: float
    expected_f1: bool

    def labels(self, probabilities: NDArray) -> NDArray[np.int64]:
        """One label a photo, int64[n], of probabilities float[n, classes] of all photos to be labelled together."""
        if not self.expected_f1:
            return probabilities.argmax(axis=1)
        return best_labels(scaled(probabilities, self.temperature))


@dataclass(frozen=True)
class Verdict:
    """What a rule gains in macro F1 over the classes present, against the likeliest labels; both on the same records.

    gain, interval: each record's label by a rule that was fitted without it. moved: labels that differ.
    """

    macro_f1: tuple[float, float]
    gain: float
    interval: tuple[float, float]
    moved: int

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def fit_rule(labels: NDArray, probabilities: NDArray) -> Rule:
    """Fit a rule to labelled records; on these it is never worse than the likeliest labels.

    labels: int[n]; probabilities: float[n, classes], of records that the run has not learned from.
    """
    hot = temperature(labels, probabilities)
    return Rule(hot, _better(labels, probabilities, best_labels(scaled(probabilities, hot))))


def judge_rule(ids: list[str], labels: NDArray, probabilities: NDArray, folds: int = FOLDS) -> Verdict:
    """What `fit_rule` gains, by cross-fitting: each record is labelled by what the others' labels say.

    For each fold, a rule that was fitted to the others labels all records together, as it would those of a test split,
    and the fold's own are kept. Raises DataError with fewer than two records a fold.
    """
    refuse_few(labels, folds)
    plain, fold = probabilities.argmax(axis=1), places(ids, labels, folds)
    found = plain.copy()
    for each in range(folds):
        held = fold == each
        found[held] = fit_rule(labels[~held], probabilities[~held]).labels(probabilities)[held]
    return verdict(labels, plain, found, probabilities.shape[1])


def verdict(labels: NDArray, plain: NDArray, found: NDArray, classes: int) -> Verdict:
    """Compare two labellings int[n] of the same records."""
    gain, interval = metrics.paired_difference(labels, plain, found, classes)
    reached = [_macro_f1(labels, each, classes) for each in (plain, found)]
    return Verdict((reached[0], reached[1]), gain, interval, int((plain != found).sum()))


def _better(labels: NDArray, probabilities: NDArray, predictions: NDArray) -> bool:
    """Whether predictions have more macro F1 than the likeliest labels."""
    classes = probabilities.shape[1]
    return _macro_f1(labels, predictions, classes) > _macro_f1(labels, probabilities.argmax(axis=1), classes)


def _macro_f1(labels: NDArray, predictions: NDArray, classes: int) -> float:
    return float(metrics.macro_f1(metrics.confusion_matrix(labels, predictions, classes), present_only=True))


# -------------------------------------------------------------------------------------------------- expected F1


def expected_macro_f1(probabilities: NDArray, labels: NDArray) -> float:
    """Macro F1 of labels int[n] if photos are of classes as the probabilities float[n, classes] say.

    A class without any probability and any label counts 0.
    """
    hits, called, there = _counts(probabilities, labels)
    total = called + there
    return float(np.divide(2 * hits, total, out=np.zeros_like(hits), where=total > 0).mean())


def best_labels(probabilities: NDArray) -> NDArray[np.int64]:
    """Labels int64[n] from which no change of a single one raises the expected macro F1.

    probabilities: float[n, classes], calibrated. Begins with the likeliest labels, and moves the photos in doubt one by
    one, the most doubtful first: expected macro F1 only rises. 8,000 photos of a good run take a tenth of a second.
    """
    probabilities = probabilities.astype(np.float64)
    labels, most = probabilities.argmax(axis=1), probabilities.max(axis=1)
    hits, called, there = _counts(probabilities, labels)
    doubtful = [i for i in np.argsort(most, kind="stable") if most[i] < SURE]
    for _ in range(PASSES):
        moved = False
        for i in doubtful:
            own, before = probabilities[i], labels[i]
            hits[before] -= own[before]
            called[before] -= 1
            total = called + there
            gains = 2 * ((hits + own) / (total + 1) - np.divide(hits, total, out=np.zeros_like(hits), where=total > 0))
            after = int(gains.argmax())
            if gains[after] <= gains[before] + 1e-12:  # rounding must not send a photo round in circles
                after = before
            hits[after] += own[after]
            called[after] += 1
            labels[i], moved = after, moved or after != before
        if not moved:
            break
    return labels


def _counts(probabilities: NDArray, labels: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Of each class, float64[classes]: expected hits, photos called so, expected photos."""
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels]
    hits = np.bincount(labels, weights=own, minlength=classes)
    return hits, np.bincount(labels, minlength=classes).astype(np.float64), probabilities.sum(axis=0)
