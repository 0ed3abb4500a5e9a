"""A whole split through a model: logits of a classifier, or features of a backbone.

Takes: a feed of pixels on the devices, a model and the values of its variables.
Gives: float32[n, views, outputs] on the host, in the order of the records; padding is gone.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from corolla.backend import keras
from corolla.order import sequential
from corolla.resident import Feed
from corolla.step import View, predict_steps

Progress = Callable[[int, int], None]
"""Called with (records done, records in all)."""

IMAGES_A_DISPATCH = {"cpu": 256}
"""Images in one dispatch, by platform: on a CPU often enough for a progress bar."""
IMAGES_A_DISPATCH_ELSEWHERE = 16_384


def silent(done: int, total: int) -> None:
    """A progress callback that shows nothing."""


@dataclass
class Values:
    """The values of a model's variables, on the devices."""

    trainable: list[jax.Array]
    non_trainable: list[jax.Array]


class Predictor:
    """A model compiled once for one shape of split; called with any values and any feed of that shape."""

    def __init__(self, model: keras.Model, mesh: Mesh, image_size: int, views: Sequence[View] = ("plain",)) -> None:
        self.model, self.mesh, self.image_size, self.views = model, mesh, image_size, tuple(views)
        self.compile_seconds = 0.0
        self._compiled: dict[Any, Any] = {}

    def __call__(self, values: Values, feed: Feed, progress: Progress = silent) -> NDArray[np.float32]:
        """Outputs for every record of the feed: float32[n, views, outputs]."""
        lanes = feed.lanes
        at_most = self._steps_a_dispatch(lanes.batch_size, lanes.steps)
        feed.start(sequential(lanes))
        rows, first = [], 0
        while first < lanes.steps:
            part = feed.take(first, min(first + at_most, lanes.steps))
            arguments = (values.trainable, values.non_trainable, *part)
            done = part.last - part.first
            rows.append(np.asarray(self._program(at_most, arguments)(*arguments))[:done])
            first += done
            progress(min(first * lanes.batch_size, lanes.n), lanes.n)
        return lanes.flatten(np.moveaxis(np.concatenate(rows), 0, 1))

    def _steps_a_dispatch(self, batch_size: int, steps: int) -> int:
        platform = self.mesh.devices.flat[0].platform
        images = IMAGES_A_DISPATCH.get(platform, IMAGES_A_DISPATCH_ELSEWHERE)
        return int(min(max(images // batch_size, 1), steps))

    def _program(self, at_most: int, arguments: tuple) -> Any:
        """Compile ahead of the first call, so that compiling is timed apart from running."""
        key = (at_most, *(leaf.shape for leaf in arguments[2]))
        if key not in self._compiled:
            begin = time.perf_counter()
            program = predict_steps(self.model, self.mesh, self.image_size, self.views, at_most)
            self._compiled[key] = program.lower(*arguments).compile()  # pyright: ignore
            self.compile_seconds += time.perf_counter() - begin
        return self._compiled[key]


def values_of(model: keras.Model) -> Values:
    """The values that a Keras model holds now."""
    return Values(
        [variable.value for variable in model.trainable_variables],
        [variable.value for variable in model.non_trainable_variables],
    )


def softmax(logits: NDArray) -> NDArray[np.float32]:
    """Probabilities along the last axis, on the host."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
