"""The model behind the server, compiled for the shapes of batches that it will see.

Takes: a run folder, or the model inside the package. Gives: `find`, which reads it whole and says what is wrong;
`Engine`, called with uint8[n, s, s, 3], n up to `most`: features (where they are of use) and logits.

It is `step.predict_steps` that answers, as in `corolla predict`. A batch lies there as lanes and steps; only the steps
that hold photos are run, so that one compiled program serves batches of many sizes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from corolla import shipped
from corolla.errors import WishError
from corolla.interpreter import Interpreter
from corolla.naming import Namer
from corolla.run import RunFolder
from corolla.storage import AnyPath

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from corolla.backend import keras

Answers = tuple[NDArray[np.float32] | None, NDArray[np.float32]]
"""features float32[n, f], or None where nobody needs them, and logits float32[n, classes]"""

SHAPES = {"cpu": ((1, 1), (2, 8))}
SHAPES_ELSEWHERE = ((1, 1), (8, 1), (32, 1))
"""Lanes on each device, and steps, of the programs that are compiled, smallest first. A CPU works off two photos a core
as fast as many (docs/serve.md), so there the second program stops after as many steps as there are photos."""


@dataclass(frozen=True)
class Found:
    """A model that was read whole. build: makes it for devices; interpreter: the same in NumPy, where that can be."""

    name: str
    image_size: int
    namer: Namer
    build: Callable[["Mesh"], "keras.Model"]
    interpreter: Interpreter | None


def find(run: AnyPath | str | None) -> Found:
    """Read a run's best weights, or (None) the model inside the package. Raises RunError (missing, damaged)."""
    if run is None:
        own = shipped.load()
        return Found("shipped", own.image_size, own.namer(), partial(_of_package, own), own.model)
    folder = RunFolder(run)
    settings, names, graph, best = folder.settings(), folder.names(), folder.graph(), folder.best()
    interpreter = None if graph is None else Interpreter(graph, best.arrays, str(folder.path))
    return Found(folder.path.name, settings.image_size, Namer(names), partial(_of_run, folder), interpreter)


def _of_package(own: shipped.Shipped, mesh: "Mesh") -> "keras.Model":
    from corolla.network import of_graph

    return of_graph(own.built, own.levels, own.graph, len(own.names), own.weights, mesh, shipped.FILE)


def _of_run(folder: RunFolder, mesh: "Mesh") -> "keras.Model":
    from corolla.network import trained

    return trained(folder, mesh)


class Engine:
    """A model on the devices. Making one takes seconds: it is built, compiled and run once in every shape."""

    def __init__(self, found: Found) -> None:
        from corolla.backend import is_jax
        from corolla.inference import values_of
        from corolla.mesh import copy_to_all, make_mesh, platform
        from corolla.network import feature_model
        from corolla.step import predict_steps

        if not is_jax():
            raise WishError("corolla serve works with Keras on JAX: unset KERAS_BACKEND")
        self.found, self.image_size, self.namer = found, found.image_size, found.namer
        self._mesh = make_mesh()
        self.model = found.build(self._mesh)
        self._head, seen = None, self.model
        if found.namer.open_set is not None:  # it looks at features, and the head is a small matrix
            self._head = _head(self.model)
            seen = feature_model(self.model)
        values = values_of(seen)
        self._values = copy_to_all(self._mesh, (values.trainable, values.non_trainable))
        program = predict_steps(seen, self._mesh, self.image_size)
        shapes = SHAPES.get(platform(self._mesh), SHAPES_ELSEWHERE)
        self._programs = [self._compiled(program, lanes * self._mesh.size, steps) for lanes, steps in shapes]
        self.most = max(lanes * steps for lanes, steps, _ in self._programs)
        for lanes, steps, _ in self._programs:
            self(np.zeros((lanes * steps, self.image_size, self.image_size, 3), np.uint8))

    def _compiled(self, program: Any, lanes: int, steps: int) -> tuple[int, int, Any]:
        images = np.zeros((lanes, steps, self.image_size, self.image_size, 3), np.uint8)
        return lanes, steps, program.lower(*self._values, *self._arguments(images, steps)).compile()

    def _arguments(self, images: NDArray[np.uint8], steps: int) -> tuple[Any, ...]:
        import jax

        from corolla.mesh import by_image

        placed = jax.make_array_from_callback(images.shape, by_image(self._mesh), lambda index: images[index])
        return placed, np.bool_(False), np.int32(0), np.int32(steps)

    def __call__(self, images: NDArray[np.uint8]) -> Answers:
        """What it says of 1 to `most` images uint8[n, s, s, 3]."""
        n = len(images)
        lanes, steps, run = next(each for each in self._programs if n <= each[0] * each[1])
        placed = np.zeros((lanes, steps, *images.shape[1:]), np.uint8)
        lane, step = np.arange(n) % lanes, np.arange(n) // lanes
        placed[lane, step] = images
        rows = np.asarray(run(*self._values, *self._arguments(placed, -(-n // lanes))))[step, lane]
        if self._head is None:
            return None, rows
        kernel, bias = self._head
        return rows, rows @ kernel + bias


def _head(model: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    from corolla.backend import value_of
    from corolla.models.freeze import HEAD

    layer = model.get_layer(HEAD)
    return np.asarray(value_of(layer.kernel), np.float32), np.asarray(value_of(layer.bias), np.float32)
