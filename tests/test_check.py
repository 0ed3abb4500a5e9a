"""`check` reads everything, goes on after a fault, and says where each one is."""

import json
import os
from io import StringIO

import pytest
from rich.console import Console

from corolla import check as check_module
from corolla.check import CheckReport, check, print_report
from corolla.classes import NAMES
from corolla.errors import DataError
from corolla.images import load_split
from corolla.records import shards as shards_module
from corolla.records.shards import find_split
from corolla.types import Example
from tiny import TINY_CLASSES, example, jpeg, write_shard, write_tiny


def printed(report: CheckReport, width: int = 200) -> str:
    out = StringIO()
    print_report(report, Console(file=out, width=width))
    return out.getvalue()


def reasons(report: CheckReport) -> list[str]:
    return [problem.reason for problem in report.problems]


def test_good_data(tiny_data):
    report = check(tiny_data)
    assert report.ok and report.warnings == []
    train, val, test = report.splits
    assert (train.split, train.shards, train.declared, train.records, train.labelled) == ("train", 2, 24, 24, 24)
    assert (test.records, test.labelled, test.problems) == (10, 0, 0)
    assert train.class_counts[:TINY_CLASSES] == [4] * TINY_CLASSES and sum(val.class_counts) == 12
    assert train.missing_classes == list(NAMES[TINY_CLASSES:])
    assert train.image_sizes == {"32x32": 24}
    assert report.notes[0].startswith("train: 98 of 104 classes have no image: ")
    assert len(report.notes) == 2  # none for test, which has no labels


def test_every_fault_is_listed_with_its_place(tiny_data):
    train = tiny_data / "train"
    path = train / "00-32x32-12.tfrec"
    damaged = bytearray(path.read_bytes())
    damaged[100] ^= 1
    path.write_bytes(damaged)
    image = jpeg(seed=7)
    other = write_shard(
        train, 2, [Example("cut", 1, image[:-50]), Example("high", 104, image), example(9, side=40)], count=4
    )
    (tiny_data / "val" / "01-32x32-6.tfrec").write_bytes(b"<!DOCTYPE html>")
    report = check(tiny_data)
    found = [(problem.split, problem.path, problem.number) for problem in report.problems]
    assert found == [
        ("train", str(path), 0),
        ("train", str(other), 0),
        ("train", str(other), 1),
        ("train", str(other), 2),
        ("train", str(other), 3),
        ("val", str(tiny_data / "val" / "01-32x32-6.tfrec"), 0),
    ]
    wanted = [
        "damaged data",
        "id 'cut': damaged JPEG",
        "id 'high': feature 'class' is 104",
        "id 'train0009' stands twice in this split, first in train/00-32x32-12.tfrec record 9 at byte ",
        "the file ends here with 3 records, its name declares 4",
        "the file is not a TFRecord file but an HTML page",
    ]
    assert all(want in reason for want, reason in zip(wanted, reasons(report), strict=True))
    assert not report.ok
    assert [split.problems for split in report.splits] == [5, 1, 0]
    assert report.problems[4].offset == other.stat().st_size


def test_records_are_those_that_load_split_keeps(tiny_data):
    path = tiny_data / "train" / "01-32x32-12.tfrec"
    path.write_bytes(path.read_bytes()[:-100])
    write_shard(tiny_data / "train", 2, [example(90, side=40), example(0), Example("x", 3, b"\xff\xd8\xff")])
    kept = len(load_split(find_split(tiny_data, "train"), on_bad_record="skip"))
    assert check(tiny_data).splits[0].records == kept == 23


def test_an_image_of_another_size(tiny_data):
    write_shard(tiny_data / "train", 2, [example(90, side=40)])
    report = check(tiny_data)
    assert reasons(report) == [
        "id 'train0090': the image is 40x40 px, the split's first is 32x32 px: resize them to one size"
    ]
    assert report.splits[0].image_sizes == {"32x32": 24, "40x40": 1}
    assert "2 sizes" in printed(report)


def test_names_that_declare_another_size(tmp_path):
    data = write_tiny(tmp_path)
    (data / "val" / "00-32x32-6.tfrec").rename(data / "val" / "00-64x64-6.tfrec")
    report = check(data)
    assert report.ok
    assert report.warnings == ["val: the names declare images of 32x32, 64x64 px, the records hold 32x32 px"]


def test_an_id_in_two_splits(tiny_data):
    write_shard(tiny_data / "val", 2, [Example("train0003", 1, jpeg(seed=99))])
    (reason,) = reasons(check(tiny_data))
    assert reason.startswith(
        "id 'train0003' stands twice in two splits, first in train/00-32x32-12.tfrec record 3 at byte"
    )


def test_the_same_image_in_two_splits_is_a_warning(tiny_data):
    twins = [Example(f"twin{i}", 1, example(i).image) for i in range(5)]
    write_shard(tiny_data / "val", 2, twins)
    report = check(tiny_data)
    assert report.ok and len(report.copies) == 5
    assert report.warnings == [
        "5 images of val are in train too, byte for byte, so val flatters: ids 'train0000' = 'twin0'; "
        "'train0001' = 'twin1'; 'train0002' = 'twin2'"
    ]
    assert report.to_json()["copies"][4]["second"]["id"] == "twin4"


def test_a_deleted_shard(tiny_data):
    (tiny_data / "train" / "00-32x32-12.tfrec").unlink()
    report = check(tiny_data)
    assert [(problem.path, problem.number, problem.reason) for problem in report.problems] == [
        (str(tiny_data / "train"), None, "shard 00 is missing: download it again")
    ]
    assert report.splits[0].records == 12
    assert "✗ train: shard 00 is missing" in printed(report)


def test_missing_splits(tiny_data):
    for path in (tiny_data / "test").iterdir():
        path.unlink()
    (tiny_data / "test").rmdir()
    report = check(tiny_data)
    assert report.ok and "there is no test split" in report.notes
    (tiny_data / "val").rename(tiny_data / "validation")
    assert reasons(check(tiny_data)) == ["this split is missing: training needs it"]
    (tiny_data / "val").mkdir()
    (reason,) = reasons(check(tiny_data))
    assert reason.startswith("holds no .tfrec")


def test_no_data_is_an_error(tmp_path):
    with pytest.raises(DataError, match="holds neither train/"):
        check(tmp_path)


def test_train_without_labels(tiny_data):
    write_shard(tiny_data / "train", 2, [example(0, "test")])
    assert "feature 'class' (or 'label') is missing: this split needs labels" in reasons(check(tiny_data))[0]


def test_a_shard_that_cannot_be_read(tiny_data, monkeypatch):
    real = shards_module.unread_shard

    def breaks(shard, **settings):
        if shard.path.name.startswith("01-32x32-12"):
            raise DataError(f"{shard.path}: cannot be read (Input/output error): check the disk")
        yield from real(shard, **settings)

    monkeypatch.setattr(shards_module, "unread_shard", breaks)
    report = check(tiny_data)
    assert reasons(report) == ["cannot be read (Input/output error): check the disk"]
    assert report.splits[0].records == 12 and len(report.splits) == 3


def test_ids_that_are_missing(tmp_path):
    data = write_tiny(tmp_path)
    write_shard(data / "train", 2, [Example("", 1, jpeg(seed=71)), Example("", 1, jpeg(seed=72))])
    assert check(data).warnings == ["train: 2 records carry no id"]


def test_slow_crc_is_said(tiny_data, monkeypatch):
    monkeypatch.setattr(check_module, "CRC_IS_FAST", False)
    assert "google-crc32c runs in pure Python" in check(tiny_data).warnings[0]


def test_several_sizes(tmp_path):
    for size in (192, 331):
        write_tiny(tmp_path / f"tfrecords-jpeg-{size}x{size}", size)
    assert check(tmp_path).folder.name == "tfrecords-jpeg-331x331"
    assert check(tmp_path, 200).splits[0].image_sizes == {"192x192": 24}


def test_progress_reaches_the_total(tiny_data):
    calls = []
    check(tiny_data, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (46, 46) and [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_json(tiny_data):
    write_shard(tiny_data / "train", 2, [Example("high", 104, jpeg())])
    report = json.loads(json.dumps(check(tiny_data).to_json()))
    assert report["ok"] is False
    assert report["splits"]["train"]["classes_present"] == TINY_CLASSES
    assert report["problems"] == [
        {
            "split": "train",
            "path": str(tiny_data / "train" / "02-32x32-1.tfrec"),
            "number": 0,
            "offset": 0,
            "reason": "id 'high': feature 'class' is 104, wanted 0 to 103",
        }
    ]


def test_print(tiny_data):
    lines = [line.rstrip() for line in printed(check(tiny_data)).splitlines()]
    assert lines[0] == str(tiny_data)
    assert lines[1].split() == [
        "split",
        "shards",
        "records",
        "declared",
        "labelled",
        "classes",
        "size",
        "(px)",
        "problems",
    ]
    assert lines[2].split() == ["train", "2", "24", "24", "24", "6/104", "32x32", "0"]
    assert lines[4].split() == ["test", "2", "10", "10", "-", "-", "32x32", "0"]
    assert lines[-1] == "46 records, all good"


def test_print_cuts_a_long_list(tiny_data):
    write_shard(tiny_data / "train", 2, [Example(f"high{i}", 104, jpeg()) for i in range(25)])
    text = printed(check(tiny_data))
    assert "✗ train/02-32x32-25.tfrec record 19 at byte " in text and "record 20 at byte" not in text
    assert "✗ and 5 more: --json lists them all" in text
    assert text.rstrip().endswith("25 problems, 46 good records")


@pytest.mark.parametrize("name", [b"caf\xe9", b"[bold]x[/bold]", b"with space"])
def test_print_any_path(tmp_path, name):
    data = write_tiny(tmp_path / os.fsdecode(name))
    (data / "train" / "00-32x32-12.tfrec").write_bytes(b"")
    text = printed(check(data))
    assert "the file is empty" in text
    text.encode("utf-8")
    if b"[" in name:
        assert name.decode() in text


@pytest.mark.real_data
def test_real_photos(real_data):
    report = check(real_data)
    assert report.ok and [split.records for split in report.splits] == [6211, 1555, 909]
    assert report.splits[0].missing_classes == ["wild geranium", "wild rose"]
