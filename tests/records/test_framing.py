"""TFRecord framing: what is written is read, and nothing damaged is."""

import gzip
import os
import pickle
import resource
import struct
import zlib
from pathlib import Path

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corolla.errors import DataError, RunError
from corolla.records import framing
from corolla.records.framing import (
    FramingError,
    Record,
    count_records,
    frame,
    masked_crc,
    read_records,
    scan_records,
    write_records,
)
from corolla.types import BadRecord

THREE = [b"first", b"", b"the third record, somewhat longer"]
WHOLE = b"".join(map(frame, THREE))
STARTS = [0, 21, 37]


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    return tmp_path / "00-32x32-3.tfrec"


def contents(path: Path) -> list[bytes]:
    return [record.data for record in read_records(path)]


def owner(byte: int) -> int:
    """Return the number of the record that a byte of WHOLE belongs to."""
    return sum(start <= byte for start in STARTS) - 1


# ------------------------------------------------------------------------------------------------------- round trip


def test_known_bytes():
    """What TensorFlow 2.21 writes: tf.io.TFRecordWriter(path), .write(b"abc"), .write(b"")."""
    assert (frame(b"abc") + frame(b"")).hex() == (
        "0300000000000000b099490e6162636e57f121000000000000000029039807d8ea82a2"
    )


def test_crc_is_castagnoli_and_masked():
    """RFC 3720, B.4: 32 bytes of zeros have the CRC-32C 8a9136aa."""
    assert google_crc32c.value(bytes(32)) == 0x8A9136AA
    crc = 0x8A9136AA
    assert masked_crc(bytes(32)) == (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % 2**32


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=20), st.booleans())
def test_round_trip(tmp_path_factory, records, zipped):
    path = tmp_path_factory.mktemp("framing") / "x.tfrec"
    assert write_records(path, records) == len(records)
    if zipped:
        path.write_bytes(gzip.compress(path.read_bytes()))
    assert contents(path) == records
    assert count_records(path) == len(records)


def test_numbers_and_offsets(shard):
    write_records(shard, THREE)
    assert list(read_records(shard)) == [
        Record(number, offset, data) for number, (offset, data) in enumerate(zip(STARTS, THREE, strict=True))
    ]


def test_gzip_of_several_members(shard):
    shard.write_bytes(b"".join(gzip.compress(frame(data)) for data in THREE))
    assert contents(shard) == THREE


# ----------------------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_every_flipped_byte_is_found_and_named(shard, flip):
    for byte in range(len(WHOLE)):
        damaged = bytearray(WHOLE)
        damaged[byte] ^= flip
        shard.write_bytes(damaged)
        with pytest.raises(FramingError) as caught:
            contents(shard)
        assert (caught.value.number, caught.value.offset) == (owner(byte), STARTS[owner(byte)]), byte
        assert str(shard) in str(caught.value)


@given(st.integers(0, 8 * len(WHOLE) - 1))
def test_a_flipped_bit_costs_at_most_its_record_or_the_tail(tmp_path_factory, bit):
    path = tmp_path_factory.mktemp("bits") / "x.tfrec"
    damaged = bytearray(WHOLE)
    damaged[bit // 8] ^= 1 << bit % 8
    path.write_bytes(damaged)
    items = list(scan_records(path))
    hit = owner(bit // 8)
    in_length = bit // 8 - STARTS[hit] < framing.HEADER.size
    bad = [item for item in items if isinstance(item, BadRecord)]
    good = [item.number for item in items if isinstance(item, Record)]
    assert [item.number for item in bad] == [hit]
    assert good == [number for number in range(3) if number < hit or (number > hit and not in_length)]
    assert ("length" in bad[0].reason) == in_length


def test_a_cut_anywhere_is_found_or_leaves_whole_records(shard):
    """A cut between two records cannot show in the framing; `read_split` finds it by the count in the name."""
    for cut in range(len(WHOLE)):
        shard.write_bytes(WHOLE[:cut])
        items = list(scan_records(shard))
        if cut in STARTS[1:]:
            assert [item.data for item in items if isinstance(item, Record)] == THREE[: STARTS.index(cut)]
        else:
            assert isinstance(items[-1], BadRecord), cut
            assert items[-1].number == (owner(cut) if cut else 0)
            assert "download it again" in items[-1].reason


def test_a_cut_gzip_is_always_found(shard):
    packed = gzip.compress(WHOLE, mtime=0)
    for cut in range(len(packed)):
        shard.write_bytes(packed[:cut])
        with pytest.raises(FramingError):
            contents(shard)


def test_a_flipped_gzip_gives_the_records_or_an_error(shard):
    """The gzip header has bytes that mean nothing (time, system); everywhere else a flip must be found."""
    packed = gzip.compress(WHOLE, mtime=0)
    for byte in range(len(packed)):
        damaged = bytearray(packed)
        damaged[byte] ^= 0x10
        shard.write_bytes(damaged)
        try:
            found = contents(shard)
        except FramingError:
            continue
        assert found == THREE, byte
        assert byte < 10


@pytest.mark.parametrize("length", [2**62, 2**64 - 1, 2**31, 10_000])
def test_a_huge_length_is_refused_without_allocating(shard, length):
    header = struct.pack("<Q", length)
    shard.write_bytes(frame(b"ok") + header + struct.pack("<I", masked_crc(header)) + b"x" * 100)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FramingError) as caught:
        contents(shard)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
    assert str(caught.value) == (
        f"{shard}: record 1 at byte 18: the file ends in the middle of this record, which wants {length + 16} bytes "
        "where 112 are left: download it again"
    )
    assert count_records(shard) == 1


@given(st.binary(max_size=400))
def test_any_bytes_give_records_or_a_named_fault(tmp_path_factory, junk):
    path = tmp_path_factory.mktemp("junk") / "x.tfrec"
    path.write_bytes(junk)
    items = list(scan_records(path))
    assert items and isinstance(items[-1], BadRecord)
    assert count_records(path) >= sum(isinstance(item, Record) for item in items)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"<!DOCTYPE html><html>Sign in</html>", "an HTML page"),
        (b"\n <html>502 Bad Gateway</html>", "an HTML page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML page"),
        (b"PK\x03\x04" + bytes(40), "a ZIP archive"),
        (b"\xff\xd8\xff\xe0" + bytes(40), "a JPEG image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "a PNG image"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab", "a Git LFS pointer"),
        (b'{"error": {"code": 403}}', "a JSON text"),
    ],
)
def test_other_files_are_called_by_their_name(shard, start, words):
    shard.write_bytes(start)
    with pytest.raises(FramingError, match=words):
        contents(shard)


def test_an_empty_file_is_no_success(shard):
    shard.write_bytes(b"")
    with pytest.raises(FramingError) as caught:
        contents(shard)
    assert str(caught.value) == f"{shard}: record 0 at byte 0: the file is empty: download it again"
    shard.write_bytes(gzip.compress(b""))
    with pytest.raises(FramingError, match="the file is empty"):
        contents(shard)


def test_the_line_of_a_damaged_record(shard):
    shard.write_bytes(WHOLE.replace(b"third", b"bird!"))
    with pytest.raises(FramingError) as caught:
        contents(shard)
    found, stored = masked_crc(THREE[2].replace(b"third", b"bird!")), masked_crc(THREE[2])
    assert str(caught.value) == (
        f"{shard}: record 2 at byte 37: damaged data (their checksum is {found:#010x}, stored is {stored:#010x}): "
        "download the file again"
    )


def test_a_gzip_bomb_is_stopped(shard, monkeypatch):
    monkeypatch.setattr(framing, "MAX_UNPACKED_BYTES", 1 << 20)
    shard.write_bytes(gzip.compress(frame(bytes(8 << 20))))
    with pytest.raises(FramingError, match="unpack to more than 1048576 bytes"):
        contents(shard)


def test_zlib_without_gzip_header_is_no_shard(shard):
    shard.write_bytes(zlib.compress(WHOLE))
    with pytest.raises(FramingError, match="record 0 at byte 0: damaged length"):
        contents(shard)


def test_a_missing_file_and_a_folder_are_data_errors(tmp_path):
    with pytest.raises(DataError, match=r"cannot be opened \(No such file or directory\)"):
        list(scan_records(tmp_path / "none.tfrec"))
    with pytest.raises(DataError, match="cannot be opened"):
        count_records(tmp_path)


def test_errors_travel_between_processes(shard):
    error = FramingError(BadRecord(shard, 3, 17, "reason"), " (way out)")
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error) == f"{shard}: record 3 at byte 17: reason (way out)"
    assert copy.number == 3


# ---------------------------------------------------------------------------------------------------------- writing


def test_a_failed_write_leaves_the_old_file_and_no_draft(shard):
    write_records(shard, THREE)

    def breaks():
        yield b"new"
        raise ValueError("the source broke")

    with pytest.raises(ValueError, match="the source broke"):
        write_records(shard, breaks())
    assert contents(shard) == THREE
    assert list(shard.parent.iterdir()) == [shard]


def test_whoever_reads_the_old_file_keeps_it_whole(shard):
    write_records(shard, THREE)
    before = shard.parent / "the same file"
    before.hardlink_to(shard)
    write_records(shard, [b"new"])
    assert contents(before) == THREE and contents(shard) == [b"new"]


def test_no_records_make_no_file(shard):
    with pytest.raises(DataError, match="there are no records to write"):
        write_records(shard, [])
    assert list(shard.parent.iterdir()) == []


def test_a_full_disk_is_a_run_error(shard, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"cannot be written \(No space left on device\)"):
        write_records(shard, THREE)
    assert list(shard.parent.iterdir()) == []


@pytest.mark.parametrize("name", [b"with space.tfrec", b"caf\xe9.tfrec", "花.tfrec".encode(), b"n" * 249 + b".tfrec"])
def test_odd_names(tmp_path, name):
    path = tmp_path / "a folder" / ("d" * 200) / ("e" * 200) / os.fsdecode(name)
    assert write_records(path, THREE) == 3
    assert contents(path) == THREE
