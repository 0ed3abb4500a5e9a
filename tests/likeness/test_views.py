"""Glances: a mirror image and a crop have those that the view of the original says, light and contrast have none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from corolla.likeness import thumbnail
from corolla.likeness.views import CROPS, MIDDLES, PLAIN, SIDE, VIEWS, View, glances, zoomed
from planted import scene


def small(seed: int) -> np.ndarray:
    return thumbnail(scene(seed, 128))[None]


def test_a_mirror_image_is_the_mirrored_view():
    image = small(1)
    np.testing.assert_allclose(glances(image[:, :, ::-1]), glances(image, View(0, 0, 1, 1, True)), atol=1e-5)


def test_the_whole_comes_first_and_half_the_views_are_mirrored():
    assert CROPS[0] == PLAIN and sum(view.mirrored for view in CROPS) == len(CROPS) / 2 == 10
    assert VIEWS == CROPS + MIDDLES and not any(view.mirrored for view in MIDDLES)


@pytest.mark.parametrize("view", [view for view in CROPS if view.tall < 1 and not view.mirrored])
def test_a_crop_is_the_view_of_that_part(view):
    whole = scene(2, 640)
    side, top, left = 576, round(view.top * 640), round(view.left * 640)
    part = thumbnail(whole[top : top + side, left : left + side])[None]
    assert (glances(part) * glances(thumbnail(whole)[None], view)).sum() > 0.99


@given(st.integers(0, 50), st.floats(0.6, 1.3), st.integers(-20, 20))
def test_light_and_contrast_change_nothing(seed, factor, shift):
    image = small(seed).astype(np.float32) * 0.5 + 60
    changed = np.clip(image * factor + shift, 0, 255)
    alike = (glances(np.rint(image).astype(np.uint8)) * glances(np.rint(changed).astype(np.uint8))).sum()
    assert alike > 0.98


def test_lengths_are_one_but_for_a_single_gray():
    images = np.stack([small(3)[0], np.full((SIDE, SIDE), 77, np.uint8)])
    np.testing.assert_allclose(np.linalg.norm(glances(images), axis=1), [1, 0], atol=1e-5)


@pytest.mark.parametrize("view", MIDDLES, ids=lambda view: f"{view.tall}x{view.wide}")
def test_a_middle_is_what_is_left_of_a_photo_that_was_cut(view):
    """Its glances are those of the view, and the view of the thumbnail looks like it."""
    whole = scene(3, 640)
    top, left = round(view.top * 640), round(view.left * 640)
    cut = Image.fromarray(whole[top : 640 - top, left : 640 - left]).resize((640, 640), Image.Resampling.BICUBIC)
    part = thumbnail(np.asarray(cut))[None]
    assert (glances(part) * glances(thumbnail(whole)[None], view)).sum() > 0.98
    seen = zoomed(thumbnail(whole)[None], view).astype(float)
    assert np.corrcoef(seen.ravel(), part.ravel().astype(float))[0, 1] > 0.97


def test_the_whole_of_a_thumbnail_is_itself():
    np.testing.assert_array_equal(zoomed(small(4), PLAIN), small(4))
