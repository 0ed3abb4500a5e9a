"""Models of zeros, and Keras as it was afterwards."""

import numpy as np
import pytest

from corolla import network
from corolla.backend import keras
from corolla.models import registry
from corolla.models.blank import blank


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_all_weights_are_zeros_while_it_lasts(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        with blank():
            model = registry.classifier("micro", 5, 32, "none")
    finally:
        keras.config.set_dtype_policy(before)
    assert all(not np.asarray(weight).any() for weight in model.get_weights())
    assert {str(variable.dtype) for variable in model.variables if "seed" not in variable.path} == {"float32"}


def test_afterwards_keras_draws_again():
    with pytest.raises(RuntimeError, match="inside"), blank():
        raise RuntimeError("inside")
    model = registry.classifier("micro", 5, 32, "none")
    assert all(np.asarray(weight).any() for weight in model.get_weights() if weight.ndim > 1)


def test_a_model_of_zeros_takes_weights_as_any_other():
    """What a run's own weights do not hold would stay zero: there is nothing."""
    trained = registry.classifier("micro", 5, 32, "none")
    with blank():
        again = registry.classifier("micro", 5, 32, "none")
    kept = {name: np.asarray(variable.value) for name, variable in network.named_weights(trained).items()}
    network.load_weights(again, kept, "the run")
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(again.predict_on_batch(images), trained.predict_on_batch(images))


def test_imagenet_weights_leave_nothing_blank():
    model = registry.backbone("efficientnet_lite0", 64)
    for weight in model.get_weights():
        assert np.asarray(weight).any()
