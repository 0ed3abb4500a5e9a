"""The devices: one mesh with one axis, over which images are split and weights are copied.

Takes: JAX's devices. Gives: the mesh, the two shardings that Corolla knows, and what a device can hold.

A CPU is as many devices as it has cores, each of which works off images of its own. One device whose operations are
shared out over the cores runs a forward pass at 66 to 83 images a second on two cores, two devices at 105 to 112.
"""

import contextlib
import os
from collections.abc import Sequence
from functools import cache
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from corolla.memory import host_free_bytes

DATA = "data"
"""Name of the one mesh axis."""


def cores() -> int:
    """CPU cores that this process may use; 1 where the system does not tell (macOS), whose cores differ in speed."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def make_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh over the given devices (all by default). Axis types are Auto: jax 0.9 made Explicit the default."""
    if devices is None:
        _split_cpu()
        devices = jax.devices()
    return Mesh(np.array(devices), (DATA,), axis_types=(AxisType.Auto,))


def mesh_for(batch_size: int, divides: bool = False) -> Mesh:
    """A mesh for batches of this size: every accelerator; on a CPU as many cores as the batch keeps busy.

    A core more than needed for the same time would only cost memory. divides: whether a CPU's devices must divide the
    batch, so that no place in it is empty.
    """
    mesh = make_mesh()
    if platform(mesh) != "cpu" or jax.process_count() > 1:
        return mesh
    if divides:
        count = max(count for count in range(1, mesh.size + 1) if batch_size % count == 0)
    else:
        images = -(-batch_size // mesh.size)  # for the busiest device
        count = -(-batch_size // images)
    return make_mesh(mesh.devices.flat[:count].tolist())


def _split_cpu() -> None:
    """Ask JAX for one CPU device a core, unless somebody has said how many, or JAX has begun."""
    told = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not told and jax.config.jax_num_cpu_devices < 0:  # pyright: ignore
        with contextlib.suppress(RuntimeError):  # JAX has begun: with the devices that it has
            jax.config.update("jax_num_cpu_devices", cores())


def platform(mesh: Mesh) -> str:
    """cpu, gpu or tpu."""
    return mesh.devices.flat[0].platform


def compiler_options(mesh: Mesh) -> dict[str, Any] | None:
    """What XLA is told beside the program.

    On a CPU: every device keeps to its own core, and devices wait for each other for as long as it takes. XLA ends the
    process after 40 s by default, which is what a suspended process looks like when it wakes up.
    """
    if platform(mesh) != "cpu":
        return None
    day = 86_400
    options = {"terminate_timeout_seconds": day, "warn_stuck_seconds": day}
    waiting = {f"xla_cpu_collective_call_{name}": seconds for name, seconds in options.items()}
    return {"xla_cpu_multi_thread_eigen": mesh.size == 1, **{n: value for n, value in waiting.items() if _known(n)}}


@cache
def _known(option: str) -> bool:
    """Whether this XLA has an option, of type int; it refuses to compile with one that it does not have."""
    try:
        jax.jit(lambda: 0, compiler_options={option: 1}).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True


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
        precision = "float32" if platform(mesh) == "cpu" else "bfloat16"
    return "mixed_bfloat16" if precision == "bfloat16" else "float32"


def free_bytes(mesh: Mesh) -> int:
    """Free memory [bytes] over all devices of the mesh; on CPU the free memory of the host, once."""
    if platform(mesh) == "cpu":
        return host_free_bytes()
    stats = mesh.devices.flat[0].memory_stats() or {}
    return mesh.size * max(stats.get("bytes_limit", 0) - stats.get("bytes_in_use", 0), 0)


def describe(mesh: Mesh) -> str:
    """One phrase for people: "2 CPU cores", "8 TPU v5 lite"."""
    if platform(mesh) == "cpu":
        return "CPU" if mesh.size == 1 else f"{mesh.size} CPU cores"
    return f"{mesh.size} {mesh.devices.flat[0].device_kind}"
