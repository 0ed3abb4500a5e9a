"""Scores that are high for what is known: their formulas, invariances, limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from corolla import open_set
from corolla.errors import RunError
from corolla.open_set import SCORES, Known, OpenSet, energy, largest_probability, limit, nearness


def clusters(n: int = 200, f: int = 12, kinds: int = 5, seed: int = 0):
    """Features around a middle of each kind, which differ most along the first two directions; labels."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, kinds, n)
    around = random.normal(size=(n, f)) * np.array([20, 10] + [1] * (f - 2))
    middles = np.random.default_rng(99).normal(size=(kinds, f)) * np.array([0, 0] + [6] * (f - 2))
    return (middles[labels] + around + 3).astype(np.float32), labels * 2  # odd kinds have no photos


def test_scores_by_hand():
    logits, none = np.array([[1.0, 2.0, 3.0], [1000.0, 0.0, 0.0]], np.float32), np.empty(0)
    known = Known.of(*clusters())
    np.testing.assert_allclose(largest_probability(none, logits, known), [0.66524, 1], rtol=1e-4)
    np.testing.assert_allclose(energy(none, logits, known), [3.40761, 1000], rtol=1e-5)


def test_nearness_sees_past_what_differs_within_a_kind():
    known = Known.of(*clusters())
    features, _ = clusters(seed=1)
    others = np.random.default_rng(2).normal(size=(200, 12)).astype(np.float32) * 6 + 3
    inside, outside = (nearness(rows, np.empty(0), known) for rows in (features, others))
    assert np.mean(inside < np.quantile(outside, 0.9)) < 0.25
    assert known.means.shape == (5, 12) and (abs(inside) <= 1 + 1e-6).all()
    cosine = open_set._unit(features - known.middle) @ known.means.T
    assert np.quantile(cosine.max(axis=1), 0.02) < np.quantile(inside, 0.02)


def test_few_directions_are_nearly_as_good_as_all(monkeypatch):
    features, labels = clusters()
    whole = nearness(features, np.empty(0), Known.of(features, labels))
    monkeypatch.setattr(open_set, "DIRECTIONS", 2)
    few = Known.of(features, labels)
    assert few.directions.shape == (12, 2)
    assert np.corrcoef(whole, nearness(features, np.empty(0), few))[0, 1] > 0.98


def test_nearness_does_not_change_with_scale_and_place():
    features, labels = clusters()
    moved = features * 4 - 100
    one, other = (nearness(rows, np.empty(0), Known.of(rows, labels)) for rows in (features, moved))
    np.testing.assert_allclose(one, other, atol=1e-3)


def test_photos_that_are_all_alike_give_numbers():
    same = np.ones((8, 3), np.float32)
    known = Known.of(same, np.arange(8) % 2)
    assert np.isfinite(nearness(same, np.empty(0), known)).all()


@given(arrays(np.float32, st.integers(1, 300), elements=st.floats(-100, 100, width=32)), st.floats(0, 0.5))
def test_a_limit_refuses_at_most_the_part_that_it_may(scores, part):
    assert (scores < limit(scores, part)).mean() <= part


def test_a_limit_refuses_as_much_as_it_may():
    assert limit(np.arange(100), 0.02) == 2
    assert limit(np.arange(100), 0) == 0


def test_single_photos_are_judged_like_many():
    features, labels = clusters()
    logits = np.random.default_rng(0).normal(size=(200, 10)).astype(np.float32)
    for name in SCORES:
        judge = OpenSet(name, 0.5, Known.of(features, labels))
        many = judge(features, logits)
        one = [float(judge(features[i : i + 1], logits[i : i + 1])[0]) for i in range(5)]
        np.testing.assert_allclose(many[:5], one, rtol=1e-4)


def test_a_score_of_a_later_version():
    with pytest.raises(RunError, match=r"^the score 'taste' is not known to this version of Corolla$"):
        OpenSet("taste", 0.5, Known.of(*clusters()))
