"""Photos that are the same photo, or one of the same thing a moment later: which ones, and how they were changed.

Takes: `Photos`. Gives: `Twin`s: pairs of photos that hold the same bytes, or the same picture after scaling,
recompressing, mirroring, cropping, brightening; and `groups` of them.

Three steps, each costlier and for fewer pairs. The first two are `comparison`'s. Between `DOUBT` and `SURE` the
features of the model inside the package decide. The limits were measured on planted twins and on pairs of real photos
that a person has judged (bench/audit.py); that of features is the model's own, and a new model may want another.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from corolla import shipped
from corolla.likeness.alignment import Aligned, align
from corolla.likeness.comparison import compare, joined, mirrored, renumbered
from corolla.likeness.neighbours import Pairs, neighbours
from corolla.likeness.views import MIDDLES, PLAIN, SIDE, VIEWS
from corolla.reporter import SILENT, Reporter

SURE, DOUBT = 0.75, 0.5
"""SSIM of twins; and from which on features are asked. Strangers of the same pose reach 0.74."""
FEATURES = 0.905
"""Cosine of features of twins in doubt. Of 99 pairs of strangers among real photos one reaches it, of 43 pairs of the
same scene 37 do."""
PROPOSED = 0.95
"""Cosine of features from which photos are compared where features are looked for first (`thorough`)."""

_FEATURES_AT_ONCE = 16
_SEEN = (*VIEWS, PLAIN)  # -1, of no view, is the last

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Photos:
    """n photos. digests: of their bytes; thumbnails: uint8[n, 64, 64] (`comparison.thumbnail`).

    pixels: called with the numbers of some photos and a function; yields each number, and what the function makes of
    that photo, uint8[h, w, 3].
    """

    digests: Sequence[bytes]
    thumbnails: Pixels
    pixels: Callable[[Collection[int], Callable[[Pixels], Pixels]], Iterator[tuple[int, Any]]]


@dataclass(frozen=True, slots=True)
class Twin:
    """Two records, first < second. exact: the same bytes.

    ssim: of what both show, -1..1; features: cosine of the features, where they were asked for; mirrored; kept: part of
    the sides of one that the other shows (1: all), of the side of which it shows less; stretched: sides are not scaled
    alike.
    """

    first: int
    second: int
    exact: bool
    ssim: float
    features: float | None = None
    mirrored: bool = False
    kept: float = 1.0
    stretched: bool = False


def find_twins(photos: Photos, slack: float = 0, thorough: bool = False, reporter: Reporter = SILENT) -> list[Twin]:
    """All twins, in order. slack: limits are lowered by so much, for photos that will be compressed again before others
    compare them. thorough: propose by features of every photo too, which takes some 30 ms a photo.

    Raises RunError where the model inside the package is missing or damaged.
    """
    exact, originals = _exact(photos.digests)
    found = compare(photos.thumbnails[originals], reporter)
    pairs = renumbered(found.pairs, originals)
    looked: dict[int, NDArray[np.float32]] = {}
    aligned = found.aligned
    if thorough:
        looked = features(photos, originals.tolist(), reporter)
        more = renumbered(neighbours(np.stack([looked[i] for i in originals.tolist()]), PROPOSED), originals)
        pairs, aligned = _with_more(photos, pairs, aligned, more)
    confirmed = _confirmed(photos, pairs, aligned, slack, looked, reporter)
    return sorted([*exact, *confirmed], key=lambda twin: (twin.first, twin.second))


# ----------------------------------------------------------------------------------------------------- exact copies


def _exact(digests: Sequence[bytes]) -> tuple[list[Twin], NDArray[np.int64]]:
    """Photos of the same bytes, each with the first of them; and the first of each, int64[m]."""
    firsts: dict[bytes, int] = {}
    twins, originals = [], []
    for i, digest in enumerate(digests):
        first = firsts.setdefault(digest, i)
        if first == i:
            originals.append(i)
        else:
            twins.append(Twin(first, i, True, 1.0))
    return twins, np.array(originals, np.int64)


# ------------------------------------------------------------------------------------------------------- confirming


def _confirmed(
    photos: Photos,
    pairs: Pairs,
    aligned: Aligned,
    slack: float,
    looked: dict[int, NDArray[np.float32]],
    reporter: Reporter,
) -> Iterator[Twin]:
    likely = aligned.ssim >= DOUBT - slack
    doubtful = np.flatnonzero(likely & (aligned.ssim < SURE - slack))
    asked = {int(i) for row in doubtful for i in (pairs.first[row], pairs.second[row])} - looked.keys()
    looked = looked | (features(photos, sorted(asked), reporter) if asked else {})
    turned = mirrored(pairs)
    for row in np.flatnonzero(likely).tolist():
        first, second, ssim = int(pairs.first[row]), int(pairs.second[row]), float(aligned.ssim[row])
        known = first in looked and second in looked
        cosine = float(looked[first] @ looked[second]) if known else None
        if ssim >= SURE - slack or (cosine is not None and cosine >= FEATURES - slack):
            seen = _SEEN[int(pairs.view[row])]
            kept = float(aligned.side[row] / SIDE) * (min(seen.tall, seen.wide) if seen in MIDDLES else 1.0)
            yield Twin(first, second, False, ssim, cosine, bool(turned[row]), kept, seen.stretches)


def _with_more(photos: Photos, pairs: Pairs, aligned: Aligned, more: Pairs) -> tuple[Pairs, Aligned]:
    """Pairs that features propose, in both orientations, beside those that glances proposed."""
    n = len(photos.thumbnails)
    new = ~np.isin(more.first * n + more.second, pairs.first * n + pairs.second)
    first, second, alike = more.first[new], more.second[new], more.similarity[new]
    each = [align(photos.thumbnails[first], photos.thumbnails[second], np.full(len(first), t)) for t in (False, True)]
    turned = each[1].ssim > each[0].ssim
    view = np.where(turned, next(i for i, view in enumerate(VIEWS) if view.mirrored), -1)
    ssim, side = (np.where(turned, getattr(each[1], name), getattr(each[0], name)) for name in ("ssim", "side"))
    both = Pairs(
        np.concatenate([pairs.first, first]),
        np.concatenate([pairs.second, second]),
        np.concatenate([pairs.similarity, alike]),
        np.concatenate([pairs.view, view]),
        np.concatenate([pairs.turned, np.zeros(len(view), np.bool_)]),
    )
    return both, Aligned(np.concatenate([aligned.ssim, ssim]), np.concatenate([aligned.side, side]))


def features(photos: Photos, wanted: Sequence[int], reporter: Reporter = SILENT) -> dict[int, NDArray[np.float32]]:
    """What the model inside the package sees in some photos: float32[f] of length 1 each, by number."""
    model = shipped.load()
    found: dict[int, NDArray[np.float32]] = {}
    batch: list[tuple[int, Pixels]] = []

    def work() -> None:
        rows, _ = model.model.with_features(np.stack([image for _, image in batch]))
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        found.update(zip((i for i, _ in batch), rows.astype(np.float32), strict=True))
        batch.clear()
        reporter.progress("a closer look", len(found), len(wanted))

    for one in photos.pixels(wanted, partial(_resized, side=model.image_size)):
        batch.append(one)
        if len(batch) == _FEATURES_AT_ONCE:
            work()
    if batch:
        work()
    return found


def _resized(image: Pixels, side: int) -> Pixels:
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS))


# ----------------------------------------------------------------------------------------------------------- groups


def groups(n: int, twins: Sequence[Twin]) -> list[list[int]]:
    """Photos that are joined by twins, directly or through others, of n in all: lists of two and more, in order."""
    ends = np.array([(twin.first, twin.second) for twin in twins], np.int64).reshape(-1, 2)
    numbers = joined(n, ends[:, 0], ends[:, 1])
    members: dict[int, list[int]] = defaultdict(list)
    for i in np.unique(ends).tolist():
        members[int(numbers[i])].append(i)
    return sorted(members.values())
