"""The C++ form of depthwise convolutions: the same numbers as loops, and done without where it cannot be had."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import numpy as jnp

from corolla.models import depthwise as native
from corolla.models import lowering
from corolla.native import OFF, NativeError

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != OFF}


def test_the_fault_is_told_where_a_person_could_mend_it(monkeypatch):
    def missing(*_):
        raise NativeError("no compiler")

    monkeypatch.setattr("corolla.native.loaded", missing)
    monkeypatch.setattr(native, "_fault", native._fault.__wrapped__)
    monkeypatch.delenv(OFF, raising=False)
    assert native.lacking() == ("no compiler" if sys.platform.startswith("linux") else "")
    monkeypatch.setenv(OFF, "0")
    assert native.lacking() == "" and native.fault() == "no compiler"


def test_without_it_xla_does_the_work():
    """A process that is told not to use it gives the same numbers."""
    program = (
        "import jax, numpy as np; from corolla.models import lowering, depthwise as native;"
        "x = np.random.default_rng(0).standard_normal((2, 9, 9, 8), np.float32);"
        "y = jax.jit(lowering.depthwise)(x, x[:1, :3, :3].reshape(3, 3, 8, 1));"
        "print(bool(native.fault()), float(abs(y).sum()))"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        ).stdout.split()
        for environment in ({**ENVIRONMENT, OFF: "0"}, ENVIRONMENT)
    ]
    assert told[0][0] == "True"
    assert float(told[0][1]) == pytest.approx(float(told[1][1]), rel=1e-6)


@given(
    kernel=st.tuples(st.integers(1, 6), st.integers(1, 9)),
    strides=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    size=st.tuples(st.integers(1, 12), st.integers(1, 24)),
    channels=st.integers(1, 40),
    padding=st.sampled_from(["same", "valid"]),
)
def test_any_shape_equals_the_sum_written_out(kernel, strides, size, channels, padding):
    """Forward and both gradients, against loops of NumPy in float64."""
    if native.fault():
        pytest.skip(f"no C++ form here: {native.fault()}")
    if padding == "valid" and (size[0] < kernel[0] or size[1] < kernel[1]):
        return
    random = np.random.default_rng(1)
    x = random.standard_normal((2, *size, channels), np.float32)
    k = random.standard_normal((*kernel, channels, 1), np.float32)
    rows, columns = lowering._axes(jnp.asarray(x), jnp.asarray(k), strides, padding)
    shape = (2, rows.out, columns.out, channels)
    g = random.standard_normal(shape, np.float32)
    before = (rows.before, columns.before)
    found = [native.depthwise(jnp.asarray(x), jnp.asarray(k), shape, strides, before)]
    found += native.depthwise_gradients(jnp.asarray(x), jnp.asarray(k), jnp.asarray(g), strides, before)
    edges = ((0, 0), (rows.before, rows.after), (columns.before, columns.after), (0, 0))
    padded, y, dk = np.pad(x.astype(np.float64), edges), np.zeros(shape), np.zeros(k.shape)
    dx = np.zeros_like(padded)
    for i, j in np.ndindex(*kernel):
        reach = np.s_[:, i : i + rows.out * strides[0] : strides[0], j : j + columns.out * strides[1] : strides[1]]
        seen = padded[reach][:, : rows.out, : columns.out]
        y += seen * k[i, j, :, 0]
        dk[i, j, :, 0] = (seen * g).sum((0, 1, 2))
        dx[reach][:, : rows.out, : columns.out] += g * k[i, j, :, 0]
    dx = dx[:, rows.before : rows.before + size[0], columns.before : columns.before + size[1]]
    for got, want in zip(found, (y, dx, dk), strict=True):
        assert np.abs(np.asarray(got) - want).max() <= 1e-5 * max(np.abs(want).max(), 1)
    shift, limits = random.standard_normal(channels, np.float32), (-0.5, 1.5)
    got = native.depthwise_clipped(*map(jnp.asarray, (x, k, shift)), shape, strides, before, limits)
    assert np.abs(np.asarray(got) - np.clip(y + shift, *limits)).max() <= 1e-5 * max(np.abs(y).max(), 1)


def test_what_is_no_number_is_not_clipped_away():
    if native.fault():
        pytest.skip(f"no C++ form here: {native.fault()}")
    x = jnp.full((1, 1, 1, 21), jnp.nan)
    got = native.depthwise_clipped(x, jnp.ones((1, 1, 21, 1)), jnp.zeros(21), x.shape, (1, 1), (0, 0), (0.0, 6.0))
    assert np.isnan(got).all()
