"""The devices: one axis, two shardings, and what a device can hold."""

import jax
import numpy as np
import pytest

from corolla.mesh import compute_dtype, copied, describe, free_bytes, make_mesh, split


class Device:
    """A device as `mesh` sees it."""

    def __init__(self, platform: str, stats: dict | None = None) -> None:
        self.platform, self.stats, self.device_kind = platform, stats, f"{platform} v9"

    def memory_stats(self) -> dict | None:
        return self.stats


class Devices:
    """A mesh of such devices."""

    def __init__(self, *devices: Device) -> None:
        self.devices, self.size = np.array(devices), len(devices)


def test_one_axis_over_all_devices():
    mesh = make_mesh()
    assert mesh.axis_names == ("data",) and mesh.size == len(jax.devices())
    assert set(mesh.axis_types) == {jax.sharding.AxisType.Auto}
    assert describe(mesh) == f"{mesh.size} CPU"


def test_shardings():
    mesh = make_mesh()
    assert split(mesh).spec == jax.sharding.PartitionSpec("data")
    assert split(mesh, axis=2).spec == jax.sharding.PartitionSpec(None, None, "data")
    assert copied(mesh).is_fully_replicated


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
