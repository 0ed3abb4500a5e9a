"""Depthwise convolutions in C++, compiled where they are wanted first.

Takes: float32 arrays inside a program for a CPU. Gives: `depthwise`, `depthwise_clipped`, `depthwise_gradients`, and
whether this machine can (`ready`): it wants Linux, a C++ compiler and a kernel of usual height. Where it cannot,
`lowering` has XLA do it.

`depthwise.cc` beside this file is compiled for this very processor, in a few seconds, and kept in the user's cache like
what XLA compiles. XLA calls it through its FFI (https://openxla.org/xla/custom_call), from the thread of the device.
"""

import ctypes
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from shutil import which
from threading import Lock

import jax
import numpy as np
from jax import numpy as jnp

from corolla.compiled import cache_folder, private
from corolla.processor import described

SOURCE = Path(__file__).with_name("depthwise.cc")
_FORWARD, _CLIPPED = "corolla_depthwise", "corolla_depthwise_clipped"
_GRADIENTS = ("corolla_depthwise_input_gradient", "corolla_depthwise_kernel_gradient")
_FLAGS = ("-std=c++17", "-O2", "-march=native", "-fPIC", "-shared", "-w")
_MOST_ROWS, _COMPILE_SECONDS = 16, 120
_ONE_AT_A_TIME = Lock()
OFF = "COROLLA_NATIVE"
"""Environment variable: 0 has XLA do everything."""


class NativeError(Exception):
    """Why the C++ form is not to be had here."""


def fault() -> str:
    """Why the C++ form is not to be had, "" where it is. The first call compiles, or loads what is kept."""
    with _ONE_AT_A_TIME:  # programs are traced by several threads
        return _fault()


@cache
def _fault() -> str:
    try:
        library = ctypes.CDLL(str(_library()))
        for name in (_FORWARD, _CLIPPED, *_GRADIENTS):
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(library, name)), platform="cpu")
    except (NativeError, OSError, AttributeError, subprocess.SubprocessError) as error:
        return str(error) or type(error).__name__
    return ""


def lacking() -> str:
    """What a person could mend: `fault` where the C++ form was meant to be had, else ""."""
    return "" if os.environ.get(OFF) == "0" or not sys.platform.startswith("linux") else fault()


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


# The library ------------------------------------------------------------------------------------------------------


def _library() -> Path:
    """The compiled file, kept under a name that tells what it depends on."""
    if os.environ.get(OFF) == "0":
        raise NativeError(f"{OFF}=0 asks for XLA's own form")
    if not sys.platform.startswith("linux"):
        raise NativeError("it is for Linux, where a CPU is a device a core")
    folder = cache_folder() / "native"
    if why := private(folder):
        raise NativeError(why)
    told = [SOURCE.read_text(), *_FLAGS, described(), version("jaxlib")]
    kept = folder / f"depthwise-{hashlib.sha256(chr(10).join(told).encode()).hexdigest()[:16]}.so"
    if not kept.exists():
        _compile(kept)
    return kept


def _compile(into: Path) -> None:
    compiler = next((found for name in ("c++", "g++", "clang++") if (found := which(name))), None)
    if compiler is None:
        raise NativeError("no C++ compiler was found (c++, g++ or clang++)")
    with tempfile.TemporaryDirectory(dir=into.parent) as made:
        draft = Path(made) / into.name
        line = [compiler, *_FLAGS, f"-I{jax.ffi.include_dir()}", "-o", str(draft), str(SOURCE)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=_COMPILE_SECONDS, check=False)
        if done.returncode:
            raise NativeError(f"{compiler} cannot compile {SOURCE.name}: {done.stderr.strip().splitlines()[-1:]}")
        draft.replace(into)
