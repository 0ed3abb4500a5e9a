"""Fingerprints survive what happens to photos, and no pair of near ones is missed."""

import time

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from corolla import hashing
from corolla.hashing import mirrored, pairs, perceptual


def scenes(n: int, side: int = 64, seed: int = 0) -> np.ndarray:
    """Smooth random pictures, uint8[n, side, side, 3]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, 6, 6, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((side, side), Image.Resampling.BICUBIC)) for one in coarse])


def every_pair(hashes: np.ndarray, distance: int) -> list[tuple[int, int]]:
    """The same, slowly."""
    bits = np.bitwise_count(hashes[:, None] ^ hashes[None])
    return [(i, j) for i in range(len(hashes)) for j in range(i + 1, len(hashes)) if bits[i, j] <= distance]


def distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.bitwise_count(perceptual(one) ^ perceptual(other))


# ------------------------------------------------------------------------------------------------------ fingerprints


def test_every_bit_is_a_coin_toss():
    bits = (perceptual(scenes(200))[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    assert (np.abs(bits.mean(axis=0) - 0.5) < 0.2).all()


def test_different_pictures_are_far_apart():
    found = perceptual(scenes(60))
    assert not every_pair(found, 12)


def test_the_size_brightness_and_compression_hardly_matter():
    images = scenes(20)
    small = np.stack([np.asarray(Image.fromarray(one).resize((48, 48), Image.Resampling.LANCZOS)) for one in images])
    coarse = np.stack([simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(one, quality=50)) for one in images])
    dark = (images * 0.8).astype(np.uint8)
    for changed in (small, coarse, dark):
        assert np.median(distances(images, changed)) <= 2
        assert distances(images, changed).max() <= 8


def test_mirror_images_need_no_pixels():
    images = scenes(20)
    exact = np.bitwise_count(mirrored(perceptual(images)) ^ perceptual(images[:, :, ::-1]))
    assert exact.max() == 0
    assert distances(images, images[:, :, ::-1]).min() > 12
    np.testing.assert_array_equal(mirrored(mirrored(perceptual(images))), perceptual(images))


def test_batches_change_nothing(monkeypatch):
    images = scenes(9)
    whole = perceptual(images)
    monkeypatch.setattr(hashing, "_IMAGES", 4)
    np.testing.assert_array_equal(perceptual(images), whole)
    np.testing.assert_array_equal(np.concatenate([perceptual(images[i : i + 1]) for i in range(9)]), whole)


def test_known_fingerprint():
    """Pinned: fingerprints may be kept in files, and must then mean the same for ever."""
    down, across = np.mgrid[:32, :40]
    pattern = np.stack([down * down, 3 * across * across, down * across], axis=-1).astype(np.uint8)
    assert hex(perceptual(pattern[None])[0]) == "0x1699f0cf0f1f3c80"


@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 8, 8, 1), (2, 0, 8, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"wanted uint8\[n, h, w, 3\]"):
        perceptual(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="float64"):
        perceptual(np.zeros((1, 8, 8, 3)))


def test_no_images_no_fingerprints():
    assert perceptual(np.zeros((0, 8, 8, 3), np.uint8)).shape == (0,)


# ------------------------------------------------------------------------------------------------------------- pairs


@given(st.integers(0, 60), st.sampled_from([0, 1, 3, 7, 8, 12, 17, 24]), st.integers(0, 99))
def test_no_pair_is_missed_and_none_is_too_many(n, distance, seed):
    random = np.random.default_rng(seed)
    own = random.integers(0, 2**64, max(n // 3, 1), dtype=np.uint64)
    flips = random.random((n, 64)) < random.random((n, 1)) * 0.4
    hashes = own[random.integers(0, len(own), n)] ^ (flips * hashing._BIT).sum(axis=1, dtype=np.uint64)
    found = pairs(hashes, distance)
    assert found.dtype == np.int64 and found.shape == (len(found), 2)
    assert [tuple(pair) for pair in found] == every_pair(hashes, distance)


@pytest.mark.parametrize("distance", [0, 6, 16])
def test_larger_sets_take_other_bands_and_miss_nothing_either(distance, monkeypatch):
    monkeypatch.setattr(hashing, "_CANDIDATES", 1000)
    random = np.random.default_rng(1)
    hashes = random.integers(0, 2**64, 3000, dtype=np.uint64)
    twins = hashes[:500].copy()
    for _ in range(distance):
        twins ^= np.uint64(1) << random.integers(0, 64, 500, dtype=np.uint64)
    hashes = np.concatenate([hashes, twins])
    found = {tuple(pair) for pair in pairs(hashes, distance)}
    assert {(i, 3000 + i) for i in range(500)} <= found
    assert all(np.bitwise_count(hashes[i] ^ hashes[j]) <= distance for i, j in found)


def test_equal_ones_all_pair():
    assert len(pairs(np.zeros(40, np.uint64), 0)) == 40 * 39 // 2


@pytest.mark.parametrize("distance", [-1, 25])
def test_senseless_distances_are_refused(distance):
    with pytest.raises(ValueError, match="wanted 0 to 24 bits"):
        pairs(np.zeros(2, np.uint64), distance)


def test_twice_as_many_do_not_take_four_times_as_long():
    """A loose bound, for machines are busy: all pairs of 60,000 would be 1.8 billion comparisons."""
    hashes = np.random.default_rng(0).integers(0, 2**64, 60_000, dtype=np.uint64)
    begin = time.perf_counter()
    assert len(pairs(hashes, 6)) == 0
    assert time.perf_counter() - begin < 5
