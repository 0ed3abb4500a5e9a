"""TPUs by name; and the compiler that knows them, where it is installed."""

import importlib.util
import sys

import pytest

from corolla.chips import CHIPS, GIB, chip_of
from corolla.errors import WishError
from corolla.topology import HOSTS, full_name, topology

THERE = importlib.util.find_spec("libtpu") is not None


@pytest.mark.parametrize(
    ("wish", "name"),
    [
        ("v3", "v3:2x2"),
        ("v3-8", "v3:2x2"),
        ("v3:4x4", "v3:4x4"),
        ("V5e-8", "v5e:2x4"),
        ("v5litepod-256", "v5e:16x16"),
        ("v5e:2x4", "v5e:2x4"),
        ("v6e", "v6e:2x4"),
        ("v6e-1", "v6e:1x1"),
        ("v4", "v4:2x2x1"),
        ("v4-8", "v4:2x2x1"),
        ("v5p:2x2x2", "v5p:2x2x2"),
        ("tpu7x", "tpu7x:2x2x1"),
        ("v9z:8x8", "v9z:8x8"),
    ],
)
def test_what_people_write_is_a_name_of_the_compiler(wish, name):
    assert full_name(wish) == name


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ("5e", "--topology 5e: no such TPU (did you mean 'v5e'?); known: v2, v3, v4, v5e, v5p, v6e, tpu7x"),
        ("gpu", "--topology gpu: no such TPU"),
        ("", "--topology : no such TPU"),
        ("v5e-7", "--topology v5e-7: name its shape in chips, such as v5e:2x4 or v4:2x2x1"),
        ("v4:2by2", "--topology v4:2by2: name its shape in chips, such as v5e:2x4 or v4:2x2x1"),
        ("v9z", "--topology v9z: name its shape in chips, such as v5e:2x4 or v4:2x2x1"),
    ],
)
def test_what_is_no_name_is_refused(wish, message):
    with pytest.raises(WishError) as raised:
        full_name(wish)
    assert str(raised.value).startswith(message)


def test_the_missing_compiler_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "libtpu", None)
    with pytest.raises(WishError) as raised:
        topology("v5e-8")
    assert str(raised.value) == (
        "--topology v5e:2x4 wants the compiler of TPUs, which is not installed: pip install 'corolla[tpu-plan]'"
    )


@pytest.mark.tpu_compiler
@pytest.mark.parametrize(("wish", "chips"), [("v3-8", 4), ("v4", 4), ("v5e-8", 8), ("v5e:16x16", 256), ("v5p", 4)])
def test_chips_and_their_devices(wish, chips):
    there = topology(wish)
    assert there.chips == chips and there.mesh.size == chips * there.chip.devices
    assert chip_of(there.mesh.devices.flat[0].device_kind) is there.chip


@pytest.mark.tpu_compiler
def test_a_shape_that_the_compiler_does_not_know():
    with pytest.raises(WishError, match=r"^--topology v5e:3x5: [^\n]+$"):
        topology("v5e:3x5")


# Peaks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("TPU v3", "v3"),
        ("TPU v5 lite", "v5e"),
        ("TPU v5", "v5p"),
        ("TPU v6 lite", "v6e"),
        ("NVIDIA H200", "H200"),
        ("Tesla T4", "T4"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("cpu", None),
        ("NVIDIA GeForce RTX 4090", None),
    ],
)
def test_a_device_is_known_by_its_kind(kind, name):
    assert chip_of(kind) is (CHIPS[name] if name else None)


def test_every_host_has_its_peaks():
    for name in HOSTS:
        chip = CHIPS[name]
        assert 40e12 < chip.flops < 5e15 and chip.hbm_bytes >= 8 * GIB and chip.hbm_rate > 5e11 and chip.link_rate > 0
    clocks = {name: round(chip.clock / 1e6) for name, chip in CHIPS.items() if chip.clock}
    told = {"v2": 702, "v3": 938, "v4": 1049, "v5e": 1503, "v5p": 1751}  # 700, 940, 1050, 1500, 1750 MHz
    assert clocks == told | {"v6e": 1751, "tpu7x": 2200}
