"""Scores: equal to scikit-learn's, absent classes included; intervals that mean something."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from corolla import metrics
from corolla.metrics import Scores, confusion_matrix, f1_by_class, macro_f1


@st.composite
def judged(draw):
    """Return (labels, predictions, classes): some classes are never true, never predicted, or neither."""
    classes = draw(st.integers(1, 8))
    pairs = draw(st.lists(st.tuples(st.integers(0, classes - 1), st.integers(0, classes - 1)), min_size=1, max_size=60))
    return np.array([true for true, _ in pairs]), np.array([called for _, called in pairs]), classes


@pytest.mark.filterwarnings("ignore:A single label was found")
@given(judged())
def test_confusion_and_f1_are_scikit_learns(given_judged):
    labels, predictions, classes = given_judged
    every = list(range(classes))
    confusion = confusion_matrix(labels, predictions, classes)
    np.testing.assert_array_equal(confusion, sklearn.confusion_matrix(labels, predictions, labels=every))
    wanted = sklearn.f1_score(labels, predictions, labels=every, average=None, zero_division=0)
    np.testing.assert_allclose(f1_by_class(confusion), wanted, rtol=1e-12)
    np.testing.assert_allclose(macro_f1(confusion), wanted.mean(), rtol=1e-12)
    present = sklearn.f1_score(labels, predictions, labels=np.unique(labels), average="macro", zero_division=0)
    np.testing.assert_allclose(macro_f1(confusion, present_only=True), present, rtol=1e-12)


@given(judged())
def test_class_table_is_scikit_learns(given_judged):
    labels, predictions, classes = given_judged
    names = [f"flower {label}" for label in range(classes)]
    rows = metrics.class_table(confusion_matrix(labels, predictions, classes), names)
    wanted = sklearn.precision_recall_fscore_support(labels, predictions, labels=range(classes), zero_division=0)
    for column, values in zip(("precision", "recall", "f1", "support"), wanted, strict=True):
        np.testing.assert_allclose([getattr(row, column) for row in rows], values, rtol=1e-12)
    assert [row.predicted for row in rows] == np.bincount(predictions, minlength=classes).tolist()
    assert [(row.label, row.name) for row in rows] == list(enumerate(names))


def test_costs_by_hand():
    """Class 1 is taken for 0 twice and for 2 once; 2 is taken for 1 once; 3 has no photo, 4 no mistake."""
    confusion = np.array([[4, 0, 0, 0, 0], [2, 3, 1, 0, 0], [0, 1, 5, 1, 0], [0] * 5, [0, 0, 0, 0, 6]])
    rows = metrics.class_costs(confusion, [f"flower {label}" for label in range(5)])
    told = [(row.label, row.partner, row.taken_for_partner, row.partner_taken_for_it) for row in rows]
    assert told == [(1, 0, 2, 0), (2, 1, 1, 1), (0, 1, 0, 2)]
    assert [row.lost for row in rows] == pytest.approx([0.4 / 5, (1 - 10 / 13) / 5, 0.2 / 5])
    assert (rows[0].name, rows[0].partner_name) == ("flower 1", "flower 0")


@given(judged())
def test_costs_add_up_to_what_macro_f1_lacks(given_judged):
    labels, predictions, classes = given_judged
    confusion = confusion_matrix(labels, predictions, classes)
    rows = metrics.class_costs(confusion, ["x"] * classes)
    absent = (confusion.sum(axis=1) == 0).mean()
    assert sum(row.lost for row in rows) == pytest.approx(1 - macro_f1(confusion) - absent)
    assert [row.lost for row in rows] == sorted((row.lost for row in rows), reverse=True)
    assert all(row.partner != row.label and row.taken_for_partner + row.partner_taken_for_it > 0 for row in rows)


def test_absent_classes_count_zero_unless_left_out():
    """All records are right, but only two of four classes have any."""
    confusion = confusion_matrix(np.array([0, 1]), np.array([0, 1]), 4)
    assert macro_f1(confusion) == 0.5
    assert macro_f1(confusion, present_only=True) == 1.0


def test_scores_over_many_confusions_at_once():
    confusions = np.random.default_rng(0).integers(0, 5, (3, 4, 4))
    np.testing.assert_allclose(macro_f1(confusions), [macro_f1(one) for one in confusions])


# -------------------------------------------------------------------------------------------------------- intervals


@given(judged())
def test_bootstrap_keeps_the_size_of_every_class(given_judged):
    labels, predictions, classes = given_judged
    confusion = confusion_matrix(labels, predictions, classes)
    draws = metrics.resampled(confusion, draws=20)
    assert draws.shape == (20, classes, classes)
    np.testing.assert_array_equal(draws.sum(axis=2), np.tile(confusion.sum(axis=1), (20, 1)))
    assert np.all(draws[:, confusion == 0] == 0)


def test_bootstrap_centres_on_the_counts():
    confusion = np.array([[30, 10, 0], [5, 50, 5], [0, 0, 0]])
    draws = metrics.resampled(confusion, draws=4000)
    support = confusion.sum(axis=1, keepdims=True)
    spread = np.sqrt(confusion * (1 - confusion / np.maximum(support, 1)))
    assert np.all(np.abs(draws.mean(axis=0) - confusion) <= 4 * spread / np.sqrt(4000))
    np.testing.assert_allclose(draws.std(axis=0), spread, rtol=0.1)


def made_up(n: int = 600, classes: int = 10, right: float = 0.8, seed: int = 0):
    """Return labels, and predictions of which a share is right."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, n)
    return labels, np.where(random.random(n) < right, labels, random.integers(0, classes, n))


def test_intervals_hold_the_estimate_and_narrow_with_more_records():
    widths = []
    for n in (300, 1200, 4800):
        labels, predictions = made_up(n)
        probabilities = np.eye(10)[predictions]
        scores = metrics.score("val", labels, probabilities, [str(label) for label in range(10)])
        low, high = scores.macro_f1_interval
        assert low < scores.macro_f1 < high
        assert scores.macro_f1_present_interval == scores.macro_f1_interval  # every class is present
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.2) and widths[1] / widths[2] == pytest.approx(2, rel=0.2)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    """Macro F1 of a classifier that is right 8 times in 10, known from a million records, against 200 small splits."""
    truth = macro_f1(confusion_matrix(*made_up(1_000_000, 5, seed=99), 5))
    hits = 0
    for seed in range(200):
        draws = metrics.resampled(confusion_matrix(*made_up(400, 5, seed=seed), 5), draws=300)
        low, high = metrics.interval(macro_f1(draws))
        hits += low <= truth <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_equal_predictions_differ_by_exactly_nothing():
    labels, predictions = made_up(80)
    assert metrics.paired_difference(labels, predictions, predictions, 10, draws=50) == (0.0, (0.0, 0.0))


def test_paired_difference_is_that_of_the_scores_and_narrower_than_the_intervals():
    labels, before = made_up(600, right=0.7)
    after = np.where(np.arange(600) % 8 == 0, labels, before)
    gain, (low, high) = metrics.paired_difference(labels, before, after, 10, draws=200)
    reached = [float(macro_f1(confusion_matrix(labels, p, 10), present_only=True)) for p in (after, before)]
    assert gain == pytest.approx(reached[0] - reached[1], abs=1e-12)
    assert 0 < low < gain < high
    single = metrics.interval(macro_f1(metrics.resampled(confusion_matrix(labels, before, 10))))
    assert high - low < 0.6 * (single[1] - single[0])
    assert metrics.paired_difference(labels, after, before, 10, draws=200)[0] == pytest.approx(-gain)


def test_paired_difference_is_what_resampling_record_by_record_gives():
    labels, before = made_up(300, right=0.7)
    after = np.where(np.arange(300) % 5 == 0, labels, before)
    random, gains = np.random.default_rng(1), []
    for _ in range(3000):
        own = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        rows = np.concatenate([random.choice(rows, len(rows)) for rows in own])
        one, other = (macro_f1(confusion_matrix(labels[rows], p[rows], 10), present_only=True) for p in (after, before))
        gains.append(one - other)
    _, found = metrics.paired_difference(labels, before, after, 10, draws=3000)
    np.testing.assert_allclose(found, metrics.interval(np.array(gains)), atol=0.003)


# ------------------------------------------------------------------------------------------------------ loss, scores


@given(st.integers(1, 20), st.integers(1, 7), st.integers(0, 1000), st.sampled_from([1, 50, 2000]))
def test_cross_entropy_is_scikit_learns_and_never_overflows(n, classes, seed, size):
    random = np.random.default_rng(seed)
    logits = (random.standard_normal((n, classes)) * size).astype(np.float32)
    labels = random.integers(0, classes, n)
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    logged = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(metrics.cross_entropy(labels, logits), -logged[np.arange(n), labels].mean(), atol=1e-9)
    if size == 1 and classes > 1:
        wanted = sklearn.log_loss(labels, np.exp(logged), labels=range(classes))
        np.testing.assert_allclose(metrics.cross_entropy(labels, logits), wanted, rtol=1e-5)


def some_scores() -> Scores:
    labels, predictions = made_up(50, 4)
    probabilities = 0.7 * np.eye(4)[predictions] + 0.075
    return metrics.score("val", labels, probabilities, ["a", "ö", "c", "d"], skipped_records=3)


def test_score_counts_and_measures_what_it_says():
    scores = some_scores()
    labels, predictions = made_up(50, 4)
    assert (scores.split, scores.n, scores.classes_present, scores.skipped_records) == ("val", 50, 4, 3)
    assert scores.accuracy == sklearn.accuracy_score(labels, predictions)
    assert scores.macro_f1 == pytest.approx(sklearn.f1_score(labels, predictions, average="macro"))
    assert scores.loss == pytest.approx(sklearn.log_loss(labels, 0.7 * np.eye(4)[predictions] + 0.075))


def test_a_certain_wrong_answer_costs_a_finite_loss():
    assert metrics.score("val", np.array([0]), np.array([[0.0, 1.0]]), ["a", "b"]).loss == pytest.approx(-np.log(1e-12))


def test_json_round_trip():
    scores = some_scores()
    text = json.dumps(scores.to_json(), allow_nan=False)
    assert metrics.from_json(json.loads(text)) == scores
    assert metrics.from_json(json.loads(text) | {"epoch": 3}) == scores


@pytest.mark.parametrize(("hits", "n"), [(81, 263), (0, 10), (10, 10), (1, 2)])
def test_wilson_interval_is_scipys(hits, n):
    from scipy.stats import binomtest

    wanted = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert metrics.wilson(hits, n) == pytest.approx((wanted.low, wanted.high), abs=1e-6)


def test_of_no_records_nothing_is_known():
    assert metrics.wilson(0, 0) == (0, 1)
