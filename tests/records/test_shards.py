"""Splits on the disk: which folder, which shards, how many records, whose ids."""

import os

import pytest

from corolla.errors import DataError
from corolla.records.framing import RecordError, write_records
from corolla.records.shards import Found, MissingSplitError, find_split, list_shards, numbering_faults, read_split
from corolla.types import BadRecord, Example
from tiny import example, jpeg, write_shard, write_tiny


def ids(split) -> list[str]:
    return [item.example.id for item in read_split(split) if isinstance(item, Found)]


def raised(kind, call, *args) -> str:
    with pytest.raises(kind) as caught:
        call(*args)
    return str(caught.value)


# ---------------------------------------------------------------------------------------------------------- finding


def test_a_split(tiny_data):
    split = find_split(tiny_data, "train")
    assert (split.split, split.folder, split.image_size, split.count) == ("train", tiny_data / "train", 32, 24)
    assert [shard.path.name for shard in split.shards] == ["00-32x32-12.tfrec", "01-32x32-12.tfrec"]
    assert [shard.count for shard in split.shards] == [12, 12]
    assert ids(split) == [f"train{i:04d}" for i in range(24)]


@pytest.mark.parametrize(
    ("wish", "taken"),
    [(None, 224), (1, 192), (192, 192), (200, 192), (208, 224), (260, 224), (421, 331), (422, 512), (9999, 512)],
)
def test_the_nearest_size_is_taken(tmp_path, wish, taken):
    for size in (192, 224, 331, 512):
        write_shard(tmp_path / f"tfrecords-jpeg-{size}x{size}" / "val", 0, [example(0)], size)
    split = find_split(tmp_path, "val", wish)
    assert split.folder == tmp_path / f"tfrecords-jpeg-{taken}x{taken}" / "val"
    assert split.image_size == taken


def test_only_a_small_size_is_better_than_none(tmp_path):
    write_shard(tmp_path / "tfrecords-jpeg-192x192" / "val", 0, [example(0)], 192)
    assert find_split(tmp_path, "val").image_size == 192


def test_other_names(tmp_path):
    folder = tmp_path / "train"
    folder.mkdir()
    for number in (10, 2, 1, 0, *range(3, 10)):
        write_records(folder / f"flowers-{number}-of-11.tfrecord", [b"x"])
    write_records(folder / "extra.tfrecords", [b"x"])
    split = find_split(tmp_path, "train")
    names = [f"flowers-{number}-of-11.tfrecord" for number in range(11)]
    assert [shard.path.name for shard in split.shards] == [*names, "extra.tfrecords"]
    assert split.count is None and split.image_size is None


def test_hidden_files_folders_and_strangers_are_no_shards(tiny_data):
    (tiny_data / "train" / "._00-32x32-12.tfrec").write_bytes(b"junk")
    (tiny_data / "train" / "02-32x32-1.tfrec").mkdir()
    (tiny_data / "train" / "readme.txt").write_text("hello")
    assert len(find_split(tiny_data, "train").shards) == 2


def test_missing_things(tmp_path, tiny_data):
    none = tmp_path / "none"
    assert raised(DataError, find_split, none, "train") == (
        f"{none}: there is no such folder: DATA is a folder that holds train/, val/ and test/"
    )
    file = tiny_data / "train" / "00-32x32-12.tfrec"
    assert "is a file, wanted a folder" in raised(DataError, find_split, file, "train")
    assert raised(DataError, find_split, tiny_data / "train", "train") == (
        f"{tiny_data / 'train'}: holds neither train/, val/ or test/ nor tfrecords-jpeg-SxS folders: "
        f"give its parent, {tiny_data}"
    )
    (tiny_data / "val" / "00-32x32-6.tfrec").unlink()
    (tiny_data / "val" / "01-32x32-6.tfrec").unlink()
    assert raised(DataError, find_split, tiny_data, "val") == (
        f"{tiny_data / 'val'}: holds no .tfrec, .tfrecord, .tfrecords files: check the path, or download the data again"
    )
    (tiny_data / "val").rmdir()
    assert raised(MissingSplitError, find_split, tiny_data, "val") == (
        f"{tiny_data}: there is no split 'val' (found: train, test): add the folder {tiny_data / 'val'}"
    )


def test_a_deleted_shard_is_missed(tmp_path):
    for number in range(4):
        write_shard(tmp_path / "train", number, [example(number)])
    for number, name in ((2, "02"), (0, "00, 02")):
        (tmp_path / "train" / f"{number:02d}-32x32-1.tfrec").unlink()
        assert raised(DataError, find_split, tmp_path, "train") == (
            f"{tmp_path / 'train'}: shard {name} is missing: download it again"
        )


def test_the_last_shard_is_missed_where_names_carry_a_total(tmp_path):
    (tmp_path / "train").mkdir()
    for number in range(3):
        write_records(tmp_path / "train" / f"x-{number:05d}-of-00004.tfrecord", [b"x"])
    assert "shard 03 is missing" in raised(DataError, find_split, tmp_path, "train")


def test_two_shards_of_one_number(tiny_data):
    write_shard(tiny_data / "train", 1, [example(30)])
    assert raised(DataError, find_split, tiny_data, "train") == (
        f"{tiny_data / 'train'}: two shards have the number 01: remove the one that does not belong"
    )


def test_a_long_list_of_missing_shards_is_cut(tmp_path):
    write_shard(tmp_path, 20, [example(0)])
    (fault,) = numbering_faults(tmp_path, list_shards(tmp_path))
    assert "00, 01, 02, 03, 04, 05, 06, 07 and 12 more" in fault


# ---------------------------------------------------------------------------------------------------------- reading


def test_places_are_told(tiny_data):
    first = next(iter(read_split(find_split(tiny_data, "val"))))
    assert isinstance(first, Found)
    assert (first.path.name, first.number, first.offset) == ("00-32x32-6.tfrec", 0, 0)
    assert first.example == example(0, "val")


@pytest.mark.parametrize("declared", [2, 4])
def test_a_wrong_count_in_the_name(tmp_path, declared):
    path = write_shard(tmp_path / "train", 0, [example(i) for i in range(3)], count=declared)
    split = find_split(tmp_path, "train")
    assert raised(RecordError, ids, split) == (
        f"{path}: record 3 at byte {path.stat().st_size}: the file ends here with 3 records, its name declares "
        f"{declared}: download it again (to go on without such records: --on-bad-record skip)"
    )
    items = list(read_split(split, on_bad_record="skip"))
    assert [type(item) for item in items] == [Found, Found, Found, BadRecord]


def test_a_cut_shard_is_never_a_silent_success(tmp_path):
    small = [Example(f"id{i}", i, b"\xff\xd8\xff" + bytes(3)) for i in range(3)]
    path = write_shard(tmp_path / "train", 0, small)
    whole = path.read_bytes()
    split = find_split(tmp_path, "train")
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(RecordError):
            ids(split)
        items = list(read_split(split, on_bad_record="skip"))
        assert [type(item) for item in items].count(BadRecord) == 1, cut


def test_skip_goes_on_behind_damaged_data_and_with_the_next_shard(tiny_data):
    path = tiny_data / "train" / "00-32x32-12.tfrec"
    damaged = bytearray(path.read_bytes())
    damaged[200] ^= 1
    path.write_bytes(damaged)
    items = list(read_split(find_split(tiny_data, "train"), on_bad_record="skip"))
    assert isinstance(items[0], BadRecord) and items[0].number == 0
    assert [type(item) for item in items[1:]] == [Found] * 23
    damaged[3] ^= 1
    path.write_bytes(damaged)
    items = list(read_split(find_split(tiny_data, "train"), on_bad_record="skip"))
    assert isinstance(items[0], BadRecord) and "the rest of the file" in items[0].reason
    assert [item.example.id for item in items[1:] if isinstance(item, Found)] == [
        f"train{i:04d}" for i in range(12, 24)
    ]


def test_an_id_twice_in_a_split(tmp_path):
    write_shard(tmp_path / "train", 0, [example(0), example(1)])
    path = write_shard(tmp_path / "train", 1, [example(2), example(1)])
    split = find_split(tmp_path, "train")
    line = raised(RecordError, ids, split)
    assert line.startswith(f"{path}: record 1 at byte ")
    assert "id 'train0001' stands already in 00-32x32-2.tfrec record 1 at byte " in line
    items = list(read_split(split, on_bad_record="skip"))
    assert [type(item) for item in items] == [Found, Found, Found, BadRecord]


def test_records_without_an_id_are_not_twins(tmp_path):
    write_shard(tmp_path / "train", 0, [Example("", 1, jpeg()), Example("", 2, jpeg())])
    assert ids(find_split(tmp_path, "train")) == ["", ""]


def test_labels_where_they_are_needed(tiny_data):
    split = find_split(tiny_data, "test")
    assert all(isinstance(item, Found) for item in read_split(split))
    with pytest.raises(
        RecordError, match=r"id 'test0000': feature 'class' \(or 'label'\) is missing: this split needs labels"
    ):
        list(read_split(split, labels="need"))


def test_a_schema_fault_has_its_place(tmp_path):
    path = write_shard(tmp_path / "train", 0, [example(0), Example("late", 104, jpeg())])
    with pytest.raises(RecordError) as caught:
        ids(find_split(tmp_path, "train"))
    assert (caught.value.path, caught.value.number) == (path, 1)
    assert caught.value.reason == "id 'late': feature 'class' is 104, wanted 0 to 103"


@pytest.mark.parametrize("name", [b"with space", b"caf\xe9", "花".encode(), b"l" * 250, b"[red]"])
def test_odd_folders(tmp_path, name):
    data = write_tiny(tmp_path / os.fsdecode(name) / ("m" * 200) / ("n" * 200))
    assert len(ids(find_split(data, "train"))) == 24
