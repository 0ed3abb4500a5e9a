"""A whole split through a model: every record once, in order, whatever the batch, the views and the dispatches."""

import numpy as np
import pytest

from corolla import augment, inference
from corolla.backend import keras
from corolla.inference import Predictor, Values, softmax, values_of
from corolla.mesh import make_mesh
from corolla.order import Lanes
from corolla.resident import make_feed
from flow import SIDE, photos, small_learner, small_model, start

MESH = make_mesh()


def left_and_right() -> keras.Model:
    """A model that tells what it sees: the mean of the red left half and of the blue right half."""
    inputs = keras.Input((SIDE, SIDE, 3))
    left = keras.ops.mean(inputs[:, :, : SIDE // 2, 0], axis=(1, 2))
    right = keras.ops.mean(inputs[:, :, SIDE // 2 :, 2], axis=(1, 2))
    return keras.Model(inputs, keras.ops.stack([left, right], axis=1))


def told(images: np.ndarray) -> np.ndarray:
    """What `left_and_right` says, in NumPy."""
    left, right = np.split(images.astype(np.float64), 2, axis=2)
    return np.stack([left[..., 0].mean((1, 2)), right[..., 2].mean((1, 2))], axis=1)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(left_and_right(), MESH, SIDE)


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("n", [1, 3, 4, 5, 23])
def test_every_record_once_in_order_by_both_views(predictor, n, resident):
    data = photos(n)
    feed = make_feed(MESH, Lanes(n, 4), data, resident)
    seen = predictor(Values([], []), feed, views=("plain", "mirror"))
    assert seen.shape == (n, 2, 2) and seen.dtype == np.float32
    np.testing.assert_allclose(seen[:, 0], told(data.images), rtol=1e-6)
    np.testing.assert_allclose(seen[:, 1], told(np.flip(data.images, axis=2)), rtol=1e-6)


@pytest.mark.parametrize("side", [SIDE, 3 * SIDE])
def test_parts_of_images_by_one_program(side):
    """All views of a call, whole ones too, are looked at by one program, compiled once."""
    data, views = photos(7, side=side), ("plain", "mirror", *inference.CROPS)
    predictor, feed = Predictor(left_and_right(), MESH, SIDE), make_feed(MESH, Lanes(7, 4), data, True)
    seen = predictor(Values([], []), feed, views=views)
    once = predictor.compile_seconds
    for place, view in enumerate(views):
        wanted = told(np.asarray(augment.look(data.images, inference.BOXES[view], SIDE)))
        np.testing.assert_allclose(seen[:, place], wanted, rtol=1e-5)
    assert predictor(Values([], []), feed, views=("middle",)).shape == (7, 1, 2) and predictor.compile_seconds == once
    plain = predictor(Values([], []), feed, views=("plain", "mirror"))
    np.testing.assert_allclose(plain, seen[:, :2], rtol=1e-5)
    assert len({tuple(one) for one in seen[0]}) == len(views)


def test_many_dispatches_are_one(predictor, monkeypatch):
    """23 records in batches of 4 and dispatches of 2 batches, compiled once; the progress says how far."""
    monkeypatch.setitem(inference.IMAGES_A_DISPATCH, "cpu", 9)
    data, said = photos(23), []
    feed = make_feed(MESH, Lanes(23, 4), data, True)
    seen = [predictor(Values([], []), feed, lambda *figures: said.append(figures)) for _ in range(2)]
    np.testing.assert_allclose(seen[0][:, 0], told(data.images), rtol=1e-6)
    np.testing.assert_array_equal(seen[0], seen[1])
    assert said == [(8, 23), (16, 23), (23, 23)] * 2


def test_compiling_is_timed_apart_and_done_once():
    predictor, feed = Predictor(left_and_right(), MESH, SIDE), make_feed(MESH, Lanes(9, 4), photos(9), True)
    predictor(Values([], []), feed)
    once = predictor.compile_seconds
    assert once > 0
    predictor(Values([], []), feed)
    predictor(Values([], []), make_feed(MESH, Lanes(9, 4), photos(9, seed=5), True))
    assert predictor.compile_seconds == once


def test_other_values_give_other_outputs():
    """The values are arguments of the compiled program, not part of it."""
    model, data = small_model(), photos(5)
    predictor, feed = Predictor(model, MESH, SIDE), make_feed(MESH, Lanes(5, 2), data, True)
    own = values_of(model)
    np.testing.assert_allclose(predictor(own, feed)[:, 0], model(data.images.astype(np.float32)), rtol=1e-4, atol=1e-4)
    changed = Values([value * 0 for value in own.trainable], own.non_trainable)
    assert np.all(predictor(changed, feed) == 0)


def test_dropout_and_batch_statistics_rest():
    """Prediction is the same twice, alone or in company."""
    learner = small_learner("batch", dropout=0.5)
    values = Values(*start(learner)[0][:2])
    predictor, data = Predictor(learner.model, MESH, SIDE), photos(6)
    many, one = (predictor(values, make_feed(MESH, Lanes(6, size), data, True)) for size in (6, 1))
    np.testing.assert_allclose(many, one, rtol=1e-5, atol=1e-5)


def test_another_size_is_resized_on_the_way():
    """Halves stay halves, but for the pixels at the seam."""
    data = photos(3, side=4 * SIDE)
    seen = Predictor(left_and_right(), MESH, SIDE)(Values([], []), make_feed(MESH, Lanes(3, 3), data, True))
    np.testing.assert_allclose(seen[:, 0], told(data.images), atol=2)


def test_softmax():
    logits = np.array([[[0, np.log(3)], [1000, 1000]], [[-1000, 0], [5, 5]]], np.float32)
    np.testing.assert_allclose(softmax(logits), [[[0.25, 0.75], [0.5, 0.5]], [[0, 1], [0.5, 0.5]]], rtol=1e-6)
