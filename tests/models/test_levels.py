"""What the head sees: the ends of the last stages, each by its mean."""

import numpy as np
import pytest

from corolla.backend import keras
from corolla.models import registry
from corolla.models.levels import levelled, stage_ends, widths

layers = keras.layers
ENDS = {
    "efficientnet_lite0": [(14, 14, 80), (14, 14, 112), (7, 7, 192), (7, 7, 320), (7, 7, 1280)],
    "micro": [(8, 8, 16), (4, 4, 24), (4, 4, 64)],
    "resnet50": [(14, 14, 1024), (7, 7, 2048)],
    "mobilenet_v3_small": [(14, 14, 40), (14, 14, 48), (7, 7, 96), (7, 7, 576)],
}


@pytest.mark.parametrize("name", ENDS)
def test_stages_end_where_their_shapes_change(name):
    found = stage_ends(registry.stock_backbone(name, None, "none"))
    assert [tuple(end.shape[1:]) for end in found] == ENDS[name]


@pytest.mark.parametrize(("levels", "wanted"), [(1, (64,)), (2, (24, 64)), (3, (16, 24, 64)), (9, (16, 24, 64))])
def test_the_head_sees_as_many_levels_as_wished_and_there(levels, wanted):
    model = registry.classifier("micro", 7, 32, "none", levels=levels)
    assert widths(model) == wanted
    assert model.get_layer("head").kernel.shape == (sum(wanted), 7)


def test_levels_are_the_means_of_the_maps():
    backbone = registry.backbone("micro", 32, "none")
    model = keras.Model(backbone.inputs, [levelled(backbone, 3), *stage_ends(backbone)])
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    features, *maps = (np.asarray(each) for each in model(images))
    wanted = np.concatenate([each.mean(axis=(1, 2)) for each in maps], axis=1)
    np.testing.assert_allclose(features, wanted, rtol=1e-5, atol=1e-6)


def test_what_is_no_graph_of_maps_has_one_level():
    inner = registry.backbone("micro", 32, "none")
    outer = keras.Model(inputs := keras.Input((32, 32, 3)), inner(inputs))
    assert stage_ends(outer) == [] and levelled(outer, 4) is outer.output
    vectors = keras.Model(inputs := keras.Input((8,)), layers.Dense(4)(inputs))
    assert levelled(vectors, 4) is vectors.output


def test_a_map_beside_which_another_passes_is_no_end():
    x = inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, 2, "same", name="block1_conv")(x)
    y = layers.Conv2D(8, 3, 1, "same", name="block2_conv")(x)
    x = layers.Add(name="block2_add")([x, y])
    x = layers.Conv2D(16, 1, name="block3_conv")(x)
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(x))
    assert [end.shape[-1] for end in stage_ends(model)] == [8, 16]
    assert stage_ends(model)[0] is model.get_layer("block2_add").output
