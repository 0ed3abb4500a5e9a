"""The format `stablehlo`: a compiled model's program for CPU, GPU and TPU, which `jax.export` reads without any model.

Takes: a `Source`. Gives: `write` and `answers`. The batch is of any size; `corolla.json` is found as in a zip archive.
"""

from pathlib import Path

import jax
import numpy as np
from jax import export as jax_export
from jax import numpy as jnp

from corolla.backend import is_jax
from corolla.errors import WishError
from corolla.export import checking
from corolla.export.archive import add_about
from corolla.export.checking import Images, Logits
from corolla.export.source import Source

PLATFORMS = ("cpu", "cuda", "tpu")


def refuse_missing() -> None:
    """Raise WishError where Keras does not run on JAX."""
    if not is_jax():
        raise WishError("--format stablehlo wants Keras on JAX: unset KERAS_BACKEND")


def write(source: Source, path: Path) -> None:
    """Trace the model for a batch of any size. The convolutions keep both their forms: each platform takes its own."""
    model, side = source.keras_model, source.image_size
    variables = [[np.asarray(variable.value) for variable in each] for each in _variables(model)]

    def classify(images: jax.Array) -> jax.Array:
        return model.stateless_call(*variables, images, training=False)[0]

    (batch,) = jax_export.symbolic_shape("batch")
    shape = jax.ShapeDtypeStruct((batch, side, side, 3), jnp.float32)
    program = jax_export.export(jax.jit(classify), platforms=PLATFORMS)(shape)
    path.write_bytes(program.serialize())
    add_about(path, source.about())


def _variables(model: object) -> tuple[list, list]:
    return model.trainable_variables, model.non_trainable_variables  # pyright: ignore


def answers(path: Path, images: Images) -> Logits:
    """As JAX alone loads it."""
    return checking.answers(jax_export.deserialize(bytearray(path.read_bytes())).call, images)
