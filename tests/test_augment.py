"""Augmentation: nothing at strength zero, Pillow's pictures at any other, and the same eager and compiled."""

import dataclasses

import jax
import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy.ndimage import map_coordinates
from scipy.stats import beta, kstest

from corolla import augment, inference
from corolla.config import CROP_AND_FLIP, Augmentation
from corolla.order import DRAWS

LEVELS = 1.01
"""Pillow rounds to whole levels after the rows and again after the columns."""


augmented = jax.jit(augment.augment, static_argnums=(2, 3, 4))
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
    same = augmented(images, draws(1), size, Augmentation())
    np.testing.assert_array_equal(same, images.astype(np.float32))
    np.testing.assert_array_equal(resized(images, size), images.astype(np.float32))


@pytest.mark.parametrize("view", inference.BOXES)
def test_a_view_is_the_part_that_its_name_says(view):
    """On an image whose pixels count 3 a row and 2 a column, a sample says where it was taken."""
    image = 3.0 * np.arange(32)[:, None, None] + 2.0 * np.arange(32)[None, :, None] + np.zeros(3)
    top, height, left, width, mirrored = inference.BOXES[view]
    seen = np.asarray(augment.look(image[None].astype(np.uint8), inference.BOXES[view], 32))[0]
    along = (np.arange(32) + 0.5) / 32
    rows, columns = (
        np.clip(32 * (start + length * along) - 0.5, 0, 31) for start, length in ((top, height), (left, width))
    )
    wanted = (3 * rows[:, None] + 2 * columns)[..., None] + np.zeros(3)
    np.testing.assert_allclose(seen, wanted[:, ::-1] if mirrored else wanted, atol=1e-3)
    assert 0 <= top <= top + height <= 1 and 0 <= left <= left + width <= 1


def test_mirrored_is_flipped_to_the_bit():
    images, chance = pictures(4), draws(4)
    chance[:, 4] = [0.0, 0.49, 0.5, 0.99]
    seen = augmented(images, chance, 32, Augmentation(flip=True))
    wanted = images.astype(np.float32)
    wanted[:2] = np.flip(wanted[:2], axis=2)
    np.testing.assert_array_equal(seen, wanted)
    np.testing.assert_array_equal(augment.mirror(images), np.flip(images, axis=2))
    np.testing.assert_array_equal(augmented(images, chance, 32, Augmentation()), images)


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
    seen = np.asarray(augmented(images, chance, size, Augmentation(crop_area=0.3, flip=True)))
    np.testing.assert_allclose(seen, np.flip(wanted, axis=2) if mirrored else wanted, atol=LEVELS)


def test_each_image_has_its_own_chance():
    images, chance = np.repeat(pictures(1), 6, axis=0), draws(6)
    seen = np.asarray(augmented(images, chance, 24, CROP_AND_FLIP))
    turned = np.asarray(augmented(images, chance[::-1], 24, CROP_AND_FLIP))
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


# ------------------------------------------------------------------------------------------------- turned and slanted


def smooth(size: int = 64) -> np.ndarray:
    """One picture without fine detail, so that one way to interpolate gives what another gives."""
    small = np.random.default_rng(5).integers(0, 256, (6, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC))[None]


def with_draw(name: str, value: float, count: int = 1) -> np.ndarray:
    """Draws that ask for one change at a part of its strength: 0 is the least, 0.5 none, 1 the most."""
    chance = np.full((count, DRAWS), 0.5, np.float32)
    chance[:, augment._FIRST_CHANGE + augment._CHANGES.index(name)] = value
    return chance


@pytest.mark.parametrize("degrees", [-30, -17, -5, 0, 8, 25, 30])
def test_turning_is_pillows(degrees):
    image = smooth()
    seen = np.asarray(augmented(image, with_draw("rotate", (degrees / 30 + 1) / 2), 64, Augmentation(rotate=30)))
    wanted = np.asarray(Image.fromarray(image[0]).rotate(-degrees, Image.Resampling.BILINEAR), np.float32)
    inside = np.hypot(*np.meshgrid(*[np.arange(64) - 31.5] * 2)) < 24  # outside Pillow has black corners
    assert np.abs(seen[0] - wanted)[inside].max() < 6 and np.abs(seen[0] - wanted)[inside].mean() < 1.0


@pytest.mark.parametrize("slant", [-0.3, 0.1, 0.3])
def test_slanting_is_pillows(slant):
    image = smooth()
    seen = np.asarray(augmented(image, with_draw("shear", (slant / 0.3 + 1) / 2), 64, Augmentation(shear=0.3)))
    matrix = (1, slant, -slant * 32, 0, 1, 0)
    kind, filtered = Image.Transform.AFFINE, Image.Resampling.BILINEAR
    wanted = np.asarray(Image.fromarray(image[0]).transform((64, 64), kind, matrix, filtered))
    inside = np.s_[12:-12, 12:-12]
    assert np.abs(seen[0] - np.float32(wanted))[inside].max() < 3


@pytest.mark.parametrize("seed", range(6))
def test_turned_crops_of_any_shape_hold_what_the_turned_picture_holds(seed):
    """Crop, mirror, turn and slant together, against one affine map worked out point by point."""
    image, how, chance = smooth(96), Augmentation(crop_area=0.4, flip=True, rotate=30, shear=0.2), draws(1, seed)
    seen = np.asarray(augmented(image, chance, 48, how))[0]
    strengths = {name: float(value[0]) for name, value in augment._strengths(chance, how).items()}
    top, height, left, width = (float(side[0]) * 96 for side in augment.crop_boxes(chance, 0.4))
    angle = np.radians(strengths["rotate"])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turn = turn @ np.array([[1, strengths["shear"]], [0, 1]])
    side = (np.arange(48) + 0.5) / 48
    x, y = np.meshgrid(1 - side if chance[0, 4] < 0.5 else side, side)
    middle = np.array([left + width / 2, top + height / 2])
    places = (np.stack([left + width * x, top + height * y], axis=-1) - middle) @ turn.T + middle - 0.5
    across, down = places[..., 0], places[..., 1]
    channels = [map_coordinates(np.float32(image[0, :, :, c]), [down, across], order=1) for c in range(3)]
    inside = ((places > 3) & (places < 92)).all(axis=-1)
    assert inside.sum() > 700 and np.abs(seen - np.stack(channels, axis=-1))[inside].mean() < 2.5


def test_widened_and_moved_views():
    image = smooth()
    wide = np.asarray(augmented(image, with_draw("zoom", 1.0), 64, Augmentation(zoom=1.0)))[0]
    np.testing.assert_allclose(wide[18:46, 18:46], np.asarray(resized(image, 32))[0, 2:30, 2:30], atol=6)
    moved = np.asarray(augmented(image, with_draw("shift", 1.0), 64, Augmentation(shift=0.25)))[0]
    apart = [np.abs(moved[:44, 20:40] - np.float32(image[0, 16:60, 20 + s : 40 + s])).mean() for s in range(-16, 17)]
    assert min(apart) < 1.5  # down by a quarter, and to some side


# ------------------------------------------------------------------------------------------------------------ colours


@pytest.mark.parametrize("name", ["brightness", "saturation"])
@pytest.mark.parametrize("factor", [0.4, 0.8, 1.0, 1.3])
def test_brightness_and_saturation_are_pillows(name, factor):
    image = np.clip(smooth(32), 20, 180).astype(np.uint8)
    enhance = {"brightness": ImageEnhance.Brightness, "saturation": ImageEnhance.Color}[name]
    seen = augmented(image, with_draw(name, factor / 2), 32, Augmentation(**{name: 1.0}))
    wanted = np.asarray(enhance(Image.fromarray(image[0])).enhance(factor), np.float32)
    np.testing.assert_allclose(np.asarray(seen)[0], wanted, atol=2.1)


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.4])
def test_contrast_moves_from_the_mean_grey(factor):
    image = np.clip(smooth(32), 60, 160).astype(np.uint8)
    seen = np.asarray(augmented(image, with_draw("contrast", factor / 2), 32, Augmentation(contrast=1.0)))[0]
    grey = (image[0] @ np.array(augment.GREY)).mean()
    np.testing.assert_allclose(seen, np.clip(grey + factor * (image[0] - grey), 0, 255), atol=0.05)


def test_hue_turns_colours_and_leaves_greys():
    chance = with_draw("hue", 1.0)
    grey = np.full((1, 4, 4, 3), 77, np.uint8)
    np.testing.assert_allclose(augmented(grey, chance, 4, Augmentation(hue=0.3)), grey, atol=0.3)
    image = np.clip(smooth(8), 90, 150).astype(np.uint8)
    turned = np.asarray(augmented(image, chance, 8, Augmentation(hue=0.5)))[0]
    back = np.asarray(augmented(np.uint8(np.round(turned))[None], chance, 8, Augmentation(hue=0.5)))[0]
    assert np.abs(turned - image[0]).max() > 10
    np.testing.assert_allclose(back, image[0], atol=2)
    np.testing.assert_allclose(turned @ np.array(augment.GREY), image[0] @ np.array(augment.GREY), atol=0.1)


# -------------------------------------------------------------------------------------------------------------- masks


@pytest.mark.parametrize("name", ["erase", "grid"])
def test_masks_blank_what_they_say_and_nothing_else(name):
    images = np.full((400, 40, 40, 3), 10, np.uint8)
    seen = np.asarray(augmented(images, draws(400), 40, Augmentation(**{name: 0.5})))
    blank = (seen == 127.5).all(axis=-1)
    assert ((seen == 10).all(axis=-1) | blank).all()
    touched = blank.any(axis=(1, 2))
    assert 0.4 < touched.mean() < 0.6
    area = blank[touched].mean(axis=(1, 2))
    low, high = {"erase": (0.01, 0.28), "grid": (0.15, 0.35)}[name]
    assert low < area.min() and area.max() < high and area.std() > 0.005


# ------------------------------------------------------------------------------------------------------------ choices


@pytest.mark.parametrize("chosen", [1, 2, 3])
def test_so_many_changes_are_chosen(chosen):
    strengths = {"rotate": 10.0, "shear": 0.1, "brightness": 0.2, "hue": 0.1}
    found = augment._strengths(draws(500), Augmentation(**strengths, chosen=chosen))
    taken = np.stack([np.asarray(found[name]) != 0 for name in strengths])
    assert (taken.sum(axis=0) == chosen).all()
    np.testing.assert_allclose(taken.mean(axis=1), chosen / 4, atol=0.08)


# ----------------------------------------------------------------------------------------------------------- mixtures


@pytest.mark.parametrize(
    ("how", "blended"),
    [(Augmentation(mixup=0.4), 1), (Augmentation(cutmix=1.0), 0), (Augmentation(mixup=0.4, cutmix=1.0), 0.5)],
)
def test_shares_are_those_of_the_pixels(how, blended):
    white, black = np.full((300, 16, 16, 3), 255, np.float32), np.zeros((300, 16, 16, 3), np.float32)
    mixed, share = augment.mix(white, black, draws(300), how)
    np.testing.assert_allclose(np.asarray(mixed).mean(axis=(1, 2, 3)) / 255, share, atol=1e-5)
    np.testing.assert_allclose(augment.own_share(draws(300), 16, how), share, atol=1e-6)
    assert np.asarray(share).min() >= 0 and np.asarray(share).max() <= 1
    even = np.ptp(np.asarray(mixed), axis=(1, 2, 3)) < 1e-3
    assert even.mean() == pytest.approx(blended, abs=0.1)


@pytest.mark.parametrize("parameter", [0.2, 1.0, 3.0])
def test_shares_are_drawn_from_a_beta_distribution(parameter):
    found = np.asarray(augment._beta(np.random.default_rng(0).random(4000, np.float32), parameter))
    assert kstest(found, beta(parameter, parameter).cdf).pvalue > 0.01


def test_nothing_mixed_is_the_image_itself():
    images, chance = pictures(3), draws(3)
    seen, share = augment.seen_in_training(images, None, chance, 32, CROP_AND_FLIP)
    np.testing.assert_array_equal(seen, augment.augment(images, chance, 32, CROP_AND_FLIP))
    np.testing.assert_array_equal(share, np.ones(3))


# ----------------------------------------------------------------------------------------------------- dtypes, compiled


EVERYTHING = Augmentation(
    0.5, True, 30, 0.2, 0.3, 0.1, brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1, erase=0.5, grid=0.3
)


@pytest.mark.parametrize("how", [CROP_AND_FLIP, EVERYTHING, dataclasses.replace(EVERYTHING, chosen=2)])
def test_eager_and_compiled_agree(how):
    images, chance = pictures(3, 40, 36), draws(3)
    eager, compiled = (run(images, chance, 32, how) for run in (augment.augment, augmented))
    np.testing.assert_allclose(eager, compiled, atol=2e-2)
    assert np.asarray(eager).min() >= 0 and np.asarray(eager).max() <= 255


def test_no_strength_is_no_part_of_the_program():
    """What is not wished costs nothing: no shift, no colour product, no mask."""
    shapes = np.zeros((2, 16, 16, 3), np.uint8), draws(2), 16
    plain = str(jax.make_jaxpr(augment.augment, static_argnums=(2, 3))(*shapes, Augmentation(flip=True)))
    full = str(jax.make_jaxpr(augment.augment, static_argnums=(2, 3))(*shapes, EVERYTHING))
    assert len(full) > 3 * len(plain) and " sin " not in plain and " sin " in full


def test_the_result_has_the_wished_dtype_and_the_same_pictures():
    images, chance = pictures(3, 40, 36), draws(3)
    exact, rounded = (
        np.asarray(augmented(images, chance, 32, CROP_AND_FLIP, kind)) for kind in ("float32", "bfloat16")
    )
    assert (str(exact.dtype), str(rounded.dtype)) == ("float32", "bfloat16")
    assert str(resized(images, 32, "bfloat16").dtype) == "bfloat16"
    np.testing.assert_allclose(np.float32(rounded), exact, atol=2.1)
