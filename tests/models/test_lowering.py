"""The fast forms give what `lax.conv_general_dilated` gives, both ways, and models made of them fit the old ones."""

import jax
import numpy as np
import pytest
from jax import lax
from jax import numpy as jnp

from corolla.backend import keras
from corolla.models import depthwise as native
from corolla.models import lowering

layers = keras.layers

DEPTHWISE = [
    # kernel, strides, padding, height, width, channels
    ((3, 3), (1, 1), "same", 9, 12, 1),
    ((3, 3), (2, 2), "same", 12, 9, 40),
    ((3, 3), (2, 2), "valid", 9, 12, 3),
    ((5, 5), (1, 1), "valid", 8, 17, 2),
    ((5, 5), (2, 2), "same", 7, 8, 5),
    ((7, 7), (1, 1), "same", 7, 7, 4),
    ((7, 7), (2, 2), "valid", 10, 11, 3),
    ((3, 5), (1, 2), "same", 6, 19, 8),
    ((1, 3), (1, 1), "same", 5, 6, 3),
    ((2, 2), (3, 3), "valid", 9, 10, 2),
    ((3, 1), (1, 1), "same", 5, 31, 3),
    ((3, 3), (1, 1), "same", 7, 15, 23),
    ((5, 5), (1, 1), "same", 14, 14, 36),
    ((5, 5), (2, 2), "same", 15, 28, 17),
    ((7, 7), (1, 1), "same", 9, 17, 16),
    ((4, 4), (2, 2), "same", 8, 18, 6),
    ((3, 11), (1, 1), "same", 4, 14, 5),
    ((3, 3), (1, 3), "valid", 5, 26, 20),
]
DENSE = [
    ((1, 1), (1, 1), "same", 6, 7, 5),
    ((1, 1), (2, 2), "valid", 7, 6, 3),
    ((3, 3), (1, 1), "same", 6, 7, 3),
    ((3, 3), (2, 2), "same", 8, 7, 3),
    ((3, 3), (2, 2), "same", 8, 7, 6),
    ((5, 5), (2, 2), "valid", 9, 10, 2),
    ((7, 7), (2, 2), "same", 12, 11, 3),
]


def arrays(kernel, channels, height, width, filters, dtype=jnp.float32, batch=2):
    random = np.random.default_rng(7)
    x = random.standard_normal((batch, height, width, channels), np.float32)
    k = random.standard_normal((*kernel, channels, filters), np.float32)
    return jnp.asarray(x, dtype), jnp.asarray(k, dtype)


def value_and_gradients(function, x, kernel):
    """The result and both gradients of its product with fixed numbers, in one compiled program."""

    def run(x, kernel):
        y, pull = jax.vjp(function, x, kernel)
        return y, *pull(jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape).astype(y.dtype))

    return jax.jit(run)(x, kernel)


def stock(strides, padding, groups=1):
    def run(x, kernel):
        kernel = kernel.reshape(*kernel.shape[:2], kernel.shape[2] // groups, -1)
        numbers = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            x, kernel, strides, padding.upper(), dimension_numbers=numbers, feature_group_count=groups
        )

    return run


def assert_same(found, wanted, within):
    for got, want in zip(found, wanted, strict=True):
        assert got.shape == want.shape and got.dtype == want.dtype
        got, want = np.asarray(got, np.float32), np.asarray(want, np.float32)
        assert np.abs(got - want).max() <= within * np.abs(want).max()


@pytest.fixture(params=["native", "xla"])
def form(request, monkeypatch):
    """Depthwise convolutions in C++, or as XLA compiles them."""
    if request.param == "xla":
        monkeypatch.setattr(native, "ready", lambda shape: False)
    elif native.fault():
        pytest.skip(f"no C++ form here: {native.fault()}")


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize(("kernel", "strides", "padding", "height", "width", "channels"), DEPTHWISE)
def test_depthwise_equals_stock(kernel, strides, padding, height, width, channels):
    x, k = arrays(kernel, channels, height, width, 1)
    found = value_and_gradients(lambda x, k: lowering.depthwise(x, k, strides, padding), x, k)
    assert_same(found, value_and_gradients(stock(strides, padding, channels), x, k), 1e-5)


@pytest.mark.parametrize(("kernel", "strides", "padding", "height", "width", "channels"), DENSE)
def test_dense_equals_stock(kernel, strides, padding, height, width, channels):
    x, k = arrays(kernel, channels, height, width, 6)
    found = value_and_gradients(lambda x, k: lowering.dense(x, k, strides, padding), x, k)
    assert_same(found, value_and_gradients(stock(strides, padding), x, k), 1e-5)


@pytest.mark.parametrize("convolution", [lowering.depthwise, lowering.dense])
def test_groups_of_images_change_nothing(convolution, monkeypatch):
    monkeypatch.setattr(native, "ready", lambda shape: False)
    x, k = arrays((3, 3), 4, 8, 8, 1, batch=6)
    whole = value_and_gradients(lambda x, k: convolution(x, k, (2, 2)), x, k)
    monkeypatch.setattr(lowering, "_IN_CACHE_BYTES", 2 * 4 * 8 * 8 * 4)
    assert lowering._group(x) == 2
    assert_same(value_and_gradients(lambda x, k: convolution(x, k, (2, 2)), x, k), whole, 1e-6)


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize(("convolution", "groups"), [(lowering.depthwise, 4), (lowering.dense, 1)])
def test_bfloat16_sums_in_float32(convolution, groups):
    """Better than bfloat16 sums: as good as rounding the float32 answer once."""
    x, k = arrays((3, 3), 4, 16, 16, 1, jnp.bfloat16)
    found = value_and_gradients(convolution, x, k)
    exact = value_and_gradients(stock((1, 1), "same", groups), x.astype(jnp.float32), k.astype(jnp.float32))
    assert all(each.dtype == jnp.bfloat16 for each in found)
    assert_same([each.astype(jnp.float32) for each in found], exact, 0.01)


def test_runs_are_short_and_waste_little():
    for size in range(1, 300):
        run = lowering._run_length(size)
        assert 1 <= run <= 14 and -size % run <= size / 7


def test_a_tpu_or_gpu_gets_the_stock_convolution():
    """Lowered here for other platforms: one convolution, and nothing of the fast form.

    JAX leaves a condition with a single branch round it, which XLA takes away first of all.
    """
    x, k = arrays((3, 3), 4, 8, 8, 1)
    for platform in ("tpu", "cuda"):
        text = jax.jit(lowering.depthwise).trace(x, k).lower(lowering_platforms=(platform,)).as_text()
        assert text.count("stablehlo.convolution") == 1
        assert not any(f"stablehlo.{part}" in text for part in ("while", "pad", "slice", "multiply", "if"))


# Models -----------------------------------------------------------------------------------------------------------


def mixed_model():
    """Every kind of convolution there is a fast form for, and some there is none for."""
    x = inputs = keras.Input((12, 12, 3))
    x = layers.Conv2D(4, 3, 2, "same", activation="relu", name="dense")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.DepthwiseConv2D(3, padding="same", dilation_rate=2, name="dilated")(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="multiplied")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Conv2D(4, 1, groups=2, name="grouped")(x)
    x = layers.Conv2D(4, 7, padding="same", groups=4, name="group_a_channel")(x)
    x = layers.SeparableConv2D(5, 3, padding="same", name="separable")(x)
    return keras.Model(inputs, layers.Conv2D(2, 1, activation="tanh", name="point")(x))


def test_a_model_made_fast_keeps_names_weights_and_results(tmp_path):
    model = mixed_model()
    names = [v.path for v in model.weights]
    model.save_weights(tmp_path / "stock.weights.h5")
    x = np.random.default_rng(0).standard_normal((2, 12, 12, 3), np.float32)
    wanted = call(model, x)
    fast = lowering.fast_on_cpu(model)
    kinds = {layer.name: type(layer) for layer in fast.layers}
    assert kinds["dense"] is kinds["point"] is kinds["group_a_channel"] is lowering.Conv2D
    assert kinds["depthwise"] is lowering.DepthwiseConv2D and kinds["separable"] is lowering.SeparableConv2D
    assert kinds["dilated"] is kinds["multiplied"] is layers.DepthwiseConv2D and kinds["grouped"] is layers.Conv2D
    assert [v.path for v in fast.weights] == names
    assert_same([call(fast, x)], [wanted], 1e-5)
    fast.save_weights(tmp_path / "fast.weights.h5")
    fast.set_weights([np.zeros(v.shape, v.dtype) for v in fast.weights])
    fast.load_weights(tmp_path / "stock.weights.h5")
    assert_same([call(fast, x)], [wanted], 1e-5)
    stock = mixed_model()
    stock.load_weights(tmp_path / "fast.weights.h5")
    np.testing.assert_array_equal(call(stock, x), wanted)


def call(model, x):
    weights = [v.value for v in model.trainable_variables], [v.value for v in model.non_trainable_variables]
    return jax.jit(lambda *args: model.stateless_call(*args, training=False)[0])(*weights, x)


@keras.saving.register_keras_serializable("tests")
class Composite(layers.Layer):
    """A layer with a convolution inside, as blocks of KerasHub are."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.filter = layers.DepthwiseConv2D(3, name="filter")

    def build(self, shape):
        self.filter.build(shape)

    def call(self, x):
        return self.filter(x)


def test_convolutions_inside_layers_and_nested_models_are_found():
    inner = keras.Model(inputs := keras.Input((6, 6, 3)), Composite(name="block")(inputs), name="inner")
    inner.get_layer("block").filter.trainable = False
    outer = keras.Model(inputs := keras.Input((6, 6, 3)), inner(inputs))
    fast = lowering.fast_on_cpu(outer).get_layer("inner").get_layer("block").filter
    assert type(fast) is lowering.DepthwiseConv2D and not fast.trainable
