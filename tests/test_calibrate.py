"""Temperatures: the one that made the logits is found, no label moves, and what is said of them is honest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from corolla import calibrate, metrics
from corolla.calibrate import COLDEST, HOTTEST, calibration_error, scaled, temperature
from corolla.errors import DataError


def made_up(n: int, classes: int = 7, hot: float = 1.0, seed: int = 0):
    """Return ids, labels drawn from probabilities, and these probabilities as logits multiplied by `hot` give them."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (n, classes))
    labels = np.array([random.choice(classes, p=row) for row in softmax(logits, axis=1)])
    return [f"photo{i}" for i in range(n)], labels, softmax(hot * logits, axis=1)


@pytest.mark.parametrize("hot", [0.3, 1.0, 4.0])
def test_the_temperature_that_was_put_in_is_found(hot):
    _, labels, probabilities = made_up(4000, hot=hot)
    assert temperature(labels, probabilities) == pytest.approx(hot, rel=0.06)


@given(st.integers(0, 1000), st.floats(0.2, 5))
def test_no_other_temperature_has_less_cross_entropy(seed, hot):
    _, labels, probabilities = made_up(60, hot=hot, seed=seed)
    found = temperature(labels, probabilities)
    losses = [
        metrics.cross_entropy(labels, np.log(scaled(probabilities, found * factor))) for factor in (1, 0.98, 1.02)
    ]
    assert COLDEST < found < HOTTEST and losses[0] <= min(losses[1:])


@given(st.integers(0, 1000), st.floats(0.4, 10))
def test_scaling_keeps_order_and_sums_and_can_be_undone(seed, hot):
    _, _, probabilities = made_up(20, seed=seed)
    changed = scaled(probabilities, hot)
    np.testing.assert_allclose(changed.sum(axis=1), 1)
    np.testing.assert_array_equal(changed.argmax(axis=1), probabilities.argmax(axis=1))
    np.testing.assert_allclose(scaled(changed, 1 / hot), probabilities, atol=1e-6)
    np.testing.assert_allclose(scaled(probabilities, 1.0), probabilities)


def test_the_search_ends_where_all_is_right_or_all_is_wrong():
    labels = np.arange(10) % 3
    sure = np.full((10, 3), 0.05) + 0.85 * np.eye(3)[labels]
    assert temperature(labels, sure) == COLDEST
    assert temperature((labels + 1) % 3, sure) == HOTTEST
    exact = np.eye(3)[labels].astype(np.float32)  # zeros have no logarithm
    assert np.isfinite(scaled(exact, 2.0)).all() and temperature(labels, exact) == COLDEST


def test_errors_by_hand():
    """Four records in two bins: sure and right half of the time; unsure and always right."""
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.1, 0.9], [0.4, 0.6], [0.3, 0.7]])
    assert calibration_error(labels, probabilities, "mass", 2) == pytest.approx((0.8 + 0.7) / 4)
    assert calibration_error(labels, probabilities, "width", 2) == pytest.approx(abs(3 - 3.1) / 4)
    assert calibration_error(labels, probabilities, "width", 10) == pytest.approx((0.8 + 0.4 + 0.3) / 4)
    edges = np.array([[1.0, 0.0], [0.5, 0.5]])
    assert calibration_error(np.array([0, 0]), edges, "width", 2) == pytest.approx(0.25)


@given(st.integers(1, 80), st.integers(0, 1000), st.sampled_from(["mass", "width"]), st.integers(1, 20))
def test_an_error_lies_between_the_whole_gap_and_one(n, seed, kind, bins):
    _, labels, probabilities = made_up(n, seed=seed)
    gap = abs((probabilities.argmax(axis=1) == labels).mean() - probabilities.max(axis=1).mean())
    assert gap - 1e-9 <= calibration_error(labels, probabilities, kind, bins) <= 1
    assert calibration_error(labels, probabilities, kind, 1) == pytest.approx(gap)


@pytest.mark.parametrize("kind", ["mass", "width"])
def test_errors_are_small_where_probabilities_are_true(kind):
    _, labels, probabilities = made_up(20_000)
    assert calibration_error(labels, probabilities, kind) < 0.02
    assert calibration_error(labels, scaled(probabilities, 0.3), kind) > 0.1


def test_calibrating_helps_records_that_it_was_not_fitted_on():
    ids, labels, probabilities = made_up(2000, hot=3)
    found = calibrate.calibrate(ids, labels, probabilities)
    assert found.temperature == pytest.approx(3, rel=0.1) and found.n == 2000
    for before, after in (found.error_by_mass, found.error_by_width):
        assert before > 0.12 and after < 0.04
    assert found.loss[1] < 0.8 * found.loss[0]
    assert found.loss[0] == pytest.approx(metrics.cross_entropy(labels, np.log(probabilities)))


def test_what_is_said_of_a_record_hangs_on_no_label_of_its_fold():
    ids, labels, probabilities = made_up(200, hot=3)
    before = calibrate.cross_fitted(ids, labels, probabilities)
    held = calibrate.places(ids, labels, calibrate.FOLDS) == 2
    lies = np.where(held, probabilities.argmin(axis=1), labels)
    fold = calibrate.places(ids, labels, calibrate.FOLDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrate, "places", lambda *_: fold)  # folds hang on labels; here they must stay
        after = calibrate.cross_fitted(ids, lies, probabilities)
    np.testing.assert_array_equal(after[held], before[held])
    assert np.abs(after[~held] - before[~held]).max() > 0.05


def test_too_few_records():
    with pytest.raises(DataError, match="3 records are too few to be judged in 5 folds"):
        calibrate.calibrate(*made_up(3))


@pytest.mark.parametrize("kind", ["mass", "width"])
def test_the_bins_of_a_reliability_diagram_make_up_the_error(kind):
    random = np.random.default_rng(3)
    probabilities = random.dirichlet(np.full(4, 0.3), 500)
    labels = np.array([random.choice(4, p=row) for row in probabilities])
    found = calibrate.reliability(labels, probabilities, kind)
    assert sum(each.n for each in found) == 500
    gaps = sum(each.n * abs(each.accuracy - each.confidence) for each in found) / 500
    assert gaps == pytest.approx(calibrate.calibration_error(labels, probabilities, kind))
    assert [each.confidence for each in found] == sorted(each.confidence for each in found)
    assert all(each.interval[0] <= each.accuracy <= each.interval[1] for each in found)
