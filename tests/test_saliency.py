"""Maps are the logit, undone; what was planted is where they are highest; any model can be asked."""

import numpy as np
import pytest

from corolla import shipped
from corolla.backend import keras
from corolla.interpreter import Interpreter
from corolla.models import registry
from corolla.network import graph_of, named_weights
from corolla.saliency import explainer, overlay, strength, upsampled

SIDE, CLASSES = 32, 3


def linear_model(levels: int = 1, between: bool = False) -> keras.Model:
    """A head on the means of maps, [2], 4 and 8 places wide; between: with a layer that makes it something else."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    images = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 255)(images)
    maps = []
    for width in (4, 6):
        x = layers.Conv2D(width, 3, strides=4 if width == 4 else 2, padding="same", activation="relu")(x)
        maps.append(layers.GlobalAveragePooling2D()(x))
    features = layers.Concatenate()(maps) if levels > 1 else maps[-1]
    if between:
        features = layers.Dense(9, activation="relu", name="between")(features)
    features = layers.Dropout(0.3, name="dropout")(features)
    return keras.Model(images, layers.Dense(CLASSES, bias_initializer="normal", name="head")(features))


def as_interpreter(model: keras.Model) -> Interpreter:
    graph = graph_of(model)
    assert graph is not None
    return Interpreter(graph, {name: np.asarray(value) for name, value in named_weights(model).items()})


def noise(n: int, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3)).astype(np.uint8)


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("of", [lambda model: model, as_interpreter], ids=["keras", "numpy"])
def test_the_mean_of_a_map_is_the_logit_without_its_bias(levels, of):
    model, images = linear_model(levels), noise(20)
    labels = np.arange(20) % CLASSES
    asked = explainer(of(model))
    maps = asked(images, labels)
    logits = model.predict(images.astype(np.float32), verbose=0) - np.asarray(model.get_layer("head").bias)
    wanted = logits[np.arange(20), labels] - logits.mean(axis=1)
    assert asked.exact and maps.shape == (20, SIDE, SIDE) and maps.dtype == np.float32
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), wanted, atol=1e-5)


def planted(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Dark noise with a bright red or blue patch of 8 px somewhere; labels, and the patches' corners."""
    random = np.random.default_rng(1)
    images = random.integers(0, 60, (n, SIDE, SIDE, 3))
    corners = random.integers(0, SIDE - 8, (n, 2))
    for i, (top, left) in enumerate(corners):
        images[i, top : top + 8, left : left + 8, 2 * (i % 2)] = 250
    return images.astype(np.uint8), corners


def taught(between: bool = False) -> keras.Model:
    """A model that tells red patches from blue ones, fitted to them."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    images = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(8, 4, strides=4, activation="relu")(layers.Rescaling(1 / 255)(images))
    x = layers.GlobalAveragePooling2D()(x)
    if between:
        x = layers.Dense(12, activation="relu")(x)
    model = keras.Model(images, layers.Dense(2, name="head")(x))
    seen, _ = planted(64)
    model.compile(keras.optimizers.Adam(0.03), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(seen.astype(np.float32), np.arange(64) % 2, epochs=30, batch_size=64, verbose=0)
    return model


@pytest.mark.parametrize("between", [False, True], ids=["exact", "by grey squares"])
def test_what_was_planted_is_where_the_map_is_highest(between):
    model = taught(between)
    images, corners = planted(12)
    labels = np.arange(12) % 2
    assert (model.predict(images.astype(np.float32), verbose=0).argmax(axis=1) == labels).all()
    asked = explainer(model)
    assert asked.exact is not between
    for found, (top, left) in zip(asked(images, labels), corners, strict=True):
        y, x = np.unravel_index(found.argmax(), found.shape)
        assert top - 4 <= y < top + 12 and left - 4 <= x < left + 12


def test_a_head_on_something_else_is_asked_by_grey_squares():
    model = linear_model(between=True)
    assert not explainer(model).exact and not explainer(as_interpreter(model)).exact
    maps = [explainer(one)(noise(2), [0, 2]) for one in (model, as_interpreter(model))]
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-5)
    assert np.abs(maps[0]).max() > 0.001


@pytest.mark.parametrize(("name", "exact"), [("micro", True), ("efficientnet_lite0", True), ("convnext_tiny", False)])
def test_models_of_the_registry(name, exact):
    """ConvNeXt normalises after the mean, so its head is not linear in its maps."""
    model = registry.classifier(name, 5, 32, "none", levels=4)
    asked = explainer(model)
    assert asked.exact is exact
    maps = asked(noise(1), [3])
    assert maps.shape == (1, 32, 32) and np.isfinite(maps).all()


def test_the_shipped_model():
    found = shipped.load()
    asked = explainer(found.model)
    image = noise(1, found.image_size)
    features, logits = found.model.with_features(image)
    maps, again = found.model.with_maps(image)
    np.testing.assert_array_equal(logits, again)
    np.testing.assert_allclose(np.concatenate([each.mean(axis=(1, 2)) for each in maps], axis=1), features, rtol=1e-5)
    assert asked.exact and asked(image, logits.argmax(axis=1)).shape == (1, found.image_size, found.image_size)


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"images are \(16, 16, 3\), the model takes 32 px"):
        explainer(linear_model())(noise(1, 16), [0])


@pytest.mark.parametrize(("places", "size"), [(7, 224), (9, 260), (1, 32), (5, 5)])
def test_scaling_up_keeps_the_mean_and_the_place_of_the_largest(places, size):
    maps = np.random.default_rng(0).normal(size=(3, places, places)).astype(np.float32)
    found = upsampled(maps, size)
    np.testing.assert_allclose(found.mean(axis=(1, 2)), maps.mean(axis=(1, 2)), atol=1e-6)
    for before, after in zip(maps, found, strict=True):
        peak = np.array(np.unravel_index(after.argmax(), after.shape))
        assert (peak * places // size == np.unravel_index(before.argmax(), before.shape)).all()


def test_an_overlay_is_lightest_where_the_map_is_highest():
    found = np.full((8, 8), -1.0)
    found[2, 5] = 3
    assert strength(found).max() == strength(found)[2, 5] == 1 and strength(found).sum() == 1
    shown = overlay(np.full((8, 8, 3), 128, np.uint8), found)
    assert shown.shape == (8, 8, 3) and shown.dtype == np.uint8
    brightness = shown.sum(axis=-1).astype(int)
    assert np.unravel_index(brightness.argmax(), (8, 8)) == (2, 5) and (brightness == brightness[0, 0]).sum() == 63
    assert np.isfinite(strength(np.zeros((2, 2)))).all()
