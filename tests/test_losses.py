"""Loss and counts, against scikit-learn; padding changes neither."""

import json

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from corolla.losses import CrossEntropy, Objective, Seen, count_pairs, cross_entropy, soft_targets


def batch(n: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, labels and weights, a third of them 0 (but never all)."""
    random = np.random.default_rng(seed)
    weights = (random.random(n) > 0.3).astype(np.float32)
    weights[0] = 1
    logits = random.standard_normal((n, classes)).astype(np.float32) * 3
    return logits, random.integers(0, classes, n).astype(np.int32), weights


def probabilities(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits.astype(np.float64))
    return shifted / shifted.sum(axis=1, keepdims=True)


@given(st.integers(1, 20), st.integers(2, 9), st.integers(0, 10_000), st.sampled_from([0.0, 0.1, 0.5]))
def test_cross_entropy_is_that_of_smoothed_targets(n, classes, seed, smoothing):
    logits, labels, weights = batch(n, classes, seed)
    targets = (1 - smoothing) * np.eye(classes)[labels] + smoothing / classes
    wanted = -(targets * np.log(probabilities(logits))).sum(axis=1)
    np.testing.assert_allclose(
        cross_entropy(logits, soft_targets(labels, classes, smoothing)), wanted, rtol=1e-4, atol=1e-5
    )
    mean = CrossEntropy(smoothing)(labels, logits, weights)
    assert float(CrossEntropy()(np.float32(targets), logits, weights)) == pytest.approx(float(mean), rel=1e-5)
    assert float(mean) == pytest.approx((wanted * weights).sum() / weights.sum(), rel=1e-4)


@given(st.integers(1, 20), st.integers(2, 9), st.integers(0, 10_000))
def test_pairs_are_counted_without_padding(n, classes, seed):
    logits, labels, weights = batch(n, classes, seed)
    real = weights > 0
    wanted = sklearn.confusion_matrix(labels[real], logits.argmax(axis=1)[real], labels=range(classes))
    np.testing.assert_array_equal(count_pairs(labels, logits.argmax(axis=1), weights, classes), wanted)


def test_what_an_epoch_has_seen_is_what_one_batch_of_it_all_would_be():
    seen, parts = Seen(7, 0.1), [batch(12, 7, seed) for seed in range(4)]
    for logits, labels, weights in parts:
        seen.update_state(labels, logits, weights)
    logits, labels, weights = (np.concatenate(values) for values in zip(*parts, strict=True))
    real, predicted = weights > 0, logits.argmax(axis=1)
    found = {name: float(value) for name, value in seen.result().items()}
    present = sorted(set(labels[real].tolist()))
    assert found == pytest.approx(
        {
            "loss": float(CrossEntropy(0.1)(labels, logits, weights)),
            "accuracy": sklearn.accuracy_score(labels[real], predicted[real]),
            "macro_f1": sklearn.f1_score(labels[real], predicted[real], labels=present, average="macro"),
        },
        rel=1e-5,
    )
    seen.reset_state()
    assert {name: float(value) for name, value in seen.result().items()} == {"loss": 0, "accuracy": 0, "macro_f1": 0}
    seen.update_state(labels, logits)  # without weights every record counts
    assert float(seen.weight) == len(labels)


def test_the_loss_is_rebuilt_from_its_config():
    told = Objective(0.3, (0.0, -1.0), (1.0, 2.0), 2.0)
    kept = json.loads(json.dumps(CrossEntropy(objective=told).get_config()))
    assert CrossEntropy.from_config(kept).objective == told
    assert CrossEntropy.from_config(CrossEntropy(0.3).get_config()).objective == Objective(0.3)


@given(st.integers(1, 20), st.integers(2, 9), st.integers(0, 10_000), st.floats(0, 5))
def test_a_focal_loss_counts_what_is_known_less(n, classes, seed, focal):
    logits, labels, _ = batch(n, classes, seed)
    p = probabilities(logits)[np.arange(n), labels]
    found = np.asarray(Objective(focal=focal).losses(logits, np.eye(classes, dtype=np.float32)[labels]))
    np.testing.assert_allclose(found, -np.log(p) * (1 - p) ** focal, rtol=1e-3, atol=1e-5)


def test_the_slope_of_a_focal_loss_ends_where_all_is_known():
    sure = np.float32([[200.0, 0.0]])
    slope = jax.grad(lambda logits: Objective(focal=0.5).losses(logits, np.float32([[1, 0]])).sum())(sure)
    assert np.isfinite(slope).all()


def test_class_weights_multiply_the_losses_of_their_records_and_of_mixtures_by_shares():
    logits, labels, _ = batch(6, 3, 0)
    weights = (0.5, 2.0, 4.0)
    plain, weighted = Objective(), Objective(class_weights=weights)
    targets = np.eye(3, dtype=np.float32)[labels]
    wanted = plain.losses(logits, targets) * np.float32(weights)[labels]
    np.testing.assert_allclose(weighted.losses(logits, targets), wanted, rtol=1e-6)
    mixture = np.float32([[0.25, 0.75, 0.0]])
    wanted = plain.losses(logits[:1], mixture) * (0.25 * 0.5 + 0.75 * 2.0)
    np.testing.assert_allclose(weighted.losses(logits[:1], mixture), wanted, rtol=1e-6)
