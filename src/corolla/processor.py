"""The processor of this machine.

Takes: what the system tells of it. Gives: `described`, `has_fast_wide_vectors`.
"""

import platform
from functools import cache
from pathlib import Path


@cache
def described() -> str:
    """What it can do: its flags where the system tells them, else its kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())


def has_fast_wide_vectors(told: str | None = None) -> bool:
    """Whether vectors of 512 bits pay: from Ice Lake and Zen 4 on, which are known by AVX-512 VBMI2.

    Older ones lower their clock for them, and XLA keeps to 256 bits. told: in place of this machine's `described`.
    """
    return "avx512_vbmi2" in (described() if told is None else told).split()
