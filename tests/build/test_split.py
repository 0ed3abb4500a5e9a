"""Splits are fair, and look-alikes stay together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corolla.build.split import assigned, groups
from corolla.hashing import mirrored

SHARES = [0.7, 0.15, 0.15]


def prints(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, n, dtype=np.uint64)


def names(n: int) -> list[str]:
    return [f"photo{i}" for i in range(n)]


def test_groups_of_the_same_bytes_near_ones_and_mirror_images():
    own = prints(7)
    own[3] = own[1] ^ np.uint64(0b1011)
    own[5] = mirrored(own[4:5])[0] ^ np.uint64(1)
    digests = [str(i) for i in range(7)]
    digests[6] = digests[0]
    assert groups(digests, own, 4).tolist() == [0, 1, 2, 1, 4, 4, 0]
    assert groups(digests, own, 2).tolist() == [0, 1, 2, 3, 4, 4, 0]
    assert groups(digests, own, -1).tolist() == [0, 1, 2, 3, 4, 5, 0]


def test_likeness_hands_on():
    own = np.array([0, 0b1111, 0b11111111], np.uint64)
    assert groups(list("abc"), own, 4).tolist() == [0, 0, 0]


def test_no_photos():
    assert (
        groups([], prints(0), 4).tolist() == [] == assigned(np.zeros(0, int), np.zeros(0, int), [], SHARES, 0).tolist()
    )


@given(st.integers(1, 300), st.integers(1, 30), st.integers(1, 200), st.integers(0, 99))
def test_no_group_crosses_and_every_class_is_in_train(n, classes, kinds, seed):
    random = np.random.default_rng(seed)
    group = random.integers(0, kinds, n)
    labels = random.integers(0, classes, kinds)[group]
    found = assigned(labels, group, names(n), SHARES, seed)
    assert all(len({*found[group == one]}) == 1 for one in {*group})
    assert all(0 in found[labels == label] for label in {*labels})


@pytest.mark.parametrize("each", [2, 3, 4, 5, 10, 33])
def test_shares_hold_in_all_and_in_each_class(each):
    labels = np.repeat(np.arange(40), each)
    found = assigned(labels, np.arange(len(labels)), names(len(labels)), SHARES, 0)
    counts = np.bincount(found, minlength=3) / len(labels)
    np.testing.assert_allclose(counts, SHARES, atol=0.02)
    for label in range(40):
        own = np.bincount(found[labels == label], minlength=3)
        assert (np.abs(own - np.array(SHARES) * each) < 2).all()


def test_the_order_of_the_photos_does_not_matter_and_the_seed_does():
    labels, group = np.arange(60) % 4, np.arange(60) // 2
    labels = labels[group]
    found = assigned(labels, group, names(60), SHARES, 0)
    order = np.random.default_rng(0).permutation(60)
    again = assigned(labels[order], group[order], [names(60)[i] for i in order], SHARES, 0)
    np.testing.assert_array_equal(again, found[order])
    assert (assigned(labels, group, names(60), SHARES, 1) != found).any()


def test_a_share_of_nothing_gets_nothing():
    labels = np.arange(50) % 5
    assert set(assigned(labels, np.arange(50), names(50), [0.8, 0.2, 0.0], 0).tolist()) == {0, 1}
