"""The probe: scikit-learn's logistic regression, found in seconds, with the penalty chosen on held-out records."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from corolla import probe
from corolla.inference import softmax
from corolla.mesh import make_mesh
from corolla.probe import PENALTIES, Scaling, held_out, solve

MESH = make_mesh()


def clouds(n: int = 120, classes: int = 4, width: int = 6, noise: float = 1.0, seed: int = 0):
    """Features float32[n, 1, width] in clouds around a point for each label, off the origin and of uneven sizes."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, n).astype(np.int32)
    middles = np.random.default_rng(1).standard_normal((classes, width)) * np.linspace(0.2, 3, width)
    features = middles[labels] + noise * random.standard_normal((n, width)) + 5
    return features.astype(np.float32)[:, None], labels


def spread_of(features: np.ndarray) -> float:
    """The features' common spread around their own means."""
    return float(features.var(axis=0).mean() ** 0.5)


def scikit(features: np.ndarray, labels: np.ndarray, penalty: float) -> LogisticRegression:
    """Solve the same problem: features in units of their common spread, C = 1 / (n penalty)."""
    spread = spread_of(features)
    model = LogisticRegression(C=1 / (len(labels) * penalty), tol=1e-8, max_iter=5000)
    model.fit((features - features.mean(axis=0)) / spread, labels)
    return model


@pytest.mark.parametrize("noise", [0.3, 2.0])
def test_the_head_is_scikit_learns(noise):
    features, labels = clouds(noise=noise)
    head = solve(MESH, features, labels, 4)
    rows = features[:, 0]
    wanted = scikit(rows, labels, head.penalty)
    scaled = (rows - rows.mean(axis=0)) / spread_of(rows)
    np.testing.assert_allclose(softmax(head.logits(rows)), wanted.predict_proba(scaled), atol=0.02)
    assert head.kernel.dtype == head.bias.dtype == np.float32


def test_every_view_of_a_record_is_a_row():
    features, labels = clouds(60)
    views = np.concatenate([features, features + 0.5], axis=1)
    head = solve(MESH, views, labels, 4)
    rows, twice = views.reshape(120, -1), np.repeat(labels, 2)
    wanted = scikit(rows, twice, head.penalty)
    scaled = (rows - rows.mean(axis=0)) / spread_of(rows)
    np.testing.assert_allclose(softmax(head.logits(rows)), wanted.predict_proba(scaled), atol=0.02)


def test_one_record_in_five_of_each_class_is_held_out():
    labels = np.array([0] * 11 + [1] * 4 + [2] * 5 + [0] * 4)
    held = held_out(labels)
    assert [int(held[labels == label].sum()) for label in range(3)] == [3, 0, 1]
    assert np.flatnonzero(held).tolist() == [4, 9, 19, 23]


@pytest.mark.parametrize(
    ("noise", "penalties", "chosen"),
    [(0.05, (10.0, 1e-2, 1e-5), 1e-2), (6.0, (0.3, 1e-7), 0.3), (0.05, (1e-2, 1e-3), 1e-2)],
    ids=["clear: not too strong", "noise: the strongest", "equals: the stronger"],
)
def test_the_penalty_is_the_one_that_serves_held_out_records(monkeypatch, noise, penalties, chosen):
    monkeypatch.setattr(probe, "PENALTIES", penalties)
    assert solve(MESH, *clouds(200, noise=noise, seed=3), 4).penalty == chosen


def test_classes_without_records_and_records_too_few_to_hold_out():
    features, labels = clouds(12, classes=3)
    head = solve(MESH, features, labels * 2, 8)
    assert head.kernel.shape == (6, 8) and head.bias.shape == (8,)
    assert head.penalty in PENALTIES
    assert set(head.logits(features[:, 0]).argmax(axis=1).tolist()) <= {0, 2, 4}


def test_constant_features_give_the_share_of_each_label():
    labels = np.array([0, 0, 0, 1], np.int32)
    head = solve(MESH, np.ones((4, 1, 3), np.float32), labels, 2)
    np.testing.assert_allclose(softmax(head.logits(np.ones((1, 3), np.float32))), [[0.75, 0.25]], atol=0.01)


def test_the_same_features_give_the_same_head():
    one, other = (solve(MESH, *clouds(), 4) for _ in range(2))
    np.testing.assert_array_equal(one.kernel, other.kernel)
    assert one.iterations == other.iterations > 3


def test_a_level_of_small_numbers_counts_as_much_as_one_of_large_numbers():
    """The labels stand in the second level alone, whose numbers are a thousand times smaller."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 30)
    told = np.eye(4)[labels] + 0.3 * random.standard_normal((120, 4))
    noise = random.standard_normal((120, 12))
    features = np.concatenate([noise, told / 1000], axis=1).astype(np.float32)[:, None]
    scaled = Scaling.of(features, (12, 4))
    sums = ((features[:, 0] - scaled.mean) / scaled.spread) ** 2
    assert sums[:, :12].sum() == pytest.approx(sums[:, 12:].sum(), rel=1e-3)
    assert sums.mean() == pytest.approx(1, rel=0.05)
    by_level, as_one = (solve(make_mesh(), features, labels, 4, widths) for widths in ((12, 4), ()))
    right = [(head.logits(features[:, 0]).argmax(axis=1) == labels).mean() for head in (by_level, as_one)]
    assert right[0] > 0.9 > right[1]
