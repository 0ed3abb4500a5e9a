"""Keras, on JAX unless somebody says otherwise: the one place where the backend is chosen, before Keras is imported.

Takes: the environment (`KERAS_BACKEND` wins where it is set: jax, tensorflow or torch).
Gives: `keras`, `is_jax`, `value_of`, `compiled`. Keras reads its backend once, at import, and has no other switch;
without this it asks for TensorFlow. Import `keras` from here, inside the modules that need it, never from
`corolla/__init__`.

On another backend than JAX, JAX still lays out the records and solves the probe's head, on the CPU: it must not take
the memory of an accelerator that the backend works on.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

from corolla.errors import RunError

if "keras" not in sys.modules:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    if os.environ["KERAS_BACKEND"] != "jax":
        os.environ.setdefault("JAX_PLATFORMS", "cpu")

try:
    import keras
except ModuleNotFoundError as error:
    asked = os.environ.get("KERAS_BACKEND")
    raise RunError(
        f"KERAS_BACKEND={asked}: {error.name} is not installed: pip install 'corolla[{asked}]', or unset it"
    ) from error


def is_jax() -> bool:
    """Whether Keras runs on JAX."""
    return keras.backend.backend() == "jax"


def value_of(variable: Any) -> Any:
    """The value of a Keras variable: where it lies on JAX, else as a NumPy array."""
    return variable.value if is_jax() else keras.ops.convert_to_numpy(variable)


def over_replicas(*parts: Any) -> list[Any]:
    """The sums of values over the replicas of a `tf.distribute` strategy; on JAX a program sees all of them anyway."""
    if replicas() == 1:
        return list(parts)
    import tensorflow as tf  # pyright: ignore

    context = tf.distribute.get_replica_context()
    return [context.all_reduce(tf.distribute.ReduceOp.SUM, part) for part in parts]


def replicas() -> int:
    """How many replicas of the running program see a part of each batch."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf  # pyright: ignore

    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, compiled where Keras runs on JAX."""
    if not is_jax():
        return function
    import jax

    return jax.jit(function)


__all__ = ["compiled", "is_jax", "keras", "over_replicas", "replicas", "value_of"]
