"""How fast a model predicts and learns on this machine: Corolla's own programs, on all devices.

Takes: a model's name and what to time. Gives: a table: seconds to compile, images a second (best and median of n
rounds), and milliseconds of processor time an image, which other programs on the machine disturb less.

    python bench/forward.py                          # efficientnet_lite0, 224 px: prediction, half and all blocks
    python bench/forward.py --blocks 0 9 -1          # how many of the last blocks learn
    python bench/forward.py --stock --rounds 3       # beside the stock form of its convolutions (slow)
    JAX_NUM_CPU_DEVICES=1 python bench/forward.py    # one device whose operations are shared out over the cores

Programs are timed in turn, round by round, so that a slow moment of the machine hits all of them.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from corolla.backend import keras
from corolla.config import CROP_AND_FLIP
from corolla.losses import Objective
from corolla.mesh import compute_dtype, copied, describe, mesh_for
from corolla.models import freeze, registry
from corolla.optim import AdamW
from corolla.order import Lanes, epoch_order
from corolla.resident import Part, ResidentFeed
from corolla.step import Learner, empty_sums, predict_steps, train_steps
from corolla.types import Photos

STEPS = 2
"""Steps in one dispatch, unless another number is wished."""


@dataclass
class Program:
    """A compiled function, how many images it works on, and its times. `run` keeps the state it is given back."""

    name: str
    run: Callable[[], Any]
    images: int
    compile_seconds: float
    compiled: Any
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def time_once(self) -> None:
        wall, processor = time.perf_counter(), time.process_time()
        jax.block_until_ready(self.run())
        self.wall.append(time.perf_counter() - wall)
        self.processor.append(time.process_time() - processor)

    def line(self) -> str:
        best, usual = self.images / min(self.wall), self.images / median(self.wall)
        processor = min(self.processor) / self.images * 1e3
        return f"{self.name:34}{self.compile_seconds:9.1f}{best:11.1f}{usual:11.1f}{processor:14.1f}"


def compiled(program: Any, arguments: tuple[Any, ...]) -> tuple[Any, float]:
    begin = time.perf_counter()
    return program.lower(*arguments).compile(), time.perf_counter() - begin


def prediction(name: str, model: keras.Model, mesh: Mesh, part: Part, size: int) -> Program:
    groups = (model.trainable_variables, model.non_trainable_variables)
    values = jax.device_put([[variable.value for variable in group] for group in groups], copied(mesh))
    arguments = (*values, part.pixels.images, np.bool_(False), np.int32(0), np.int32(part.last))
    run, seconds = compiled(predict_steps(model, mesh, size), arguments)
    return Program(name, lambda: run(*arguments), part.last * part.pixels.images.shape[0], seconds, run)


def training(name: str, model: keras.Model, mesh: Mesh, part: Part, size: int) -> Program:
    learner = Learner(model, AdamW(3e-4, 0.1, 0.01, 0.999), size, Objective(0.1), CROP_AND_FLIP)
    held = list(jax.device_put((learner.initial_state(), empty_sums(learner.classes)), copied(mesh)))
    run, seconds = compiled(train_steps(learner, mesh), (*held, *part))

    def step() -> Any:
        held[:] = run(*held, *part)  # the step takes its state's memory: what comes back goes in again
        return held

    return Program(name, step, part.last * part.pixels.images.shape[0], seconds, run)


def programs(wish: argparse.Namespace, mesh: Mesh, part: Part, form: str) -> Iterator[Program]:
    keras.config.set_dtype_policy(compute_dtype(mesh, wish.precision))

    def features() -> keras.Model:
        if form == "fast":
            return registry.backbone(wish.model, wish.size, "none")
        return registry.stock_backbone(wish.model, wish.size, "none")

    if "predict" in wish.only:
        yield prediction(f"{form} predict", features(), mesh, part, wish.size)
    if "train" in wish.only:
        for count in wish.blocks:
            body = features()
            model = keras.Model(body.input, keras.layers.Dense(104, dtype="float32", name="head")(body.output))
            number = len(freeze.blocks(model)) // 2 if count is None else count
            freeze.freeze(model, "all" if number < 0 else number, wish.norm)
            name = "all blocks" if number < 0 else f"the last {number} blocks"
            yield training(f"{form} train, {name}", model, mesh, part, wish.size)


def pixels(wish: argparse.Namespace, mesh: Mesh) -> Part:
    random, n = np.random.default_rng(0), wish.steps * wish.batch
    images = random.integers(0, 256, (n, wish.size, wish.size, 3), np.uint8)
    photos = Photos("train", images, random.integers(0, 104, n, np.int32), [str(i) for i in range(n)])
    feed = ResidentFeed(mesh, Lanes(n, wish.batch), photos)
    feed.start(epoch_order(feed.lanes, 0, 1))
    return feed.take(0, wish.steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=registry.DEFAULT)
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=STEPS, help="in one dispatch")
    parser.add_argument("--blocks", type=int, nargs="+", default=[None, -1], help="blocks that learn; -1 is all")
    parser.add_argument("--norm", default="frozen", choices=["frozen", "batch"], help="batch normalisation in training")
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--only", nargs="+", default=["predict", "train"], choices=["predict", "train"])
    parser.add_argument("--stock", action="store_true", help="also the stock form")
    wish = parser.parse_args()
    mesh = mesh_for(wish.batch)
    part = pixels(wish, mesh)
    timed = [one for form in ("fast", "stock")[: 1 + wish.stock] for one in programs(wish, mesh, part, form)]
    for program in timed:
        program.time_once()
        program.wall.clear(), program.processor.clear()
    for _ in range(wish.rounds):
        for program in timed:
            program.time_once()
    print(f"{wish.model} {wish.size} px, batch {wish.batch}, {wish.rounds} rounds, {describe(mesh)}", end=" ")
    print(f"of {os.cpu_count()}, jax {jax.__version__}, keras {keras.__version__}")
    print(f"{'':34}{'compile s':>9}{'best img/s':>11}{'median':>11}{'core-ms/img':>14}")
    print(*(program.line() for program in timed), sep="\n")


if __name__ == "__main__":
    main()
