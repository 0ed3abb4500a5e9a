"""A whole split through a model: logits of a classifier, or features of a backbone.

Takes: a feed of pixels on the devices, a model and the values of its variables.
Gives: float32[n, views, outputs] on the host, in the order of the records; padding is gone.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from corolla import augment, hosts
from corolla.backend import is_jax, keras, value_of
from corolla.mesh import by_image, copied, copy_to_all, platform
from corolla.order import sequential
from corolla.resident import Feed, Part
from corolla.step import predict_steps

View = str
"""How an image is looked at: a name in `BOXES`."""

_MIDDLE, _CROP = 0.8, 0.875

_CORNERS = {
    "top left": (0, 0),
    "top right": (0, 1),
    "bottom left": (1, 0),
    "bottom right": (1, 1),
    "centre": (0.5, 0.5),
}

_PARTS: dict[View, tuple[float, float, float, float]] = {
    "plain": (0, 1, 0, 1),
    "middle": ((1 - _MIDDLE) / 2, _MIDDLE, (1 - _MIDDLE) / 2, _MIDDLE),
    **{name: (down * (1 - _CROP), _CROP, right * (1 - _CROP), _CROP) for name, (down, right) in _CORNERS.items()},
}
"""Top, height, left and width of what is seen, as parts of the image's sides."""


def _mirror_of(view: View) -> View:
    return "mirror" if view == "plain" else f"{view} mirror"


BOXES: dict[View, NDArray[np.float32]] = {
    name: np.array((*part, mirrored), np.float32)
    for view, part in _PARTS.items()
    for name, mirrored in ((view, 0), (_mirror_of(view), 1))
}
"""Each view as `augment.look` takes it."""

WHOLE_VIEWS = ("plain", "mirror")
"""Views for which no pixel needs to be computed."""

CROPS: tuple[View, ...] = tuple(name for view in _CORNERS for name in (view, _mirror_of(view)))
"""Corners and centre with their mirror images: the ten crops of Krizhevsky et al. (2012), of 7/8 of the sides."""

Progress = Callable[[int, int], None]
"""Called with (records done, records in all)."""

IMAGES_A_DISPATCH = {"cpu": 256}
"""Images in one dispatch, by platform: on a CPU often enough for a progress bar."""
IMAGES_A_DISPATCH_ELSEWHERE = 2_048


def silent(done: int, total: int) -> None:
    """A progress callback that shows nothing."""


@dataclass
class Values:
    """The values of a model's variables, on the devices."""

    trainable: list[jax.Array]
    non_trainable: list[jax.Array]


class Outputs(NamedTuple):
    """What devices are still working on: float32[steps, lanes, outputs] a view, of which steps first to last - 1."""

    views: list[jax.Array]
    first: int
    last: int

    def fetch(self) -> NDArray[np.float32]:
        """Wait for it: float32[last - first, lanes, views, outputs]."""
        return np.stack([np.asarray(rows)[self.first : self.last] for rows in self.views], axis=2)


class Predictor:
    """A model compiled once for one shape of batch; called with any values, any feed of that shape, any views."""

    def __init__(self, model: keras.Model, mesh: Mesh, image_size: int) -> None:
        self.mesh = mesh
        self.compile_seconds = 0.0
        self._program = cache(partial(predict_steps, model, mesh, image_size))
        self._compiled: dict[tuple[bool, tuple[int, ...]], Any] = {}
        self._cut = jax.jit(_cut, static_argnums=2, out_shardings=by_image(mesh))
        self._whole = jax.jit(lambda rows: rows, out_shardings=copied(mesh))

    def __call__(
        self, values: Values, feed: Feed, progress: Progress = silent, views: Sequence[View] = ("plain",)
    ) -> NDArray[np.float32]:
        """Outputs for every record of the feed: float32[n, views, outputs]."""
        rows, lanes = [], feed.lanes
        for outputs in _one_ahead(self._dispatches(values, feed, views)):
            rows.append(outputs.fetch())
            progress(min(sum(map(len, rows)) * lanes.batch_size, lanes.n), lanes.n)
        return lanes.flatten(np.moveaxis(np.concatenate(rows), 0, 1))

    def _dispatches(self, values: Values, feed: Feed, views: Sequence[View]) -> Iterator[Outputs]:
        """Start part after part of the feed."""
        steps, first = feed.lanes.steps, 0
        at_most = self._steps_a_dispatch(feed.lanes.batch_size, steps)
        on_devices = copy_to_all(self.mesh, (values.trainable, values.non_trainable))
        feed.start(sequential(feed.lanes))
        while first < steps:
            part = feed.take(first, min(first + at_most, steps))
            yield self._dispatch(on_devices, part, at_most, views)
            first += part.last - part.first

    def _dispatch(self, values: tuple, part: Part, at_most: int, views: Sequence[View]) -> Outputs:
        """Start the steps of one part."""
        images, skipped = part.pixels.images, 0
        if images.shape[1] > at_most:  # a cut is a copy of a few images; a program for every shape would be compiled
            skipped = min(part.first, images.shape[1] - at_most)
            images = self._cut(images, skipped, at_most)
        first, last = np.int32(part.first - skipped), np.int32(part.last - skipped)
        boxes = not set(views) <= set(WHOLE_VIEWS)  # one program for all views of a call
        how = [BOXES[view] if boxes else np.bool_(view == "mirror") for view in views]
        seen = [self._run(boxes, *values, images, view, first, last) for view in how]
        if hosts.several():  # outputs, a few numbers an image, go to every host; pixels do not
            seen = [self._whole(rows) for rows in seen]
        return Outputs(seen, int(first), int(last))

    def _steps_a_dispatch(self, batch_size: int, steps: int) -> int:
        images = IMAGES_A_DISPATCH.get(platform(self.mesh), IMAGES_A_DISPATCH_ELSEWHERE)
        return int(min(max(images // batch_size, 1), steps))

    def _run(self, boxes: bool, *arguments: Any) -> jax.Array:
        """Compile ahead of the first call, so that compiling is timed apart from running."""
        kind = boxes, arguments[2].shape
        if kind not in self._compiled:
            begin = time.perf_counter()
            self._compiled[kind] = self._program(boxes).lower(*arguments).compile()  # pyright: ignore
            self.compile_seconds += time.perf_counter() - begin
        return self._compiled[kind](*arguments)


def _one_ahead(started: Iterator[Outputs]) -> Iterator[Outputs]:
    """Hand on each item when the next one has been started: no device waits for another, or for the host."""
    before = next(started)
    for outputs in started:
        yield before
        before = outputs
    yield before


def _cut(images: jax.Array, first: int, steps: int) -> jax.Array:
    return jax.lax.dynamic_slice_in_dim(images, first, steps, axis=1)


class KerasPredictor:
    """A `Predictor` for the other backends of Keras: `model.predict`, which spreads batches over their devices."""

    compile_seconds = 0.0

    def __init__(self, model: keras.Model, mesh: Mesh, image_size: int) -> None:
        inputs = keras.Input(model.input_shape[1:], name="seen")
        self.model, self.image_size = model, image_size
        self.values = [*model.trainable_variables, *model.non_trainable_variables]
        self.outer = keras.Model(inputs, model(inputs))
        self.outer.compile(jit_compile=False)  # pyright: ignore

    def __call__(
        self, values: Values, feed: Feed, progress: Progress = silent, views: Sequence[View] = ("plain",)
    ) -> NDArray[np.float32]:
        """Outputs for every record of the feed: float32[n, views, outputs]."""
        lanes, before = feed.lanes, [value_of(variable) for variable in self.values]
        self._assign([*values.trainable, *values.non_trainable])
        seen = []
        for view in views:
            rows = self.outer.predict(_Views(feed, self.image_size, view), verbose=0)  # pyright: ignore
            seen.append(np.asarray(rows).reshape(lanes.steps, -1, rows.shape[-1]))
        self._assign(before)
        progress(lanes.n, lanes.n)
        return lanes.flatten(np.moveaxis(np.stack(seen, axis=2), 0, 1))

    def _assign(self, values: Sequence[Any]) -> None:
        for variable, value in zip(self.values, values, strict=True):
            variable.assign(np.asarray(value))


class _Views(keras.utils.PyDataset):
    """The steps of a feed one by one, as the network sees them."""

    def __init__(self, feed: Feed, image_size: int, view: View) -> None:
        super().__init__()
        self.feed, self.image_size, self.view = feed, image_size, view
        feed.start(sequential(feed.lanes))

    def __len__(self) -> int:
        return self.feed.lanes.steps

    def __getitem__(self, index: int) -> tuple[NDArray]:
        part = self.feed.take(index, index + 1)
        images = np.asarray(part.pixels.images)[:, part.first]
        if self.view in WHOLE_VIEWS:
            seen = augment.resize(images[:, :, ::-1] if self.view == "mirror" else images, self.image_size)
        else:
            seen = augment.look(images, keras.ops.convert_to_tensor(BOXES[self.view]), self.image_size)
        return (np.asarray(keras.ops.convert_to_numpy(seen)),)


def make_predictor(model: keras.Model, mesh: Mesh, image_size: int) -> Predictor | KerasPredictor:
    """The predictor for the backend that Keras runs on."""
    return (Predictor if is_jax() else KerasPredictor)(model, mesh, image_size)


def values_of(model: keras.Model) -> Values:
    """The values that a Keras model holds now."""
    return Values(
        [value_of(variable) for variable in model.trainable_variables],
        [value_of(variable) for variable in model.non_trainable_variables],
    )


def softmax(logits: NDArray) -> NDArray[np.float32]:
    """Probabilities along the last axis, on the host."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
