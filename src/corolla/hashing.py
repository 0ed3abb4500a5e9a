"""Which photos look alike: a fingerprint of 64 bits a photo, and all pairs of fingerprints that nearly agree.

Takes: uint8[n, h, w, 3]. Gives: `perceptual`: uint64[n]; `mirrored`: the fingerprints of the mirror images, without
the images; `pairs`: int64[m, 2], every pair within a distance, in less than quadratic time.

The fingerprint tells the signs of the 64 slowest waves of the photo's discrete cosine transform (pHash: C. Zauner,
"Implementation and benchmarking of perceptual image hash functions", 2010). Brightness is a wave of its own, which is
left out, and contrast changes no sign. A mirror image has the same waves, those of odd number reversed: so one
exclusive-or gives its fingerprint. All sums are of whole numbers below 2^53, which float64 holds exactly: the same
fingerprints on every machine, in every batch, by every number of threads.

Pairs are found by multi-index hashing (M. Norouzi, A. Punjani, D. Fleet, CVPR 2012): fingerprints within a distance
agree nearly on one of a few bands of bits, so only those that do are compared. None is missed.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

BITS = 64
MAX_DISTANCE = 24
"""Larger distances join half of all photos by chance, and would be searched for nearly pair by pair."""

MAX_PIXELS = 1 << 26
"""Sums over more would leave the whole numbers that float64 holds [px]."""

_SCALE = 256
"""Height of the waves, in whole steps."""

_LUMA = np.array([2.0, 5.0, 1.0])
"""Shares of red, green and blue in brightness (ITU-R BT.601: 2.4, 4.7, 0.9), in eighths."""

_IMAGES = 64
"""So many are transformed at once: at 224 px 77 MB."""

ONE_THREAD = 1 << 18
"""Multiplications up to which OpenBLAS computes a product in the calling thread (its `interface/gemm.c`)."""

_CANDIDATES = 1 << 22
"""So many pairs are compared at once: about 200 MB."""


def _slowest_waves() -> NDArray[np.int64]:
    """int64[64, 2]: (down, across), the numbers of half periods, slowest first; without (0, 0), the brightness."""
    found = sorted((u * u + v * v, u, v) for u in range(BITS) for v in range(BITS) if u * u + v * v <= BITS * 2)
    return np.array([(u, v) for _, u, v in found[1 : BITS + 1]])


_WAVES = _slowest_waves()
_BIT = np.uint64(1) << np.arange(BITS, dtype=np.uint64)
_ODD = np.bitwise_or.reduce(_BIT[_WAVES[:, 1] % 2 == 1])


# ------------------------------------------------------------------------------------------------------ fingerprints


def perceptual(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The fingerprints of uint8[n, h, w, 3]: uint64[n]. Photos of any two sizes may be compared.

    Raises ValueError for other shapes or types, and for images of more than MAX_PIXELS.
    """
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8 or 0 in images.shape[1:]:
        raise ValueError(f"images are {images.dtype}{list(images.shape)}, wanted uint8[n, h, w, 3]")
    count, height, width = images.shape[:3]
    if height * width > MAX_PIXELS:
        raise ValueError(f"images have {width}x{height} px, at most {MAX_PIXELS:,} px can be compared")
    down, across = (
        _cosines(height),
        np.ascontiguousarray((_cosines(width)[:, :, None] * _LUMA).reshape(-1, width * 3).T),
    )
    found = np.empty(count, np.uint64)
    for first in range(0, count, _IMAGES):
        part = images[first : first + _IMAGES].reshape(-1, height, width * 3).astype(np.float64)
        waves = down @ _by_rows(part, across)
        positive = waves[:, _WAVES[:, 0], _WAVES[:, 1]] > 0
        found[first : first + _IMAGES] = np.where(positive, _BIT, np.uint64(0)).sum(axis=1, dtype=np.uint64)
    return found


def _by_rows(images: NDArray[np.float64], across: NDArray[np.float64]) -> NDArray[np.float64]:
    """images[n, h, k] @ across[k, waves], some rows at a time: larger products OpenBLAS hands to threads of its own,
    which on a busy machine wait for each other a hundred times as long as they work.
    """
    rows = max(1, ONE_THREAD // across.size)
    parts = [images[:, first : first + rows] @ across for first in range(0, images.shape[1], rows)]
    return np.concatenate(parts, axis=1)


def mirrored(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The fingerprints of the mirror images of photos, uint64[n], from those of the photos.

    Of a wave that is exactly 0 the sign is taken for negative in both: flat images differ from their mirror images.
    """
    return hashes ^ _ODD


def _cosines(length: int) -> NDArray[np.float64]:
    """float64[waves, length]: half periods 0, 1, 2... of a cosine, in whole numbers."""
    counts = np.arange(_WAVES.max() + 1)[:, None]
    return np.rint(_SCALE * np.cos(np.pi / length * counts * (np.arange(length) + 0.5)))


# ------------------------------------------------------------------------------------------------------------- pairs


def pairs(hashes: NDArray[np.uint64], distance: int) -> NDArray[np.int64]:
    """All pairs of fingerprints that differ in at most `distance` bits: int64[m, 2], i < j, sorted by i, then j.

    The time grows with n^(1 + a), a well below 1 for small distances, and with m; the memory with n and m.
    Raises ValueError for a distance outside 0..MAX_DISTANCE.
    """
    if not 0 <= distance <= MAX_DISTANCE:
        raise ValueError(f"distance is {distance}, wanted 0 to {MAX_DISTANCE} bits")
    hashes = np.asarray(hashes, np.uint64)
    n = len(hashes)
    codes = [np.empty(0, np.int64)]
    for band, radius in _bands(n, distance):
        for i, j in _neighbours(_gather(hashes, band), radius, len(band)):
            near = np.bitwise_count(hashes[i] ^ hashes[j]) <= distance
            i, j = i[near], j[near]
            codes.append(np.minimum(i, j) * n + np.maximum(i, j))
    found = np.unique(np.concatenate(codes))
    return np.stack(np.divmod(found, max(n, 1)), axis=1)


def _bands(n: int, distance: int) -> Iterator[tuple[NDArray[np.int64], int]]:
    """The bits of each band, and in how many of them two fingerprints may differ to be compared for its sake.

    Of `distance` = radius * bands + rest differing bits, either one of the first rest + 1 bands has at most `radius`,
    or one of the others at most radius - 1; else there were more. Bands take turns, so that each has slow waves (of
    which many photos share the signs) and fast ones.
    """
    count = max(2, round(BITS / max(8.0, np.log2(max(n, 2)))))
    radius, rest = divmod(distance, count)
    for band in range(count):
        own = radius if band <= rest else radius - 1
        if own >= 0:
            yield np.arange(band, BITS, count), own


def _gather(hashes: NDArray[np.uint64], bits: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bits of a band as one number a fingerprint: int64[n]."""
    found = np.zeros(len(hashes), np.int64)
    for place, bit in enumerate(bits):
        found |= ((hashes >> np.uint64(bit)) & np.uint64(1)).astype(np.int64) << place
    return found


def _neighbours(keys: NDArray[np.int64], radius: int, bits: int) -> Iterator[tuple[NDArray, NDArray]]:
    """Pairs (i, j), each int64[k], of all keys that differ in at most `radius` bits; each pair once."""
    order = np.argsort(keys, kind="stable")
    own, starts, counts = np.unique(keys[order], return_index=True, return_counts=True)
    places = np.full(1 << bits, -1, np.int32)
    places[own] = np.arange(len(own))
    for mask in _masks(bits, radius):
        place = places[own ^ mask]
        first = np.flatnonzero(place >= np.arange(len(own)))
        second = place[first]
        for a, b in _products(starts[first], counts[first], starts[second], counts[second]):
            chosen = (a < b) if mask == 0 else slice(None)
            yield order[a[chosen]], order[b[chosen]]


def _masks(bits: int, radius: int) -> Iterator[int]:
    """Every way to change at most `radius` of the bits, as a number to exclusive-or with."""
    for changed in range(radius + 1):
        for places in combinations(range(bits), changed):
            yield sum(1 << place for place in places)


def _products(
    starts: NDArray[np.int64], counts: NDArray[np.int64], starts2: NDArray[np.int64], counts2: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """All pairs of places between runs [starts, starts + counts) and the runs beside them, some millions at a time."""
    first = np.repeat(starts, counts) + _within(counts)
    widths, begins = np.repeat(counts2, counts), np.repeat(starts2, counts)
    ends = widths.cumsum()
    done = 0
    while done < len(first):
        before = ends[done - 1] if done else 0
        upto = max(done + 1, int(np.searchsorted(ends, before + _CANDIDATES, side="right")))
        part = slice(done, upto)
        yield np.repeat(first[part], widths[part]), np.repeat(begins[part], widths[part]) + _within(widths[part])
        done = upto


def _within(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, ... counts[0] - 1, 0, 1, ... counts[1] - 1, ...: the place of each within its run."""
    ends = counts.cumsum()
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
