"""Weights by names that hold in every process."""

import numpy as np
import pytest

from corolla.backend import keras
from corolla.errors import RunError
from corolla.models import freeze, registry
from corolla.network import load_weights, named_weights, rate_factors

layers = keras.layers


def unnamed_model():
    """Convolutions that nobody named, beside named ones, and a model in the model."""
    inner = keras.Sequential([keras.Input((None, None, 4)), layers.Conv2D(4, 1)])
    x = inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 1)(layers.Conv2D(4, 3, name="block_1")(x))
    x = layers.LayerNormalization()(inner(x))
    return keras.Model(inputs, layers.Conv2D(2, 1)(x))


def test_names_do_not_count_what_was_built_before():
    first, second = unnamed_model(), unnamed_model()
    assert [v.path for v in first.weights] != [v.path for v in second.weights]
    names = list(named_weights(first))
    assert names == list(named_weights(second)) and len(names) == len(first.weights)
    assert [name for name in names if name.endswith("kernel") or "~" in name] == [
        "block_1/kernel",
        "conv2d/kernel",
        "sequential/conv2d/kernel",
        "conv2d/kernel~1",
        "conv2d/bias~1",
    ]


def test_weights_of_one_process_fit_another():
    first, second = unnamed_model(), unnamed_model()
    load_weights(second, {name: v.numpy() for name, v in named_weights(first).items()}, "there")
    for one, other in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights_that_are_missing_or_misshapen_are_named():
    model = unnamed_model()
    arrays = {name: v.numpy() for name, v in named_weights(model).items()}
    del arrays["conv2d/kernel~1"]
    with pytest.raises(RunError, match=r"^runs/a: the weight conv2d/kernel~1 is missing: these are the weights of ano"):
        load_weights(model, arrays, "runs/a")
    arrays["block_1/kernel"] = np.zeros((3, 3, 3, 5))
    with pytest.raises(
        RunError, match=r"^runs/a: the weight block_1/kernel has shape \(3, 3, 3, 5\), not \(3, 3, 3, 4\)"
    ):
        load_weights(model, arrays, "runs/a")


def test_rates_fall_from_the_head_down():
    model = registry.classifier("micro", 7, 32, "none")
    freeze.freeze(model, "all", "batch")
    assert rate_factors(model, 1.0) == {}
    found = rate_factors(model, 0.5)
    ordered = [block.name for block in freeze.blocks(model)]
    by_block = {name: {found[w.path] for w in model.trainable_variables if w.path.startswith(name)} for name in ordered}
    assert [values.pop() for values in by_block.values()] == [0.5 ** (len(ordered) - i) for i in range(len(ordered))]
    assert not any(by_block.values()) and not any(path.startswith("head") for path in found)
