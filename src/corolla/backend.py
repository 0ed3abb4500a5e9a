"""Keras on JAX: the one place where the backend is chosen, before Keras is first imported.

Takes: the environment (`KERAS_BACKEND` wins where it is set).
Gives: `keras`. Keras reads its backend once, at import, and has no other switch; without this it asks for TensorFlow.
Import `keras` from here, inside the modules that need it, never from `corolla/__init__`.
"""

import os
import sys

if "keras" not in sys.modules:
    os.environ.setdefault("KERAS_BACKEND", "jax")

import keras

__all__ = ["keras"]
