"""Every source is known by its layout, and tells of each photo what it is."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import layouts
from corolla.build.mapping import Left, label_of
from corolla.build.record import Look, rendered
from corolla.build.sources import SOURCES, recognised
from corolla.classes import NAMES
from corolla.errors import DataError
from corolla.images import decode


def listed(path: Path) -> dict[str, object]:
    """{name: label's name, or the reason}."""
    (located,) = recognised([path])
    found = {item.name: label_of(item) for item in located.items()}
    return {name: one.reason if isinstance(one, Left) else NAMES[one[0]] for name, one in found.items()}


@pytest.mark.parametrize(
    "name", ["oxford_102", "tf_flowers", "inaturalist", "openimages", "imagenet", "pack", "competition"]
)
def test_each_layout_is_recognised_and_its_photos_can_be_read(name, tmp_path):
    path = getattr(layouts, name)(tmp_path / "anything")
    (located,) = recognised([path])
    assert located.source.name == name
    items = list(located.items())
    assert items and [item.name for item in items] == [item.name for item in located.items()]
    assert all(decode(item.content()).ndim == 3 for item in items)


def test_oxford(tmp_path):
    found = listed(layouts.oxford_102(tmp_path))
    assert found == {
        "jpg/image_00001.jpg": "pink primrose",
        "jpg/image_00002.jpg": "english marigold (Calendula officinalis), where the competition has wild geranium",
        "jpg/image_00003.jpg": "blackberry lily",
        "jpg/image_00004.jpg": "sunflower",
    }


def test_oxford_with_more_photos_than_labels(tmp_path):
    layouts.oxford_102(tmp_path)
    layouts.put(tmp_path / "jpg" / "image_00005.jpg", layouts.photo(1))
    with pytest.raises(DataError, match=r"image_00005.jpg: imagelabels.mat has no label for it, only for .* to 00004"):
        listed(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no matrix", b"\x80\x04cos\nsystem\n"])
def test_oxford_with_a_damaged_matrix(content, tmp_path):
    layouts.oxford_102(tmp_path)
    (tmp_path / "imagelabels.mat").write_bytes(content)
    with pytest.raises(DataError, match=r"imagelabels.mat: holds no MATLAB variable 'labels'"):
        listed(tmp_path)


def splits(path: Path) -> list[str | None]:
    """As their sources publish them."""
    return [item.split for one in recognised([path]) for item in one.items()]


def test_oxford_publishes_splits(tmp_path):
    path = layouts.oxford_102(tmp_path)
    assert splits(path) == ["train", "val", "test", "test"]
    (path / "setid.mat").write_bytes(b"no matrix")
    with pytest.raises(DataError, match=r"setid.mat: holds no MATLAB variable 'trnid' and 'valid' and 'tstid'"):
        splits(path)
    (path / "setid.mat").unlink()
    assert splits(path) == [None] * 4


def test_other_published_splits(tmp_path):
    assert splits(layouts.tf_flowers(tmp_path / "tf")) == [None] * 5
    path = layouts.inaturalist(tmp_path / "inat")
    (path / "train").rename(path / "val")
    assert splits(path) == ["val"] * 6
    path = layouts.openimages(tmp_path / "open")
    assert splits(path) == ["train"] * 5
    for photo in list((path / "train").iterdir()):
        photo.rename(path / photo.name)
    (path / "train").rmdir()
    assert splits(path) == ["train", *[None] * 4]  # what the list of images says
    path = layouts.imagenet(tmp_path / "imagenet")
    assert splits(path) == [None] * 4
    (path / "train").mkdir()
    for folder in list(path.glob("n*")):
        folder.rename(path / "train" / folder.name)
    assert splits(path) == ["train"] * 4


@pytest.mark.parametrize("names", [("train", "val"), ("train", "valid", "test"), ("train", "validation")])
def test_folders_of_classes_in_folders_of_splits(names, tmp_path):
    for name in names:
        layouts.own(tmp_path / name, 3)
    known = {"valid": "val", "validation": "val"}
    assert splits(tmp_path) == [known.get(name, name) for name in sorted(names) for _ in range(3)]
    assert set(listed(tmp_path).values()) == {"rose", "common tulip", "colt's foot"}


@pytest.mark.parametrize("sized", [True, False])
def test_a_data_set_in_the_layout_of_the_competition(sized, tmp_path):
    path = layouts.competition(tmp_path / "data", (32, 48) if sized else ())
    items = list(recognised([path])[0].items())
    assert [(item.split, item.id) for item in items] == [
        (split, f"{place}0000000{i}") for place, split in enumerate(("train", "val", "test")) for i in range(2)
    ]
    assert [item.kinds for item in items] == [("0",), ("7",), ("0",), ("7",), (), ()]
    assert {decode(item.content()).shape for item in items} == {(48, 48, 3)}
    assert isinstance(label_of(items[-1]), Left)


def test_tf_flowers(tmp_path):
    path = layouts.tf_flowers(tmp_path)
    assert list(listed(path).values()) == ["daisy", "common dandelion", "rose", "sunflower", "common tulip"]
    assert list(listed(path / "flower_photos").values()) == list(listed(path).values())
    licences = [item.licence for item in recognised([path])[0].items()]
    assert licences == ["CC-BY by A. Body - https://x.y/1/", "", "", "", ""]


def test_inaturalist(tmp_path):
    path = layouts.inaturalist(tmp_path)
    found = {name.split("_")[-2] + " " + name.split("_")[-1].split("/")[0]: one for name, one in listed(path).items()}
    assert found == {
        "Iris pseudacorus": "yellow iris",
        "Iris versicolor": "iris",
        "Rosa rugosa": "wild and garden forms cannot be told apart by the name",
        "Corvus corax": "not in the table",
    }
    assert {item.licence for item in recognised([path])[0].items()} == {"CC BY-NC 4.0 by A. Nobody"}


def test_inaturalist_without_its_list_and_with_a_damaged_one(tmp_path):
    path = layouts.inaturalist(tmp_path)
    (path / "train.json").write_text("{")
    with pytest.raises(DataError, match=r"train.json: is no list of iNaturalist's"):
        listed(path)
    (path / "train.json").unlink()
    assert len(listed(path)) == 6


def test_open_images(tmp_path):
    path = layouts.openimages(tmp_path)
    assert list(listed(path).values()) == [
        "rose",
        "sunflower",
        "flowers of several classes in one photo",
        "no kind",
        "without a label",
    ]
    first, second = list(recognised([path])[0].items())[:2]
    assert label_of(first) == (NAMES.index("rose"), (0.5, 0.25, 0.75, 0.5))
    assert label_of(second) == (NAMES.index("sunflower"), None)
    assert first.licence == "https://creativecommons.org/licenses/by/2.0/ by Ann"


def rotated(path: Path, written: str) -> Path:
    """What the list of images says of the first one."""
    columns = ("ImageID", "Subset", "License", "Author", "Rotation")
    layouts.put_csv(path / "train-images-with-rotation.csv", columns, ("000", "train", "u", "Ann", written))
    return path


@pytest.mark.parametrize("written", ["", "nan", "0", "90.0", "180", "270.0"])
def test_open_images_may_lie_on_their_side(tmp_path, written):
    """A box that was red stays red when photo and box are turned."""
    path = rotated(layouts.openimages(tmp_path), written)
    photo = Image.new("RGB", (200, 100), "white")
    photo.paste("red", (100, 25, 150, 50))
    photo.save(path / "train" / "000.jpg", quality=95)
    item = next(iter(recognised([path])[0].items()))
    degrees = int(float(written or "nan")) if written not in ("", "nan") else 0
    assert item.rotation == degrees and item.licence == "u by Ann"
    _, box = label_of(item)
    pixels = decode(rendered(item.content(), Look((128,)), box, item.rotation).images[0]).astype(int)
    upright = np.rot90(np.asarray(photo), degrees // 90)
    height, width = upright.shape[:2]
    left, top, right, bottom = (round(edge * side) for edge, side in zip(box, (width, height) * 2, strict=True))
    assert (np.abs(upright[top:bottom, left:right] - (255, 0, 0)).max(-1) == 0).all()
    assert 0.35 < (np.abs(pixels - (254, 0, 0)).max(-1) < 80).mean() < 0.45  # twice as long as high, on a square


def test_open_images_with_a_rotation_that_is_none(tmp_path):
    with pytest.raises(DataError, match="image 000: a rotation of '45', wanted 0, 90, 180, 270 or nan"):
        listed(rotated(layouts.openimages(tmp_path), "45"))


def test_open_images_with_a_confidence_that_is_none(tmp_path):
    path = layouts.openimages(tmp_path)
    labels = path / "oidv7-train-annotations-human-imagelabels.csv"
    labels.write_text(labels.read_text().replace("/m/1,1", "/m/1,sure"))
    with pytest.raises(DataError, match=r"image 000: a confidence is no number \(.*'sure'"):
        listed(path)


def test_open_images_with_a_box_outside(tmp_path):
    path = layouts.openimages(tmp_path)
    boxes = path / "oidv6-train-annotations-bbox.csv"
    boxes.write_text(boxes.read_text().replace("0.75", "1.75"))
    with pytest.raises(DataError, match=r"image 000: a box of 0.5, 0.25, 1.75, 0.5 lies in no image"):
        listed(path)


def test_imagenet(tmp_path):
    path = layouts.imagenet(tmp_path)
    found = listed(path)
    assert list(found.values()) == [
        "not in the table",
        "daisy",
        "colt's foot",
        "garden roses and wild ones are two classes",
    ]
    (path / "words.txt").unlink()
    assert list(listed(path).values())[1:3] == ["daisy", "not in the table"]


def test_pack_takes_the_largest_images(tmp_path):
    path = layouts.pack(tmp_path)
    items = list(recognised([path])[0].items())
    assert [item.source for item in items] == ["imagenet"] * 3 + ["openimage"] * 3
    assert [label_of(item)[0] for item in items] == [0, 7, 14] * 2
    assert {decode(item.content()).shape for item in items} == {(48, 48, 3)}
    assert [item.name for item in recognised([path / "openimage"])[0].items()] == [f"openimage{i}" for i in range(3)]


def test_a_damaged_pack_is_refused(tmp_path):
    path = layouts.pack(tmp_path)
    (shard,) = (path / "openimage" / "tfrecords-jpeg-48x48").iterdir()
    content = bytearray(shard.read_bytes())
    content[200] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DataError, match=r"damaged data"):
        listed(path)


def test_csv_and_folders(tmp_path):
    found = listed(layouts.listed(tmp_path / "one"))
    assert list(found.values()) == ["sunflower", "moon orchid", "not in the table"]
    found = listed(layouts.own(tmp_path / "two", 4, ("rose", "Common-Tulip", "colts_foot", "103")))
    assert sorted(found.values()) == ["colt's foot", "common tulip", "rose", "wild rose"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.jpg,1\n", "has no column 'path'; found: file, label"),
        ("path,what\na.jpg,1\n", "has neither a label nor a name"),
        ("path,label,split\na.jpg,1,dev\n", "'a.jpg' is in a split 'dev', wanted train, val, test or nothing"),
        ("path,label\n../secret.jpg,1\n", "leads out of its source"),
        ("path,label\nnowhere.jpg,1\n", "leads nowhere"),
        ("", "has no column 'path'; found: -"),
    ],
)
def test_senseless_csv(text, message, tmp_path):
    layouts.put(tmp_path / "secret.jpg", layouts.photo(1))
    layouts.put(tmp_path / "in" / "a.jpg", layouts.photo(1))
    path = layouts.put(tmp_path / "in" / "list.csv", text)
    with pytest.raises(DataError, match=message):
        listed(path)


def test_unknown_layouts_say_what_was_looked_for(tmp_path):
    with pytest.raises(DataError) as refused:
        recognised([tmp_path])
    assert all(source.layout in str(refused.value) for source in SOURCES)
    with pytest.raises(DataError, match="there is no such source"):
        recognised([tmp_path / "missing"])


def test_two_of_a_kind_have_names_of_their_own(tmp_path):
    paths = [layouts.own(tmp_path / place / "mine", 3) for place in ("a", "b")]
    assert [next(one.items()).source for one in recognised(paths)] == ["mine", "mine-2"]


# ------------------------------------------------------------------------------------------------------------- links


def test_links_stay_inside(tmp_path):
    path = layouts.own(tmp_path / "mine", 3)
    (path / "rose" / "link.jpg").symlink_to("000.jpg")
    assert len(listed(path)) == 4
    outside = layouts.put(tmp_path / "outside.jpg", layouts.photo(9))
    (path / "rose" / "other.jpg").symlink_to(outside)
    with pytest.raises(DataError, match=rf"other.jpg: leads out of its source, to {outside}"):
        listed(path)


def test_a_folder_that_is_a_link_out_and_one_in_a_loop(tmp_path):
    path = layouts.own(tmp_path / "mine", 3)
    (path / "rose" / "again").symlink_to(path)
    assert len(listed(path)) == 3
    (path / "rose" / "elsewhere").symlink_to(tmp_path)
    with pytest.raises(DataError, match="leads out of its source"):
        listed(path)


def test_a_link_to_nowhere(tmp_path):
    path = layouts.own(tmp_path / "mine", 3)
    (path / "rose" / "x.jpg").symlink_to(path / "none")
    with pytest.raises(DataError, match=r"x.jpg: leads nowhere"):
        listed(path)


def test_names_of_any_bytes(tmp_path):
    path = layouts.own(tmp_path / "mine", 0)
    folder = layouts.put(path / "rose" / "two words\nand a line.jpg", layouts.photo(1)).parent
    (Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.jpg"))).write_bytes(layouts.photo(2))
    assert set(listed(path).values()) == {"rose"} and len(listed(path)) == 2


def test_sources_are_called_by_their_folders_and_numbered_only_where_names_meet(tmp_path):
    paths = [layouts.own(tmp_path / "mine", 3), layouts.own(tmp_path / "other", 3), layouts.competition(tmp_path / "a")]
    paths += [
        layouts.competition(tmp_path / "b"),
        layouts.listed(tmp_path / "lists"),
        layouts.own(tmp_path / "x/mine", 3),
    ]
    told = [next(one.items()).source for one in recognised(paths)]
    assert told == ["mine", "other", "a", "b", "mine-2", "mine-3"]
