"""The devices: one axis, two shardings, and what a device can hold."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from corolla.mesh import (
    by_image,
    compiler_options,
    compute_dtype,
    copied,
    cores,
    describe,
    free_bytes,
    image_bytes,
    make_mesh,
    mesh_for,
    split,
)


class Device:
    """A device as `mesh` sees it."""

    process_index = 0

    def __init__(self, platform: str, stats: dict | None = None) -> None:
        self.platform, self.stats, self.device_kind = platform, stats, f"{platform} v9"

    def memory_stats(self) -> dict | None:
        return self.stats


class Devices:
    """A mesh of such devices."""

    def __init__(self, *devices: Device) -> None:
        self.devices, self.size, self.local_devices = np.array(devices), len(devices), devices


def test_one_axis_over_all_devices():
    mesh = make_mesh()
    assert mesh.axis_names == ("data",) and mesh.size == len(jax.devices())
    assert set(mesh.axis_types) == {jax.sharding.AxisType.Auto}
    assert describe(mesh) == ("CPU" if mesh.size == 1 else f"{mesh.size} CPU cores")


def test_shardings():
    mesh = make_mesh()
    assert split(mesh).spec == jax.sharding.PartitionSpec("data")
    assert split(mesh, axis=2).spec == jax.sharding.PartitionSpec(None, None, "data")
    assert copied(mesh).is_fully_replicated


def test_images_lie_in_planes_on_a_tpu_alone(monkeypatch):
    mesh = make_mesh()
    assert by_image(mesh) == split(mesh) and image_bytes(224, "gpu") == 224 * 224 * 3
    monkeypatch.setattr("corolla.mesh.platform", lambda _: "tpu")
    there = by_image(mesh)
    assert there.sharding == split(mesh) and there.layout.major_to_minor == (0, 1, 4, 2, 3)
    assert image_bytes(224, "tpu") == 224 * 256 * 3 and image_bytes(331, "tpu") == 352 * 384 * 3


@pytest.mark.parametrize(
    ("platform", "wish", "policy"),
    [
        ("cpu", "auto", "float32"),
        ("tpu", "auto", "mixed_bfloat16"),
        ("gpu", "auto", "mixed_bfloat16"),
        ("cpu", "bfloat16", "mixed_bfloat16"),
        ("tpu", "float32", "float32"),
    ],
)
def test_arithmetic(platform, wish, policy):
    assert compute_dtype(Devices(Device(platform)), wish) == policy


def test_free_bytes():
    """Devices add up; the host's memory counts once; a device that tells nothing has none to promise."""
    one = Device("tpu", {"bytes_limit": 100, "bytes_in_use": 30})
    assert free_bytes(Devices(one, one)) == 140
    assert free_bytes(Devices(Device("tpu", {"bytes_limit": 1, "bytes_in_use": 2}))) == 0
    assert free_bytes(Devices(Device("gpu"))) == 0
    host = free_bytes(Devices(Device("cpu")))
    assert host > 2**20
    assert 0.5 < free_bytes(Devices(*[Device("cpu")] * 8)) / host < 2
    assert describe(Devices(*[Device("tpu")] * 8)) == "8 tpu v9"
    away = Device("tpu")
    away.process_index = 1
    assert describe(Devices(Device("tpu"), away)) == "2 tpu v9 of 2 hosts"


# ------------------------------------------------------------------------------------------------- the cores of a CPU

TELL = "import jax; from corolla.mesh import make_mesh; print(make_mesh().size)"


def told(program: str = TELL, **environment: str) -> int:
    """The number that a program of its own prints."""
    kept = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES")}
    line = [sys.executable, "-c", program]
    return int(subprocess.run(line, env=kept | environment, capture_output=True, text=True, check=True).stdout)


def test_a_device_for_each_core():
    assert told() == cores()


@pytest.mark.parametrize(
    "environment",
    [{"XLA_FLAGS": "--xla_force_host_platform_device_count=3"}, {"JAX_NUM_CPU_DEVICES": "3"}],
)
def test_who_asks_for_a_number_of_devices_gets_it(environment):
    assert told(**environment) == 3


def test_where_jax_has_begun_its_devices_are_taken():
    assert told(TELL.replace("import jax;", "import jax; jax.devices();")) == 1


@pytest.mark.parametrize(
    ("devices", "batch_size", "divides", "wanted"),
    [(8, 32, False, 8), (6, 32, False, 6), (6, 32, True, 4), (7, 8, False, 4), (8, 3, False, 3), (8, 1, True, 1)],
)
def test_as_many_cores_as_the_batch_keeps_busy(devices, batch_size, divides, wanted):
    """7 cores and 8 images: one of them does two, and 4 cores that do two each are as fast."""
    program = TELL.replace("make_mesh", "mesh_for").replace("mesh_for()", f"mesh_for({batch_size}, {divides})")
    assert told(program, JAX_NUM_CPU_DEVICES=str(devices)) == wanted


def test_xla_is_told_something_on_a_cpu_alone():
    assert compiler_options(Devices(Device("tpu"))) is None
    assert compiler_options(Devices(Device("cpu")))["xla_cpu_multi_thread_eigen"] is True
    assert compiler_options(Devices(*[Device("cpu")] * 2))["xla_cpu_multi_thread_eigen"] is False
    options = compiler_options(mesh_for(4))
    assert jax.jit(lambda x: x + 1, compiler_options=options)(1) == 2  # XLA refuses an option that it does not know
