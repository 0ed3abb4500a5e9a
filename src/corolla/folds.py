"""Which records teach and which judge: the two labelled splits as they are, or parts of both together.

Takes: the labelled splits. Gives: `refolded`: the same two names with other records behind them.

A fold is stratified: each class is dealt out evenly over the folds, in an order that only the ids decide, so the same
records come into the same folds on every machine and in every order of the shards.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from corolla.errors import DataError
from corolla.types import Photos

ALL = 1
"""Number of folds that stands for: everything teaches, and the validation split judges what it has taught."""


def refolded(photos: dict[str, Photos], folds: int, fold: int) -> dict[str, Photos]:
    """{"train", "val"} of one fold. folds: 0 leaves the splits as they are, `ALL` lets both teach.

    Raises DataError where an id stands in both splits, or where their images are not of one size.
    """
    if not folds:
        return photos
    train, val = photos["train"], photos["val"]
    twice = sorted(set(train.ids) & set(val.ids) - {""})
    if twice:
        raise DataError(f"id {twice[0]!r} stands in train and in val: folds of both would teach what they judge")
    whole = joined(train, val)
    if folds == ALL:
        return {"train": whole, "val": val}
    assert whole.labels is not None
    judges = places(whole.ids, whole.labels, folds) == fold
    return {"train": _part(whole, "train", ~judges), "val": _part(whole, "val", judges)}


def places(ids: list[str], labels: NDArray, folds: int) -> NDArray[np.int64]:
    """The fold of each record, int64[n]: class by class dealt out in turn, where the class before left off."""
    order = sorted(range(len(ids)), key=lambda i: (int(labels[i]), hashlib.sha256(ids[i].encode()).digest()))
    found = np.empty(len(ids), np.int64)
    found[order] = np.arange(len(ids)) % folds
    return found


def joined(train: Photos, more: Photos) -> Photos:
    """Labelled records and more of them, as one split that teaches. Their targets, if any, are not taken along.

    Raises DataError where the images are not of one size.
    """
    assert train.labels is not None and more.labels is not None
    if train.images.shape[1:] != more.images.shape[1:]:
        (height, width), other = train.images.shape[1:3], more.images.shape[1:3]
        found = f"{width}x{height} px, of {more.split} {other[1]}x{other[0]} px"
        raise DataError(f"images of train are {found}: resize them to one size")
    return Photos(
        "train",
        np.concatenate([train.images, more.images]),
        np.concatenate([train.labels, more.labels]),
        [*train.ids, *more.ids],
        [*train.bad, *more.bad],
    )


def _part(whole: Photos, split: str, chosen: NDArray[np.bool_]) -> Photos:
    assert whole.labels is not None
    rows = np.flatnonzero(chosen)
    ids, bad = [whole.ids[i] for i in rows], whole.bad if split == "val" else []
    return Photos(split, whole.images[rows], whole.labels[rows], ids, bad)
