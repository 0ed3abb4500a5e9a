"""Glances: a mirror image and a crop have those that the view of the original says, light and contrast have none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corolla.likeness import thumbnail
from corolla.likeness.views import PLAIN, SIDE, VIEWS, View, glances
from planted import scene


def small(seed: int) -> np.ndarray:
    return thumbnail(scene(seed, 128))[None]


def test_a_mirror_image_is_the_mirrored_view():
    image = small(1)
    np.testing.assert_allclose(glances(image[:, :, ::-1]), glances(image, View(0, 0, 1, True)), atol=1e-5)


def test_the_whole_comes_first_and_half_the_views_are_mirrored():
    assert VIEWS[0] == PLAIN and sum(view.mirrored for view in VIEWS) == len(VIEWS) / 2 == 10


@pytest.mark.parametrize("view", [view for view in VIEWS if view.kept < 1 and not view.mirrored])
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
