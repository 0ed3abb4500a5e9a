"""Calibration: probabilities that say how often they are right.

Takes: labels int[n] and probabilities float[n, classes] of records that the run has not learned from.
Gives: a temperature, the probabilities as it changes them, and how far off they were before and after.

A temperature T divides the logits, so it moves no label (Guo et al., 2017, "On Calibration of Modern Neural Networks").
Figures "after" are cross-fitted: each record is judged by a temperature that was fitted without it.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from corolla import metrics
from corolla.errors import DataError
from corolla.folds import places

BINS, FOLDS = 15, 5

COLDEST, HOTTEST = 1 / 32, 32.0
"""Where the search ends: without a single mistake among the records, cross-entropy falls for ever as T goes to 0."""

SMALLEST = 1e-30
"""Probabilities below are taken for this one: their logarithms must be numbers."""

Bins = Literal["mass", "width"]
"""How records are put into bins by their confidence: as many in each, or by equal steps of confidence."""


@dataclass(frozen=True)
class Calibration:
    """A temperature, and what it does: cross-entropy [nats] and expected calibration error by both kinds of bins.

    Of each pair the first is as it was, the second cross-fitted.
    """

    temperature: float
    n: int
    loss: tuple[float, float]
    error_by_mass: tuple[float, float]
    error_by_width: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def calibrate(ids: list[str], labels: NDArray, probabilities: NDArray, folds: int = FOLDS) -> Calibration:
    """Fit a temperature to records, and judge such fits by cross-fitting.

    labels: int[n]; probabilities: float[n, classes]. Raises DataError with fewer than two records a fold.
    """
    after = cross_fitted(ids, labels, probabilities, folds)
    pairs = (probabilities, after)
    losses = [metrics.cross_entropy(labels, logits_of(each)) for each in pairs]
    by_mass, by_width = ([calibration_error(labels, each, kind) for each in pairs] for kind in ("mass", "width"))
    fitted = temperature(labels, probabilities)
    return Calibration(
        fitted, len(labels), (losses[0], losses[1]), (by_mass[0], by_mass[1]), (by_width[0], by_width[1])
    )


def cross_fitted(ids: list[str], labels: NDArray, probabilities: NDArray, folds: int = FOLDS) -> NDArray[np.float64]:
    """Each record's probabilities by the temperature of the other folds: float64[n, classes]."""
    refuse_few(labels, folds)
    fold, after = places(ids, labels, folds), np.empty(probabilities.shape, np.float64)
    for each in range(folds):
        held = fold == each
        after[held] = scaled(probabilities[held], temperature(labels[~held], probabilities[~held]))
    return after


def refuse_few(labels: NDArray, folds: int) -> None:
    """Raise DataError with fewer than two records a fold."""
    if len(labels) < 2 * folds:
        raise DataError(f"{len(labels)} records are too few to be judged in {folds} folds")


def temperature(labels: NDArray, probabilities: NDArray) -> float:
    """The temperature of the least cross-entropy, between `COLDEST` and `HOTTEST`.

    labels: int[n]; probabilities: float[n, classes]. Cross-entropy is convex in 1/T, so its slope, the mean of
    (expected logit - true label's logit), has one root.
    """
    logits = logits_of(probabilities)
    own = logits[np.arange(len(labels)), labels]

    def slope(log_inverse: float) -> float:
        likely = _softmax(logits * np.exp(log_inverse))
        return float(((likely * logits).sum(axis=1) - own).mean())

    low, high = np.log(1 / HOTTEST), np.log(1 / COLDEST)
    if slope(low) >= 0:
        return HOTTEST
    if slope(high) <= 0:
        return COLDEST
    return float(np.exp(-brentq(slope, low, high, xtol=1e-6)))  # pyright: ignore


def scaled(probabilities: NDArray, temperature: float) -> NDArray[np.float64]:
    """Probabilities float[n, classes] at a temperature: softmax(log p / T), float64[n, classes]."""
    return _softmax(logits_of(probabilities) / temperature)


def logits_of(probabilities: NDArray) -> NDArray[np.float64]:
    """Logarithms of probabilities: logits, but for a constant a record."""
    return np.log(np.maximum(probabilities.astype(np.float64), SMALLEST))


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def calibration_error(labels: NDArray, probabilities: NDArray, kind: Bins = "mass", bins: int = BINS) -> float:
    """Expected calibration error: mean over records of |accuracy - mean confidence| of the record's bin, in 0..1.

    labels: int[n]; probabilities: float[n, classes]; confidence is the largest probability. Bins of equal width as Guo
    et al. (2017); of equal mass, which hold as many records each, the error is less biased (Roelofs et al., 2022).
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    gaps = np.bincount(_bins(confidence, kind, bins), weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / max(len(labels), 1))


@dataclass(frozen=True)
class Bin:
    """Records of like confidence: how many, their mean confidence, how many are right, and 95 % of that (Wilson)."""

    n: int
    confidence: float
    accuracy: float
    interval: tuple[float, float]


def reliability(labels: NDArray, probabilities: NDArray, kind: Bins = "width", bins: int = BINS) -> list[Bin]:
    """The bins that hold records, by rising confidence; labels int[n], probabilities float[n, classes]."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right, place = probabilities.argmax(axis=1) == labels, _bins(confidence, kind, bins)
    found = []
    for each in np.unique(place):
        inside = place == each
        n, hits = int(inside.sum()), int(right[inside].sum())
        found.append(Bin(n, float(confidence[inside].mean()), hits / n, metrics.wilson(hits, n)))
    return found


def _bins(confidence: NDArray[np.float64], kind: Bins, bins: int) -> NDArray[np.int64]:
    """The bin of each record, int64[n] in 0..bins - 1."""
    if kind == "width":
        return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    found = np.empty(len(confidence), np.int64)
    found[np.argsort(confidence, kind="stable")] = np.arange(len(confidence)) * bins // max(len(confidence), 1)
    return found
