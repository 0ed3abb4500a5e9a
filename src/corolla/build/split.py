"""Who goes to train, val and test: each class in its share, and photos that look alike all to the same split.

Takes: labels, groups and ids of n photos. Gives: `assigned`: int64[n]; `settled`: those of
which sources say it. A group is what hangs together by pairs of
look-alikes (`likeness.joined`). It is a function of the photos and the seed, in whatever order they come.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FREE = -1
"""Stands for the split of a photo of which its source says none."""


def settled(group: NDArray[np.int64], said: NDArray[np.int64], train: int = 0) -> NDArray[np.int64]:
    """The splits int64[n] that are settled by those that sources say (said, int64[n], or FREE).

    A photo that looks like one that is settled goes where that one is, and to train where several differ.
    """
    least, most = np.full(len(said), np.iinfo(np.int64).max), np.full(len(said), FREE)
    told = np.flatnonzero(said != FREE)
    np.minimum.at(least, group[told], said[told])
    np.maximum.at(most, group[told], said[told])
    of_group = np.where(least == most, most, np.where(most == FREE, FREE, train))
    return np.where(said == FREE, of_group[group], said)


def torn(group: NDArray[np.int64], splits: NDArray[np.int64]) -> int:
    """How many groups stand in several splits."""
    pairs = np.unique(np.stack([group, splits]), axis=1)
    return int((np.unique(pairs[0], return_counts=True)[1] > 1).sum())


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
