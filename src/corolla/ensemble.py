"""Several runs as one: how much each counts, how sharp each is made, and how labels are chosen in the end.

Takes: what runs say of the same labelled records, float[runs, n, classes]. Gives: `Ensemble`, fitted to them, which
makes one set of probabilities and labels of what the runs say of other photos; it is kept as JSON.

Each run is brought to its own temperature first, or a run that is merely too sure of itself would count too much. Then
all count the same, or as the least cross-entropy on the simplex has it, a convex problem (stacking: Wolpert, 1992;
Breiman, 1996; van der Laan et al., 2007). A mean of calibrated probabilities is too unsure, so a temperature comes
after it too.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from corolla import decide
from corolla.calibrate import SMALLEST, refuse_few, scaled, temperature
from corolla.checkpoint import read_json
from corolla.decide import Rule
from corolla.errors import RunError, WishError
from corolla.folds import places
from corolla.storage import AnyPath
from corolla.types import Weighing

NEGLIGIBLE = 1e-3
"""Weights below become 0: such a run moves no label, and costs as much time as any other."""


@dataclass(frozen=True)
class Member:
    """One run of an ensemble, or the mean of a cross-validation's runs. digest: of its predictions (`run`)."""

    run: str
    digest: str
    temperature: float
    weight: float


@dataclass(frozen=True)
class Ensemble:
    """Runs, with their weights, and the rule by which labels are chosen of their mean."""

    members: tuple[Member, ...]
    rule: Rule

    def mean(self, stack: NDArray) -> NDArray[np.float64]:
        """The weighted mean of probabilities float[members, n, classes]: float64[n, classes]."""
        pairs = zip(self.members, stack, strict=True)
        return np.sum([member.weight * scaled(p, member.temperature) for member, p in pairs], axis=0)

    def probabilities(self, stack: NDArray) -> NDArray[np.float64]:
        """Calibrated probabilities float64[n, classes] of those of the members, float[members, n, classes]."""
        return scaled(self.mean(stack), self.rule.temperature)

    def labels(self, stack: NDArray) -> NDArray[np.int64]:
        """Labels int64[n] of all photos that are to be labelled together."""
        return self.rule.labels(self.mean(stack))

    def of(self, runs: dict[str, str]) -> "Ensemble":
        """The same with its members where and in the order that they are now. runs: path by digest.

        Raises WishError where one of the runs is none of its members, or one of its members that counts is not there.
        """
        known = {member.digest: member for member in self.members}
        for digest, run in runs.items():
            if digest not in known:
                raise WishError(f"{run} is none of the runs of the blend ({self._names()}): blend anew with it")
        for member in self.members:
            if member.weight and member.digest not in runs:
                raise WishError(f"the blend wants {member.run} too, which counts {member.weight:.0%}")
        return replace(self, members=tuple(replace(known[digest], run=run) for digest, run in runs.items()))

    def _names(self) -> str:
        return ", ".join(member.run for member in self.members)

    def counting(self) -> "Ensemble":
        """The same without members of weight 0."""
        return replace(self, members=tuple(member for member in self.members if member.weight))

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"members": [asdict(member) for member in self.members], "rule": asdict(self.rule)}


def from_json(stored: dict[str, Any]) -> Ensemble:
    """The ensemble that `Ensemble.to_json` told; whatever else stands there is left out."""
    return Ensemble(tuple(Member(**member) for member in stored["members"]), Rule(**stored["rule"]))


def read(path: AnyPath) -> Ensemble:
    """Read an ensemble from a file. Raises RunError."""
    try:
        return from_json(read_json(path))
    except (TypeError, KeyError) as error:
        raise RunError(f"{path} is no blend: make one with `corolla blend RUN... --out FILE`") from error


# ------------------------------------------------------------------------------------------------------- fitting


def fit(names: list[tuple[str, str]], labels: NDArray, stack: NDArray, weighing: Weighing = "equal") -> Ensemble:
    """Fit temperatures, rule and (where wished) weights to labelled records that no run has learned from.

    names: path and digest of each run; labels: int[n]; stack: float[runs, n, classes].
    """
    hot = [temperature(labels, probabilities) for probabilities in stack]
    weights = np.full(len(stack), 1 / len(stack))
    if weighing == "fitted":
        own = [scaled(p, t)[np.arange(len(labels)), labels] for p, t in zip(stack, hot, strict=True)]
        weights = simplex_weights(np.stack(own, axis=1))
    members = [Member(*name, t, float(w)) for name, t, w in zip(names, hot, weights, strict=True)]
    mean = Ensemble(tuple(members), Rule(1.0, False)).mean(stack)
    return Ensemble(tuple(members), decide.fit_rule(labels, mean))


def simplex_weights(own: NDArray) -> NDArray[np.float64]:
    """Weights float64[runs], none negative and 1 in all, of the least cross-entropy of the weighted mean.

    own: float[n, runs], what each run gives the true label of each record.
    """
    own = np.maximum(own.astype(np.float64), SMALLEST)
    runs = own.shape[1]
    if runs == 1:
        return np.ones(1)

    def loss(weights: NDArray) -> tuple[float, NDArray]:
        mean = own @ weights
        return float(-np.log(mean).mean()), -(own / mean[:, None]).mean(axis=0)

    whole = {"type": "eq", "fun": lambda weights: weights.sum() - 1, "jac": lambda weights: np.ones(runs)}
    begin, bounds = np.full(runs, 1 / runs), [(1e-9, 1)] * runs
    found = minimize(loss, begin, jac=True, bounds=bounds, constraints=whole, options={"ftol": 1e-10, "maxiter": 500})
    weights = np.where(found.x < NEGLIGIBLE, 0, found.x)
    weights = weights / weights.sum()
    return weights if np.log(own @ weights).mean() >= np.log(own @ begin).mean() else begin


@dataclass(frozen=True)
class Fitted:
    """What ensembles say of records that they were not fitted to: probabilities, and labels int[n] by their rule."""

    probabilities: NDArray[np.float64]
    labels: NDArray[np.int64]


def cross_fitted(
    ids: list[str], labels: NDArray, stack: NDArray, weighing: Weighing = "equal", folds: int = decide.FOLDS
) -> Fitted:
    """Judge such fits: for each fold, one that is fitted to the others says what it thinks of all, and of this fold's
    records that is kept.

    labels: int[n]; stack: float[runs, n, classes]. Raises DataError with fewer than two records a fold.
    """
    refuse_few(labels, folds)
    fold, probabilities, found = places(ids, labels, folds), np.empty(stack.shape[1:]), np.empty(len(ids), np.int64)
    for each in range(folds):
        held = fold == each
        fitted = fit([("", "")] * len(stack), labels[~held], stack[:, ~held], weighing)
        probabilities[held], found[held] = fitted.probabilities(stack)[held], fitted.labels(stack)[held]
    return Fitted(probabilities, found)
