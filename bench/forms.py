"""Whether the fast convolutions change what a model says: stock against fast, one model of each family.

Takes: names of models (by default one of each family of keras.applications). Gives: a line a model: how many layers
took a fast class, and the largest difference of a feature against the largest. Random weights, two random images.

    python bench/forms.py mobilenet_v2 xception
"""

import argparse

import numpy as np

from corolla.backend import keras
from corolla.models import lowering, registry

SMALLEST = {"xception": 71, "inception_v3": 75, "inception_resnet_v2": 75}
"""Sides of images [px] for families that take no smaller ones; the others get 64."""

FAMILIES = (
    *("mobilenet_v3_small", "mobilenet_v2", "mobilenet", "efficientnet_b0", "efficientnet_v2_b0", "convnext_tiny"),
    *("densenet121", "xception", "inception_v3", "nasnet_mobile", "resnet50", "resnet50_v2", "vgg16"),
    "inception_resnet_v2",
)


def difference(name: str) -> tuple[int, float]:
    """Layers that took a fast class, and the largest difference of a feature against the largest."""
    keras.utils.set_random_seed(0)
    side = SMALLEST.get(name, 64)
    model = registry.stock_backbone(name, side, "none")
    images = np.random.default_rng(0).uniform(0, 255, (2, side, side, 3)).astype(np.float32)
    stock = np.asarray(model(images))
    fast = np.asarray(lowering.fast_on_cpu(model)(images))
    changed = sum(type(layer).__module__ == lowering.__name__ for layer in model._flatten_layers())
    return changed, float(np.abs(fast - stock).max() / np.abs(stock).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", default=FAMILIES)
    for name in parser.parse_args().models:
        changed, worst = difference(name)
        print(f"{name:22s} {changed:4d} fast layers   largest difference {worst:.1e}", flush=True)


if __name__ == "__main__":
    main()
