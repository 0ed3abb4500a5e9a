"""What there is to know of every backbone before it is built: writes `src/corolla/models/facts.json`.

Takes: nothing; builds every model of the registry at its own size, without weights (minutes; no download).
Gives, by name: `parameters` (without a classifier), `gflops` (2 x multiply-adds of convolutions and products, for one
image), and `file`: the name under which Keras keeps its ImageNet weights, which it would download.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from corolla.backend import keras
from corolla.models import registry

FACTS = Path(registry.__file__).with_name("facts.json")


def layers(model: keras.Model) -> Iterator[Any]:
    """Every layer, also of models inside the model."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from layers(layer)
        else:
            yield layer


def multiply_adds(layer: Any) -> int:
    """Of one image: places of the output x kernel x channels in, as far as a layer has a kernel."""
    kinds = keras.layers
    if isinstance(layer, kinds.SeparableConv2D):
        places = math.prod(layer.output.shape[1:-1])
        return places * (math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape))
    if isinstance(layer, (kinds.Conv2D, kinds.DepthwiseConv2D, kinds.Dense)):
        return math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape)
    return 0


def file_of(known: registry.Entry) -> str | None:
    """The name of the file that Keras would download for the weights without a classifier."""
    asked = []

    class AskedError(Exception):
        """Stops Keras where it begins to download."""

    def get_file(name: str, *_: Any, **__: Any) -> str:
        asked.append(name)
        raise AskedError

    with mock.patch("keras.src.utils.file_utils.get_file", get_file):
        try:
            getattr(keras.applications, known.function)(include_top=False, weights="imagenet")
        except AskedError:
            return asked[0]
    return None


def facts(name: str) -> dict[str, Any]:
    """Of one model."""
    known = registry.entry(name)
    model = registry.stock_backbone(name, None, "none")
    found: dict[str, Any] = {
        "parameters": model.count_params(),
        "gflops": round(2 * sum(map(multiply_adds, layers(model))) / 1e9, 3),
    }
    if known.function:
        found["file"] = file_of(known)
    keras.backend.clear_session()
    return found


def main() -> None:
    found = {}
    for name in registry.names():
        found[name] = facts(name)
        print(name, found[name], flush=True)
    FACTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
