"""Corolla's side. Run in an environment with Corolla; see `rounds`."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rounds import HELD, TOLD, Round, serve

sys.path.insert(0, str(Path(__file__).parents[1]))


def reading(wish: dict[str, Any]) -> Round:
    """A split's shards to decoded pixels, all checks on: as `train` reads them (keep), or let go of as `check` does."""
    from corolla.images import decode, in_order, load_split
    from corolla.records.shards import Unread, find_split, unread_split
    from corolla.storage import any_path

    files = find_split(any_path(wish["data"]), wish["split"], wish["size"])

    def pixels(item: Unread) -> Any:
        return decode(item.read().example.image)

    def once() -> int:
        if not wish.get("keep"):
            return sum(1 for _ in in_order(pixels, unread_split(files, labels="need")))
        HELD.append(load_split(files, labels="need"))
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
        steps=wish["steps"],
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
    """The train step on resident pixels, augmentation included, all blocks; a round is one dispatch.

    On a GPU it also tells what the step counts and what the GPU can do, for its share of the roofline.
    """
    import jax

    program = _programs(wish, "train")
    if jax.default_backend() == "gpu":
        cost = program.compiled.cost_analysis()  # of one step: the loop's body counts once
        TOLD["flops_an_image"] = cost["flops"] / wish["batch"]
        TOLD["bytes_an_image"] = cost["bytes accessed"] / wish["batch"]
        TOLD["flops_a_second"], TOLD["bytes_a_second"] = _ceilings()

    def once() -> int:
        program.time_once()
        return program.images

    return once


def _ceilings() -> tuple[float, float]:
    """What this GPU reaches: operations a second of a bfloat16 product, bytes a second of a copy (read and written)."""
    import jax
    from jax import numpy as jnp

    def best(function: Any, *operands: Any) -> float:
        compiled = jax.jit(function).lower(*operands).compile()
        seconds = []
        for _ in range(12):
            begin = time.perf_counter()
            jax.block_until_ready([compiled(*operands) for _ in range(10)])
            seconds.append((time.perf_counter() - begin) / 10)
        return min(seconds)

    side, size = 8192, 1 << 29
    square = jax.random.normal(jax.random.key(0), (side, side), jnp.bfloat16)
    line = jax.random.normal(jax.random.key(1), (size,), jnp.float32)
    return 2 * side**3 / best(jnp.dot, square, square), 2 * line.nbytes / best(lambda x: x + 1, line)


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


def to_score(wish: dict[str, Any]) -> Round:
    """The command that trains, from process start to its scores. Done when it is ready."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["train", wish["data"], "--out", f"{folder}/run", "--model", wish["model"], *wish["words"]]
        subprocess.run([sys.executable, "-m", "corolla.cli", *words], check=True)
        TOLD["macro_f1"] = json.loads(Path(folder, "run", "scores.json").read_text())["macro_f1_present"]
    return lambda: 1


if __name__ == "__main__":
    if json.loads(sys.argv[2]).get("device", "cpu") == "cpu":
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
    else:  # the peer holds memory of the same GPU meanwhile
        os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.45")
    works = {
        "input": reading,
        "train": training,
        "predict": prediction,
        "photo": photo,
        "frozen": to_score,
        "finetune": to_score,
    }
    serve(works, ("corolla", "jax", "keras", "numpy"))
