"""Decisions: expected macro F1 only rises, rare classes gain where they should, and the gain that is told is honest."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from corolla import decide, metrics
from corolla.decide import Rule, best_labels, expected_macro_f1, fit_rule, judge_rule


def probabilities_of(n: int, classes: int, seed: int, spread: float = 1.5) -> np.ndarray:
    return softmax(np.random.default_rng(seed).normal(0, spread, (n, classes)), axis=1)


def long_tailed(n: int, classes: int = 30, seed: int = 0):
    """Return ids, labels and their true probabilities, of classes that are ever rarer and look alike in pairs."""
    random = np.random.default_rng(seed)
    share = np.exp(-np.arange(classes) / (classes / 3.0))
    order = random.permutation(classes)  # so that rare ones are taken for frequent ones
    truth = random.choice(classes, size=n, p=share / share.sum())
    scores = random.normal(0, 1, (n, classes)) + np.log(share)
    scores[np.arange(n), truth] += 2.0
    scores[np.arange(n), order[truth]] += 1.0
    probabilities = softmax(2.0 * scores, axis=1)
    labels = (probabilities.cumsum(axis=1) > random.random((n, 1))).argmax(axis=1)
    return [f"photo{i}" for i in range(n)], labels, probabilities


def test_expected_macro_f1_of_certain_labels_is_macro_f1():
    labels, predictions = np.random.default_rng(0).integers(0, 6, (2, 100))
    wanted = metrics.macro_f1(metrics.confusion_matrix(labels, predictions, 7))
    assert expected_macro_f1(np.eye(7)[labels], predictions) == pytest.approx(float(wanted))


@given(st.integers(1, 40), st.integers(2, 8), st.integers(0, 10_000))
def test_no_single_change_raises_what_was_found(n, classes, seed):
    probabilities = probabilities_of(n, classes, seed)
    labels = best_labels(probabilities)
    reached = expected_macro_f1(probabilities, labels)
    assert reached >= expected_macro_f1(probabilities, probabilities.argmax(axis=1)) - 1e-12
    for i, label in itertools.product(np.flatnonzero(probabilities.max(axis=1) < decide.SURE), range(classes)):
        other = labels.copy()
        other[i] = label
        assert expected_macro_f1(probabilities, other) <= reached + 1e-9


def test_small_sets_get_the_best_of_all_labellings_or_come_near():
    """Moving one photo at a time can end where only two moves together would help: of 150 sets in a few."""
    every = [np.array(labels) for labels in itertools.product(range(3), repeat=6)]
    reached, likeliest = [], []
    for seed in range(150):
        probabilities = probabilities_of(6, 3, seed)
        best = max(expected_macro_f1(probabilities, labels) for labels in every)
        reached.append(expected_macro_f1(probabilities, best_labels(probabilities)) / best)
        likeliest.append(expected_macro_f1(probabilities, probabilities.argmax(axis=1)) / best)
    assert np.mean(np.array(reached) > 1 - 1e-9) > 0.95 and np.mean(reached) > 0.998
    assert np.mean(likeliest) < 0.96  # there was something to gain


@given(st.integers(0, 10_000))
def test_the_order_of_photos_and_names_of_classes_do_not_matter(seed):
    probabilities, random = probabilities_of(30, 5, seed), np.random.default_rng(seed)
    rows, columns = random.permutation(30), random.permutation(5)
    shuffled = best_labels(probabilities[rows][:, columns])
    np.testing.assert_array_equal(columns[shuffled], best_labels(probabilities)[rows])


def test_a_class_that_nobody_was_called_gets_its_photo():
    """Nine photos of class 0 beyond doubt; one more, in doubt: class 1 would lose all its F1, class 0 a tenth."""
    probabilities = np.array([[0.95, 0.05]] * 9 + [[0.55, 0.45]])
    assert best_labels(probabilities).tolist() == [0] * 9 + [1]
    certain = np.array([[1.0, 0.0]] * 9 + [[0.9995, 0.0005]])
    assert best_labels(certain).tolist() == [0] * 10


def test_what_was_given_stays_as_it_was():
    probabilities = probabilities_of(20, 4, 0)
    before = probabilities.copy()
    best_labels(probabilities)
    np.testing.assert_array_equal(probabilities, before)


@given(st.integers(0, 10_000), st.integers(8, 60))
def test_on_what_it_was_fitted_on_a_rule_is_never_worse(seed, n):
    """Also where probabilities say nothing of the labels."""
    probabilities = probabilities_of(n, 5, seed)
    labels = np.random.default_rng(seed + 1).integers(0, 5, n)
    found = fit_rule(labels, probabilities).labels(probabilities)
    scores = [
        metrics.macro_f1(metrics.confusion_matrix(labels, each, 5), present_only=True)
        for each in (found, probabilities.argmax(axis=1))
    ]
    assert scores[0] >= scores[1]


def test_a_rule_that_was_not_better_takes_the_likeliest():
    probabilities = probabilities_of(20, 4, 0)
    np.testing.assert_array_equal(Rule(3.0, False).labels(probabilities), probabilities.argmax(axis=1))


def test_a_long_tail_gains_and_the_verdict_says_what_fresh_records_say():
    """The gain told from 8,000 records holds on 20,000 others, at a temperature that has to be found too."""
    ids, labels, probabilities = long_tailed(8000)
    heated = softmax(2 * np.log(probabilities), axis=1)
    verdict = judge_rule(ids, labels, heated)
    assert verdict.gain > 0.01 and verdict.interval[0] > 0 and verdict.moved > 50
    assert verdict.macro_f1[1] - verdict.macro_f1[0] == pytest.approx(verdict.gain)
    _, fresh, others = long_tailed(20_000, seed=1)
    others = softmax(2 * np.log(others), axis=1)
    rule = fit_rule(labels, heated)
    gain, _ = metrics.paired_difference(fresh, others.argmax(axis=1), rule.labels(others), 30, draws=10)
    assert rule.expected_f1 and rule.temperature == pytest.approx(2, rel=0.05)
    assert verdict.interval[0] - 0.01 < gain < verdict.interval[1] + 0.01


def test_a_verdict_tells_no_gain_where_there_is_none():
    """Labels that are drawn without a look at the probabilities: what looks like a gain in a fold is chance."""
    gains = []
    for seed in range(20):
        labels = np.random.default_rng(seed).integers(0, 5, 200)
        gains.append(judge_rule([str(i) for i in range(200)], labels, probabilities_of(200, 5, seed)).gain)
    assert abs(np.mean(gains)) < 0.02
