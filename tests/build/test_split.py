"""Splits are fair, and look-alikes stay together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corolla.build.split import FREE, assigned, settled, torn

SHARES = [0.7, 0.15, 0.15]


def names(n: int) -> list[str]:
    return [f"photo{i}" for i in range(n)]


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


def test_nothing_to_deal_out():
    assert assigned(np.zeros(0, int), np.zeros(0, int), [], SHARES, 0).tolist() == []


def test_what_sources_say_holds_and_look_alikes_follow():
    """Groups: alone and said; two that follow val; three of which two differ; free ones."""
    group = np.array([0, 1, 1, 3, 3, 3, 6, 6])
    said = np.array([2, FREE, 1, 0, 2, FREE, FREE, FREE])
    found = settled(group, said)
    assert found.tolist() == [2, 1, 1, 0, 2, 0, FREE, FREE]
    assert torn(group, np.where(found == FREE, 0, found)) == 1


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(FREE, 2)), max_size=40))
def test_what_is_settled_moves_nobody_and_leaves_no_free_photo_in_a_settled_group(photos):
    group, said = (np.array(part, int) for part in zip(*photos, strict=True)) if photos else (np.zeros(0, int),) * 2
    group = np.array([np.flatnonzero(group == one)[0] for one in group], int)
    found = settled(group, said)
    assert (found[said != FREE] == said[said != FREE]).all()
    for one in {*group.tolist()}:
        own = {*said[group == one].tolist()} - {FREE}
        assert {*found[(group == one) & (said == FREE)].tolist()} <= (own if len(own) == 1 else {0} if own else {FREE})
