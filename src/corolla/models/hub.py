"""The image models of KerasHub, by preset: ViT, DINOv2 and v3, SigLIP's and CLIP's image towers, and the convolutional.

Takes: a preset as KerasHub names it (a built-in name, kaggle://..., hf://..., or a folder), an image size, weights.
Gives: `backbone`: a functional keras.Model, images float[b, s, s, 3] in 0..255 -> features [b, f]; and `files`, by
which a run builds the same model again without the network.

The pixels' scaling is that of the preset's image converter. A preset without one is fed 0..255, as KerasHub itself
does. KerasHub is an extra, because it brings TensorFlow along.
"""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from corolla.backend import keras
from corolla.errors import RunError, WishError, nearest

_CLASS_TOKEN = ("DeiTBackbone", "DINOV2Backbone", "DINOV3Backbone", "CLIPVisionEncoder", "MetaCLIP2VisionEncoder")
"""Models whose first token stands for the whole image; ViTBackbone says it in `use_class_token`."""

CONFIG, CONVERTER = "config.json", "image_converter.json"
"""The files of a preset that describe the model and its scaling, as KerasHub names them."""

_USUAL_SIZE = 224
_LONGEST = 300
"""Characters of a library's message that are shown: KerasHub's repeat whole configurations."""


def _hub(preset: str) -> ModuleType:
    try:
        import keras_hub  # pyright: ignore
    except ImportError as error:
        raise WishError(f"hub:{preset} wants KerasHub, which is not installed: pip install 'corolla[hub]'") from error
    return keras_hub


def backbone(preset: str, image_size: int | None, weights: str) -> keras.Model:
    """Build the image model of a preset, pooled, scaling inside. weights: imagenet (the preset's own) or none.

    Pooled: its own pooling where it has one, else the class token, else the mean over tokens or pixels.
    Raises WishError (KerasHub missing; no such preset; no model of images; a size that its weights do not fit) and
    RunError (a preset that cannot be had).
    """
    tower = _tower(preset, image_size, weights != "none")
    size = image_size or _side(tower) or _USUAL_SIZE
    images = keras.Input((size, size, 3), name="images")
    x = _scaled(images, _converter(preset))
    outputs = tower(dict.fromkeys(tower.input, x) if isinstance(tower.input, dict) else x)
    return keras.Model(images, _pooled(tower, outputs), name=tower.name)


def files(preset: str, image_size: int | None) -> dict[str, str]:
    """A preset's description without its weights, by file name: a folder of these is a preset of its own.

    Raises what `backbone` raises.
    """
    tower, converter = _tower(preset, image_size, with_weights=False), _converter(preset)
    parts = {CONFIG: tower} | ({CONVERTER: converter} if converter else {})
    return {name: json.dumps(keras.saving.serialize_keras_object(part), indent=1) for name, part in parts.items()}


# What KerasHub gives ----------------------------------------------------------------------------------------------


def _tower(preset: str, image_size: int | None, with_weights: bool) -> keras.Model:
    """The preset's model of images at this size: its backbone, or the image side of one that also reads text."""
    found = _from_preset(preset, with_weights)
    tower = getattr(found, "vision_encoder", found)
    if len(tower.inputs) != 1 or tower.inputs[0].shape[-1] != 3 or len(tower.outputs) != 1:
        inputs = ", ".join(one.name for one in tower.inputs)
        raise WishError(f"hub:{preset} is no model from images to features: it takes {inputs}")
    own = _side(tower)
    if image_size in (None, own) or own is None:
        return tower
    try:
        if tower is not found:
            raise ValueError("the size of a model that also reads text is part of its weights")
        return _from_preset(preset, with_weights, image_shape=(image_size, image_size, 3))
    except ValueError as error:
        raise WishError(
            f"hub:{preset} is for images of {own} px and cannot take {image_size} px: {_line(error)}"
        ) from error


def _from_preset(preset: str, with_weights: bool, **settings: Any) -> Any:
    hub = _hub(preset)
    try:
        return hub.models.Backbone.from_preset(preset, load_weights=with_weights, **settings)
    except Exception as error:  # the hubs raise errors of their own where there is no network or no such model
        if settings:
            raise
        if "Unknown preset identifier" in str(error):
            close = nearest(preset, list(hub.models.Backbone.presets))
            raise WishError(
                f"hub:{preset}: no preset of KerasHub and no folder is called that{close}; kaggle://, hf:// and "
                "folders are known by their whole path"
            ) from error
        kind = WishError if isinstance(error, ValueError) else RunError
        raise kind(
            f"hub:{preset} cannot be had: {_line(error)} Without a network: hub:FOLDER of a saved preset"
        ) from error


def _converter(preset: str) -> Any:
    """The preset's image converter, or None where it has none."""
    hub, local = _hub(preset), Path(preset) / CONVERTER
    try:
        if local.is_file():  # KerasHub itself refuses a converter beside the image side of a model that also reads text
            return keras.saving.deserialize_keras_object(json.loads(local.read_text("utf-8")))
        return hub.layers.ImageConverter.from_preset(preset)
    except FileNotFoundError:
        return None
    except Exception as error:
        if "Unable to find a subclass" in str(error):  # a family without any converter
            return None
        raise RunError(f"hub:{preset}: its image converter cannot be had: {_line(error)}") from error


def _side(tower: Any) -> int | None:
    """The side of the images a model is built for, or None where it takes any."""
    return tower.inputs[0].shape[1]


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:_LONGEST] or type(error).__name__


# From pixels to features ------------------------------------------------------------------------------------------


def _scaled(images: Any, converter: Any) -> Any:
    scale, offset = (getattr(converter, name, None) for name in ("scale", "offset"))
    if scale is None and offset is None:
        return images
    scale, offset = (_plain_numbers(value, usual) for value, usual in ((scale, 1.0), (offset, 0.0)))
    return keras.layers.Rescaling(scale, offset, name="scale")(images)  # pyright: ignore[reportArgumentType]


def _plain_numbers(value: Any, usual: float) -> Any:
    return usual if value is None else np.asarray(value, np.float64).ravel().tolist()


def _pooled(tower: Any, outputs: Any) -> Any:
    (output,) = keras.tree.flatten(outputs)
    if len(output.shape) == 2:
        return output
    if len(output.shape) == 4:
        return keras.layers.GlobalAveragePooling2D(name="pool")(output)
    if getattr(tower, "use_class_token", type(tower).__name__ in _CLASS_TOKEN):
        return output[:, 0]
    return keras.layers.GlobalAveragePooling1D(name="pool")(output)
