"""The classifiers of `keras.applications`, each with the pixel scaling its weights were trained with inside the model.

Takes: a name of `corolla.models.registry`, an image size, which weights.
Gives: `backbone`: a functional keras.Model, images float[b, s, s, 3] in 0..255 -> features [b, f]; `settle`.

Keras downloads the ImageNet weights itself, once, into its own folder.
"""

import re
from typing import Any

import numpy as np

from corolla.backend import keras
from corolla.errors import RunError, WishError
from corolla.models.registry import keras_folder

# Each as (scale, offset) of keras.layers.Rescaling on RGB, from keras.applications.imagenet_utils.preprocess_input.
_TORCH_STD = (0.229, 0.224, 0.225)
_TORCH_MEAN = (0.485, 0.456, 0.406)
_CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)


def _scaled(x: Any, scaling: str) -> Any:
    """Bring pixels from 0..255 into the range the model was trained in."""
    if scaling == "tf":
        return keras.layers.Rescaling(1 / 127.5, -1.0, name="scale")(x)
    if scaling == "torch":
        scale = [1 / (255 * std) for std in _TORCH_STD]
        offset = [-mean / std for mean, std in zip(_TORCH_MEAN, _TORCH_STD, strict=True)]
        return keras.layers.Rescaling(scale, offset, name="scale")(x)  # pyright: ignore[reportArgumentType]
    if scaling == "caffe":
        offset = [-mean for mean in _CAFFE_MEAN_BGR]
        return keras.layers.Rescaling(1.0, offset, name="scale")(_bgr(x))  # pyright: ignore[reportArgumentType]
    return x


def _bgr(x: Any) -> Any:
    red, green, blue = x[..., 0:1], x[..., 1:2], x[..., 2:3]
    return keras.layers.Concatenate(name="bgr")([blue, green, red])


def backbone(name: str, function: str, scaling: str, image_size: int, weights: str) -> keras.Model:
    """Build a model of keras.applications without its classifier, average pooled, scaling inside.

    Raises WishError where the model cannot take the image size, RunError where the weights cannot be had.
    """
    inputs = keras.Input((image_size, image_size, 3), name="images")
    chosen = None if weights == "none" else weights
    shape = (image_size, image_size, 3)  # given beside the tensor, so that Keras refuses a size before it builds
    shared = {"include_top": False, "pooling": "avg", "weights": chosen, "input_shape": shape}
    build = getattr(keras.applications, function)
    try:
        model = build(**shared, input_tensor=_scaled(inputs, scaling))
        if name.startswith("efficientnet_b") and chosen == "imagenet":
            model = _corrected(model, build(**{**shared, "weights": None}, input_tensor=inputs))
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise WishError(f"{name} cannot be built at {image_size} px: {reason}") from error
    except Exception as error:  # Keras raises a bare Exception where a download fails
        if isinstance(error, OSError) or "URL fetch failure" in str(error):
            raise RunError(_offline(name, error)) from error
        raise
    return keras.Model(model.inputs, model.outputs[0], name=name)


def _corrected(model: keras.Model, plain: keras.Model) -> keras.Model:
    """Move the weights of an EfficientNet-B with ImageNet weights into the model that Keras builds without.

    Its ImageNet weights want pixels divided once more by the root of their deviation, for which Keras adds a layer that
    the model without them does not have (keras.applications.efficientnet, on tensorflow#49930). A run is taken up from
    its own weights, so the correction goes into the variance by which the model normalises: one model for both.
    """
    for layer, source in zip(_with_weights(plain), _with_weights(model), strict=True):
        values = source.get_weights()
        if isinstance(layer, keras.layers.Normalization):
            mean, variance, count = values
            values = [mean, variance * np.array(_TORCH_STD, variance.dtype), count]
        layer.set_weights(values)
    settle(plain)
    return plain


def _with_weights(model: keras.Model) -> list[keras.Layer]:
    return [layer for layer in model.layers if layer.weights]


def settle(model: keras.Model) -> None:
    """Let layers that compute constants of their weights do so: to be called when weights were assigned."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def _offline(name: str, error: Exception) -> str:
    """Say which file is missing and where Keras looks for it."""
    reason = " ".join(str(error).split())
    file = re.search(r"[\w.-]+\.(?:h5|keras)\b", reason)
    what = file.group() if file else "the file"
    return (
        f"{name}: its weights could not be had: {reason.rstrip('.')}. "
        f"Put {what} into {keras_folder() / 'models'} yourself, or wish weights 'none'."
    )
