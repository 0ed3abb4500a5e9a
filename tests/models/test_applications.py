"""Models of keras.applications whose ImageNet weights change what is built: a run of them is taken up as it was."""

import importlib
from functools import partial

import numpy as np
import pytest

from corolla import network
from corolla.backend import keras
from corolla.models import registry

efficientnet = importlib.import_module("keras.src.applications.efficientnet")

SIZE = 32
small = partial(
    efficientnet.EfficientNet,
    *(0.25, 0.25, SIZE),
    blocks_args=efficientnet.DEFAULT_BLOCKS_ARGS[:2],
    name="efficientnetb0",
    weights_name="b0",
)
"""Keras' own function of all sizes, with two kinds of blocks: B0 itself takes half a minute to build so often."""


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A file as Keras downloads it: no ImageNet, but weights and pixel statistics that are not the initial ones."""
    keras.utils.set_random_seed(0)
    model = small(weights=None, include_top=False, input_shape=(SIZE, SIZE, 3))
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.set_weights([np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225]), np.int32(0)])
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    path = tmp_path_factory.mktemp("weights") / "efficientnetb0_notop.weights.h5"
    model.save_weights(path)
    return path


@pytest.fixture
def downloaded(monkeypatch, stored):
    monkeypatch.setattr(keras.applications, "EfficientNetB0", small)
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *_, **__: str(stored))


def images():
    return np.random.default_rng(1).uniform(0, 255, (2, SIZE, SIZE, 3)).astype(np.float32)


def test_an_efficientnet_b_is_keras_own(downloaded):
    shape = (SIZE, SIZE, 3)
    own = small(weights="imagenet", include_top=False, pooling="avg", input_shape=shape)
    assert len([layer for layer in own.layers if isinstance(layer, keras.layers.Rescaling)]) == 2  # what it adds
    found = registry.stock_backbone("efficientnet_b0", SIZE, "imagenet")
    np.testing.assert_allclose(found(images()), own(images()), rtol=1e-3, atol=1e-4)


def test_a_run_of_it_is_taken_up_as_it_was(downloaded):
    """By its weights alone, into the model that is built without any."""
    trained = registry.classifier("efficientnet_b0", 5, SIZE, "imagenet")
    weights = {name: np.asarray(variable.value) for name, variable in network.named_weights(trained).items()}
    again = registry.classifier("efficientnet_b0", 5, SIZE, "none")
    assert np.abs(np.asarray(again(images())) - np.asarray(trained(images()))).max() > 0.1
    network.load_weights(again, weights, "the run")
    np.testing.assert_allclose(again(images()), trained(images()), rtol=1e-5, atol=1e-5)
