"""What is told of the processor."""

from pathlib import Path

import pytest

from corolla.processor import described, has_fast_wide_vectors


def test_the_flags_are_told_where_the_system_tells_them():
    if not Path("/proc/cpuinfo").exists():
        pytest.skip("no /proc/cpuinfo on this system")
    assert described() in Path("/proc/cpuinfo").read_text() or ":" not in described()


@pytest.mark.parametrize(
    ("flags", "wide"),
    [
        ("flags : fma avx2", False),
        ("flags : fma avx2 avx512f avx512bw", False),  # Skylake: slower with wide vectors
        ("flags : fma avx2 avx512f avx512bw avx512_vbmi2", True),
        ("arm64 arm", False),
    ],
)
def test_wide_vectors_are_taken_where_they_pay(flags, wide):
    assert has_fast_wide_vectors(flags) is wide
