"""The devices: one mesh with one axis, over which images are split and weights are copied.

Takes: JAX's devices. Gives: the mesh, the two shardings that Corolla knows, ways to get values there, and what a device
can hold. Over several hosts the mesh has the devices of all of them, one host's after the other's.

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
from jax.experimental.layout import Format, Layout
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from corolla.memory import host_free_bytes, keep_freed
from corolla.processor import has_fast_wide_vectors

DATA = "data"
"""Name of the one mesh axis."""


def cores() -> int:
    """CPU cores that this process may use; 1 where the system does not tell (macOS), whose cores differ in speed."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def make_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh over the given devices (all by default). Axis types are Auto: jax 0.9 made Explicit the default."""
    if devices is None:
        _split_cpu()
        keep_freed()
        devices = sorted(jax.devices(), key=lambda device: device.process_index)  # so that a host's lanes are one run
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
    process after 40 s by default, which is what a suspended process looks like when it wakes up. Vectors are as wide as
    pays: prediction of lite0 gains 8 % on Zen 5.
    """
    if platform(mesh) != "cpu":
        return None
    day = 86_400
    options = {"terminate_timeout_seconds": day, "warn_stuck_seconds": day}
    waiting = {f"xla_cpu_collective_call_{name}": seconds for name, seconds in options.items()}
    wide = {"xla_cpu_prefer_vector_width": 512} if has_fast_wide_vectors() else {}
    asked = {**waiting, **wide}
    return {"xla_cpu_multi_thread_eigen": mesh.size == 1, **{n: value for n, value in asked.items() if _known(n)}}


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


def by_image(mesh: Mesh) -> NamedSharding | Format:
    """How uint8[lanes, steps, h, w, 3] lies on the devices: split by lane; on a TPU each image on its own, in planes.

    Left to itself XLA lays 128 lanes innermost there (nothing is padded), and a program that reads one image of each
    lane first copies them all. Rows are padded to 128 instead.
    """
    return Format(Layout((0, 1, 4, 2, 3)), split(mesh)) if platform(mesh) == "tpu" else split(mesh)


def image_bytes(side: int, platform: str) -> int:
    """Bytes that an image of side x side pixels takes on a device (`by_image`)."""
    rows, columns = (-(-side // 32) * 32, -(-side // 128) * 128) if platform == "tpu" else (side, side)
    return rows * columns * 3


def copied(mesh: Mesh) -> NamedSharding:
    """Sharding that gives every device the whole value."""
    return NamedSharding(mesh, PartitionSpec())


def spread(mesh: Mesh, values: NDArray) -> jax.Array:
    """Split values[n, ...] over the devices along the first axis, which they must divide.

    Over several hosts every process must hold at least the part of its own devices.
    """
    return jax.make_array_from_callback(values.shape, split(mesh), lambda index: values[index])  # pyright: ignore


def copy_to_all(mesh: Mesh, values: Any) -> Any:
    """Give every device a copy of each array in `values` (a pytree). Over several hosts all must hold the same."""
    if jax.process_count() == 1:
        return jax.device_put(values, copied(mesh))

    def copy(value: Any) -> jax.Array:
        if isinstance(value, jax.Array) and value.sharding == copied(mesh):
            return value
        held = np.asarray(value)
        return jax.make_array_from_callback(held.shape, copied(mesh), lambda index: held[index])

    return jax.tree.map(copy, values)


def own_places(mesh: Mesh, places: int) -> tuple[int, int]:
    """The places, first to last - 1, of an axis that is split over the devices, that lie on this process's devices."""
    each = places // mesh.size
    own = [i for i, device in enumerate(mesh.devices.flat) if device.process_index == jax.process_index()]
    return own[0] * each, (own[-1] + 1) * each


def compute_dtype(mesh: Mesh, precision: str) -> str:
    """Keras dtype policy for the backbone: mixed_bfloat16 where the device multiplies it fast, else float32.

    precision: auto, float32 or bfloat16. CPUs run bfloat16 slower than float32 unless they have AMX, so auto means
    float32 there.
    """
    if precision == "auto":
        precision = "float32" if platform(mesh) == "cpu" else "bfloat16"
    return "mixed_bfloat16" if precision == "bfloat16" else "float32"


def free_bytes(mesh: Mesh) -> int:
    """Free memory [bytes] over all devices of the mesh, were they all like this process's; on CPU that of the hosts."""
    if platform(mesh) == "cpu":
        return jax.process_count() * host_free_bytes()
    stats = mesh.local_devices[0].memory_stats() or {}
    return mesh.size * max(stats.get("bytes_limit", 0) - stats.get("bytes_in_use", 0), 0)


def describe(mesh: Mesh) -> str:
    """One phrase for people: "2 CPU cores", "8 TPU v5 lite", "256 TPU v5 lite of 64 hosts"."""
    hosts = len({device.process_index for device in mesh.devices.flat})
    whose = f" of {hosts} hosts" if hosts > 1 else ""
    if platform(mesh) == "cpu":
        return "CPU" if mesh.size == 1 else f"{mesh.size} CPU cores{whose}"
    return f"{mesh.size} {mesh.devices.flat[0].device_kind}{whose}"
