"""Corolla's side. Run in an environment with Corolla; see `rounds`."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from rounds import HELD, Round, serve

sys.path.insert(0, str(Path(__file__).parents[1]))


def reading(wish: dict[str, Any]) -> Round:
    """A split's shards to decoded pixels, all checks on, as every command reads them."""
    from corolla.images import load_split
    from corolla.records.shards import find_split
    from corolla.storage import any_path

    def once() -> int:
        HELD.append(load_split(find_split(any_path(wish["data"]), wish["split"], wish["size"]), labels="need"))
        return len(HELD[0])

    once()
    HELD.clear()
    return once


def _programs(wish: dict[str, Any], only: str) -> Any:
    import forward

    from corolla.mesh import mesh_for

    told = argparse.Namespace(
        model=wish["model"],
        size=wish["size"],
        batch=wish["batch"],
        blocks=[-1],
        only=[only],
        norm=wish.get("norm", "frozen"),
        precision=wish.get("precision", "float32"),
    )
    mesh = mesh_for(wish["batch"])
    (program,) = forward.programs(told, mesh, forward.pixels(told, mesh), "fast")
    program.time_once()
    return program


def training(wish: dict[str, Any]) -> Round:
    """The train step on resident pixels, augmentation included, all blocks."""
    import forward

    program = _programs(wish, "train")

    def once() -> int:
        for _ in range(wish["steps"] // forward.STEPS):
            program.time_once()
        return wish["steps"] * wish["batch"]

    return once


def prediction(wish: dict[str, Any]) -> Round:
    """Class scores of photos in memory, through the predictor of `evaluate` and `predict`."""
    import numpy as np

    from corolla.backend import keras
    from corolla.inference import make_predictor, values_of
    from corolla.mesh import compute_dtype, mesh_for
    from corolla.models import registry
    from corolla.order import Lanes
    from corolla.resident import ResidentFeed
    from corolla.types import Photos

    n, size = wish["steps"] * wish["batch"], wish["size"]
    mesh = mesh_for(wish["batch"])
    keras.config.set_dtype_policy(compute_dtype(mesh, wish.get("precision", "float32")))
    model = registry.classifier(wish["model"], 104, size, "none")
    images = np.random.default_rng(0).integers(0, 256, (n, size, size, 3), np.uint8)
    photos = Photos("test", images, None, [str(i) for i in range(n)])
    feed = ResidentFeed(mesh, Lanes(n, wish["batch"]), photos)
    predictor, values = make_predictor(model, mesh, size), values_of(model)

    def once() -> int:
        return len(predictor(values, feed))

    once()
    return once


def photo(wish: dict[str, Any]) -> Round:
    """Names for one photo, from a run folder: what `corolla identify` does. Done when it is ready."""
    from corolla.identify import identify

    print(list(identify(wish["run"], [Path(wish["photo"])])))
    return lambda: 1


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    works = {"input": reading, "train": training, "predict": prediction, "photo": photo}
    serve(works, ("corolla", "jax", "keras", "numpy"))
