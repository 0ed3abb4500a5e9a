"""Soft labels and pseudo-labels: what a file of predictions says of photos, as what a training learns from.

Takes: a file of ids, labels and probabilities, as runs, `corolla cross`, `distill` and `pseudo` write it; `Photos`.
Gives: `read`, which refuses what is no such file; `with_targets`: photos that teach what the file says of them;
`with_pseudo`: photos of a split without labels among those that teach.

A target is the label and a teacher's probabilities, mixed (Hinton et al., 2015, "Distilling the knowledge in a neural
network"); photos with pseudo-labels are taken for labelled ones (Lee, 2013).
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corolla import hosts
from corolla.errors import DataError, WishError
from corolla.folds import joined
from corolla.run import Predictions, read_predictions
from corolla.storage import any_path
from corolla.types import Photos

WAY_OUT = "give a predictions.npz, or what `corolla distill` or `corolla pseudo` wrote"

ROUNDING = 1e-3
"""How far a sum of probabilities may lie from 1."""


def read(written: str, classes: int) -> Predictions:
    """Read a file of predictions; over several hosts process 0 reads it for all. Rows of probabilities sum to 1.

    Raises RunError (no such file, or no file of predictions), DataError (an id twice; labels or probabilities that are
    none), WishError (another number of classes).
    """
    found: dict[str, NDArray] = {}
    hosts.from_first(lambda: found.update(_checked(written, classes)))
    heard = hosts.arrays_from_first(found)
    return Predictions(heard["ids"].tolist(), heard["labels"], heard["probabilities"])


def _checked(written: str, classes: int) -> dict[str, NDArray]:
    told = read_predictions(any_path(written), WAY_OUT)
    labels, probabilities = np.asarray(told.labels), np.asarray(told.probabilities)
    if labels.shape != (len(told.ids),) or probabilities.ndim != 2 or len(probabilities) != len(labels):
        raise DataError(f"{written}: ids, labels and probabilities are not of the same records: {WAY_OUT}")
    if probabilities.shape[1] != classes:
        raise WishError(f"{written} tells {probabilities.shape[1]} classes apart, not {classes}: {WAY_OUT}")
    names = [name for name in told.ids if name]
    if len(set(names)) < len(names):
        raise DataError(f"{written}: holds {len(names) - len(set(names))} ids twice: {WAY_OUT}")
    if labels.dtype.kind not in "iu" or ((labels < 0) | (labels >= classes)).any():
        raise DataError(f"{written}: holds labels that do not lie between 0 and {classes - 1}: {WAY_OUT}")
    sums = probabilities.sum(axis=1, dtype=np.float64) if probabilities.dtype.kind == "f" else np.full(1, np.nan)
    if not (np.abs(sums - 1) <= ROUNDING).all() or (probabilities < 0).any():
        raise DataError(f"{written}: holds probabilities that are negative or do not sum to 1: {WAY_OUT}")
    even = (probabilities / sums[:, None]).astype(np.float32)
    return {"ids": np.array(told.ids, np.str_), "labels": labels.astype(np.int32), "probabilities": even}


def with_targets(photos: Photos, told: Predictions, share: float, source: str) -> tuple[Photos, int]:
    """Photos that teach (1 - share) of their label and `share` of what the file says of them, by their ids.

    Photos of which it says nothing teach their label. Returns them, and how many photos the file knows.
    source: the file. Raises WishError where it knows none of them.
    """
    assert photos.labels is not None
    place = {name: row for row, name in enumerate(told.ids) if name}
    rows = np.array([place.get(name, -1) for name in photos.ids])
    known = np.flatnonzero(rows >= 0)
    if not len(known):
        raise WishError(f"{source} holds no id of the {len(photos):,} records that teach: was it made on other data?")
    targets = np.eye(told.probabilities.shape[1], dtype=np.float32)[photos.labels]
    targets[known] = (1 - share) * targets[known] + share * told.probabilities[rows[known]]
    return replace(photos, targets=targets), len(known)


def refuse_labelled(told: Predictions, labelled: dict[str, Photos], source: str) -> None:
    """Raise WishError where a file of pseudo-labels names a photo that has a label. labelled: splits by name."""
    for split, photos in labelled.items():
        both = sorted(set(told.ids) & set(photos.ids) - {""})
        if both:
            line = f"{source} names {len(both):,} photos of {split}, such as {both[0]!r}"
            raise WishError(f"{line}: pseudo-labels are for photos without labels")


def with_pseudo(train: Photos, unlabelled: Photos, told: Predictions, source: str) -> Photos:
    """The records that teach, and after them the photos of another split that a file names, with its labels.

    Raises WishError where it names photos that are not there, DataError where their images have another size.
    """
    place = {name: row for row, name in enumerate(unlabelled.ids) if name}
    missing = sorted(set(told.ids) - set(place))
    if missing:
        line = f"{source} names {len(missing):,} photos that are not in {unlabelled.split}, such as {missing[0]!r}"
        raise WishError(f"{line}: was it made on other data?")
    if not told.ids:
        raise WishError(f"{source} names no photo: {WAY_OUT}")
    images: Any = unlabelled.images[[place[name] for name in told.ids]]
    return joined(train, Photos(unlabelled.split, images, told.labels, told.ids, unlabelled.bad))
