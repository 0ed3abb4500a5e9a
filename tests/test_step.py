"""The one train step: its loss, what padding may not touch, and any number of steps or devices giving the same."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from corolla import augment, step
from corolla.config import CROP_AND_FLIP, Augmentation
from corolla.losses import count_pairs, cross_entropy, soft_targets
from corolla.mesh import copied, make_mesh
from corolla.models.chains import by_image
from corolla.order import DRAWS, epoch_order
from corolla.resident import ResidentFeed
from corolla.step import Batch, State, Sums, empty_sums, train_step, train_steps
from flow import CLASSES, SIDE, assert_equal_trees, lanes_of, photos, small_learner, start

# --------------------------------------------------------------------------------------------------------------- loss


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.1, 0.9]), st.sampled_from([1.0, 30.0]))
def test_cross_entropy_is_scikit_learns(seed, smoothing, size):
    random = np.random.default_rng(seed)
    logits, labels = np.float32(random.standard_normal((6, 4)) * size), random.integers(0, 4, 6)
    losses = np.asarray(cross_entropy(jnp.asarray(logits), soft_targets(jnp.asarray(labels), 4, smoothing)))
    exact = logits.astype(np.float64) - np.logaddexp.reduce(logits.astype(np.float64), axis=1)[:, None]
    targets = (1 - smoothing) * np.eye(4)[labels] + smoothing / 4
    np.testing.assert_allclose(losses, -(targets * exact).sum(axis=1), rtol=1e-4, atol=1e-4)
    if smoothing == 0 and size == 1:
        wanted = sklearn.log_loss(labels, np.exp(exact), labels=range(4))
        np.testing.assert_allclose(losses.mean(), wanted, rtol=1e-4)


def test_the_loss_is_float32_whatever_the_logits():
    assert (
        cross_entropy(jnp.ones((2, 3), jnp.bfloat16), soft_targets(jnp.zeros(2, jnp.int32), 3, 0.1)).dtype
        == jnp.float32
    )


def test_pairs_are_counted_as_scikit_learn_counts_them():
    random = np.random.default_rng(0)
    labels, predictions = random.integers(0, 4, (2, 50))
    weights = np.float32(random.random(50) < 0.7)
    counted = count_pairs(*map(jnp.asarray, (labels, predictions, weights)), 4)
    real = weights > 0
    wanted = sklearn.confusion_matrix(labels[real], predictions[real], labels=range(4))
    np.testing.assert_array_equal(counted, wanted)
    assert counted.dtype == jnp.int32


# ------------------------------------------------------------------------------------------------------------ padding


def batch(n: int, padding: int = 0, garbage: int = 0) -> Batch:
    """n records and rows of padding, whose pixels, labels and chance are garbage."""
    data, random = photos(n, seed=3), np.random.default_rng(garbage)
    images = np.concatenate([data.images, random.integers(0, 256, (padding, SIDE, SIDE, 3), np.uint8)])
    labels = np.concatenate([data.labels, random.integers(0, CLASSES, padding, np.int32)])
    draws = np.random.default_rng(1).random((n, DRAWS), np.float32)
    draws = np.concatenate([draws, random.random((padding, DRAWS), np.float32)])
    weights = np.float32(np.arange(n + padding) < n)
    return Batch(*map(jnp.asarray, (images, labels, weights, draws)))


@pytest.fixture(scope="module")
def one_step():
    """Return a function from a Batch to (state, sums) after one step from always the same start."""
    learner = small_learner()
    learner.optimizer.global_clipnorm = 1e9  # a cut gradient would look the same, whatever it was divided by
    state = learner.initial_state()
    return jax.jit(lambda given: train_step(learner, state, empty_sums(CLASSES), given))


def test_padding_changes_nothing(one_step):
    bare = one_step(batch(6))
    padded, otherwise = one_step(batch(6, 3, garbage=1)), one_step(batch(6, 3, garbage=2))
    assert_equal_trees(padded, otherwise)
    assert_equal_trees(bare, padded, rtol=1e-5, atol=1e-7)
    assert float(padded[1].weight) == 6 and int(padded[1].confusion.sum()) == 6


def test_sums_are_those_of_the_records(one_step):
    """The loss before the step, by hand: the learner's own pieces, put together in NumPy."""
    learner = small_learner()
    given = batch(6, 3)
    _, sums = one_step(given)

    @jax.jit
    def logits_of(images, draws):
        return learner.model(augment.augment(images, draws, SIDE, CROP_AND_FLIP), training=False)

    logits = np.asarray(logits_of(given.images, given.draws))[:6]
    shifted = logits - np.logaddexp.reduce(logits, axis=1)[:, None]
    targets = 0.9 * np.eye(CLASSES)[np.asarray(given.labels[:6])] + 0.1 / CLASSES
    assert float(sums.loss) == pytest.approx(-(targets * shifted).sum(), rel=1e-5)
    wanted = sklearn.confusion_matrix(given.labels[:6], logits.argmax(axis=1), labels=range(CLASSES))
    np.testing.assert_array_equal(sums.confusion, wanted)


# ------------------------------------------------------------------------------------------------------ mixed images


def test_targets_of_mixtures_have_the_mass_of_one_label():
    given = batch(6)
    mixed = given._replace(others=(given.images[::-1], given.labels[::-1]))
    learner = small_learner(augmentation=Augmentation(mixup=0.4, cutmix=1.0))
    images, targets = jax.jit(lambda given: step.seen_in_training(learner, given))(mixed)
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
    share = np.asarray(augment.own_share(given.draws, SIDE, learner.augmentation))[:, None]
    both = share * np.eye(CLASSES)[given.labels] + (1 - share) * np.eye(CLASSES)[given.labels[::-1]]
    np.testing.assert_allclose(targets, 0.9 * both + 0.1 / CLASSES, atol=1e-6)
    assert images.shape == (6, SIDE, SIDE, 3)


def test_padding_is_mixed_with_nothing():
    """Where a lane's next place is padding, an image is mixed with itself."""
    data, lanes, mesh = photos(7), lanes_of(photos(7), 2), make_mesh(jax.devices()[:1])
    feed = ResidentFeed(mesh, lanes, data)
    feed.start(epoch_order(lanes, 0, 1))
    part = feed.take(0, 4)
    read = jax.jit(lambda number: step.gather(part.pixels, part.steps, number, mixes=True))
    seen = [read(number) for number in range(4)]
    for number, one in enumerate(seen):
        after = seen[(number + 1) % 4]
        for lane in range(2):
            expected = after if after.weights[lane] else one
            np.testing.assert_array_equal(one.others[0][lane], expected.images[lane])
            assert one.others[1][lane] == expected.labels[lane]
    assert sum(int((one.weights == 0).sum()) for one in seen) == 1


# ------------------------------------------------------------------------------------------------- groups of images


@pytest.mark.parametrize("group", [1, 2, 3, 4, 12])
def test_groups_of_images_teach_what_the_batch_teaches(group, monkeypatch):
    """With dropout, and padding that fills a group and a half."""
    monkeypatch.setattr(step, "GROUP", group)
    learner, mesh = small_learner(dropout=0.4), make_mesh(jax.devices()[:1])
    state, given = learner.initial_state(), batch(7, 5)
    whole = jax.jit(lambda given: train_step(learner, state, empty_sums(CLASSES), given))(given)
    cut = jax.jit(lambda given: train_step(learner, state, empty_sums(CLASSES), given, mesh))(given)
    assert_equal_trees(whole, cut, rtol=2e-5, atol=1e-6)
    other = small_learner(dropout=0.0)
    without = jax.jit(lambda given: train_step(other, other.initial_state(), empty_sums(CLASSES), given))(given)
    assert abs(float(without[1].loss) - float(whole[1].loss)) > 1e-3  # dropout did drop


@pytest.mark.parametrize(("batch_norm", "grouped"), [("frozen", True), ("batch", False)])
def test_only_what_keeps_images_apart_is_cut(batch_norm, grouped):
    assert by_image(small_learner(batch_norm, dropout=0.4).model) == grouped


# ------------------------------------------------------------------------------------------- many steps, one dispatch


@pytest.fixture(scope="module")
def epoch():
    """A compiled epoch: batch statistics, dropout, averages, five steps of which two are padded."""
    mesh, learner, data = make_mesh(), small_learner("batch", dropout=0.3, total_steps=200), photos(23)
    feed = ResidentFeed(mesh, lanes_of(data, 5), data)
    feed.start(epoch_order(feed.lanes, seed=0, epoch=1))
    program, part = train_steps(learner, mesh), feed.take(0, 5)

    def run(bounds: list[int]) -> tuple[State, Sums]:
        state, sums = start(learner)
        for first, last in itertools.pairwise(bounds):
            state, sums = program(state, sums, part.pixels, part.steps, first, last)
        return jax.device_get((state, sums))

    run.program, run.learner = program, learner
    return run


def test_many_steps_in_one_dispatch_are_the_same_steps_one_by_one(epoch):
    whole = epoch([0, 5])
    assert_equal_trees(whole, epoch([0, 1, 2, 3, 4, 5]))
    assert_equal_trees(whole, epoch([0, 3, 5]))
    assert float(whole[1].weight) == int(whole[1].confusion.sum()) == 23
    assert epoch.program._cache_size() == 1


def test_no_step_is_no_change(epoch):
    assert_equal_trees(epoch([2, 2]), jax.device_get(start(epoch.learner)))


def test_every_kind_of_value_moves(epoch):
    """Weights, batch statistics, the seed of dropout, the optimizer's own: all of them travel through the step."""
    before, after = jax.device_get(start(epoch.learner))[0], epoch([0, 5])[0]
    same = [
        variable.path
        for group, old, new in zip(
            (epoch.learner.model.trainable_variables, epoch.learner.model.non_trainable_variables),
            before,
            after,
            strict=False,
        )
        for variable, one, other in zip(group, old, new, strict=True)
        if np.array_equal(one, other)
    ]
    assert same == []
    still = [
        v.path
        for v, a, b in zip(epoch.learner.optimizer.variables, before[2], after[2], strict=True)
        if np.array_equal(a, b)
    ]
    assert [path.split("/")[-1] for path in still] in (["total_steps"], ["learning_rate", "total_steps"])


def test_averaged_values_are_the_averages(epoch):
    state = epoch([0, 5])[0]
    averaged = epoch.learner.averaged(State(*state))
    for value, weight, old in zip(averaged, state.trainable, epoch.learner.model.trainable_variables, strict=True):
        assert value.shape == weight.shape
        assert 0 < np.abs(value - weight).max() < np.abs(np.asarray(old) - weight).max() + 1e-6


def test_averages_begin_at_the_weights_of_now():
    """The step's program is compiled before the probe sets the head, which must not leave the old head in them."""
    learner = small_learner("batch", dropout=0.0, total_steps=10)
    learner.initial_state()
    head = learner.model.get_layer("head")
    head.set_weights([weight + 1 for weight in head.get_weights()])
    state = learner.initial_state()
    assert_equal_trees(learner.averaged(state), state.trainable)


def test_steps_learn(epoch):
    """After forty passes, the colour gives the label away: chance would have 5 of 23."""
    mesh, data, loss = make_mesh(), photos(23), []
    state, sums = start(epoch.learner)
    feed = ResidentFeed(mesh, lanes_of(data, 5), data)
    for number in range(40):
        feed.start(epoch_order(feed.lanes, 0, number))
        state, sums = epoch.program(state, jax.device_put(empty_sums(CLASSES), copied(mesh)), *feed.take(0, 5))
        loss.append(float(sums.loss) / 23)
    assert loss[0] > 1.5 and loss[-1] < 1.0 and int(jnp.trace(sums.confusion)) >= 18


# -------------------------------------------------------------------------------------------------------- many devices


@pytest.fixture(scope="module")
def many() -> dict:
    """What `many_devices.py` prints: the same training on 1, 2, 4 and 8 devices."""
    flags = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
    program = Path(__file__).with_name("many_devices.py")
    done = subprocess.run(
        [sys.executable, program], env=os.environ | {"XLA_FLAGS": flags}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.xdist_group("devices")
@pytest.mark.parametrize(
    "kind",
    [
        "batch statistics, 8 a batch",
        "frozen statistics, 6 a batch",
        "mixed images, 6 a batch",
        "soft labels, mixed images, 6 a batch",
    ],
)
def test_any_number_of_devices_gives_the_same_weights(many, kind):
    """6 a batch leaves some of 4 and 8 devices without work; 8 a batch shares batch statistics over all of them."""
    one, *others = (np.array(many[kind][count]) for count in ("1", "2", "4", "8"))
    assert np.linalg.norm(one - np.array(many[kind]["start"])) > 0.05  # three steps did move them
    for other in others:
        assert np.linalg.norm(other - one) < 1e-5 * np.linalg.norm(one)


@pytest.mark.xdist_group("devices")
@pytest.mark.parametrize(("what", "tolerance"), [("sums", 1e-4), ("outputs", 1e-4), ("head", 0.02)])
def test_any_number_of_devices_gives_the_same_figures(many, what, tolerance):
    """L-BFGS stops near the solution, not on it."""
    one, *others = (np.array(many[what][count]) for count in ("1", "2", "4", "8"))
    for other in others:
        np.testing.assert_allclose(other, one, rtol=tolerance, atol=tolerance)


@pytest.mark.xdist_group("devices")
def test_no_image_crosses_devices(many):
    """What crosses is gradients and sums; an image, uint8 or float, must stay where it lies."""
    assert {name for name, _, _ in many["collectives"]} == {"all-reduce"}
    for _, dtype, size in many["collectives"]:
        assert dtype != "u8" and size < many["image size"], many["collectives"]
