"""Depthwise convolution, batch norm and ReLU in one pass are the three layers, forward and back."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from corolla.backend import keras, value_of
from corolla.models import chains, lowering, registry
from corolla.models import depthwise as native

layers = keras.layers


@pytest.fixture(autouse=True)
def needs_native():
    if native.fault():
        pytest.skip(f"no C++ form here: {native.fault()}")


@pytest.fixture
def clips(monkeypatch):
    """Counts calls of the one pass."""
    seen, real = [], lowering.clipped
    monkeypatch.setattr(lowering, "clipped", lambda *given: seen.append(given[5]) or real(*given))
    return seen


def randomised(model):
    """A model whose batch norms have something to do."""
    random = np.random.default_rng(3)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return lowering.fast_on_cpu(model)


def separable(activation=None, norm=None, **settings):
    """One chain: depthwise convolution, batch norm, an activation."""
    x = inputs = keras.Input((9, 11, 8))
    x = layers.DepthwiseConv2D(3, **{"padding": "same", "use_bias": False} | settings, name="depthwise")(x)
    x = (norm or layers.BatchNormalization(name="norm"))(x)
    return randomised(keras.Model(inputs, (activation or layers.ReLU(6.0, name="relu"))(x)))


def photos(model, n=3):
    return jnp.asarray(np.random.default_rng(0).normal(size=(n, *model.input_shape[1:])), jnp.float32)


def agree(model, images, tolerance=1e-5):
    wanted = np.asarray(model(images, training=False))
    found = np.asarray(chains.call(model, images))
    np.testing.assert_allclose(found, wanted, atol=tolerance * abs(wanted).max())


@pytest.mark.parametrize(
    ("activation", "settings", "limits"),
    [
        (layers.ReLU(6.0), {}, (0.0, 6.0)),
        (layers.ReLU(), {"strides": 2, "padding": "valid"}, (0.0, np.inf)),
        (layers.Activation("relu6"), {"strides": 2}, (0.0, 6.0)),
        (layers.Activation("relu"), {}, (0.0, np.inf)),
    ],
)
def test_a_chain_is_its_layers(activation, settings, limits, clips):
    model = separable(activation, **settings)
    agree(model, photos(model))
    assert clips == [limits]


@pytest.mark.parametrize(
    "model",
    [
        lambda: separable(layers.ReLU(negative_slope=0.1)),
        lambda: separable(layers.Activation("silu")),
        lambda: separable(use_bias=True),
        lambda: separable(activation=layers.ReLU(), norm=layers.BatchNormalization(axis=1)),
        lambda: separable(norm=layers.LayerNormalization()),
    ],
    ids=["leaky", "silu", "bias", "another axis", "another norm"],
)
def test_what_is_no_such_chain_runs_as_it_stands(model, clips):
    built = model()
    agree(built, photos(built))
    assert clips == []


def test_a_value_that_is_read_elsewhere_is_computed(clips):
    """Cut at the norm, read twice, or a layer used twice: three models around one chain."""
    model = separable()
    inputs, normed = model.inputs, model.get_layer("norm").output
    agree(keras.Model(inputs, normed), photos(model))
    both = keras.Model(inputs, layers.Concatenate()([normed, model.output]))
    agree(both, photos(model))
    twice = keras.Model(inputs, model.get_layer("relu")(layers.Conv2D(8, 1)(model.output)))
    agree(twice, photos(model))
    assert clips == []


@pytest.mark.parametrize("name", ["micro", "efficientnet_lite0", "mobilenet_v2"])
def test_whole_models_agree(name, clips):
    model = randomised(registry.backbone(name, 32, "none"))
    agree(model, 255 * abs(photos(model)) % 255, tolerance=2e-5)
    assert len(clips) == {"micro": 3, "efficientnet_lite0": 16, "mobilenet_v2": 17}[name]


def test_models_inside_models_are_run_the_same_way(clips):
    inner = randomised(registry.backbone("micro", 32, "none"))
    outer = keras.Model(inputs := keras.Input((32, 32, 3)), layers.Dense(4)(inner(inputs)))
    agree(outer, photos(outer))
    assert len(clips) == 3


@pytest.mark.parametrize("learns", ["norm frozen", "norm too"])
def test_gradients_are_those_of_the_layers(learns, clips):
    """In training: with stored statistics in one pass, with the batch's own as the layers stand."""
    model = separable()
    model.get_layer("norm").trainable = learns == "norm too"
    images = photos(model)
    values = [value_of(variable) for variable in model.trainable_variables]
    fixed = [value_of(variable) for variable in model.non_trainable_variables]

    def run(call):
        def loss(values, images):
            outputs, updated = chains.stateless(model, values, fixed, images, call)
            return (outputs * jnp.cos(jnp.arange(outputs.size)).reshape(outputs.shape)).sum(), updated

        return jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(values, images)

    wanted = run(chains.plain_call)
    found = run(lambda model, images: chains.call(model, images, training=True))
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5 * max(abs(np.asarray(other)).max(), 1))
    assert bool(clips) == (learns == "norm frozen")


def test_the_gradient_of_the_shift_is_that_of_the_clipped_sum():
    random = np.random.default_rng(5)
    x, kernel, shift = (jnp.asarray(random.normal(size=s), jnp.float32) for s in ((2, 5, 5, 6), (3, 3, 6, 1), (6,)))

    def plain(x, kernel, shift):
        return jnp.clip(lowering.depthwise(x, kernel) + shift, -1.0, 2.0)

    def one_pass(x, kernel, shift):
        return lowering.clipped(x, kernel, shift, (1, 1), "same", (-1.0, 2.0))

    wanted = jax.grad(lambda *given: jnp.sin(plain(*given)).sum(), (0, 1, 2))(x, kernel, shift)
    found = jax.grad(lambda *given: jnp.sin(one_pass(*given)).sum(), (0, 1, 2))(x, kernel, shift)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("first", [0, 2, 5])
def test_rows_of_a_batch_drop_what_the_batch_drops(first):
    keras.utils.set_random_seed(1)
    model = keras.Model(inputs := keras.Input((64,)), layers.Dropout(0.5)(inputs))
    assert chains.by_image(model)
    fixed = [value_of(variable) for variable in model.non_trainable_variables]
    images = photos(model, 7)
    whole, after = chains.stateless(model, [], fixed, images)

    def some(model, images):
        return chains.call(model, images, training=True, rows=chains.Rows(jnp.int32(first), 2, 7))

    part, updated = chains.stateless(model, [], fixed, images[first : first + 2], some)
    np.testing.assert_allclose(part, whole[first : first + 2], rtol=1e-6)
    assert 0.2 < float((part == 0).mean()) < 0.8
    np.testing.assert_array_equal(updated[0], after[0])


def test_what_mixes_images_or_draws_by_itself_is_not_cut():
    inputs = keras.Input((8, 8, 4))
    spatial = keras.Model(inputs, layers.Dropout(0.1)(inputs))
    noisy = keras.Model(inputs, layers.GaussianNoise(0.1)(inputs))
    normed = keras.Model(inputs, layers.BatchNormalization()(inputs))
    inside = keras.Model(inputs, normed(inputs))
    assert not any(map(chains.by_image, (spatial, noisy, normed, inside)))
    normed.trainable = False
    assert chains.by_image(normed) and chains.by_image(inside)
