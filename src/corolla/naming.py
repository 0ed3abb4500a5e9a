"""From what a model says of a photo to names that people can use.

Takes: features and logits. Gives: `Namer`: the likeliest labels with calibrated probabilities, and whether the photo
shows one of the kinds at all.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from corolla.open_set import OpenSet


@dataclass(frozen=True)
class Guess:
    """One label for a photo. label: 0 to classes - 1."""

    label: int
    name: str
    probability: float


@dataclass(frozen=True)
class Named:
    """A photo's likeliest labels, the likeliest first."""

    top: list[Guess] = field(default_factory=list)
    score: float | None = None
    """How much the photo looks like one of the kinds; None where the model cannot say."""
    limit: float | None = None
    """What photos of the kinds reach."""

    @property
    def unknown(self) -> bool | None:
        """Whether it shows none of the kinds; None where the model cannot say."""
        return None if self.score is None or self.limit is None else self.score < self.limit


@dataclass(frozen=True)
class Namer:
    """The words of a model, and what it takes to believe it. temperature: what logits are divided by."""

    names: list[str]
    temperature: float = 1.0
    open_set: OpenSet | None = None

    def __call__(self, features: NDArray | None, logits: NDArray, top: int) -> list[Named]:
        """What is said of photos: features float32[n, f], where they are known, and logits float32[n, classes]."""
        weights = np.exp((logits.astype(np.float64) - logits.max(axis=1, keepdims=True)) / self.temperature)
        probabilities = weights / weights.sum(axis=1, keepdims=True)
        tops = [self._guesses(row, top) for row in probabilities]
        if self.open_set is None or features is None:
            return [Named(guesses) for guesses in tops]
        scores = self.open_set(features, logits)
        return [Named(each, float(score), self.open_set.limit) for each, score in zip(tops, scores, strict=True)]

    def _guesses(self, probabilities: NDArray, top: int) -> list[Guess]:
        best = np.argsort(-probabilities, kind="stable")[:top]
        return [Guess(int(label), self.names[label], float(probabilities[label])) for label in best]
