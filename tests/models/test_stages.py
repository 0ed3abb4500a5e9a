"""A model cut into stages is the same model, and each stage takes as many images at once as it should."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from corolla.backend import keras, value_of
from corolla.models import registry
from corolla.models.stages import Stage, in_stages, stages

layers = keras.layers


def by_stages(model, images):
    """Outputs of a batch, stage by stage, with weights handed in as `predict_steps` does."""
    variables = [*model.trainable_variables, *model.non_trainable_variables]
    parts = stages(model)

    def run(values, images):
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return in_stages(parts, images)

    return jax.jit(run)([value_of(variable) for variable in variables], images)


def agrees(model, images):
    wanted = np.asarray(model(images, training=False))
    np.testing.assert_allclose(by_stages(model, images), wanted, atol=1e-5 * abs(wanted).max())


@pytest.mark.parametrize("batch", [1, 6, 7, 16])
@pytest.mark.parametrize("levels", [1, 4])
def test_stages_are_the_model(batch, levels):
    model = registry.classifier("micro", 7, 32, "none", levels=levels)
    agrees(model, jnp.asarray(np.random.default_rng(0).uniform(0, 255, (batch, 32, 32, 3)), jnp.float32))


def test_later_stages_take_more_images():
    found = [part.images for part in stages(registry.backbone("efficientnet_lite0", 224, "none"))]
    assert found == sorted(set(found)) and found[0] == 1 and found[-1] >= 8


def test_levels_of_the_head_hold_no_feature_map_back():
    one, four = (registry.classifier("efficientnet_lite0", 7, 224, "none", levels=levels) for levels in (1, 4))
    assert [part.images for part in stages(four)] == [part.images for part in stages(one)]


def branching():
    """A residual block whose input is read again, at sizes where a cut inside of it would pay."""
    x = inputs = keras.Input((64, 64, 3))
    x = layers.Conv2D(64, 3, 2, "same")(x)
    y = layers.Conv2D(8, 1, 4, name="inside")(x)
    y = layers.UpSampling2D(4)(layers.Conv2D(64, 1, name="deep inside")(y))
    x = layers.Conv2D(8, 3, 4)(layers.Add(name="sum")([x, y]))
    return keras.Model(inputs, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


def test_nothing_is_cut_between_a_branch_and_its_end():
    model = branching()
    parts = [{operation.name for operation in part.run.args[0].operations} for part in stages(model)]
    assert len(parts) > 1
    (block,) = [names for names in parts if "sum" in names]
    assert {"inside", "deep inside"} <= block
    agrees(model, jnp.asarray(np.random.default_rng(1).normal(size=(4, 64, 64, 3)), jnp.float32))


def test_layers_of_layers_and_models_of_models_take_two():
    inner = registry.backbone("micro", 32, "none")
    outer = keras.Model(inputs := keras.Input((32, 32, 3)), inner(inputs))
    assert [part.images for part in stages(outer)] == [2]
    agrees(outer, jnp.ones((4, 32, 32, 3)))


def test_a_model_that_is_not_functional_is_one_stage():
    class Plain(keras.Model):
        def call(self, images, training=None):
            return images * 2

    (only,) = stages(Plain())
    assert isinstance(only, Stage) and only.images == 2
    np.testing.assert_array_equal(in_stages([only], jnp.ones((3, 2))), np.full((3, 2), 2.0))


def test_each_stage_sees_the_largest_divisor_that_it_takes():
    seen = []

    def noting(name):
        def run(piece):
            seen.append((name, piece.shape[0]))
            return piece * 2

        return run

    parts = [Stage(noting("first"), 1), Stage(noting("second"), 4), Stage(noting("third"), 16)]
    x = jnp.arange(24.0).reshape(12, 2)
    np.testing.assert_array_equal(in_stages(parts, x), x * 8)
    assert set(seen) == {("first", 1), ("second", 4), ("third", 12)}
