"""Who goes to train, val and test: each class in its share, and photos that look alike all to the same split.

Takes: labels, SHA-256 digests, fingerprints and ids of n photos. Gives: `groups`: int64[n]; `assigned`: int64[n].

A group is what hangs together by pairs: files of the same bytes, photos whose fingerprints nearly agree, and those
that agree with another's mirror image. All of it is a function of the photos and the seed, in whatever order they come.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from corolla.hashing import mirrored, pairs


def groups(digests: Sequence[str], fingerprints: NDArray[np.uint64], distance: int) -> NDArray[np.int64]:
    """The number of each photo's group, int64[n]: the place of the group's first photo.

    distance: bits in which the fingerprints of near-duplicates may differ; -1: only files of the same bytes.
    """
    count = len(digests)
    links = [_same(np.unique(np.asarray(digests), return_inverse=True)[1])] if count else []
    if distance >= 0 and count:
        links += _near(fingerprints, distance)
    rows, columns = np.concatenate(links, axis=1) if links else np.zeros((2, 0), np.int64)
    graph = coo_array((np.ones(len(rows), np.bool_), (rows, columns)), shape=(count, count))
    found = connected_components(graph, directed=False)[1] if count else np.zeros(0, np.int64)
    return np.unique(found, return_index=True)[1][found].astype(np.int64) if count else found


def _same(kinds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Links int64[2, m] from the first photo of each kind to the others of it."""
    firsts = np.unique(kinds, return_index=True)[1]
    return np.stack([firsts[kinds], np.arange(len(kinds))])


def _near(fingerprints: NDArray[np.uint64], distance: int) -> list[NDArray[np.int64]]:
    """Links between photos that nearly agree, or do with a mirror image. Equal ones are compared once, as one."""
    own, firsts, kinds = np.unique(fingerprints, return_index=True, return_inverse=True)
    found = pairs(np.concatenate([own, mirrored(own)]), distance) % len(own)
    return [_same(kinds), firsts[found].T]


def assigned(
    labels: NDArray[np.integer], group: NDArray[np.int64], ids: list[str], shares: Sequence[float], seed: int
) -> NDArray[np.int64]:
    """The split of each photo, int64[n]: its place in `shares`, which sum to 1.

    Class by class the groups are dealt out, the largest first and equal ones by chance: the first to train, each other
    one to the split that is furthest behind its share. What a class leaves a split behind, the next one makes up for,
    so small classes do not starve one split together. A group of several labels counts for what most of it is.
    """
    found = np.empty(len(labels), np.int64)
    part, behind = np.asarray(shares), np.zeros(len(shares))
    for owned in _by_class(labels, group, ids, seed):
        sizes = np.clip(behind, -1, 1)
        sizes -= sizes.mean()
        for place, members in enumerate(owned):
            split = int(np.argmax(part * (sizes.sum() + len(members)) - sizes)) if place else 0
            sizes[split] += len(members)
            found[members] = split
        behind = sizes - part * sizes.sum()
    return found


def _by_class(
    labels: NDArray[np.integer], group: NDArray[np.int64], ids: list[str], seed: int
) -> list[list[NDArray[np.int64]]]:
    """The groups of each class, each as the places of its photos: the largest first, then by id and seed."""
    order = np.argsort(group, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(group[order])) + 1) if len(group) else []
    owned: dict[int, list[NDArray[np.int64]]] = {}
    for members in sorted(parts, key=lambda members: (-len(members), drawn(min(ids[i] for i in members), seed))):
        owned.setdefault(int(np.bincount(labels[members]).argmax()), []).append(members)
    return [owned[label] for label in sorted(owned)]


def drawn(name: str, seed: int) -> bytes:
    """The same random bytes for the same id and seed, everywhere."""
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()
