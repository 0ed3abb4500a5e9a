"""The devices: one mesh with one axis, over which images are split and weights are copied.

Takes: JAX's devices. Gives: the mesh, the two shardings that Corolla knows, and what a device can hold.
"""

import os
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

DATA = "data"
"""Name of the one mesh axis."""


def make_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh over the given devices (all by default). Axis types are Auto: jax 0.9 made Explicit the default."""
    devices = jax.devices() if devices is None else devices
    return Mesh(np.array(devices), (DATA,), axis_types=(AxisType.Auto,))


def split(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """Sharding that splits `axis` over the devices."""
    return NamedSharding(mesh, PartitionSpec(*([None] * axis), DATA))


def copied(mesh: Mesh) -> NamedSharding:
    """Sharding that gives every device the whole value."""
    return NamedSharding(mesh, PartitionSpec())


def compute_dtype(mesh: Mesh, precision: str) -> str:
    """Keras dtype policy for the backbone: mixed_bfloat16 where the device multiplies it fast, else float32.

    precision: auto, float32 or bfloat16. CPUs run bfloat16 slower than float32 unless they have AMX, so auto means
    float32 there.
    """
    if precision == "auto":
        precision = "float32" if mesh.devices.flat[0].platform == "cpu" else "bfloat16"
    return "mixed_bfloat16" if precision == "bfloat16" else "float32"


def free_bytes(mesh: Mesh) -> int:
    """Free memory [bytes] over all devices of the mesh; on CPU the free memory of the host, once."""
    first = mesh.devices.flat[0]
    if first.platform == "cpu":
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    stats = first.memory_stats() or {}
    return mesh.size * max(stats.get("bytes_limit", 0) - stats.get("bytes_in_use", 0), 0)


def describe(mesh: Mesh) -> str:
    """One phrase for people: "1 CPU", "8 TPU v5 lite"."""
    first = mesh.devices.flat[0]
    kind = "CPU" if first.platform == "cpu" else first.device_kind
    return f"{mesh.size} {kind}"
