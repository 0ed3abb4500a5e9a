"""Keras models as graphs: NumPy alone computes what Keras computes, layer by layer and model by model."""

import json
from functools import partial

import numpy as np
import pytest

from corolla import graph, network
from corolla.backend import keras
from corolla.interpreter import Interpreter
from corolla.models import registry
from corolla.models.tracing import UntraceableError, traced

layers = keras.layers


def weighed(model, seed: int = 0):
    """The same model, its statistics, scales and biases neither 0 nor 1. (Kernels too, and rounding would grow.)"""
    random = np.random.default_rng(seed)
    for layer in model._flatten_layers(include_self=False):
        if layer.weights and not isinstance(layer, keras.Model):
            low, high = (
                (0.5, 1.5) if isinstance(layer, (layers.BatchNormalization, layers.Normalization)) else (-0.5, 0.5)
            )
            values = layer.get_weights()
            layer.set_weights([w if w.ndim > 1 else random.uniform(low, high, w.shape) for w in values])
    return model


def assert_same(model, images, tolerance: float = 1e-5) -> graph.Graph:
    """Through JSON, as a run folder keeps it."""
    names = network.named_weights(model)
    made = traced(model, names)
    stored = graph.from_json(json.loads(json.dumps(made.to_json())), "here")
    assert stored == made
    run = Interpreter(stored, {name: np.asarray(variable.value) for name, variable in names.items()})
    wanted = np.asarray(model.predict_on_batch(images.astype(np.float32)))
    np.testing.assert_allclose(run(images), wanted, rtol=tolerance, atol=tolerance * np.abs(wanted).max())
    return made


def images(side: int, n: int = 2, seed: int = 0):
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), np.uint8)


@pytest.mark.parametrize(("strides", "side"), [(1, 7), (2, 7), (2, 8), ((2, 1), 8)])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    "make",
    [
        lambda **words: layers.Conv2D(5, 3, **words),
        lambda **words: layers.Conv2D(5, 1, activation="silu", use_bias=False, **words),
        lambda **words: layers.Conv2D(3, (5, 2), groups=3, **words),
        lambda **words: layers.DepthwiseConv2D(3, activation="relu6", **words),
        lambda **words: layers.SeparableConv2D(5, 3, activation="hard_silu", **words),
        lambda **words: layers.MaxPooling2D(3, **words),
        lambda **words: layers.AveragePooling2D((3, 2), **words),
    ],
)
def test_windows(make, strides, padding, side):
    if isinstance(strides, tuple) and "Separable" in type(make(strides=1, padding=padding)).__name__:
        pytest.skip("Keras' separable convolution takes one stride")
    inputs = keras.Input((side, side, 3))
    made = assert_same(weighed(keras.Model(inputs, make(strides=strides, padding=padding)(inputs))), images(side))
    assert made.image_size == side


LAYERS = {
    "batch norm": lambda: layers.BatchNormalization(epsilon=1e-2),
    "batch norm without scale": lambda: layers.BatchNormalization(scale=False),
    "batch norm without center": lambda: layers.BatchNormalization(center=False),
    "normalization by numbers": lambda: layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 0.0]),
    "normalization by weights": lambda: layers.Normalization(),
    "rescaling": lambda: layers.Rescaling(1 / 127.5, -1.0),
    "rescaling by channel": lambda: layers.Rescaling([0.1, 0.2, 0.3], [1.0, 2.0, 3.0]),
    "layer norm": lambda: layers.LayerNormalization(epsilon=1e-3),
    "layer norm without weights": lambda: layers.LayerNormalization(scale=False, center=False),
    "relu": lambda: layers.ReLU(),
    "relu6": lambda: layers.ReLU(6.0),
    "dense": lambda: layers.Dense(4, activation="gelu"),
    "pad": lambda: layers.ZeroPadding2D(((1, 0), (2, 3))),
    "crop": lambda: layers.Cropping2D(((1, 0), (2, 1))),
    "average": lambda: layers.GlobalAveragePooling2D(),
    "average, sides kept": lambda: layers.GlobalAveragePooling2D(keepdims=True),
    "reshape": lambda: layers.Reshape((3, 12, 3)),
    "dropout": lambda: layers.Dropout(0.5),
}
for kind in ("relu", "sigmoid", "hard_sigmoid", "silu", "hard_silu", "gelu", "softmax", "linear"):
    LAYERS[kind] = partial(layers.Activation, kind)


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_layers(make):
    """Alone, and after a convolution into which it may be folded."""
    layer, inputs = make(), keras.Input((6, 6, 3))
    x = layers.Rescaling(1 / 64, -2.0)(inputs)
    model = weighed(keras.Model(inputs, layer(x)))
    for part in model.layers:
        if isinstance(part, layers.Normalization):
            part.finalize_state()
    assert_same(model, images(6))
    for kernel in (layers.Conv2D(3, 3, padding="same"), layers.DepthwiseConv2D(3, padding="same")):
        model = weighed(keras.Model(inputs, make()(kernel(x))), 1)
        for part in model.layers:
            if isinstance(part, layers.Normalization):
                part.finalize_state()
        assert_same(model, images(6))


def test_a_value_that_is_read_twice_is_not_folded():
    inputs = keras.Input((6, 6, 3))
    seen = layers.Conv2D(4, 3, padding="same")(inputs)
    normed = layers.ReLU()(layers.BatchNormalization()(seen))
    outputs = layers.Concatenate()(
        [layers.Add()([seen, normed]), layers.Multiply()([seen, normed]), seen + 3.0, seen * 2.0]
    )
    assert_same(weighed(keras.Model(inputs, outputs[..., 1:15])), images(6))


def test_a_sequential_model_inside_of_another():
    inputs = keras.Input((6, 6, 3))
    stem = keras.Sequential([layers.Conv2D(4, 3), layers.LayerNormalization()])
    assert_same(weighed(keras.Model(inputs, layers.ReLU()(stem(inputs)))), images(6))


@pytest.mark.parametrize("name", ["efficientnet_lite0", "micro"])
def test_own_models(name):
    assert_same(weighed(registry.classifier(name, 7, 64, "none"), 2), images(64), 1e-4)


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.Conv2D(4, 3, dilation_rate=2),
        lambda: layers.Conv2D(6, 3, groups=3),
        lambda: layers.DepthwiseConv2D(3, depth_multiplier=2),
        lambda: layers.ReLU(negative_slope=0.1),
        lambda: layers.Activation("tanh"),
        lambda: layers.LayerNormalization(axis=1),
        lambda: layers.Flatten(),
        lambda: layers.Conv2DTranspose(4, 3),
    ],
)
def test_what_no_operation_does_is_refused(make):
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, make()(inputs))
    with pytest.raises(UntraceableError):
        traced(model, network.named_weights(model))
    assert network.graph_of(model) is None
