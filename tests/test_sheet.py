"""The contact sheet shows what training does, and nothing else; odd wishes are one line."""

import io

import numpy as np
import pytest
from PIL import Image

from corolla import augment
from corolla.config import CROP_AND_FLIP, Augmentation
from corolla.errors import WishError
from corolla.images import load_split
from corolla.order import Lanes, epoch_order
from corolla.records.shards import find_split
from corolla.sheet import sheet


def opened(path) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB"))


def test_views_are_those_of_training(flowers, tmp_path):
    out = sheet(flowers, tmp_path / "sheet.png", image_size=32, photos=3, views=2, seed=5)
    seen = opened(out)
    assert seen.shape == (30 + 3 * (32 + 6 + 22), 38 * 3 + 12, 3)
    photos = load_split(find_split(flowers, "train", 32), labels="need")
    np.testing.assert_array_equal(seen[30:62, 6:38], np.asarray(augment.resize(photos.images[:1], 32))[0])
    draws = epoch_order(Lanes(3, 3), 5, 2).draws[:, 0]
    wanted = np.asarray(augment.augment(photos.images[:3], draws, 32, CROP_AND_FLIP))[0]
    np.testing.assert_allclose(seen[30:62, 88:120], wanted, atol=0.51)


def test_photos_are_of_different_kinds(flowers, tmp_path):
    """As many kinds as there are in the first shard."""
    photos = load_split(find_split(flowers, "train", 32), labels="need")
    out = sheet(flowers, tmp_path / "sheet.png", Augmentation(), image_size=32, photos=4, views=1)
    seen = [opened(out)[30 + row * 60 : 62 + row * 60, 6:38] for row in range(4)]
    places = [int(np.abs(photos.images.astype(int) - one).sum(axis=(1, 2, 3)).argmin()) for one in seen]
    assert len(set(photos.labels[places].tolist())) == min(4, len(set(photos.labels.tolist())))


def test_mixtures_tell_their_shares(flowers, tmp_path):
    plain = opened(sheet(flowers, tmp_path / "a.png", Augmentation(), image_size=32, photos=2, views=6))
    mixed = opened(sheet(flowers, tmp_path / "b.png", Augmentation(cutmix=1.0), image_size=32, photos=2, views=6))
    beside = np.s_[62:84, 160:]  # under the views, right of the kind's name
    assert (plain[beside] == 255).all() and (mixed[beside] < 128).any()


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "b.JPEG"])
def test_other_kinds_of_image(name, flowers, tmp_path):
    assert opened(sheet(flowers, tmp_path / name, image_size=32, photos=1, views=1)).shape[2] == 3


@pytest.mark.parametrize(
    ("name", "wishes", "line"),
    [
        ("a.txt", {}, "name it .png, .jpg or .webp"),
        ("a.png", {"photos": 0}, "0 photos of 8 views each"),
        ("a.png", {"photos": 400, "views": 3}, "between 1 and 1,000 images"),
    ],
)
def test_odd_wishes(name, wishes, line, flowers, tmp_path):
    with pytest.raises(WishError, match=line):
        sheet(flowers, tmp_path / name, **wishes)
    assert not list(tmp_path.iterdir())
