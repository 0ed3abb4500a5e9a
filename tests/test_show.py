"""An overview counts right, shows photos of every class, and refuses what makes no sense."""

import io

import numpy as np
import pytest
from PIL import Image

from corolla.errors import DataError, WishError
from corolla.records.shards import list_shards
from corolla.show import overview, show
from corolla.types import Example
from tiny import TINY_CLASSES, write_shard


def test_counts(tiny_data):
    found = overview(tiny_data, photos=3)
    assert {split: len(found.nbytes[split]) for split in found.nbytes} == {"train": 24, "val": 12, "test": 10}
    assert found.labels["train"][:TINY_CLASSES].tolist() == [4] * TINY_CLASSES and not found.labels["test"].any()
    assert found.sizes["val"] == {"32x32": 12}
    assert {label: len(kept) for label, kept in found.thumbnails.items()} == dict.fromkeys([*range(6), -1], 3)


def test_the_page(tiny_data, tmp_path):
    page = show(tiny_data, tmp_path / "data.html", photos=2).read_text()
    assert page.count("<img") == 2 * (TINY_CLASSES + 1) and page.count("<svg") == 2
    assert "Classes in train" in page and "Classes in test" not in page and "32x32" in page
    assert "<script" not in page and "http" not in page.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("name", ["sheet.png", "sheet.jpg", "sheet.WEBP"])
def test_the_sheet(tiny_data, tmp_path, name):
    out = show(tiny_data, tmp_path / name, photos=2)
    seen = np.asarray(Image.open(io.BytesIO(out.read_bytes())).convert("RGB"))
    assert seen.shape == (7 * 76 + 4, 180 + 2 * 76, 3) and (seen[:, 190:] < 200).any()


def test_what_makes_no_sense(tiny_data, tmp_path):
    for name, photos, wanted in (("a.txt", 8, "name it .html"), ("a.png", 0, "between 1 and 32"), ("a.png", 33, "33")):
        with pytest.raises(WishError, match=wanted):
            show(tiny_data, tmp_path / name, photos)
    with pytest.raises(DataError, match="there is no such folder"):
        show(tmp_path / "nowhere", tmp_path / "a.html")


def test_bad_records(tiny_data, tmp_path):
    write_shard(tiny_data / "train", 2, [Example("bad", 1, b"\xff\xd8\xff no photo")], 32)
    assert len(list_shards(tiny_data / "train")) == 3
    with pytest.raises(DataError, match="id 'bad'"):
        show(tiny_data, tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()
    page = show(tiny_data, tmp_path / "a.html", on_bad_record="skip").read_text()
    assert "1 bad records were left out" in page
