"""Decoding: strict for one image; whole, ordered and the same every time for a split."""

import io
import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from corolla import images
from corolla.errors import DataError
from corolla.images import ImageError, decode, decode_into, in_order, load_split, read_size
from corolla.records.example import encode_example
from corolla.records.framing import RecordError, write_records
from corolla.records.shards import find_split
from corolla.types import BadRecord, Example, Photos
from tiny import example, jpeg, write_shard

JPEG = jpeg(side=64)
RGB = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)


def saved(image: Image.Image, kind: str, **settings) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **settings)
    return out.getvalue()


def png(mode: str = "RGB") -> bytes:
    return saved(Image.fromarray(RGB).convert(mode), "PNG")


def with_size(image: bytes, height: int, width: int) -> bytes:
    """Return a baseline JPEG whose header claims another size."""
    start = image.index(b"\xff\xc0") + 5
    return image[:start] + struct.pack(">HH", height, width) + image[start + 4 :]


def pillow(image: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))


# -------------------------------------------------------------------------------------------------------- one image


def test_jpeg():
    pixels = decode(JPEG)
    assert pixels.shape == (64, 64, 3) and pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, simplejpeg.decode_jpeg(JPEG))


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
@pytest.mark.parametrize("progressive", [False, True])
def test_kinds_of_jpeg(subsampling, progressive):
    image = saved(
        Image.fromarray(RGB), "JPEG", subsampling=f"4:{subsampling[1]}:{subsampling[2]}", progressive=progressive
    )
    assert read_size(image) == (9, 13)
    assert abs(decode(image).astype(int) - pillow(image)).max() <= 4


def test_one_pixel():
    pixels = decode(saved(Image.new("RGB", (1, 1), (200, 100, 50)), "JPEG"))
    assert pixels.shape == (1, 1, 3)
    assert abs(pixels.ravel().astype(int) - [200, 100, 50]).max() < 6


def test_gray_jpeg_has_three_equal_channels():
    image = saved(Image.fromarray(RGB).convert("L"), "JPEG")
    np.testing.assert_array_equal(decode(image), pillow(image))
    assert np.ptp(decode(image), axis=2).max() == 0


def test_cmyk_jpeg_looks_as_in_pillow():
    image = saved(Image.fromarray(RGB).convert("CMYK"), "JPEG", quality=95)
    assert abs(decode(image).astype(int) - pillow(image)).max() <= 2


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_png(mode):
    np.testing.assert_array_equal(decode(png(mode)), pillow(png(mode)))


@pytest.mark.parametrize(
    ("image", "line"),
    [
        (b"", "neither JPEG nor PNG but no bytes: convert the image to JPEG"),
        (
            b"<html><body>",
            "neither JPEG nor PNG but 12 bytes starting b'<html><body>': convert the image to JPEG",
        ),
        (saved(Image.fromarray(RGB), "WEBP"), "neither JPEG nor PNG but .* starting b'RIFF"),
        (saved(Image.fromarray(RGB), "GIF"), "neither JPEG nor PNG but .* starting b'GIF8"),
        (
            with_size(JPEG, 65000, 65000),
            "the image is 65000x65000 px, the limit is 50000000 px in all: make it smaller",
        ),
        (JPEG[:-300], r"damaged JPEG \(.*\): replace the image"),
        (JPEG[:20], r"damaged JPEG \(.*\): replace the image"),
        (png()[:20], r"damaged PNG \(cut in its header\): replace the image"),
        (png()[:-20], r"damaged PNG \(.*\): replace the image"),
        (saved(Image.new("I;16", (4, 4)), "PNG"), "PNG with 16 bits a channel: convert it to 8 bits"),
        (
            png()[:16] + struct.pack(">II", 65000, 65000) + png()[24:],
            "the image is 65000x65000 px, the limit is 50000000 px in all: make it smaller",
        ),
        (png()[:16] + bytes(4) + png()[20:], "the image is 0x9 px: nothing to see"),
    ],
)
def test_what_is_refused(image, line):
    with pytest.raises(ImageError, match=line):
        decode(image)


def test_a_jpeg_cut_anywhere_is_refused():
    """The last two bytes say "end of image": libjpeg would supply them, strict decoding does not."""
    for cut in range(len(JPEG)):
        with pytest.raises(ImageError):
            decode(JPEG[:cut])


def test_a_png_with_any_flipped_byte_is_refused():
    """Every byte of a PNG is under a CRC but for the chunk lengths, which then lead nowhere."""
    whole = png()
    for byte in range(len(whole) - 12):
        damaged = bytearray(whole)
        damaged[byte] ^= 0x20
        with pytest.raises(ImageError):
            decode(bytes(damaged))


@given(st.integers(0, len(JPEG) - 1), st.integers(1, 255))
def test_a_jpeg_with_a_flipped_byte_decodes_or_is_refused(byte, flip):
    damaged = bytearray(JPEG)
    damaged[byte] ^= flip
    try:
        pixels = decode(bytes(damaged))
    except ImageError as error:
        assert "\n" not in str(error)
    else:
        assert pixels.dtype == np.uint8 and pixels.shape[2] == 3


@given(st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b""]), st.binary(max_size=200))
def test_any_bytes_are_refused(magic, junk):
    with pytest.raises(ImageError):
        decode(magic + junk)


def test_another_size_is_refused():
    with pytest.raises(ImageError, match="the image is 64x64 px, the split's first is 32x48 px: resize them to one"):
        decode_into(JPEG, np.empty((48, 32, 3), np.uint8))


# ------------------------------------------------------------------------------------------------------ whole split


def load(data: Path, split: str = "train", **settings) -> Photos:
    return load_split(find_split(data, split), **settings)


def rewritten(path: Path, examples: list[Example]) -> None:
    write_records(path, map(encode_example, examples))


def refusal(data: Path, split: str = "train", **settings) -> str:
    with pytest.raises(DataError) as caught:
        load(data, split, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_split(tiny_data):
    photos = load(tiny_data)
    assert photos.split == "train" and len(photos) == 24 and photos.bad == []
    assert photos.images.shape == (24, 32, 32, 3) and photos.images.dtype == np.uint8
    assert photos.labels is not None and photos.labels.dtype == np.int32
    for row in range(24):
        wanted = example(row)
        assert (photos.ids[row], photos.labels[row]) == (wanted.id, wanted.label)
        np.testing.assert_array_equal(photos.images[row], decode(wanted.image))


def test_a_split_without_labels(tiny_data):
    assert load(tiny_data, "test", labels="maybe").labels is None
    assert load(tiny_data, "val", labels="maybe").labels is not None
    assert "id 'test0000': feature 'class' (or 'label') is missing" in refusal(tiny_data, "test")


def test_some_labels_are_worse_than_none(tmp_path):
    path = write_shard(tmp_path / "test", 0, [example(0), example(1, "test"), example(2, "test")])
    start = len(encode_example(example(0))) + 16
    assert refusal(tmp_path, "test", labels="maybe") == (
        f"{path}: record 1 at byte {start}: has no label, like 2 of the split's 3 records, where "
        "others have one: give all of them labels, or none"
    )


def test_arrays_and_files_mix(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    write_shard(tmp_path / "train", 0, [example(0), Example("raw", 5, pixels)])
    photos = load(tmp_path)
    np.testing.assert_array_equal(photos.images[1], pixels)


@pytest.fixture
def damaged_data(tiny_data) -> Path:
    """Train records 1 and 3 of shard 0 cannot be decoded, record 0 of shard 1 has another size."""
    first, second = sorted((tiny_data / "train").iterdir())
    examples = [example(i) for i in range(24)]
    for bad in (1, 3):
        image = examples[bad].image
        assert isinstance(image, bytes)
        examples[bad] = Example(f"train{bad:04d}", 0, image[:-200])
    examples[12] = example(12, side=40)
    rewritten(first, examples[:12])
    rewritten(second, examples[12:])
    return tiny_data


def test_the_first_bad_record_is_named(damaged_data):
    line = refusal(damaged_data)
    assert line.startswith(f"{damaged_data / 'train' / '00-32x32-12.tfrec'}: record 1 at byte ")
    assert "id 'train0001': damaged JPEG (" in line
    assert line.endswith("replace the image (to go on without such records: --on-bad-record skip)")


def test_skip_leaves_bad_records_out_and_lists_them(damaged_data):
    photos = load(damaged_data, on_bad_record="skip")
    kept = [i for i in range(24) if i not in (1, 3, 12)]
    assert photos.ids == [f"train{i:04d}" for i in kept]
    assert [(bad.path.name[:2], bad.number) for bad in photos.bad] == [("00", 1), ("00", 3), ("01", 0)]
    assert photos.bad[2].reason == (
        "id 'train0012': the image is 40x40 px, the split's first is 32x32 px: resize them to one size"
    )
    assert photos.labels is not None and len(photos.labels) == len(photos.images) == 21
    for row, index in enumerate(kept):
        np.testing.assert_array_equal(photos.images[row], decode(example(index).image))


@pytest.mark.parametrize("most", [1, 13, 24, 100])
def test_only_so_many_records_as_wished(tiny_data, most):
    photos, whole = load(tiny_data, most=most), load(tiny_data)
    assert photos.ids == whole.ids[:most] and photos.images.shape[0] == len(photos.ids) == min(most, 24)
    np.testing.assert_array_equal(photos.images, whole.images[:most])


def test_a_first_record_that_is_no_image_sets_no_size(tmp_path):
    write_shard(tmp_path / "train", 0, [Example("x", 0, b"\xff\xd8\xff junk"), example(1)])
    photos = load(tmp_path, on_bad_record="skip")
    assert photos.images.shape == (1, 32, 32, 3) and photos.ids == ["train0001"]


def test_nothing_left_is_no_success(tmp_path):
    path = write_shard(tmp_path / "train", 0, [Example("x", 0, b"\xff\xd8\xff junk"), Example("y", 104, jpeg())])
    line = refusal(tmp_path, on_bad_record="skip")
    assert line.startswith(
        f"{tmp_path / 'train'}: none of 2 records can be used; the first: {path}: record 0 at byte 0:"
    )
    path.write_bytes(b"")
    assert "none of 0 records can be used; the first" in refusal(tmp_path, on_bad_record="skip")
    assert "the file is empty" in refusal(tmp_path)


def test_a_duplicate_id_is_refused(tmp_path):
    write_shard(tmp_path / "train", 0, [example(0), example(1), example(0)])
    assert "id 'train0000' stands already in 00-32x32-3.tfrec record 0 at byte 0" in refusal(tmp_path)
    assert load(tmp_path, on_bad_record="skip").ids == ["train0000", "train0001"]


def test_the_same_on_every_run_and_any_number_of_threads(damaged_data, monkeypatch):
    """Decoding takes a different time every time; the order and the first fault must not."""
    slow = images.decode_into

    def jittery(image, out):
        time.sleep(np.random.default_rng().uniform(0, 0.003))
        slow(image, out)

    monkeypatch.setattr(images, "decode_into", jittery)
    monkeypatch.setattr(images, "_CHUNK", 1)
    runs, faults = [], set()
    for threads in (1, 2, 5):
        monkeypatch.setattr("os.cpu_count", lambda threads=threads: threads)
        runs.append(load(damaged_data, on_bad_record="skip"))
        faults.add(refusal(damaged_data))
    assert len(faults) == 1
    for run in runs[1:]:
        np.testing.assert_array_equal(run.images, runs[0].images)
        assert (run.ids, run.bad) == (runs[0].ids, runs[0].bad)


def test_progress_ends_at_the_total(tmp_path):
    write_shard(tmp_path / "train", 0, [example(i) for i in range(150)])
    calls = []
    load(tmp_path, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(64, 150), (128, 150), (150, 150)]


def test_a_split_that_does_not_fit_in_memory(tiny_data, monkeypatch):
    def refuses(*_, **__):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("mmap.mmap", refuses)
    assert refusal(tiny_data) == (
        "24 images of 32x32 px need 0.0 GB of memory, which this machine does not give: take a smaller image size"
    )


def test_a_shard_that_vanishes_is_a_data_error(tiny_data):
    split = find_split(tiny_data, "train")
    split.shards[1].path.unlink()
    with pytest.raises(DataError, match="cannot be opened"):
        load_split(split)


@pytest.mark.real_data
def test_real_photos(real_data):
    photos = load(real_data, "val")
    assert photos.images.shape == (1555, 224, 224, 3) and photos.labels is not None
    assert len(set(photos.ids)) == 1555 and len(np.unique(photos.labels)) == 102
    assert load(real_data, "test", labels="maybe").labels is None


# ---------------------------------------------------------------------------------------------------------- threads


def test_in_order_keeps_the_order():
    def work(number):
        time.sleep(0.002 * (number % 3))
        return number

    assert list(in_order(work, range(200), 4)) == list(range(200))
    assert list(in_order(work, [])) == []


def test_in_order_raises_in_its_place_and_stops():
    """Nine tasks of 16 are waiting when the third fails; those that had not started never do."""
    started = []

    def work(number):
        started.append(number)
        time.sleep(0.001)
        if number == 40:
            raise DataError("forty")
        return number

    seen = []
    with pytest.raises(DataError, match="forty"):
        for number in in_order(work, range(100_000), 2):
            seen.append(number)
    assert seen == list(range(32)) and len(started) <= 7 * 16
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("corolla")]


def test_in_order_raises_the_sources_error_after_what_came_before():
    def source():
        yield from range(20)
        raise DataError("the source broke")

    seen = []
    with pytest.raises(DataError, match="the source broke"):
        for number in in_order(str, source(), 2):
            seen.append(number)
    assert seen == [str(number) for number in range(20)]


def test_in_order_reads_only_a_little_ahead():
    taken = []
    results = in_order(str, (taken.append(number) or number for number in range(10_000)), 2)
    next(results)
    assert len(taken) <= 200
    results.close()


def test_record_errors_are_data_errors():
    assert issubclass(RecordError, DataError) and RecordError(BadRecord(Path("x"), 1, 2, "y")).exit_code == 1
