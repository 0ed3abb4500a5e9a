"""Names without Keras, models by name, and which of their layers learn."""

import subprocess
import sys

import jax
import numpy as np
import pytest
import simplejpeg

from corolla.backend import keras
from corolla.errors import RunError, WishError
from corolla.models import applications, freeze, lowering, registry
from corolla.models.blank import blank
from flow import flower


def test_names_are_known_without_keras_or_jax():
    code = (
        "import sys; from corolla.models import registry; names = registry.names();"
        "assert names[0] == registry.DEFAULT == 'efficientnet_lite0' and 'mobilenet_v2' in names;"
        "assert registry.entry('MobileNetV2').image_size == 224;"
        "assert not {'jax', 'keras'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_classifier_of_keras_is_known_and_every_known_one_is_there():
    known = {registry.entry(name).function for name in registry.names()} - {""}
    there = {name for name, thing in vars(keras.applications).items() if callable(thing) and name[0].isupper()}
    assert known == there


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("efficientnet_lite3", "No model is called 'efficientnet_lite3' (did you mean 'efficientnet_lite2'?)."),
        ("MobileNetV9", "No model is called 'MobileNetV9' (did you mean 'MobileNetV2'?)."),
    ],
)
def test_an_unknown_name_gets_the_nearest(name, message):
    with pytest.raises(WishError) as raised:
        registry.entry(name)
    assert str(raised.value).startswith(f"{message} Known: efficientnet_lite0, efficientnet_lite1,")


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (
            {"weights": "imagnet"},
            "weights must be 'imagenet', 'none', a file or a run folder, not 'imagnet' (did you mean 'imagenet'?).",
        ),
        ({}, "micro has no trained weights: wish weights 'none' with it."),
        ({"weights": "none", "image_size": 7}, "image_size must be at least 8 px, not 7."),
    ],
)
def test_wishes_that_make_no_sense(wish, message):
    with pytest.raises(WishError) as raised:
        registry.backbone("micro", **wish)
    assert str(raised.value) == message


@pytest.fixture(scope="module")
def micro():
    return registry.classifier("micro", classes=5, image_size=None, weights="none")


def test_a_classifier_gives_float32_logits_for_pixels(micro):
    assert micro.input_shape == (None, 32, 32, 3) and micro.output_shape == (None, 5)
    head = micro.layers[-1]
    assert head.name == "head" and isinstance(head, keras.layers.Dense)
    assert head.compute_dtype == "float32" and head.activation is keras.activations.linear
    assert isinstance(micro.get_layer("stem"), lowering.Conv2D)


def test_the_head_is_float32_under_any_policy():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = registry.classifier("micro", classes=5, image_size=16, weights="none")
    finally:
        keras.config.set_dtype_policy(before)
    assert model.get_layer("stem").compute_dtype == "bfloat16" and model.get_layer("stem").variable_dtype == "float32"
    assert model.output.dtype == "float32"


def test_random_weights_follow_keras_seed():
    def kernel(seed):
        keras.utils.set_random_seed(seed)
        return np.asarray(registry.backbone("micro", 16, "none").get_layer("block3a_depthwise").kernel)

    one, again, other = kernel(1), kernel(1), kernel(2)
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    assert abs(one.std() - np.sqrt(2 / 25)) < 0.02  # fan-in of a 5x5 depthwise kernel is 25


# Which layers learn -----------------------------------------------------------------------------------------------


def test_blocks_are_in_order_and_leave_the_head_out(micro):
    assert [block.name for block in freeze.blocks(micro)] == ["stem", "block1a", "block2a", "block3a", "top"]
    layers = [layer for block in freeze.blocks(micro) for layer in block.layers]
    assert [*layers, micro.get_layer("head")] == [layer for layer in micro.layers if layer.weights]


@pytest.mark.parametrize(
    ("count", "batch_norm", "learning"),
    [
        (0, "batch", {"head"}),
        (1, "frozen", {"top", "head"}),
        (1, "batch", {"top", "top_bn", "head"}),
        ("all", "frozen", None),
        ("all", "batch", None),
    ],
)
def test_freeze_sets_which_layers_learn(micro, count, batch_norm, learning):
    freeze.freeze(micro, count, batch_norm)
    found = {v.path.split("/")[0] for v in micro.trainable_variables}
    if learning is None:
        weighted = {layer.name for layer in micro.layers if layer.weights}
        learning = {name for name in weighted if batch_norm == "batch" or not name.endswith("_bn")}
    assert found == learning


def test_frozen_normalisation_updates_nothing(micro):
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)

    @jax.jit
    def fixed_after(trained, fixed):
        return micro.stateless_call(trained, fixed, images, training=True)[1]

    for mode, moves in (("frozen", False), ("batch", True)):
        freeze.freeze(micro, "all", mode)
        before = {v.path: v.value for v in micro.non_trainable_variables}
        after = fixed_after([v.value for v in micro.trainable_variables], list(before.values()))
        changed = [path for path, value in zip(before, after, strict=True) if not np.array_equal(before[path], value)]
        assert bool([path for path in changed if "_bn/moving" in path]) == moves


@pytest.mark.parametrize("count", [-1, 6, "some", 1.0])
def test_a_number_of_blocks_the_model_has_not(micro, count):
    with pytest.raises(WishError, match=rf"^blocks_trained must be 'all' or 0 to 5 for micro, not {count!r}\.$"):
        freeze.freeze(micro, count, "frozen")


def test_an_unknown_way_to_normalise(micro):
    with pytest.raises(WishError, match=r"^batch_norm must be 'frozen' or 'batch', not 'none'\.$"):
        freeze.freeze(micro, 0, "none")


# keras.applications -----------------------------------------------------------------------------------------------


def own_scaling(function):
    """`preprocess_input` of the module of keras.applications that offers the model; MobileNetV3's offers that alone."""
    modules = [thing for thing in vars(keras.applications).values() if hasattr(thing, "preprocess_input")]
    found = [module for module in modules if hasattr(module, function)]
    return (found[0] if found else keras.applications.mobilenet_v3).preprocess_input


@pytest.mark.parametrize("name", [name for name in registry.names() if registry.entry(name).function])
def test_a_photo_is_scaled_as_its_family_scales_it(name):
    """Where the family leaves pixels alone, its models scale them inside."""
    known = registry.entry(name)
    photo = simplejpeg.decode_jpeg(flower(3, seed=0))[None].astype(np.float32)
    inputs = keras.Input(photo.shape[1:])
    scaled = applications._scaled(inputs, known.scaling)
    found = photo if scaled is inputs else np.asarray(keras.Model(inputs, scaled)(photo))
    wanted = own_scaling(known.function)(photo.copy())
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "efficientnet_v2_b0", "convnext_tiny"])
def test_families_that_leave_pixels_alone_scale_inside(name):
    """A model that took 0..255 for its own range would give features hundreds of times as large."""
    with blank():
        kinds = [type(layer).__name__ for layer in registry.stock_backbone(name, 32, "none").layers[:4]]
    assert {"Rescaling", "Normalization"} & set(kinds)


def test_weights_that_cannot_be_had_are_explained(monkeypatch):
    def offline(**_):
        raise Exception("URL fetch failure on https://there/x.h5: None -- [Errno -2] Name or service not known")

    monkeypatch.setattr(keras.applications, "MobileNetV2", offline)
    monkeypatch.setenv("KERAS_HOME", "/where/keras/lives")
    with pytest.raises(RunError) as raised:
        registry.backbone("mobilenet_v2")
    assert str(raised.value) == (
        "mobilenet_v2: its weights could not be had: URL fetch failure on https://there/x.h5: None -- [Errno -2] Name "
        "or service not known. Put x.h5 into /where/keras/lives/models yourself, or wish weights 'none'."
    )


def test_a_size_that_a_model_cannot_take_is_a_wish():
    with pytest.raises(WishError, match=r"^inception_v3 cannot be built at 32 px: Input size must be at least 75x75"):
        registry.backbone("inception_v3", 32, "none")


# What is known of a model without building it ---------------------------------------------------------------------


def test_facts_are_those_of_the_models():
    """`bench/model_facts.py` wrote them; the published counts are of Keras' and EfficientNet's own tables."""
    facts = {one.name: one for one in registry.listing()}
    assert list(facts) == registry.names()
    for name in ("micro", "efficientnet_lite0", "mobilenet_v3_small"):
        known = registry.entry(name)
        with blank():
            model = registry.stock_backbone(name, None, "none")
        assert facts[name].parameters == model.count_params() and facts[name].image_size == known.image_size
    published = {"efficientnet_lite0": 0.78, "mobilenet_v2": 0.6, "resnet50": 7.7, "vgg16": 30.7, "convnext_tiny": 8.9}
    for name, gflops in published.items():
        assert facts[name].gflops == pytest.approx(gflops, rel=0.06)
    assert facts["efficientnet_lite0"].weights == "installed" and facts["micro"].weights == "none"


def test_weights_are_at_hand_where_keras_keeps_them(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    before = {one.name: one.weights for one in registry.listing()}
    assert before["xception"] == "to download"
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "xception_weights_tf_dim_ordering_tf_kernels_notop.h5").touch()
    assert {one.name: one.weights for one in registry.listing()} == {**before, "xception": "cached"}


# Weights from a file ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".weights.h5", ".keras"])
@pytest.mark.parametrize("whole", [True, False])
def test_weights_of_a_backbone_or_of_a_classifier_fit(micro, tmp_path, ending, whole):
    path = tmp_path / f"mine{ending}"
    model = micro if whole else registry.backbone("micro", 32, "none")
    model.save_weights(path) if ending == ".weights.h5" else model.save(path)
    found = registry.backbone("micro", 32, str(path))
    for variable, wanted in zip(found.weights, model.weights, strict=False):
        np.testing.assert_array_equal(variable, wanted)


def test_weights_that_do_not_fit_are_named(tmp_path):
    registry.backbone("efficientnet_lite0", 32, "none").save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(WishError) as raised:
        registry.backbone("micro", 32, str(tmp_path / "other.weights.h5"))
    text = str(raised.value)
    assert text.startswith(f"{tmp_path / 'other.weights.h5'} does not fit micro: ") and "\n" not in text
    assert "stem" in text and "(3, 3, 3, 32)" in text and "(3, 3, 3, 8)" in text
    for name in ("text.weights.h5", "text.keras"):
        (tmp_path / name).write_text("no weights at all")
        with pytest.raises(WishError, match=rf"{name} does not fit micro: [^\n]+$"):
            registry.backbone("micro", 32, str(tmp_path / name))
