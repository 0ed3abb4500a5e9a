"""Ensembles: weights of the least cross-entropy, honest figures, and the same numbers after a round trip."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from corolla import ensemble, metrics
from corolla.decide import Rule
from corolla.ensemble import Ensemble, Member, simplex_weights
from corolla.errors import RunError, WishError


def made_up(n: int = 600, noises: tuple[float, ...] = (1.0, 1.0, 3.0), seed: int = 0, heats=(1.0, 3.0, 0.5)):
    """Return ids, labels, and what runs of ever more noise and other temperatures say: float[runs, n, 8]."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 8, n)
    scores = [3.0 * np.eye(8)[labels] + random.normal(0, noise * 1.3, (n, 8)) for noise in noises]
    stack = np.stack([softmax(heat * each, axis=1) for heat, each in zip(heats, scores, strict=False)])
    return [f"photo{i}" for i in range(n)], labels, stack


def names(count: int) -> list[tuple[str, str]]:
    return [(f"runs/{i}", f"digest{i}") for i in range(count)]


@given(st.integers(0, 1000), st.integers(2, 5))
def test_no_step_along_the_simplex_lowers_cross_entropy(seed, runs):
    random = np.random.default_rng(seed)
    own = random.random((80, runs)) ** random.integers(1, 4, runs)
    weights = simplex_weights(own)
    assert weights.sum() == pytest.approx(1) and weights.min() >= 0

    def loss(at: np.ndarray) -> float:
        return -np.log(own @ at).mean()

    for corner in np.eye(runs):
        assert loss(0.99 * weights + 0.01 * corner) >= loss(weights) - 2e-6
    assert loss(weights) <= loss(np.full(runs, 1 / runs)) + 1e-12


def test_weights_by_hand():
    assert simplex_weights(np.array([[0.3], [0.9]])).tolist() == [1.0]
    better = np.array([[0.9, 0.1]] * 5)
    assert simplex_weights(better).tolist() == [1.0, 0.0]
    np.testing.assert_allclose(simplex_weights(np.array([[1.0, 0.0]] * 3 + [[0.0, 1.0]])), [0.75, 0.25], atol=1e-4)
    assert np.isfinite(simplex_weights(np.zeros((4, 2)))).all()


def test_good_runs_count_more_however_sure_they_are_of_themselves():
    _, labels, stack = made_up()
    made = ensemble.fit(names(3), labels, stack, "fitted")
    weights, heats = ([getattr(m, name) for m in made.members] for name in ("weight", "temperature"))
    assert weights[2] < 0.15 < min(weights[:2]) and sum(weights) == pytest.approx(1)
    assert heats[1] / heats[0] == pytest.approx(3, rel=0.25)
    np.testing.assert_allclose(made.probabilities(stack).sum(axis=1), 1)


def test_sure_runs_and_unsure_ones_count_the_same():
    _, labels, stack = made_up()
    made = ensemble.fit(names(3), labels, stack)
    assert [one.weight for one in made.members] == pytest.approx([1 / 3] * 3)
    fitted = ensemble.fit(names(3), labels, stack, "fitted")
    assert [one.temperature for one in made.members] == [one.temperature for one in fitted.members]
    unsure = stack[1] ** 0.2
    blurred = stack.copy()
    blurred[1] = unsure / unsure.sum(axis=1, keepdims=True)
    again = ensemble.fit(names(3), labels, blurred)
    np.testing.assert_allclose(again.mean(blurred), made.mean(stack), atol=0.01)


@pytest.mark.parametrize("weighing", ["equal", "fitted"])
def test_cross_fitted_figures_are_those_of_fresh_records(weighing):
    ids, labels, stack = made_up(1500)
    fitted = ensemble.cross_fitted(ids, labels, stack, weighing)
    _, others, fresh = made_up(1500, seed=9)
    made = ensemble.fit(names(3), labels, stack, weighing)
    told = metrics.cross_entropy(labels, np.log(fitted.probabilities))
    assert told == pytest.approx(metrics.cross_entropy(others, np.log(made.probabilities(fresh))), abs=0.05)
    assert told < metrics.cross_entropy(labels, np.log(stack.mean(axis=0))) - 0.02
    assert (fitted.labels == labels).mean() == pytest.approx((made.labels(fresh) == others).mean(), abs=0.04)


@pytest.mark.parametrize("weighing", ["equal", "fitted"])
def test_a_fold_never_hears_of_its_own_labels(monkeypatch, weighing):
    ids, labels, stack = made_up(200)
    fold = np.arange(200) % 5
    monkeypatch.setattr(ensemble, "places", lambda *_: fold)  # folds hang on labels; here they must stay
    before = ensemble.cross_fitted(ids, labels, stack, weighing)
    lies = np.where(fold == 3, (labels + 1) % 8, labels)
    after = ensemble.cross_fitted(ids, lies, stack, weighing)
    np.testing.assert_array_equal(after.labels[fold == 3], before.labels[fold == 3])
    np.testing.assert_array_equal(after.probabilities[fold == 3], before.probabilities[fold == 3])
    assert np.abs(after.probabilities - before.probabilities).max() > 0.01


def test_json_round_trip(tmp_path):
    _, labels, stack = made_up(100)
    made = ensemble.fit(names(3), labels, stack)
    (tmp_path / "b.json").write_text(json.dumps({**made.to_json(), "records": 3}))
    assert ensemble.read(tmp_path / "b.json") == made


@pytest.mark.parametrize(
    "content", ["{}", "[]", '{"members": [{"run": "a"}], "rule": {}}', '{"members": 3, "rule": 4}']
)
def test_a_file_that_is_no_blend(tmp_path, content):
    (tmp_path / "b.json").write_text(content)
    with pytest.raises(RunError, match=r"b\.json is no blend: make one with `corolla blend RUN\.\.\. --out FILE`"):
        ensemble.read(tmp_path / "b.json")


PAIR = Ensemble((Member("a", "1", 1.0, 0.9), Member("b", "2", 2.0, 0.1), Member("c", "3", 1.0, 0.0)), Rule(1.0, False))


def test_members_are_known_again_wherever_they_lie():
    moved = PAIR.of({"2": "else/b", "1": "else/a"})
    assert [(m.run, m.weight) for m in moved.members] == [("else/b", 0.1), ("else/a", 0.9)]
    stack = made_up(10)[2]
    np.testing.assert_allclose(moved.probabilities(stack[[1, 0]]), PAIR.counting().probabilities(stack[:2]))
    np.testing.assert_allclose(PAIR.counting().probabilities(stack[:2]), PAIR.probabilities(stack))
    with pytest.raises(WishError, match=r"^x is none of the runs of the blend \(a, b, c\): blend anew with it$"):
        PAIR.of({"1": "a", "9": "x"})
    with pytest.raises(WishError, match=r"^the blend wants b too, which counts 10%$"):
        PAIR.of({"1": "a"})
