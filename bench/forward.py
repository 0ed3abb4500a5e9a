"""How fast a model runs forward and learns, on this machine, in the stock form and in Corolla's.

Takes: a model's name and what to time. Gives: a table: seconds to compile, images a second (best and median of n
rounds), and milliseconds of processor time an image, which other programs on the machine disturb less.

    python bench/forward.py                                   # efficientnet_lite0, 224 px, forward and learning
    python bench/forward.py --only forward --piece 1 2 4 32   # pieces of a batch
    python bench/forward.py --stock --batch 8 --rounds 3      # beside the stock form (slow)
    taskset -c 0 python bench/forward.py                      # one core

Programs are timed in turn, round by round, so that a slow moment of the machine hits all of them.
"""

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any, Literal

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from corolla.backend import keras
from corolla.models import freeze, lowering, registry

STEPS_IN_LOOP = 2


@dataclass
class Program:
    """A compiled function of the arguments, how many images it works on, and its times."""

    name: str
    run: Callable[[], Any]
    images: int
    compile_seconds: float
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


def compiled(name: str, function: Callable[..., Any], arguments: tuple[Any, ...], images: int) -> Program:
    start = time.perf_counter()
    run = jax.jit(function).lower(*arguments).compile()
    seconds = time.perf_counter() - start
    jax.block_until_ready(run(*arguments))
    return Program(name, lambda: run(*arguments), images, seconds)


def values(model: keras.Model) -> tuple[list[Any], list[Any]]:
    return [v.value for v in model.trainable_variables], [v.value for v in model.non_trainable_variables]


def forward(model: keras.Model, piece: int, trained: Any, fixed: Any, images: jax.Array) -> jax.Array:
    return lowering.map_pieces(lambda x: model.stateless_call(trained, fixed, x, training=False)[0], images, piece)


def step(model: keras.Model, piece: int, trained: Any, fixed: Any, batch: Any) -> Any:
    """One step of plain gradient descent on all layers; piece 0 is the whole batch."""

    def gradients(batch: Any) -> Any:
        def loss(trained: Any) -> tuple[jax.Array, Any]:
            logits, fixed_after = model.stateless_call(trained, fixed, batch[0], training=True)
            return -jnp.take_along_axis(jax.nn.log_softmax(logits), batch[1][:, None], 1).sum(), fixed_after

        slopes, fixed_after = jax.grad(loss, has_aux=True)(trained)
        return slopes if piece else (slopes, fixed_after)

    slopes, fixed_after = (lowering.sum_pieces(gradients, batch, piece), fixed) if piece else gradients(batch)
    return [t - 1e-6 * s for t, s in zip(trained, slopes, strict=True)], fixed_after


def looped(function: Callable[..., Any], trained: Any, fixed: Any, batch: Any) -> Any:
    return lax.fori_loop(0, STEPS_IN_LOOP, lambda _, state: function(*state, batch), (trained, fixed))


def programs(wish: argparse.Namespace, form: str) -> list[Program]:
    build = registry.backbone if form == "fast" else stock_backbone
    random = np.random.default_rng(0)
    shape = (wish.batch, wish.size, wish.size, 3)
    images = jnp.asarray(random.integers(0, 256, shape), jnp.float32)
    found = []
    if "forward" in wish.only:
        model = build(wish.model, wish.size, wish.weights)
        for piece in wish.piece if form == "fast" else [wish.batch]:
            run = partial(forward, model, piece)
            found.append(compiled(f"{form} forward, pieces of {piece}", run, (*values(model), images), wish.batch))
    if "train" in wish.only:
        found += training_programs(wish, form, build(wish.model, wish.size, wish.weights), images)
    return found


def training_programs(wish: argparse.Namespace, form: str, features: keras.Model, images: jax.Array) -> list[Program]:
    model = keras.Model(features.input, keras.layers.Dense(104, name="head")(features.output))
    batch = images, jnp.arange(wish.batch) % 104
    found = []
    kinds: list[tuple[Literal["frozen", "batch"], int]] = [("frozen", 1), ("frozen", 0), ("batch", 0)]
    for mode, piece in kinds:
        if piece and form == "stock":
            continue
        freeze.freeze(model, "all", mode)
        name = f"{form} train, {mode} norm, {'pieces of 1' if piece else 'whole'}"
        once = partial(step, model, piece)
        arguments = (*values(model), batch)
        found.append(compiled(name, once, arguments, wish.batch))
        if wish.loop:
            found.append(compiled(f"{name}, loop", partial(looped, once), arguments, wish.batch * STEPS_IN_LOOP))
    return found


def stock_backbone(name: str, size: int, weights: registry.Weights) -> keras.Model:
    return registry.stock_backbone(registry.entry(name), size, weights)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=registry.DEFAULT)
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--weights", default="none", choices=["imagenet", "none"])
    parser.add_argument("--piece", type=int, nargs="+", default=[2], help="forward: images at a time")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--only", nargs="+", default=["forward", "train"], choices=["forward", "train"])
    parser.add_argument("--loop", action="store_true", help=f"train: also {STEPS_IN_LOOP} steps in one dispatch")
    parser.add_argument("--stock", action="store_true", help="also the stock form")
    wish = parser.parse_args()
    timed = programs(wish, "fast") + (programs(wish, "stock") if wish.stock else [])
    for _ in range(wish.rounds):
        for program in timed:
            program.time_once()
    print(f"{wish.model} {wish.size} px, batch {wish.batch}, {wish.rounds} rounds, {os.cpu_count()} cores,", end=" ")
    print(f"jax {jax.__version__}, keras {keras.__version__}")
    print(f"{'':34}{'compile s':>9}{'best img/s':>11}{'median':>11}{'core-ms/img':>14}")
    print(*(program.line() for program in timed), sep="\n")


if __name__ == "__main__":
    main()
