"""Whether a photo shows one of the kinds at all: scores that are high for what a classifier knows, and a limit.

Takes: features float32[n, f] (what the head takes) and logits float32[n, classes]. Gives: `SCORES`, each a function of
them and of what `Known` keeps of the training photos; `limit`; `OpenSet`, which answers for single photos.

A classifier of 104 kinds calls a cat a flower too. Its probabilities say which kind is likelier than the others, not
that it is any; `docs/open_set.md` compares the scores on photos of other things.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from corolla.errors import RunError

Array = NDArray[np.float32]

REFUSED = 0.02
"""Part of the photos of known kinds that may be refused."""


DIRECTIONS = 256
"""Directions in which photos of one kind differ most; the others count as differing equally."""


@dataclass(frozen=True)
class Known:
    """What the training photos look like to a backbone, told so that distances mean something.

    Features are seen from `middle`, float32[f], and made shorter along `directions`, float32[f, d], by `shortened`,
    float32[d]: there photos of one kind differ, which says nothing of the kind.
    """

    middle: Array
    directions: Array
    shortened: Array
    means: Array
    """Of each kind's photos, float32[kinds with photos, f], of length 1."""

    @classmethod
    def of(cls, features: Array, labels: NDArray) -> "Known":
        """features: float32[n, f] of training photos; kinds without any have no mean."""
        kinds, place = np.unique(labels, return_inverse=True)
        middle = features.mean(axis=0)
        inside = features - _means(features, place, len(kinds))[place]
        variances, directions = np.linalg.eigh(np.cov(inside.T).astype(np.float64))
        variances, directions = np.maximum(variances[::-1], 0), directions[:, ::-1].astype(np.float32)
        d = min(DIRECTIONS, len(variances))
        usual = max(float(variances.mean()), 1e-12)  # added to all of them: few photos say little of small ones
        rest = variances[d:].mean() if d < len(variances) else 0.0
        shortened = np.sqrt((rest + usual) / (variances[:d] + usual)).astype(np.float32)
        blank = cls(middle, directions[:, :d], shortened, np.empty((0, len(middle)), np.float32))
        return replace(blank, means=_unit(_means(blank.seen(features), place, len(kinds))))

    def seen(self, features: Array) -> Array:
        """Features of length 1, as distances are taken of them."""
        x = features - self.middle
        along = (x @ self.directions) * (self.shortened - 1)
        return _unit(x + along @ self.directions.T)


def _means(rows: NDArray, place: NDArray, kinds: int) -> NDArray:
    return np.stack([rows[place == kind].mean(axis=0) for kind in range(kinds)])


def _unit(rows: NDArray) -> Array:
    """Rows of length 1."""
    return (rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)).astype(np.float32)


# Scores: features [n, f], logits [n, classes], Known -> [n]; higher for what is known -----------------------------


def largest_probability(features: Array, logits: Array, known: Known) -> Array:
    """Softmax of the likeliest kind (Hendrycks and Gimpel, 2017)."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return 1 / shifted.sum(axis=1)


def energy(features: Array, logits: Array, known: Known) -> Array:
    """log(sum(exp(logits))) (Liu et al., 2020)."""
    top = logits.max(axis=1)
    return top + np.log(np.exp(logits - top[:, None]).sum(axis=1))


def nearness(features: Array, logits: Array, known: Known) -> Array:
    """Cosine between the photo and the nearest kind's mean: Mahalanobis' distance (Lee et al., 2018) of directions."""
    return (known.seen(features) @ known.means.T).max(axis=1)


Score = Callable[[Array, Array, Known], Array]
SCORES: dict[str, Score] = {
    "largest probability": largest_probability,
    "energy": energy,
    "nearness": nearness,
}


def limit(scores: NDArray, refused: float = REFUSED) -> float:
    """The highest limit below which at most this part of known photos lies."""
    ordered = np.sort(np.asarray(scores, np.float64))
    return float(ordered[int(refused * len(ordered))])


@dataclass(frozen=True)
class OpenSet:
    """One score and its limit, for photos of any kind. score: a name of `SCORES`."""

    score: str
    limit: float
    known: Known

    def __post_init__(self) -> None:
        if self.score not in SCORES:
            raise RunError(f"the score {self.score!r} is not known to this version of Corolla")

    def __call__(self, features: Array, logits: Array) -> NDArray[np.float32]:
        """Scores of photos, float32[n]; what lies below `limit` is no kind that the model knows."""
        return SCORES[self.score](features, logits, self.known)
