"""Models of zeros, for whoever overwrites their weights anyway, or never looks at them.

Takes: nothing. Gives: `blank`, a context in which Keras' initializers draw nothing.

Keras draws every initial value by a small program of its own, compiled for each shape: it is nearly all of the time
that building a model takes (efficientnet_v2_b0 31 s, in zeros 3 s, on one of two busy cores).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from corolla.backend import keras
from corolla.models import efficientnet_lite  # noqa: F401  # for its initializers, which must be known to be changed


@contextmanager
def blank() -> Iterator[None]:
    """Let variables begin as zeros while this lasts. For one thread: the classes of Keras' initializers are changed."""
    before = {kind: kind.__call__ for kind in _kinds(keras.initializers.Initializer) if "__call__" in vars(kind)}
    for kind in before:
        kind.__call__ = _zeros
    try:
        yield
    finally:
        for kind, call in before.items():
            kind.__call__ = call


def _kinds(kind: Any) -> Iterator[Any]:
    for each in kind.__subclasses__():
        yield each
        yield from _kinds(each)


def _zeros(self: Any, shape: Any, dtype: Any = None, **_: Any) -> Any:
    return np.zeros(shape, keras.backend.standardize_dtype(dtype))
