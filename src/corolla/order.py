"""Which record stands where in which step: a pure function of (seed, epoch).

Takes: the number of records, the batch size, a seed, an epoch.
Gives: `Lanes`, the fixed places of the records, and `EpochOrder`, what each step reads and how it is augmented.

Pixels never cross chips, so a step may only pick from what each chip holds; and the result must not depend on how
many chips there are. Both hold with *lanes*: place i of every batch is lane i, which owns a fixed run of the records
and walks through them in an order of its own. A chip holds whole lanes. Every record comes exactly once an epoch.
What it costs: two records of one lane never meet in one batch.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 72
"""Uniform random numbers an image and step that augmentation may use."""
_FIRST_DRAWS = 6
"""So many come with the picks; the others, added later, have a counter of their own, so old runs go on as they were."""


@dataclass(frozen=True)
class Lanes:
    """n records laid out as batch_size lanes of `steps` places: record j stands in lane j // steps at j % steps.

    Places beyond the n-th record are padding: weight 0.
    """

    n: int
    batch_size: int

    @property
    def steps(self) -> int:
        """Steps an epoch, the last records included."""
        return -(-self.n // self.batch_size)

    def weights(self) -> NDArray[np.float32]:
        """float32[batch_size, steps]: 1 for a record, 0 for padding."""
        return self.place(np.ones(self.n, np.float32))

    def place(self, values: NDArray) -> NDArray:
        """Lay values[n, ...] out as [batch_size, steps, ...]; padding is 0."""
        padded = np.zeros((self.batch_size * self.steps, *values.shape[1:]), values.dtype)
        padded[: self.n] = values
        return padded.reshape(self.batch_size, self.steps, *values.shape[1:])

    def flatten(self, placed: NDArray) -> NDArray:
        """The inverse of `place`: [batch_size (or more), steps, ...] back to [n, ...]."""
        return placed.reshape(-1, *placed.shape[2:])[: self.n]


@dataclass(frozen=True)
class EpochOrder:
    """What the steps of one epoch do.

    picks: int32[batch_size, steps], the place that each lane reads at each step (a permutation a lane).
    draws: float32[batch_size, steps, DRAWS], uniform in [0, 1): all the chance there is in augmentation.
    partners: int32[batch_size, steps], the place of the image that each is mixed with: the lane's next one.
    """

    picks: NDArray[np.int32]
    draws: NDArray[np.float32]

    @property
    def partners(self) -> NDArray[np.int32]:
        """See above."""
        return np.roll(self.picks, -1, axis=1)


def epoch_order(lanes: Lanes, seed: int, epoch: int, shares: NDArray | None = None) -> EpochOrder:
    """The order of one epoch, the same on every machine and for every number of devices.

    shares: float[n], how often each record should come, relative to the others of its lane; None: all of them once.
    Philox is counter-based (Salmon et al., SC 2011): the key is the seed, the counter the epoch, so no state is kept.
    """
    first, more = (np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, i, epoch])) for i in (0, 1))
    shape = (lanes.batch_size, lanes.steps)
    picks = first.random(shape).argsort(axis=1, kind="stable").astype(np.int32)
    if shares is not None:
        rest = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 2, epoch]))
        picks = np.take_along_axis(_unequal(lanes, shares, rest.random(lanes.batch_size)), picks, axis=1)
    parts = ((first, _FIRST_DRAWS), (more, DRAWS - _FIRST_DRAWS))
    draws = [random.random((*shape, count), dtype=np.float32) for random, count in parts]
    return EpochOrder(picks, np.concatenate(draws, axis=-1))


def _unequal(lanes: Lanes, shares: NDArray, starts: NDArray) -> NDArray[np.int32]:
    """The places that come in each lane, int32[batch_size, steps]: some of them several times, others not at all.

    Systematic sampling: steps of equal length through the summed shares, from a start in [0, 1) a lane, so each record
    comes as often as its share says, rounded up or down. Padding comes as often as ever.
    """
    placed = lanes.place(np.asarray(shares, np.float64))
    real = lanes.weights().sum(axis=1).astype(np.int64)
    found = np.broadcast_to(np.arange(lanes.steps, dtype=np.int32), placed.shape).copy()
    for lane, count in enumerate(real):
        ends = placed[lane, :count].cumsum()
        marks = (np.arange(count) + starts[lane]) * (ends[-1] / count) if count else ends
        found[lane, :count] = np.minimum(np.searchsorted(ends, marks, side="right"), count - 1)
    return found


def sequential(lanes: Lanes) -> EpochOrder:
    """Every lane from its first place to its last, for evaluation and prediction; no chance in it."""
    picks = np.broadcast_to(np.arange(lanes.steps, dtype=np.int32), (lanes.batch_size, lanes.steps))
    return EpochOrder(picks.copy(), np.zeros((lanes.batch_size, lanes.steps, DRAWS), np.float32))
