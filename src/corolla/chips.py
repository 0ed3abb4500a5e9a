"""What the chips can do at most: the one table of peaks, by which a plan tells how fast a program can be.

Takes: nothing. Gives: `CHIPS` by name, and `chip_of` for the name that JAX gives a device.

Sources: for TPUs the system architecture pages of Google Cloud (docs.cloud.google.com/tpu/docs/v3, v4, v5e, v5p, v6e,
tpu7x; links of v2 and v3: Norrie et al., "The design process for Google's training chips", IEEE Micro 2021), for GPUs
NVIDIA's data sheets (dense bfloat16; float16 where there is no bfloat16). Figures are of a whole chip; v2, v3 and TPU7x
have two TensorCores a chip, each of which JAX sees as a device with half of the chip's memory and speed.
"""

from dataclasses import dataclass

_T, _G, GIB = 1e12, 1e9, 2**30


@dataclass(frozen=True, slots=True)
class Chip:
    """One chip: peaks that no program exceeds.

    flops: bfloat16 operations a second; hbm_bytes: memory; hbm_rate: its bytes a second; link_rate: bytes a second that
    it can send to other chips over all of its links (0: not known); devices: how many JAX sees in it; clock: cycles a
    second, which follows from its peak and the multiply-adds that its matrix units do in a cycle (0: not known).
    """

    name: str
    flops: float
    hbm_bytes: int
    hbm_rate: float
    link_rate: float = 0.0
    devices: int = 1
    clock: float = 0.0


def _tpu(name: str, flops: float, gib: int, rate: float, link: float, cores: int, units: int, devices: int = 1) -> Chip:
    """A TPU of `cores` TensorCores with `units` matrix units of 128 x 128 each, as the compiler counts them.

    v6e and TPU7x have two units of 256 x 256 a core, says Google, which is 8 of these. Their compiler schedules up to
    456,000 and 423,000 operations a cycle of a 4096 x 4096 product (v5e: 127,000 of 131,072; v5p: 252,000 of 262,144;
    libtpu 0.0.52), more than 8 units can do (262,144), so it counts 16. The clocks that follow, 1,751 and 2,200 MHz,
    are those of its cycles, whether or not the chips' own.
    """
    clock = flops * _T / (cores * units * 2 * 128 * 128)
    return Chip(name, flops * _T, gib * GIB, rate * _G, link * _G, devices, clock)


CHIPS = {
    chip.name: chip
    for chip in (
        _tpu("v2", 46, 16, 700, 248, cores=2, units=1, devices=2),
        _tpu("v3", 123, 32, 900, 328, cores=2, units=2, devices=2),
        _tpu("v4", 275, 32, 1200, 300, cores=2, units=4),
        _tpu("v5e", 197, 16, 819, 200, cores=1, units=4),
        _tpu("v5p", 459, 95, 2765, 600, cores=2, units=4),
        _tpu("v6e", 918, 32, 1638, 400, cores=1, units=16),
        _tpu("tpu7x", 2307, 192, 7380, 600, cores=2, units=16, devices=2),
        Chip("H100", 989 * _T, 80 * GIB, 3350 * _G, 450 * _G),
        Chip("H200", 989 * _T, 141 * GIB, 4800 * _G, 450 * _G),
        Chip("A100", 312 * _T, 80 * GIB, 2039 * _G, 300 * _G),
        Chip("L4", 121 * _T, 24 * GIB, 300 * _G),
        Chip("T4", 65 * _T, 16 * GIB, 320 * _G),
        Chip("P100", 21 * _T, 16 * GIB, 732 * _G),
    )
}

_KINDS = {"TPU v5 lite": "v5e", "TPU v5": "v5p", "TPU v6 lite": "v6e", "TPU7x": "tpu7x"}
"""How JAX calls the chips whose kind does not hold their name."""


def chip_of(device_kind: str) -> Chip | None:
    """The chip behind a device's kind as JAX tells it ("TPU v5 lite", "NVIDIA H200"), or None where it is not known."""
    if device_kind in _KINDS:
        return CHIPS[_KINDS[device_kind]]
    words = device_kind.replace("-", " ").split()
    return next((chip for name, chip in CHIPS.items() if name in words), None)
