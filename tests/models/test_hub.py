"""Presets of KerasHub: tiny ones with random weights, saved here; every family's features are KerasHub's own."""

import dataclasses
import importlib.util
import json
import shutil
import sys

import numpy as np
import pytest

from corolla.backend import keras
from corolla.errors import WishError
from corolla.evaluate import evaluate
from corolla.export import export
from corolla.models import freeze, registry
from corolla.network import named_weights
from corolla.predict import predict
from corolla.run import RunFolder, default_path
from corolla.saliency import explainer
from corolla.train import train
from flow import SETTINGS

THERE = importlib.util.find_spec("keras_hub") is not None
needs_hub = pytest.mark.skipif(not THERE, reason="KerasHub is not installed (pip install corolla[hub])")

VIT = {"num_layers": 3, "hidden_dim": 16, "num_heads": 2, "patch_size": 8}
TOKENS = {"num_layers": 2, "hidden_dim": 16, "num_heads": 2, "patch_size": 8, "intermediate_dim": 32}
CONVOLUTIONAL = {
    "stackwise_num_filters": [64, 16],
    "stackwise_num_blocks": [1, 1],
    "stackwise_num_strides": [1, 2],
    "input_conv_filters": [64],
    "input_conv_kernel_sizes": [3],
    "block_type": "basic_block",
}
SHAPE = {"image_shape": (32, 32, 3)}


@pytest.fixture(scope="module")
def presets(tmp_path_factory):
    """A folder with a preset of each kind of model: name -> folder."""
    keras_hub = pytest.importorskip("keras_hub")
    models, layers, place = keras_hub.models, keras_hub.layers, tmp_path_factory.mktemp("presets")
    keras.utils.set_random_seed(0)
    converter = {"image_size": (32, 32), "scale": [1 / 50, 1 / 60, 1 / 70], "offset": [-2.0, -1.9, -1.8]}
    text = {"vocabulary_size": 9, "embedding_dim": 16, "hidden_dim": 16, "num_layers": 1, "num_heads": 2}
    siglip = models.SigLIPBackbone(
        vision_encoder=models.SigLIPVisionEncoder(**TOKENS, **SHAPE),
        text_encoder=models.SigLIPTextEncoder(**text, intermediate_dim=16, max_sequence_length=8),
    )
    bert = {"vocabulary_size": 9, "num_layers": 1, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 16}
    made = {
        "vit": (models.ViTBackbone(**VIT, **SHAPE, mlp_dim=32), layers.ViTImageConverter(**converter)),
        "dinov2": (
            models.DINOV2Backbone(**TOKENS, **SHAPE, num_register_tokens=2),
            layers.DINOV2ImageConverter(**converter),
        ),
        "dinov3": (models.DINOV3Backbone(**TOKENS, **SHAPE), None),
        "siglip": (siglip, layers.SigLIPImageConverter(image_size=(32, 32), scale=1 / 127.5, offset=-1)),
        "resnet": (models.ResNetBackbone(**CONVOLUTIONAL), layers.ResNetImageConverter(**converter)),
        "bert": (models.BertBackbone(**bert, max_sequence_length=8), None),
    }
    for name, (backbone, its_converter) in made.items():
        backbone.save_to_preset(place / name)
        if its_converter:
            its_converter.save_to_preset(place / name)
    return {name: place / name for name in made}


def pixels(side=32):
    return np.random.default_rng(0).uniform(0, 255, (2, side, side, 3)).astype(np.float32)


POOLED = {
    "vit": lambda tower, x: tower(x)[:, 0],
    "dinov2": lambda tower, x: tower({"images": x})[:, 0],
    "dinov3": lambda tower, x: tower({"pixel_values": x})[:, 0],
    "siglip": lambda tower, x: tower.vision_encoder({"images": x}),
    "resnet": lambda tower, x: keras.ops.mean(tower(x), axis=(1, 2)),
}


@needs_hub
@pytest.mark.parametrize("name", POOLED)
def test_features_are_those_of_the_library(presets, name):
    """Scaled as KerasHub's own converter scales, with the weights of the preset."""
    import keras_hub  # pyright: ignore

    x = pixels()
    tower = keras_hub.models.Backbone.from_preset(str(presets[name]))
    has_converter = (presets[name] / "image_converter.json").is_file()
    seen = keras_hub.layers.ImageConverter.from_preset(str(presets[name]))(x) if has_converter else x
    found = registry.backbone(f"hub:{presets[name]}", 32)(x)
    np.testing.assert_allclose(found, POOLED[name](tower, seen), rtol=1e-4, atol=1e-4)
    random = registry.backbone(f"hub:{presets[name]}", 32, "none")(x)
    assert np.abs(np.asarray(random) - np.asarray(found)).max() > 1e-2


@needs_hub
@pytest.mark.parametrize("name", POOLED)
def test_what_a_run_keeps_builds_the_same_model(presets, tmp_path, name):
    """Without the preset: also where KerasHub refuses a converter beside an image tower alone."""
    model = registry.backbone(f"hub:{presets[name]}", 32)
    for file, text in registry.files(f"hub:{presets[name]}", 32).items():
        (tmp_path / file).write_text(text)
    again = registry.backbone(f"hub:{tmp_path}", 32, "none")
    assert list(named_weights(again)) == list(named_weights(model))
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again(pixels()), model(pixels()))


@needs_hub
def test_blocks_are_found_inside_encoders(presets):
    found = {name: [b.name for b in freeze.blocks(registry.backbone(f"hub:{presets[name]}", 32))] for name in POOLED}
    assert found["vit"] == ["vit", "transformer_block_1", "transformer_block_2", "transformer_block_3", "ln"]
    assert found["dinov2"][1:3] == found["dinov3"][1:3] == ["layers_0", "layers_1"]
    assert [name[-7:] for name in found["siglip"][1:3]] == ["block_0", "block_1"]
    assert len(found["resnet"]) >= 3
    model = registry.classifier(f"hub:{presets['vit']}", 5, 32)
    freeze.freeze(model, 2, "frozen")
    learning = {v.path.split("/")[1] if "/ln" not in v.path[-10:] else "ln" for v in model.trainable_variables}
    assert learning >= {"transformer_block_3"} and not learning & {"transformer_block_1", "transformer_block_2"}


@needs_hub
@pytest.mark.parametrize("name", ["dinov2", "dinov3", "resnet"])
def test_other_sizes_where_the_model_can(presets, name):
    model = registry.backbone(f"hub:{presets[name]}", 48)
    assert model.input_shape == (None, 48, 48, 3) and np.isfinite(model(pixels(48))).all()


@needs_hub
@pytest.mark.parametrize(("name", "weights"), [("vit", "imagenet"), ("siglip", "imagenet"), ("siglip", "none")])
def test_other_sizes_where_the_model_cannot(presets, name, weights):
    with pytest.raises(WishError) as raised:
        registry.backbone(f"hub:{presets[name]}", 48, weights)
    assert str(raised.value).startswith(f"hub:{presets[name]} is for images of 32 px and cannot take 48 px: ")
    assert len(str(raised.value)) < 500 and "\n" not in str(raised.value)


@needs_hub
def test_other_sizes_without_weights(presets):
    assert registry.backbone(f"hub:{presets['vit']}", 48, "none").input_shape == (None, 48, 48, 3)
    assert registry.backbone(f"hub:{presets['vit']}", None).input_shape == (None, 32, 32, 3)


@needs_hub
def test_what_is_no_model_of_images_is_refused(presets, tmp_path):
    with pytest.raises(WishError, match=r"^hub:.*bert is no model from images to features: it takes .*token_ids"):
        registry.backbone(f"hub:{presets['bert']}", 32)
    with pytest.raises(WishError, match=r"^hub:vit_base_patch16_222_imagenet: no preset .* \(did you mean 'vit_base_"):
        registry.backbone("hub:vit_base_patch16_222_imagenet", 32)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WishError, match=rf"^hub:{tmp_path} cannot be had: Unrecognized format"):
        registry.backbone(f"hub:{tmp_path}", 32)


def test_the_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(WishError) as raised:
        registry.backbone("hub:vit_base_patch16_224_imagenet", 224)
    assert str(raised.value) == (
        "hub:vit_base_patch16_224_imagenet wants KerasHub, which is not installed: pip install 'corolla[hub]'"
    )


@pytest.mark.parametrize(("preset", "name"), [("vit_tiny", "hub-vit_tiny"), ("hf://me/vit", "hub-hf-me-vit")])
def test_a_run_folder_can_be_named_after_it(tmp_path, preset, name):
    found = default_path(tmp_path, dataclasses.replace(SETTINGS, model=f"hub:{preset}"))
    assert found.parent.name == "runs" and found.name.startswith(f"{tmp_path.name}-{name}-")


@needs_hub
@pytest.mark.parametrize("loop", ["jax", "keras"])
def test_a_run_needs_its_preset_no_more(flowers, presets, tmp_path, loop):
    """Trained by each loop, then scored, predicted and exported after the preset is gone."""
    preset = shutil.copytree(presets["vit"], tmp_path / "preset")
    wish = dataclasses.replace(SETTINGS, model=f"hub:{preset}", weights="imagenet", epochs=1, loop=loop, train_blocks=2)
    run = RunFolder(tmp_path / "run")
    scores = train(flowers, run.path, wish)
    assert [line["epoch"] for line in run.metrics()] == [0, 1] and 0 < scores.accuracy <= 1
    shutil.rmtree(preset)
    assert json.loads((run.path / "preset" / "config.json").read_text())["class_name"] == "ViTBackbone"
    assert evaluate(run.path, flowers, "val")[0].accuracy == scores.accuracy
    assert len(predict((run.path,), flowers, tmp_path / "submission.csv").ids) == 9
    made = export(run.path)
    assert keras.saving.load_model(made.path, compile=False).output_shape == (None, 104)
    assert export(run.path, format="weights").difference == 0


@needs_hub
@pytest.mark.parametrize("name", POOLED)
def test_where_it_looks(presets, name):
    """Exactly, where the features are means of a map; else by grey squares, also of models made of tokens."""
    model = registry.classifier(f"hub:{presets[name]}", 5, 32)
    kernel = model.get_layer(freeze.HEAD).kernel
    kernel.assign(np.random.default_rng(1).normal(size=kernel.shape))
    explain, images = explainer(model), pixels()
    maps = explain(images, [1, 4])
    assert explain.exact == (name == "resnet")
    assert maps.shape == (2, 32, 32) and np.isfinite(maps).all() and maps.std(axis=(1, 2)).min() > 0
    if explain.exact:
        logits = np.asarray(model(images))
        wanted = logits[[0, 1], [1, 4]] - logits.mean(axis=1)
        np.testing.assert_allclose(maps.mean(axis=(1, 2)), wanted, rtol=1e-3, atol=1e-4)
