"""What training does for rare classes, as numbers a class or a record."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corolla.imbalance import BETA, class_weights, logit_offset, shares

COUNTS = np.array([100, 10, 0, 1])


def test_the_offset_is_the_logarithm_of_the_frequencies():
    assert logit_offset(COUNTS, 0.0) == ()
    found = np.array(logit_offset(COUNTS, 1.0))
    np.testing.assert_allclose(np.exp(found), (COUNTS + 1) / (COUNTS + 1).sum())
    np.testing.assert_allclose(logit_offset(COUNTS, 0.5), found / 2)


def test_balanced_weights_make_all_classes_weigh_the_same():
    assert class_weights(COUNTS, "none") == ()
    found = np.array(class_weights(COUNTS, "balanced"))
    np.testing.assert_allclose((found * COUNTS)[COUNTS > 0], COUNTS.sum() / 3)
    assert found[2] == 1  # nobody has it


def test_effective_weights_follow_the_effective_numbers():
    found = np.array(class_weights(COUNTS, "effective"))
    numbers = (1 - BETA**COUNTS) / (1 - BETA)
    assert found[3] / found[0] == pytest.approx(numbers[0] / numbers[3])
    assert found[3] < class_weights(COUNTS, "balanced")[3] + 1e-9  # never further than balanced


@given(st.lists(st.integers(0, 50), min_size=1, max_size=9).filter(any), st.sampled_from(["balanced", "effective"]))
def test_the_mean_weight_over_the_records_is_1(counts, how):
    counts = np.array(counts)
    assert (class_weights(counts, how) * counts).sum() == pytest.approx(counts.sum())


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.floats(0, 1))
def test_shares_have_mean_1_and_balance_classes_at_1(labels, strength):
    labels = np.array(labels)
    found = shares(labels, strength)
    assert found.mean() == pytest.approx(1)
    assert (shares(labels, 0.0) == 1).all()
    sums = np.bincount(labels, weights=shares(labels, 1.0))
    np.testing.assert_allclose(sums[sums > 0], len(labels) / (sums > 0).sum())
