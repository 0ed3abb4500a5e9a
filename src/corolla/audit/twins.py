"""Photos that are the same photo: which ones, and how they were changed.

Takes: `Gathered`. Gives: `Twin`s: pairs of records that hold the same bytes, or the same picture after scaling,
recompressing, mirroring, cropping, brightening; and `groups` of them.

Three steps, each costlier and for fewer pairs. Glances in 20 views propose (`views`, `neighbours`). Laid over each
other, thumbnails must be structurally similar (`alignment`). Between `DOUBT` and `SURE` the features of the model
inside the package decide. The limits were measured on planted twins and on real photos (bench/audit.py).
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from corolla import shipped
from corolla.audit.alignment import BLOCK, SIDE, Aligned, align
from corolla.audit.neighbours import Pairs, neighbours
from corolla.audit.sources import Gathered, pixels
from corolla.audit.views import PLAIN, VIEWS, glances
from corolla.reporter import SILENT, Reporter

GLANCE = 0.8
"""Similarity of glances from which two photos are compared."""
SURE, DOUBT = 0.75, 0.6
"""SSIM of twins; and from which on features are asked. Strangers of the same pose reach 0.74."""
FEATURES = 0.95
"""Cosine of features of twins in doubt: another flower of the same kind in the same pose reaches 0.94."""
ALIKE = 0.95
"""Cosine of features from which photos are compared where features are looked for first (`thorough`)."""

_FEATURES_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Twin:
    """Two records, first < second. exact: the same bytes.

    ssim: of what both show, -1..1; features: cosine of the features, where they were asked for; mirrored; kept: part of
    the sides of one that the other shows (1: all).
    """

    first: int
    second: int
    exact: bool
    ssim: float
    features: float | None = None
    mirrored: bool = False
    kept: float = 1.0


def find_twins(gathered: Gathered, thorough: bool = False, reporter: Reporter = SILENT) -> list[Twin]:
    """All twins, in order. thorough: propose by features of every photo too, which takes some 30 ms a photo.

    Raises RunError where the model inside the package is missing or damaged.
    """
    exact, originals = _exact(gathered)
    found = compare(gathered.thumbnails[originals], reporter)
    pairs = _renumbered(found.pairs, originals)
    looked: dict[int, NDArray[np.float32]] = {}
    aligned = found.aligned
    if thorough:
        looked = features(gathered, originals.tolist(), reporter)
        more = _renumbered(neighbours(np.stack([looked[i] for i in originals.tolist()]), ALIKE), originals)
        pairs, aligned = _with_more(gathered, pairs, aligned, more)
    return sorted([*exact, *_confirmed(gathered, pairs, aligned, looked, reporter)], key=lambda t: (t.first, t.second))


@dataclass(frozen=True)
class Compared:
    """Pairs with like glances, and how they lie over each other."""

    pairs: Pairs
    aligned: Aligned


def compare(thumbnails: NDArray[np.uint8], reporter: Reporter = SILENT) -> Compared:
    """Propose pairs among thumbnails uint8[n, 64, 64], and lay them over each other."""

    def look(view: int, first: int, last: int) -> NDArray[np.float32]:
        reporter.progress("looking for twins", view * len(thumbnails) + last, len(VIEWS) * len(thumbnails))
        return glances(thumbnails[first:last], VIEWS[view])

    whole = np.concatenate([glances(thumbnails[i : i + 8192], PLAIN) for i in range(0, len(thumbnails), 8192)])
    pairs = neighbours(whole, GLANCE, len(VIEWS), look)
    return Compared(pairs, _laid_over(thumbnails, pairs, reporter))


def _laid_over(thumbnails: NDArray[np.uint8], pairs: Pairs, reporter: Reporter) -> Aligned:
    """`align`, by all cores."""
    turned = mirrored(pairs)
    blocks = [slice(first, first + BLOCK) for first in range(0, len(pairs), BLOCK)]

    def work(block: slice) -> Aligned:
        return align(thumbnails[pairs.first[block]], thumbnails[pairs.second[block]], turned[block])

    parts = []
    with ThreadPoolExecutor(os.cpu_count() or 1, "corolla") as pool:
        for part in pool.map(work, blocks):
            parts.append(part)
            reporter.progress("comparing", min(len(parts) * BLOCK, len(pairs)), len(pairs))
    if not parts:
        return Aligned(np.empty(0, np.float32), np.empty(0, np.int64))
    return Aligned(np.concatenate([part.ssim for part in parts]), np.concatenate([part.side for part in parts]))


def mirrored(pairs: Pairs) -> NDArray[np.bool_]:
    """Whether one of a pair is the other's mirror image: bool[m]."""
    return np.array([*(view.mirrored for view in VIEWS), False])[pairs.view]  # -1, of no view, is the last


# ----------------------------------------------------------------------------------------------------- exact copies


def _exact(gathered: Gathered) -> tuple[list[Twin], NDArray[np.int64]]:
    """Records with the same bytes, each with the first of them; and the first of each, int64[m]."""
    firsts: dict[bytes, int] = {}
    twins, originals = [], []
    for i, record in enumerate(gathered.records):
        first = firsts.setdefault(record.digest, i)
        if first == i:
            originals.append(i)
        else:
            twins.append(Twin(first, i, True, 1.0))
    return twins, np.array(originals, np.int64)


def _renumbered(pairs: Pairs, originals: NDArray[np.int64]) -> Pairs:
    return Pairs(originals[pairs.first], originals[pairs.second], pairs.similarity, pairs.view)


# ------------------------------------------------------------------------------------------------------- confirming


def _confirmed(
    gathered: Gathered, pairs: Pairs, aligned: Aligned, looked: dict[int, NDArray[np.float32]], reporter: Reporter
) -> Iterator[Twin]:
    doubtful = np.flatnonzero((aligned.ssim >= DOUBT) & (aligned.ssim < SURE))
    asked = {int(i) for row in doubtful for i in (pairs.first[row], pairs.second[row])} - looked.keys()
    looked = looked | (features(gathered, sorted(asked), reporter) if asked else {})
    turned = mirrored(pairs)
    for row in np.flatnonzero(aligned.ssim >= DOUBT).tolist():
        first, second, ssim = int(pairs.first[row]), int(pairs.second[row]), float(aligned.ssim[row])
        known = first in looked and second in looked
        cosine = float(looked[first] @ looked[second]) if known else None
        if ssim >= SURE or (cosine is not None and cosine >= FEATURES):
            yield Twin(first, second, False, ssim, cosine, bool(turned[row]), float(aligned.side[row] / SIDE))


def _with_more(gathered: Gathered, pairs: Pairs, aligned: Aligned, more: Pairs) -> tuple[Pairs, Aligned]:
    """Pairs that features propose, in both orientations, beside those that glances proposed."""
    n = len(gathered)
    new = ~np.isin(more.first * n + more.second, pairs.first * n + pairs.second)
    first, second, alike = more.first[new], more.second[new], more.similarity[new]
    each = [
        align(gathered.thumbnails[first], gathered.thumbnails[second], np.full(len(first), t)) for t in (False, True)
    ]
    turned = each[1].ssim > each[0].ssim
    view = np.where(turned, next(i for i, view in enumerate(VIEWS) if view.mirrored), -1)
    ssim, side = (np.where(turned, getattr(each[1], name), getattr(each[0], name)) for name in ("ssim", "side"))
    joined = Pairs(
        np.concatenate([pairs.first, first]),
        np.concatenate([pairs.second, second]),
        np.concatenate([pairs.similarity, alike]),
        np.concatenate([pairs.view, view]),
    )
    return joined, Aligned(np.concatenate([aligned.ssim, ssim]), np.concatenate([aligned.side, side]))


def features(gathered: Gathered, wanted: Sequence[int], reporter: Reporter = SILENT) -> dict[int, NDArray[np.float32]]:
    """What the model inside the package sees in some photos: float32[f] of length 1 each, by number."""
    model = shipped.load()
    found: dict[int, NDArray[np.float32]] = {}
    batch: list[tuple[int, NDArray[np.uint8]]] = []

    def work() -> None:
        rows, _ = model.model.with_features(np.stack([image for _, image in batch]))
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        found.update(zip((i for i, _ in batch), rows.astype(np.float32), strict=True))
        batch.clear()
        reporter.progress("a closer look", len(found), len(wanted))

    for one in pixels(gathered, wanted, partial(_resized, side=model.image_size)):
        batch.append(one)
        if len(batch) == _FEATURES_AT_ONCE:
            work()
    if batch:
        work()
    return found


def _resized(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS))


# ----------------------------------------------------------------------------------------------------------- groups


def groups(n: int, twins: Sequence[Twin]) -> list[list[int]]:
    """Records that are joined by twins, directly or through others, of n in all: lists of two and more, in order."""
    ends = np.array([(twin.first, twin.second) for twin in twins], np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(n, n))
    _, numbers = connected_components(graph, directed=False)
    members: dict[int, list[int]] = defaultdict(list)
    for i in np.unique(ends).tolist():
        members[int(numbers[i])].append(i)
    return sorted(members.values())
