"""Pairs of vectors that point the same way, found without comparing each with each.

Takes: unit vectors float32[n, d], and a function that gives other views of the same things. Gives: `Pairs`, those with
a similarity (cosine) from a limit on.

The space is cut into cells around about sqrt(n) centres (k-means), and each query looks only into the cells nearest to
it: an inverted file (Sivic & Zisserman, 2003, "Video Google"; Jégou et al., 2011). The work grows as n^1.5; up to
`SMALL` vectors there is one cell, and nothing is missed. Memory: the vectors, views of `BLOCK` of them, and 16 MB.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALL = 20_000
BLOCK = 16_384
PROBES = 16
"""Cells that a query looks into."""

_COMPARED = 1 << 22
"""Similarities that are held at once."""

_ROUNDS, _A_CENTRE = 6, 40

Vectors = NDArray[np.float32]
Look = Callable[[int, int, int], Vectors]
"""Called with (view, first, last): the vectors of things first to last - 1 in that view."""


@dataclass(frozen=True)
class Pairs:
    """first < second, int64[m], each pair once; similarity float32[m], the largest over all views; view int64[m], in
    which it was reached (-1: as they are); turned bool[m]: whether it was the second that was seen in that view.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    similarity: NDArray[np.float32]
    view: NDArray[np.int64]
    turned: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.first)


def neighbours(vectors: Vectors, limit: float, views: int = 0, look: Look | None = None) -> Pairs:
    """Pairs of things that have a similarity of at least `limit`; with `look`, those of which one, in any of its views,
    has it with the other as it is.

    vectors: float32[n, d], rows of length 1 (or 0, which is like nothing). look: vectors of the same things in so many
    views. Deterministic.
    """
    if not len(vectors):
        return _united([], 0)
    cells = _Cells(vectors)
    found = []
    for view in range(views) if look else (-1,):
        for first in range(0, len(vectors), BLOCK):
            last = min(first + BLOCK, len(vectors))
            queries = look(view, first, last) if look else vectors[first:last]
            found.extend((*near, np.full(len(near[0]), view)) for near in cells.near(queries, first, limit))
    return _united(found, len(vectors))


def _united(found: Sequence[tuple[Any, ...]], n: int) -> Pairs:
    """Each pair once, with its best similarity, in ascending order."""
    if not found:
        none = np.empty(0, np.int64)
        return Pairs(none, none, np.empty(0, np.float32), none, np.empty(0, np.bool_))
    one, other, alike, view = (np.concatenate([part[column] for part in found]) for column in range(4))
    keys = np.minimum(one, other) * n + np.maximum(one, other)
    order = np.lexsort((one, view, -alike, keys))  # of each pair the best comes first
    best = order[np.flatnonzero(np.diff(keys[order], prepend=-1))]
    return Pairs(keys[best] // n, keys[best] % n, alike[best], view[best], (one > other)[best])


class _Cells:
    """Vectors by the centre nearest to them."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors
        self.centres = _centres(vectors)
        own = _nearest(vectors, self.centres, 1)[:, 0]
        self.order = np.argsort(own, kind="stable")
        self.edges = np.searchsorted(own[self.order], np.arange(len(self.centres) + 1))

    def near(self, queries: Vectors, number: int, limit: float) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
        """(query, other, similarity) of all that is near; queries are things number, number + 1, ..."""
        probes = min(PROBES, len(self.centres))
        asked = _nearest(queries, self.centres, probes).ravel()
        who = np.repeat(np.arange(len(queries)), probes)
        by_cell = np.argsort(asked, kind="stable")
        edges = np.searchsorted(asked[by_cell], np.arange(len(self.centres) + 1))
        for cell in range(len(self.centres)):
            inside = self.order[self.edges[cell] : self.edges[cell + 1]]
            asking = who[by_cell[edges[cell] : edges[cell + 1]]]
            at_once = max(_COMPARED // max(len(inside), 1), 1)
            for start in range(0, len(asking) if len(inside) else 0, at_once):
                part = asking[start : start + at_once]
                alike = queries[part] @ self.vectors[inside].T
                rows, columns = np.divmod(np.flatnonzero(alike.ravel() >= limit), len(inside))
                one, other = part[rows] + number, inside[columns]
                apart = one != other
                yield one[apart], other[apart], alike[rows, columns][apart]


def _centres(vectors: Vectors) -> Vectors:
    """Centres of cells: about sqrt(n), by a few rounds of k-means on a part of the vectors."""
    count = 1 if len(vectors) <= SMALL else int(np.sqrt(len(vectors)))
    random = np.random.default_rng(0)
    part = vectors[np.sort(random.choice(len(vectors), min(len(vectors), count * _A_CENTRE), replace=False))]
    centres = part[np.sort(random.choice(len(part), min(count, len(part)), replace=False))]
    for _ in range(_ROUNDS if count > 1 else 0):
        own = _nearest(part, centres, 1)[:, 0]
        sums = np.zeros_like(centres)
        np.add.at(sums, own, part)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(lengths > 0, sums / np.maximum(lengths, 1e-12), centres)
    return centres


def _nearest(vectors: Vectors, centres: Vectors, count: int) -> NDArray[np.int64]:
    """The nearest centres of each vector, int64[n, count], in any order."""
    if len(centres) <= count:
        return np.tile(np.arange(len(centres)), (len(vectors), 1))
    found = np.empty((len(vectors), count), np.int64)
    for first in range(0, len(vectors), BLOCK):
        alike = vectors[first : first + BLOCK] @ centres.T
        if count == 1:
            found[first : first + BLOCK, 0] = alike.argmax(axis=1)
        else:
            found[first : first + BLOCK] = np.argpartition(-alike, count - 1, axis=1)[:, :count]
    return found
