"""Depthwise convolutions in C++, compiled where they are wanted first.

Takes: float32 arrays inside a program for a CPU. Gives: `depthwise`, `depthwise_clipped`, `depthwise_gradients`, and
whether this machine can (`ready`): it wants Linux, a C++ compiler (`native`) and a kernel of usual height. Where it
cannot, `lowering` has XLA do it.

XLA calls `depthwise.cc` through its FFI (https://openxla.org/xla/custom_call), from the thread of the device.
"""

from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from threading import Lock

import jax
import numpy as np
from jax import numpy as jnp

from corolla import native

SOURCE = Path(__file__).with_name("depthwise.cc")
_FORWARD, _CLIPPED = "corolla_depthwise", "corolla_depthwise_clipped"
_GRADIENTS = ("corolla_depthwise_input_gradient", "corolla_depthwise_kernel_gradient")
_MOST_ROWS = 16
_ONE_AT_A_TIME = Lock()


def fault() -> str:
    """Why the C++ form is not to be had, "" where it is. The first call compiles, or loads what is kept."""
    with _ONE_AT_A_TIME:  # programs are traced by several threads
        return _fault()


@cache
def _fault() -> str:
    try:
        library = native.loaded(SOURCE, ("-O2", f"-I{jax.ffi.include_dir()}"), version("jaxlib"))
        for name in (_FORWARD, _CLIPPED, *_GRADIENTS):
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(library, name)), platform="cpu")
    except (native.NativeError, AttributeError) as error:
        return str(error)
    return ""


def lacking() -> str:
    """What a person could mend: `fault` where the C++ form was meant to be had, else ""."""
    return fault() if native.wanted() else ""


def ready(kernel_shape: Sequence[int]) -> bool:
    """Whether a depthwise kernel [kh, kw, c, 1] can be worked off in C++ by JAX's own devices here."""
    return kernel_shape[0] <= _MOST_ROWS and jax.default_backend() == "cpu" and not fault()


def depthwise(
    x: jax.Array, kernel: jax.Array, shape: Sequence[int], strides: tuple[int, int], before: tuple[int, int]
) -> jax.Array:
    """x [b, h, w, c], kernel [kh, kw, c, 1] -> [b, h', w', c], of x's dtype. before: padding above and to the left."""
    call = jax.ffi.ffi_call(_FORWARD, jax.ShapeDtypeStruct(tuple(shape), jnp.float32))
    y = call(x.astype(jnp.float32), kernel.astype(jnp.float32), geometry=_geometry(strides, before))
    return y.astype(x.dtype)


def depthwise_clipped(
    x: jax.Array,
    kernel: jax.Array,
    shift: jax.Array,
    shape: Sequence[int],
    strides: tuple[int, int],
    before: tuple[int, int],
    limits: tuple[float, float],
) -> jax.Array:
    """`depthwise`, plus shift [c], cut off at both limits."""
    call = jax.ffi.ffi_call(_CLIPPED, jax.ShapeDtypeStruct(tuple(shape), jnp.float32))
    operands = (each.astype(jnp.float32) for each in (x, kernel, shift))
    y = call(*operands, geometry=_geometry(strides, before), limits=np.array(limits, np.float32))
    return y.astype(x.dtype)


def depthwise_gradients(
    x: jax.Array, kernel: jax.Array, cotangent: jax.Array, strides: tuple[int, int], before: tuple[int, int]
) -> tuple[jax.Array, jax.Array]:
    """The gradients of x and of kernel, of their dtypes; cotangent: that of the result."""
    geometry, cotangent = _geometry(strides, before), cotangent.astype(jnp.float32)
    of_x, of_kernel = (
        jax.ffi.ffi_call(name, jax.ShapeDtypeStruct(like.shape, jnp.float32))
        for name, like in zip(_GRADIENTS, (x, kernel), strict=True)
    )
    dx = of_x(kernel.astype(jnp.float32), cotangent, geometry=geometry)
    dk = of_kernel(x.astype(jnp.float32), cotangent, geometry=geometry)
    return dx.astype(x.dtype), dk.astype(kernel.dtype)


def _geometry(strides: tuple[int, int], before: tuple[int, int]) -> np.ndarray:
    return np.array([*strides, *before], np.int64)
