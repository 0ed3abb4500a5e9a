"""Twins laid over each other are the same, wherever the crop was; strangers are not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corolla.likeness import thumbnail
from corolla.likeness.alignment import SIDE, align
from corolla.likeness.twins import SURE
from planted import brightened, cropped, scene


def aligned(one: np.ndarray, other: np.ndarray, mirrored: bool = False) -> tuple[float, int]:
    found = align(thumbnail(one)[None], thumbnail(other)[None], np.array([mirrored]))
    return float(found.ssim[0]), int(found.side[0])


def test_the_same_is_the_same():
    assert aligned(scene(1), scene(1)) == (pytest.approx(1, abs=1e-5), SIDE)


@given(st.integers(0, 20), st.integers(0, 22), st.integers(0, 22), st.booleans(), st.booleans())
def test_a_crop_is_found_at_any_place_either_way_round(seed, top, left, first, turned):
    whole = scene(seed, 224)
    part = cropped(whole, top, left)
    part = part[:, ::-1] if turned else part
    ssim, side = aligned(*((part, whole) if first else (whole, part)), mirrored=turned)
    assert ssim > SURE and side == 58


@given(st.integers(0, 30), st.sampled_from([0.8, 1.2]))
def test_light_is_taken_out(seed, factor):
    assert aligned(scene(seed), brightened(scene(seed), factor))[0] > 0.9


@given(st.integers(0, 200), st.integers(201, 400))
def test_strangers_stay_strangers(one, other):
    assert aligned(scene(one), scene(other))[0] < 0.5


def test_flat_images_are_no_fault():
    flat = np.full((96, 96, 3), 90, np.uint8)
    assert aligned(flat, scene(1))[0] < 0.6 and np.isfinite(aligned(flat, flat)[0])


def test_many_pairs_are_as_one_by_one():
    images = np.stack([thumbnail(scene(seed)) for seed in range(7)])
    together = align(images, images[::-1], np.arange(7) % 2 == 0)
    single = [align(images[i : i + 1], images[6 - i : 7 - i], np.array([i % 2 == 0])).ssim[0] for i in range(7)]
    np.testing.assert_allclose(together.ssim, single, atol=1e-5)
    assert len(align(images[:0], images[:0], np.zeros(0, bool)).ssim) == 0
