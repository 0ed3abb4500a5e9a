"""Folds are fair, disjoint, and the same wherever the records come from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corolla.errors import DataError
from corolla.folds import ALL, places, refolded
from corolla.types import Photos


def splits(train: int = 30, val: int = 11, classes: int = 4) -> dict[str, Photos]:
    """Two splits whose pixels tell which record they are of."""
    labels = np.random.default_rng(0).integers(0, classes, train + val).astype(np.int32)
    images = np.arange(train + val, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    ids = [f"photo{i}" for i in range(train + val)]
    parts = {"train": slice(0, train), "val": slice(train, None)}
    return {name: Photos(name, images[part], labels[part], ids[part]) for name, part in parts.items()}


@given(st.integers(2, 7), st.integers(1, 9), st.integers(7, 200), st.integers(0, 99))
def test_folds_are_as_even_as_can_be_in_all_and_in_each_class(folds, classes, n, seed):
    labels = np.random.default_rng(seed).integers(0, classes, n)
    found = places([f"{seed}-{i}" for i in range(n)], labels, folds)
    assert np.ptp(np.bincount(found, minlength=folds)) <= 1
    for label in range(classes):
        assert np.ptp(np.bincount(found[labels == label], minlength=folds)) <= 1


def test_only_ids_and_labels_decide():
    given = splits()["train"]
    order = np.random.default_rng(1).permutation(len(given))
    found = places(given.ids, given.labels, 5)
    np.testing.assert_array_equal(places([given.ids[i] for i in order], given.labels[order], 5), found[order])


def test_every_record_judges_once_and_teaches_in_all_other_folds():
    given, judged = splits(), []
    for fold in range(5):
        found = refolded(given, 5, fold)
        assert not set(found["train"].ids) & set(found["val"].ids)
        assert len(found["train"]) + len(found["val"]) == 41
        judged += found["val"].ids
        for split, part in found.items():
            assert part.split == split
            for name, label, image in zip(part.ids, part.labels, part.images, strict=True):
                record = int(name.removeprefix("photo"))
                side = given["train"] if record < 30 else given["val"]
                assert (image == record).all() and label == side.labels[record % 30 if record < 30 else record - 30]
    assert sorted(judged) == sorted(given["train"].ids + given["val"].ids)


def test_no_folds_and_all_of_it():
    given = splits()
    assert refolded(given, 0, 0) is given
    found = refolded(given, ALL, 0)
    assert found["val"] is given["val"]
    assert found["train"].ids == given["train"].ids + given["val"].ids
    np.testing.assert_array_equal(found["train"].images[:, 0, 0, 0], np.arange(41))


def test_an_id_in_both_splits_is_refused():
    given = splits()
    given["val"].ids[3] = given["train"].ids[7]
    with pytest.raises(DataError, match=r"id 'photo7' stands in train and in val"):
        refolded(given, 3, 0)
    assert refolded(given, 0, 0) is given
