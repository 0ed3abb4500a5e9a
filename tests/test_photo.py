"""Photos of any kind, and what is none."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from corolla import photo
from corolla.errors import DataError
from corolla.photo import prepared


def written(image: Image.Image, format: str = "PNG", **more) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **more)
    return out.getvalue()


def half(left=(255, 0, 0), right=(0, 0, 255), size=(64, 32)) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, left)
    image.paste(right, (size[0] // 2, 0, *size))
    return image


def test_the_centred_square_is_taken_and_scaled():
    seen = prepared(written(half()), 16, "x")
    assert seen.shape == (16, 16, 3) and seen.dtype == np.uint8
    assert (seen[:, :4] == (255, 0, 0)).all() and (seen[:, 12:] == (0, 0, 255)).all()
    tall = prepared(written(half().transpose(Image.Transpose.ROTATE_90)), 16, "x")
    assert (tall[:4] == (0, 0, 255)).all() and (tall[12:] == (255, 0, 0)).all()


def test_a_photo_of_the_right_size_is_left_as_it_is():
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    np.testing.assert_array_equal(prepared(written(Image.fromarray(pixels)), 24, "x"), pixels)


@pytest.mark.parametrize("more", [{}, {"quality": 30}, {"subsampling": 0}, {"progressive": True}, {"keep_rgb": True}])
@pytest.mark.parametrize("orientation", [None, 1, 6])
def test_a_jpeg_of_the_right_size_is_what_pillow_sees(more, orientation):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 3), np.uint8)
    image, exif = Image.fromarray(pixels).resize((24, 24), Image.Resampling.BICUBIC), Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    content = written(image, "JPEG", exif=exif, **more)
    wanted = Image.open(io.BytesIO(content))
    if orientation == 6:
        wanted = wanted.transpose(Image.Transpose.ROTATE_270)
    np.testing.assert_array_equal(prepared(content, 24, "x"), np.asarray(wanted))


def test_a_damaged_jpeg_of_the_right_size():
    content = written(Image.effect_noise((24, 24), 90).convert("RGB"), "JPEG")
    with pytest.raises(DataError, match=r"^x: damaged \("):
        prepared(content[: len(content) * 2 // 3], 24, "x")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_exif_says_which_side_is_up(orientation, format):
    upright = half(size=(32, 32))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's numbers of what brings it there
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    more = {"quality": 100} if format != "PNG" else {}
    seen = prepared(written(stored, format, exif=exif, **more), 32, "x").astype(int)
    assert (abs(seen[:, :12] - (255, 0, 0)) < 12).all() and (abs(seen[:, 20:] - (0, 0, 255)) < 12).all()


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK", "I;16"])
def test_kinds_of_pixels(mode):
    image = Image.new("L", (40, 40), 128).convert("I;16" if mode == "I;16" else mode)
    seen = prepared(written(image, "JPEG" if mode == "CMYK" else "PNG"), 8, "x")
    assert seen.shape == (8, 8, 3) and seen.dtype == np.uint8


def test_small_and_moving_ones():
    assert (prepared(written(Image.new("RGB", (1, 1), (9, 8, 7))), 8, "x") == (9, 8, 7)).all()
    frames = [Image.new("RGB", (20, 20), color) for color in ("red", "lime")]
    for format in ("PNG", "WEBP"):
        moving = written(frames[0], format, save_all=True, append_images=frames[1:], lossless=True)
        assert (prepared(moving, 8, "x") == (255, 0, 0)).all()
    assert (prepared(written(Image.new("RGB", (1, 5000), (9, 8, 7))), 8, "x") == (9, 8, 7)).all()
    assert (prepared(written(Image.new("RGB", (5000, 1), (9, 8, 7)), "JPEG", quality=100), 8, "x") < 12).all()


@pytest.mark.parametrize(("mode", "color"), [("LA", (90, 0)), ("RGBA", (200, 0, 0, 0)), ("P", 0)])
def test_what_is_transparent_lies_on_white(mode, color):
    """The colour that hides under it must not show: often it is black."""
    more = {"transparency": 0} if mode == "P" else {}
    image = Image.new(mode, (40, 40), color)
    if mode == "P":
        image.putpalette([10, 20, 30])
    for format in ("PNG", "WEBP")[: 1 if mode == "P" else 2]:
        assert (prepared(written(image, format, **more), 8, "x") == 255).all()
    glass = written(Image.new("RGBA", (40, 40), (0, 0, 0, 51)))
    assert (prepared(glass, 8, "x") == 204).all()


def test_sixteen_bits_are_shown_by_their_upper_eight():
    levels = np.repeat(np.array([0, 0x1234, 0x80FF, 0xFFFF], np.uint16), 16).reshape(8, 8)
    seen = prepared(written(Image.fromarray(levels)), 8, "x")
    np.testing.assert_array_equal(seen, np.repeat((levels >> 8).astype(np.uint8)[..., None], 3, axis=2))


def test_colours_of_print():
    ink = Image.new("CMYK", (40, 40), (0, 255, 255, 0))
    seen = prepared(written(ink, "JPEG", quality=100), 8, "x").astype(int)
    assert (abs(seen - (255, 0, 0)) < 12).all()


def test_a_large_jpeg_is_what_all_of_its_pixels_say():
    """Read at a fraction of its size, within a few levels of the slow way."""
    wavy = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    large = Image.fromarray(wavy).resize((3000, 3000), Image.Resampling.BICUBIC)
    slowly = np.asarray(large.resize((12, 12), Image.Resampling.LANCZOS)).astype(int)
    assert abs(prepared(written(large, "JPEG", quality=95), 12, "x") - slowly).mean() < 4


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", r"^tulip\.jpg: no JPEG, PNG or WebP: convert it to one of these$"),
        (b"GIF89a" + bytes(40), r"^tulip\.jpg: no JPEG, PNG or WebP"),
        (b"%PDF-1.7", r"^tulip\.jpg: no JPEG, PNG or WebP"),
        (written(half(), "JPEG")[:300], r"^tulip\.jpg: damaged \("),
        (written(half(size=(400, 400)), "PNG")[:200], r"^tulip\.jpg: damaged \("),
        (written(half(), "GIF"), r"^tulip\.jpg: no JPEG, PNG or WebP"),
    ],
)
def test_what_is_no_photo(content, line):
    with pytest.raises(DataError, match=line):
        prepared(content, 16, "tulip.jpg")


def test_too_many_pixels(monkeypatch):
    """Refused by the header; what is decoded whole sooner than what is decoded at a fraction."""
    monkeypatch.setattr(photo, "MAX_PIXELS", 5000)
    monkeypatch.setattr(photo, "MAX_WHOLE_PIXELS", 1000)
    line = r"^big: 64x32 px, the limit is 1,000 px in all: make it smaller$"
    for content in (written(half()), written(half(), "WEBP"), written(half(), "JPEG", progressive=True)):
        with pytest.raises(DataError, match=line):
            prepared(content, 16, "big")
    prepared(written(half(), "JPEG"), 16, "big")
    with pytest.raises(DataError, match=r"^big: 128x64 px, the limit is 5,000 px in all: make it smaller$"):
        prepared(written(half(size=(128, 64)), "JPEG"), 16, "big")


def test_a_small_file_of_many_pixels_takes_no_memory():
    """20,000 x 20,000 px of one colour: 50 KB that would become 1.2 GB."""
    tracemalloc.start()
    with pytest.raises(DataError, match=r"^bomb\.png: more pixels than the limits \(JPEG 178,000,000 px, others"):
        prepared(hollow_png(20_000, 20_000), 16, "bomb.png")
    with pytest.raises(DataError, match=r"^bomb\.png: 8000x8000 px, the limit is 50,000,000 px in all"):
        prepared(hollow_png(8_000, 8_000), 16, "bomb.png")
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_nothing_is_said_on_the_way(recwarn, monkeypatch):
    """Pillow warns of photos that are allowed here."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)
    prepared(written(half()), 16, "x")
    assert not recwarn.list


@given(place=st.integers(0, 10**6), value=st.integers(0, 255), format=st.sampled_from(["JPEG", "PNG", "WEBP"]))
def test_a_changed_byte_is_seen_through_or_told_in_one_line(place, value, format):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = bytearray(written(half(), format, exif=exif))
    content[place % len(content)] = value
    try:
        assert prepared(bytes(content), 8, "x").shape == (8, 8, 3)
    except DataError as error:
        assert len(str(error).splitlines()) == 1


def hollow_png(width: int, height: int) -> bytes:
    """A PNG's header, and pixels that nobody should look at."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(100)))]
    chunks = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
