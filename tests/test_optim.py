"""How weights move: the schedule, the averages, the decay, against a few lines of NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from corolla.backend import keras
from corolla.optim import AdamW


def rate(optimizer: AdamW, step: int, total_steps: int) -> float:
    optimizer.iterations.assign(step)
    optimizer.total_steps.assign(total_steps)
    return float(optimizer.learning_rate)


def wanted_rate(step: int, total: int, warmup: float) -> float:
    part = (step + 1) / total
    if part < warmup:
        return part / warmup
    return 0.5 * (1 + np.cos(np.pi * min((part - warmup) / max(1 - warmup, 1e-9), 1)))


def test_schedule_at_its_corners():
    optimizer = AdamW(3e-4, warmup=0.1, weight_decay=0.0, ema=0.0)
    assert rate(optimizer, 0, 100) == pytest.approx(3e-5)
    assert rate(optimizer, 4, 100) == pytest.approx(1.5e-4)
    assert rate(optimizer, 9, 100) == pytest.approx(3e-4)
    assert rate(optimizer, 54, 100) == pytest.approx(1.5e-4)
    assert rate(optimizer, 99, 100) == pytest.approx(0, abs=1e-10)
    assert rate(optimizer, 150, 100) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("total", [1, 7, 1000])
def test_schedule_everywhere(warmup, total):
    optimizer = AdamW(1.0, warmup, weight_decay=0.0, ema=0.0)
    for step in {0, 1, total // 3, total // 2, total - 2, total - 1}:
        if 0 <= step < total:
            assert rate(optimizer, step, total) == pytest.approx(wanted_rate(step, total, warmup), abs=2e-6)


def variables() -> dict[str, keras.Variable]:
    """A kernel and what decay must not touch, under the names that Keras' layers give."""
    layers = (keras.layers.Dense(3), keras.layers.BatchNormalization(), keras.layers.DepthwiseConv2D(3))
    for layer, shape in zip(layers, ((1, 4), (1, 4), (1, 8, 8, 2)), strict=True):
        layer.build(shape)
    found = {variable.path: variable for layer in layers for variable in layer.trainable_variables}
    for number, variable in enumerate(found.values()):
        variable.assign(np.random.default_rng(number).standard_normal(variable.shape) + 2)
    return found


def test_each_weight_has_its_own_rate_and_decay():
    """Against an optimizer of the same rates everywhere: steps and decay are so many times as long."""
    moved = {}
    for factor in (1.0, 0.25):
        found = variables()
        before = [np.asarray(variable) for variable in found.values()]
        optimizer = AdamW(1e-3, 0.0, weight_decay=0.1, ema=0.0, factors={path: factor for path in found})
        optimizer.total_steps.assign(10**9)
        optimizer.build(list(found.values()))
        optimizer.apply([jnp.ones(variable.shape) for variable in found.values()])
        moved[factor] = [np.asarray(one) - old for one, old in zip(found.values(), before, strict=True)]
    for whole, quarter in zip(moved[1.0], moved[0.25], strict=True):
        np.testing.assert_allclose(quarter, whole / 4, rtol=2e-3, atol=1e-6)
        assert abs(whole).min() > 0


def test_decay_touches_kernels_only():
    found = variables()
    before = {path: np.asarray(variable) for path, variable in found.items()}
    optimizer = AdamW(0.5, warmup=0.0, weight_decay=0.1, ema=0.0)
    optimizer.total_steps.assign(10**9)  # so the rate is the highest
    optimizer.build(list(found.values()))
    optimizer.apply([jnp.zeros(variable.shape) for variable in found.values()])
    kernels = {path for path in found if "kernel" in path}
    assert len(kernels) == 2 and len(found) == 6
    for path, variable in found.items():
        wanted = before[path] * (1 - 0.5 * 0.1) if path in kernels else before[path]
        np.testing.assert_allclose(np.asarray(variable), wanted, rtol=1e-5)


def test_a_huge_gradient_is_cut_to_length_one():
    kernel = keras.Variable(np.zeros((2, 2)), name="kernel")
    optimizer = AdamW(0.1, warmup=0.0, weight_decay=0.0, ema=0.0)
    optimizer.build([kernel])
    optimizer.apply([jnp.array([[3e6, 0], [0, 4e6]])])
    momentum = next(variable for variable in optimizer.variables if "momentum" in variable.path)
    np.testing.assert_allclose(np.asarray(momentum) / 0.1, [[0.6, 0], [0, 0.8]], rtol=1e-5)


def adamw(gradients: list[np.ndarray], weights: np.ndarray, rate: float, decay: float, ema: float):
    """Loshchilov & Hutter's algorithm 2 with Corolla's schedule, and its average, in NumPy."""
    m, v, average, total = np.zeros_like(weights), np.zeros_like(weights), weights.copy(), len(gradients)
    for step, gradient in enumerate(gradients):
        now = rate * wanted_rate(step, total, 0.25)
        m, v = 0.9 * m + 0.1 * gradient, 0.99 * v + 0.01 * gradient**2
        weights = weights - now * decay * weights
        whitened = (m / (1 - 0.9 ** (step + 1))) / (np.sqrt(v / (1 - 0.99 ** (step + 1))) + 1e-7)
        weights = weights - now * whitened
        momentum = min(ema, (1 + step) / (10 + step))
        average = momentum * average + (1 - momentum) * weights
    return weights, average


@pytest.mark.parametrize("ema", [0.999, 0.4])
def test_weights_and_averages_are_those_of_the_papers(ema):
    """0.4 is reached after six steps of rising momentum; 0.999 never is in 12 steps."""
    random = np.random.default_rng(0)
    gradients = [random.standard_normal((3, 2)) * 0.1 for _ in range(12)]
    before = random.standard_normal((3, 2))
    kernel = keras.Variable(before, name="kernel")
    optimizer = AdamW(0.05, warmup=0.25, weight_decay=0.1, ema=ema)
    optimizer.build([kernel])
    optimizer.total_steps.assign(12)
    values, state = [kernel.value], [variable.value for variable in optimizer.variables]
    (place,) = optimizer.average_places()
    np.testing.assert_array_equal(state[place], np.float32(before))  # the average starts at the weights
    for gradient in gradients:
        values, state = optimizer.stateless_apply(state, [jnp.float32(gradient)], values)
    weights, average = adamw(gradients, before, 0.05, 0.1, ema)
    np.testing.assert_allclose(values[0], weights, rtol=2e-5)
    np.testing.assert_allclose(state[place], average, rtol=2e-5)


def test_without_averaging_there_are_no_averages():
    optimizer = AdamW(0.05, 0.1, 0.1, ema=0.0)
    optimizer.build([keras.Variable(np.zeros(2), name="kernel")])
    assert optimizer.average_places() is None


def test_the_length_of_the_schedule_is_a_variable():
    """A time-boxed run learns it after compiling, and a checkpoint carries it."""
    kernel, traces = keras.Variable(np.ones(2), name="kernel"), []
    optimizer = AdamW(0.1, warmup=0.5, weight_decay=0.0, ema=0.9)
    optimizer.build([kernel])
    (place,) = [i for i, variable in enumerate(optimizer.variables) if variable is optimizer.total_steps]

    @jax.jit
    def moved(total_steps):
        traces.append(1)
        state = [variable.value for variable in optimizer.variables]
        state[place] = total_steps
        return 1 - optimizer.stateless_apply(state, [jnp.ones(2)], [kernel.value])[0][0][0]

    for total in (2, 4, 20):
        assert float(moved(jnp.int32(total))) == pytest.approx(0.1 * 2 / total, rel=1e-4)
    assert len(traces) == 1
