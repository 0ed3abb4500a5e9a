"""Augmentation: nothing at strength zero, Pillow's pictures at any other, and the same eager and compiled."""

import jax
import numpy as np
import pytest
from PIL import Image

from corolla import augment
from corolla.order import DRAWS

LEVELS = 1.01
"""Pillow rounds to whole levels after the rows and again after the columns."""


augmented = jax.jit(augment.augment, static_argnums=(2, 3, 4, 5))
matrices_of = jax.jit(augment.sampling_matrix, static_argnums=(3, 4))
resized = jax.jit(augment.resize, static_argnums=(1, 2))


def pictures(count: int = 2, height: int = 32, width: int = 32) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (count, height, width, 3), np.uint8)


def draws(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, DRAWS), np.float32)


def pillow(image: np.ndarray, size: int, box: tuple[float, float, float, float] | None = None) -> np.ndarray:
    """Return what Pillow makes of a box (left, top, right, bottom) [px]."""
    resized = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR, box=box)
    return np.asarray(resized, np.float32)


# ------------------------------------------------------------------------------------------------------------ nothing


@pytest.mark.parametrize("size", [31, 32, 224])
def test_no_augmentation_is_the_identity_to_the_bit(size):
    images = pictures(1, size, size)
    same = augmented(images, draws(1), size, 1, False)
    np.testing.assert_array_equal(same, images.astype(np.float32))
    np.testing.assert_array_equal(resized(images, size), images.astype(np.float32))


def test_mirrored_is_flipped_to_the_bit():
    images, chance = pictures(4), draws(4)
    chance[:, 4] = [0.0, 0.49, 0.5, 0.99]
    seen = augmented(images, chance, 32, 1, True)
    wanted = images.astype(np.float32)
    wanted[:2] = np.flip(wanted[:2], axis=2)
    np.testing.assert_array_equal(seen, wanted)
    np.testing.assert_array_equal(augment.mirror(images), np.flip(images, axis=2))
    np.testing.assert_array_equal(augmented(images, chance, 32, 1, False), images)


# ------------------------------------------------------------------------------------------------------------ pictures


@pytest.mark.parametrize(
    ("height", "width", "size"), [(64, 64, 32), (97, 61, 40), (224, 224, 64), (20, 30, 48), (33, 32, 32)]
)
def test_resizing_is_pillows(height, width, size):
    images = pictures(2, height, width)
    wanted = np.stack([pillow(one, size) for one in images])
    np.testing.assert_allclose(resized(images, size), wanted, atol=LEVELS)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("size", [24, 80])
def test_cropping_is_pillows(size, mirrored):
    """Shrinking and enlarging; the boxes are those that `crop_boxes` draws."""
    images, chance = pictures(6, 60, 44), draws(6)
    chance[:, 4] = 0.0 if mirrored else 0.9
    top, height, left, width = (np.asarray(side) for side in augment.crop_boxes(chance, 0.3))
    boxes = np.stack([left * 44, top * 60, (left + width) * 44, (top + height) * 60], axis=1)
    wanted = np.stack([pillow(one, size, tuple(box)) for one, box in zip(images, boxes.tolist(), strict=True)])
    seen = np.asarray(augmented(images, chance, size, 0.3, True))
    np.testing.assert_allclose(seen, np.flip(wanted, axis=2) if mirrored else wanted, atol=LEVELS)


def test_each_image_has_its_own_chance():
    images, chance = np.repeat(pictures(1), 6, axis=0), draws(6)
    seen = np.asarray(augmented(images, chance, 24, 0.5, True))
    turned = np.asarray(augmented(images, chance[::-1], 24, 0.5, True))
    np.testing.assert_array_equal(turned, seen[::-1])
    assert all(np.abs(one - seen[0]).max() > 10 for one in seen[1:])


# ---------------------------------------------------------------------------------------------------- boxes, matrices


@pytest.mark.parametrize("crop_area", [0.05, 0.5, 0.9])
def test_boxes_are_as_large_as_they_say_and_lie_inside(crop_area):
    top, height, left, width = (np.asarray(side) for side in augment.crop_boxes(draws(20_000), crop_area))
    for start, length in ((top, height), (left, width)):
        assert start.min() >= 0 and length.min() > 0 and (start + length).max() <= 1 + 1e-6
        assert length.max() == 1
    area, whole = height * width, (height < 1) & (width < 1)
    assert area[whole].min() >= crop_area - 1e-6
    assert crop_area * 0.75 <= area.min() and area.max() <= 1
    ratio = (height / width)[whole]
    assert ratio.min() >= 0.749 and ratio.max() <= 1.335
    if crop_area < 0.5:
        assert ratio.min() < 0.76 and ratio.max() > 1.32  # all the ratios that were promised
        np.testing.assert_allclose(area.mean(), (1 + crop_area) / 2, atol=0.03)
        small = (height < 0.95) & (width < 0.95)
        places = np.stack([top[small] / (1 - height[small]), left[small] / (1 - width[small])])
        np.testing.assert_allclose(places.mean(axis=1), 0.5, atol=0.02)  # anywhere, evenly, and
        np.testing.assert_allclose(np.cov(places), np.eye(2) / 12, atol=0.005)  # of one another independent


@pytest.mark.parametrize(("out", "inp"), [(1, 1), (1, 40), (40, 1), (7, 31), (31, 7), (32, 32)])
def test_matrices_average(out, inp):
    """Every sample is a weighted mean of the pixels near it, whatever the box."""
    random = np.random.default_rng(out * inp)
    start, mirrored = random.random(200, np.float32), np.float32(random.random(200) < 0.5)
    length = np.maximum((1 - start) * random.random(200, np.float32), 0.01)
    matrices = np.asarray(matrices_of(start, length, mirrored, out, inp))
    assert matrices.shape == (200, out, inp) and matrices.min() >= 0
    np.testing.assert_allclose(matrices.sum(axis=2), 1, atol=1e-6)
    place = (np.arange(out) + 0.5) / out
    place = np.where(mirrored[:, None] > 0, 1 - place, place)
    centre = (start[:, None] + length[:, None] * place) * inp
    reach = np.maximum(length * inp / out, 1)[:, None, None]
    far = np.abs(np.arange(inp) + 0.5 - centre[:, :, None]) > reach + 1e-3
    assert np.all(matrices[far] == 0)


# ----------------------------------------------------------------------------------------------------- dtypes, compiled


def test_eager_and_compiled_agree():
    images, chance = pictures(3, 40, 36), draws(3)
    eager, compiled = (run(images, chance, 32, 0.5, True) for run in (augment.augment, augmented))
    np.testing.assert_allclose(eager, compiled, atol=5e-3)


def test_the_result_has_the_wished_dtype_and_the_same_pictures():
    images, chance = pictures(3, 40, 36), draws(3)
    exact, rounded = (np.asarray(augmented(images, chance, 32, 0.5, True, kind)) for kind in ("float32", "bfloat16"))
    assert (str(exact.dtype), str(rounded.dtype)) == ("float32", "bfloat16")
    assert str(resized(images, 32, "bfloat16").dtype) == "bfloat16"
    np.testing.assert_allclose(np.float32(rounded), exact, atol=2.1)
