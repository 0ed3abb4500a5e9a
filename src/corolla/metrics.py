"""Judging on the host: from labels and predictions to scores.

Takes: integer labels and predicted labels (or probabilities), n of each.
Gives: `Scores`: macro F1 as the competition defines it, its interval, accuracy, and a table by class.
Every figure comes from one integer confusion matrix, divided once, at the end.
"""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Confusion = NDArray[np.int64]
"""int64[classes, classes]: rows are true labels, columns predicted ones."""

BOOTSTRAP_DRAWS = 1000


def confusion_matrix(labels: NDArray, predictions: NDArray, classes: int) -> Confusion:
    """Count pairs of (true, predicted) label. labels, predictions: int[n] in 0..classes-1."""
    pairs = np.asarray(labels, np.int64) * classes + np.asarray(predictions, np.int64)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def f1_by_class(confusion: NDArray) -> NDArray[np.float64]:
    """F1 of every class, float64[..., classes]; 0 where a class is neither present nor predicted.

    F1 = 2 TP / (support + predicted), the harmonic mean of precision and recall (van Rijsbergen, 1979).
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    total = confusion.sum(axis=-1) + confusion.sum(axis=-2)
    return np.divide(2 * hits, total, out=np.zeros_like(hits), where=total > 0)


def macro_f1(confusion: NDArray, *, present_only: bool = False) -> NDArray[np.float64]:
    """Mean of F1 over all classes, or over those with at least one true record; float64[...]."""
    scores = f1_by_class(confusion)
    if not present_only:
        return scores.mean(axis=-1)
    present = confusion.sum(axis=-1) > 0
    return (scores * present).sum(axis=-1) / np.maximum(present.sum(axis=-1), 1)


def resampled(confusion: Confusion, draws: int = BOOTSTRAP_DRAWS, seed: int = 0) -> Confusion:
    """Bootstrap the records within each true class (stratified); int64[draws, classes, classes].

    Resampling n_c records of class c with replacement gives a multinomial row, so no record is touched: the cost
    does not depend on n (Efron & Tibshirani, 1993, section 8 for the stratified form). Class sizes stay as they are,
    otherwise a rare class would often vanish and pull macro F1 down.
    """
    random = np.random.default_rng(seed)
    support = confusion.sum(axis=1)
    share = confusion / np.maximum(support, 1)[:, None]
    return np.stack([random.multinomial(n, row, size=draws) for n, row in zip(support, share, strict=True)], axis=1)


def interval(values: NDArray) -> tuple[float, float]:
    """The middle 95 % of bootstrap values (percentile interval)."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % of a share, hits of n: Wilson's score interval (1927), which also holds for few records and near 0 and 1."""
    if not n:
        return 0.0, 1.0
    z2, share = 1.959964**2, hits / n
    middle, half = share + z2 / (2 * n), 1.959964 * (share * (1 - share) / n + z2 / (4 * n * n)) ** 0.5
    return (middle - half) / (1 + z2 / n), (middle + half) / (1 + z2 / n)


def paired_difference(
    labels: NDArray, before: NDArray, after: NDArray, classes: int, draws: int = BOOTSTRAP_DRAWS, seed: int = 0
) -> tuple[float, tuple[float, float]]:
    """Macro F1 over the classes present of `after` minus that of `before`, on the same records, with its interval.

    labels, before, after: int[n]. Records are resampled within their class, and both predictions move together, so
    what the two share cancels: this interval is far narrower than the two single ones suggest. As in `resampled`, a
    draw is a multinomial one: of the kinds of records that there are, (label, before, after).
    """
    random = np.random.default_rng(seed)
    kinds, counts = np.unique(np.stack([labels, before, after]), axis=1, return_counts=True)
    drawn = np.empty((len(counts), draws + 1), np.int64)
    drawn[:, 0] = counts  # as it was; then the draws
    for label in np.unique(labels):
        own = kinds[0] == label
        drawn[own, 1:] = random.multinomial(counts[own].sum(), counts[own] / counts[own].sum(), size=draws).T
    gains = _present_macro_f1(kinds[0], kinds[2], drawn, classes) - _present_macro_f1(
        kinds[0], kinds[1], drawn, classes
    )
    return float(gains[0]), interval(gains[1:])


def _present_macro_f1(labels: NDArray, predictions: NDArray, counts: NDArray, classes: int) -> NDArray[np.float64]:
    """Macro F1 over the classes present, float64[draws]: counts[kinds, draws] records of each (label, prediction)."""
    support, predicted, hits = np.zeros((3, classes, counts.shape[1]), np.int64)
    np.add.at(support, labels, counts)
    np.add.at(predicted, predictions, counts)
    right = labels == predictions
    np.add.at(hits, labels[right], counts[right])
    present = support[:, 0] > 0
    return (2 * hits[present] / (support + predicted)[present]).mean(axis=0)


@dataclass(frozen=True)
class ClassScore:
    """One class: how many records it has, how many were called so, and how well."""

    label: int
    name: str
    support: int
    predicted: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class ClassCost:
    """What one class takes from macro F1, and the class that it is taken for, or that is taken for it, most often."""

    label: int
    name: str
    lost: float
    """(1 - F1) / classes: how much higher macro F1 over all classes were if this class had no mistake."""
    partner: int
    partner_name: str
    taken_for_partner: int
    """Records of this class that were called the partner."""
    partner_taken_for_it: int
    """Records of the partner that were called this class."""


@dataclass(frozen=True)
class Scores:
    """How good the predictions of one split are. Intervals are 95 % stratified bootstrap intervals."""

    split: str
    n: int
    macro_f1: float
    """Mean F1 over all classes, as the competition counts it: a class that is absent and never predicted counts 0."""
    macro_f1_interval: tuple[float, float]
    macro_f1_present: float
    """Mean F1 over the classes that have records in this split."""
    macro_f1_present_interval: tuple[float, float]
    classes_present: int
    accuracy: float
    loss: float
    """Mean cross-entropy of the true labels [nats]."""
    skipped_records: int
    per_class: list[ClassScore] = field(default_factory=list)
    costs: list[ClassCost] = field(default_factory=list)
    """The classes that have mistakes, the costliest first."""

    def to_json(self) -> dict[str, Any]:
        """Plain data for `scores.json`."""
        return asdict(self)


def from_json(stored: dict[str, Any]) -> Scores:
    """The scores that `Scores.to_json` wrote; whatever else stands there is left out."""
    known = {one.name: stored[one.name] for one in fields(Scores) if one.name in stored}
    known["per_class"] = [ClassScore(**row) for row in known["per_class"]]
    known["costs"] = [ClassCost(**row) for row in known.get("costs", [])]  # older runs have none
    for name in ("macro_f1_interval", "macro_f1_present_interval"):
        known[name] = tuple(known[name])
    return Scores(**known)


def score(
    split: str, labels: NDArray, probabilities: NDArray, names: tuple[str, ...] | list[str], skipped_records: int = 0
) -> Scores:
    """Score predictions. labels: int[n]; probabilities: float[n, classes]; names: one a class."""
    classes = len(names)
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1), classes)
    draws = resampled(confusion)
    return Scores(
        split=split,
        n=len(labels),
        macro_f1=float(macro_f1(confusion)),
        macro_f1_interval=interval(macro_f1(draws)),
        macro_f1_present=float(macro_f1(confusion, present_only=True)),
        macro_f1_present_interval=interval(macro_f1(draws, present_only=True)),
        classes_present=int((confusion.sum(axis=1) > 0).sum()),
        accuracy=float(np.trace(confusion) / max(len(labels), 1)),
        loss=cross_entropy(labels, np.log(np.maximum(probabilities, 1e-12))),
        skipped_records=skipped_records,
        per_class=class_table(confusion, names),
        costs=class_costs(confusion, names),
    )


def cross_entropy(labels: NDArray, logits: NDArray) -> float:
    """Mean cross-entropy [nats] of logits (or log-probabilities) float[n, classes] against labels int[n]."""
    logits = logits.astype(np.float64)
    highest = logits.max(axis=1)
    total = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1))
    return float((total - logits[np.arange(len(labels)), labels]).mean())


def class_table(confusion: Confusion, names: tuple[str, ...] | list[str]) -> list[ClassScore]:
    """One row a class, in label order; precision and recall are 0 where they divide by nothing."""
    hits, support, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    f1 = f1_by_class(confusion)
    return [
        ClassScore(
            label=label,
            name=names[label],
            support=int(support[label]),
            predicted=int(predicted[label]),
            precision=float(hits[label] / max(predicted[label], 1)),
            recall=float(hits[label] / max(support[label], 1)),
            f1=float(f1[label]),
        )
        for label in range(len(names))
    ]


def class_costs(confusion: Confusion, names: tuple[str, ...] | list[str]) -> list[ClassCost]:
    """One row for each class that has records and mistakes, the costliest first; of equal ones the lower label."""
    lost = (1 - f1_by_class(confusion)) / len(names)
    mistakes = confusion - np.diag(np.diag(confusion))
    between = mistakes + mistakes.T
    partner = between.argmax(axis=1)
    chosen = np.flatnonzero((confusion.sum(axis=1) > 0) & (between.sum(axis=1) > 0))
    return [
        ClassCost(
            label=int(label),
            name=names[label],
            lost=float(lost[label]),
            partner=int(partner[label]),
            partner_name=names[partner[label]],
            taken_for_partner=int(confusion[label, partner[label]]),
            partner_taken_for_it=int(confusion[partner[label], label]),
        )
        for label in sorted(chosen, key=lambda each: (-lost[each], each))
    ]
