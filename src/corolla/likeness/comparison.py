"""All pairs of photos that look alike, by their thumbnails.

Takes: thumbnails uint8[n, 64, 64]. Gives: `Compared`: pairs, and how they lie over each other; `joined`: groups of n
things by pairs of them.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from corolla.likeness.alignment import BLOCK, Aligned, align
from corolla.likeness.neighbours import Pairs, Vectors, neighbours
from corolla.likeness.views import CROPS, MIDDLES, PLAIN, SIDE, VIEWS, View, glances, middle, zoomed
from corolla.reporter import SILENT, Reporter

GLANCE, MIDDLE_GLANCE = 0.8, 0.82
"""Similarity of glances from which two photos are compared, and that for views of the middle alone."""

STEPS = (-0.045, -0.015, 0.015, 0.045, 0.09)
"""How much more or less of a side than a view of the middle has may be seen: the best of them counts. The last is for
photos on black, of which a glance that sees too little is nearer than one that sees an edge of the black."""

_GLANCES_AT_ONCE = 8192


@dataclass(frozen=True)
class Compared:
    """Pairs with like glances, and how they lie over each other."""

    pairs: Pairs
    aligned: Aligned


def thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A photo uint8[h, w, 3] in gray, by areas: uint8[64, 64]."""
    return np.asarray(Image.fromarray(pixels).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX))


def compare(thumbnails: NDArray[np.uint8], reporter: Reporter = SILENT) -> Compared:
    """Propose pairs among thumbnails uint8[n, 64, 64], and lay them over each other.

    The time grows as n^1.5: 9,000 photos take 7 s of two cores, 100,000 five minutes. Deterministic on one machine, by
    any number of threads; other processors may round a similarity otherwise in its seventh digit.
    """
    n, step = len(thumbnails), _GLANCES_AT_ONCE
    parts = [glances(thumbnails[first : first + step], PLAIN) for first in range(0, max(n, 1), step)]
    whole, found, done = np.concatenate(parts), [], 0
    for views, limit in ((CROPS, GLANCE), (MIDDLES, MIDDLE_GLANCE)):

        def look(view: int, first: int, last: int, views: tuple[View, ...] = views, done: int = done) -> Vectors:
            reporter.progress("looking for twins", (done + view) * n + last, len(VIEWS) * n)
            return glances(thumbnails[first:last], views[view])

        pairs = neighbours(whole, limit, len(views), look)
        pairs = replace(pairs, view=pairs.view + done)
        found.append(Compared(pairs, _laid_over(thumbnails, pairs, reporter)))
        done += len(views)
    return _better(n, found)


def _better(n: int, found: list[Compared]) -> Compared:
    """Each pair once, as it is the most similar."""
    columns = [[getattr(each.pairs, name.name) for each in found] for name in fields(Pairs)]
    pairs = Pairs(*map(np.concatenate, columns))
    ssim, side = (np.concatenate([getattr(each.aligned, name) for each in found]) for name in ("ssim", "side"))
    keys = pairs.first * n + pairs.second
    order = np.lexsort((pairs.view, -ssim, keys))
    best = order[np.flatnonzero(np.diff(keys[order], prepend=-1))]
    return Compared(
        Pairs(*(getattr(pairs, each.name)[best] for each in fields(Pairs))), Aligned(ssim[best], side[best])
    )


def _laid_over(thumbnails: NDArray[np.uint8], pairs: Pairs, reporter: Reporter) -> Aligned:
    """`align`, by all cores."""
    turned, done = mirrored(pairs), 0
    found = Aligned(np.empty(len(pairs), np.float32), np.empty(len(pairs), np.int64))
    blocks = [(view, own[i : i + BLOCK]) for view, own in _by_zoom(pairs) for i in range(0, len(own), BLOCK)]

    def work(block: tuple[View | None, NDArray[np.int64]]) -> tuple[NDArray[np.int64], Aligned]:
        view, rows = block
        first, second = pairs.first[rows], pairs.second[rows]
        if view is None:
            return rows, align(thumbnails[first], thumbnails[second], turned[rows])
        seen, other = np.where(pairs.turned[rows], (second, first), (first, second))
        return rows, _zoomed_over(thumbnails[seen], thumbnails[other], view)

    with ThreadPoolExecutor(os.cpu_count() or 1, "corolla") as pool:
        for rows, part in pool.map(work, blocks):
            found.ssim[rows], found.side[rows] = part.ssim, part.side
            done += len(rows)
            reporter.progress("comparing", done, len(pairs))
    return found


def _by_zoom(pairs: Pairs) -> Iterator[tuple[View | None, NDArray[np.int64]]]:
    """Rows of pairs: those that `align` compares as they are, and those of each view of the middle."""
    yield None, np.flatnonzero(pairs.view < len(CROPS))
    for number, view in enumerate(MIDDLES, len(CROPS)):
        yield view, np.flatnonzero(pairs.view == number)


def _zoomed_over(seen: NDArray[np.uint8], other: NDArray[np.uint8], view: View) -> Aligned:
    """The middles of some thumbnails over others: the best of `STEPS` for each."""
    no = np.zeros(len(seen), np.bool_)
    tried = [align(zoomed(seen, _more(view, step)), other, no) for step in STEPS]
    best = np.argmax([each.ssim for each in tried], axis=0)[None]
    return Aligned(*(np.take_along_axis(np.stack(each), best, 0)[0] for each in zip(*map(_both, tried), strict=True)))


def _both(aligned: Aligned) -> tuple[NDArray, NDArray]:
    return aligned.ssim, aligned.side


def _more(view: View, step: float) -> View:
    """The middle with so much more of the sides that it does not have whole."""
    return middle(*(side if side == 1 else side + step for side in (view.tall, view.wide)))


def mirrored(pairs: Pairs) -> NDArray[np.bool_]:
    """Whether one of a pair is the other's mirror image: bool[m]."""
    return np.array([*(view.mirrored for view in VIEWS), False])[pairs.view]  # -1, of no view, is the last


def renumbered(pairs: Pairs, numbers: NDArray[np.int64]) -> Pairs:
    """Pairs of some things, by their numbers int64[n] (ascending) among all of them."""
    return replace(pairs, first=numbers[pairs.first], second=numbers[pairs.second])


def joined(n: int, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """What n things hang together with by pairs, directly or through others: int64[n], the first of each group."""
    graph = coo_array((np.ones(len(first), np.bool_), (first, second)), shape=(n, n))
    found = connected_components(graph, directed=False)[1] if n else np.empty(0, np.int64)
    return np.unique(found, return_index=True)[1][found].astype(np.int64) if n else found
