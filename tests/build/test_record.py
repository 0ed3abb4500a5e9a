"""A photo becomes the same squares for everyone, upright, whole or refused."""

import io

import numpy as np
import pytest
import simplejpeg
from PIL import Image

import layouts
from corolla.build import record
from corolla.build.record import Look, displayed, ids, rendered
from corolla.images import decode
from corolla.photo import PhotoError, prepared


def written(image: Image.Image, format: str = "JPEG", **more) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **({"quality": 95, "subsampling": 0} if format == "JPEG" else {}) | more)
    return out.getvalue()


def shown(content: bytes, look: Look, box=None) -> list[np.ndarray]:
    return [decode(image).astype(int) for image in rendered(content, look, box).images]


def quarters() -> Image.Image:
    """Red, green / blue, white: which side is up can be told."""
    image = Image.new("RGB", (64, 64), "white")
    for colour, place in (("red", (0, 0)), ("lime", (32, 0)), ("blue", (0, 32))):
        image.paste(colour, (*place, place[0] + 32, place[1] + 32))
    return image


def assert_quarters(pixels: np.ndarray) -> None:
    side = len(pixels)
    low, high = side // 4, 3 * side // 4
    for place, colour in (((low, low), (255, 0, 0)), ((low, high), (0, 255, 0)), ((high, low), (0, 0, 255))):
        assert np.abs(pixels[place] - colour).max() < 30


def test_every_size_in_one_pass():
    found = shown(layouts.photo(1, width=300, height=200), Look((16, 64, 128)))
    assert [one.shape for one in found] == [(16, 16, 3), (64, 64, 3), (128, 128, 3)]


def test_a_jpeg_of_a_wanted_size_stays_as_it_is():
    square, wide = layouts.photo(1, width=64, height=64), layouts.photo(1, width=65, height=64)
    assert rendered(square, Look((32, 64), quality=50)).images[1] == square
    assert rendered(wide, Look((64,))).images[0] != wide
    assert rendered(square, Look((64,)), (0.0, 0.0, 0.5, 0.5)).images[0] != square  # the flower is in a corner of it
    assert rendered(square, Look((64,)), None, 90).images[0] != square
    assert rendered(written(layouts.scene(1, 64, 64), "PNG"), Look((64,))).images[0].startswith(b"\xff\xd8")
    with pytest.raises(PhotoError, match="damaged"):
        rendered(square[:-200], Look((64,)))


def test_it_is_the_centred_square_that_photo_takes():
    content = layouts.photo(1, width=300, height=200)
    (found,) = shown(content, Look((64,), quality=100))
    assert np.abs(found - prepared(content, 64, "x")).mean() < 3


@pytest.mark.parametrize("resample", ["lanczos", "area"])
@pytest.mark.parametrize("width", [64, 65, 257, 1201])
def test_scaling_keeps_the_mean(resample, width):
    content = written(layouts.scene(2, width, width))
    (found,) = shown(content, Look((32,), resample=resample, quality=100))
    np.testing.assert_allclose(found.mean((0, 1)), decode(content).mean((0, 1)), atol=2.5)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_exif_says_which_side_is_up(orientation, format):
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's numbers of what brings it there
    stored = quarters() if orientation == 1 else quarters().transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    (found,) = shown(written(stored, format, exif=exif), Look((32,)))
    assert_quarters(found)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_a_source_may_say_which_side_is_up(rotation, format):
    """Degrees counterclockwise, as np.rot90; what EXIF says counts more."""
    stored = Image.fromarray(np.rot90(np.asarray(quarters()), -rotation // 90).copy())
    assert_quarters(decode(rendered(written(stored, format), Look((32,)), None, rotation).images[0]).astype(int))
    exif = Image.Exif()
    exif[0x0112] = 3
    upside_down = quarters().transpose(Image.Transpose.ROTATE_180)
    content = written(upside_down, format, exif=exif)
    assert_quarters(decode(rendered(content, Look((32,)), None, rotation).images[0]).astype(int))


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA", "1"])
def test_kinds_of_pixels(mode):
    image = Image.new("L", (40, 30), 128).convert(mode)
    (found,) = shown(written(image, "JPEG" if mode in ("L", "CMYK") else "PNG"), Look((16,)))
    assert found.shape == (16, 16, 3)


def test_padding_shows_all_of_it_on_gray():
    image = Image.new("RGB", (80, 40), "red")
    (found,) = shown(written(image), Look((40,), fit="pad"))
    assert np.abs(found[:8] - 128).max() < 6 and np.abs(found[-8:] - 128).max() < 6
    assert np.abs(found[14:26] - (254, 0, 0)).max() < 6


def test_a_box_is_cut_out_and_stays_inside():
    image = Image.new("RGB", (200, 100), "white")
    image.paste("red", (160, 60, 200, 100))
    (found,) = shown(written(image), Look((32,)), (0.8, 0.6, 1.0, 1.0))
    assert (np.abs(found - (254, 0, 0)).max(-1) < 40).mean() > 0.75
    (whole,) = shown(written(image), Look((32,)), (0.0, 0.0, 1.0, 1.0))
    assert (np.abs(whole - 255).max(-1) < 40).mean() > 0.9


def test_a_box_is_decoded_large_enough():
    """Else a small flower in a large photo would be made of a few blurred pixels."""
    content = written(layouts.scene(1, 1600, 1200))
    seen = []

    def decoding(*args, **more):
        seen.append(more["min_height"])
        return simplejpeg.decode_jpeg(*args, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            record, "simplejpeg", type("", (), {"decode_jpeg": decoding, "encode_jpeg": simplejpeg.encode_jpeg})
        )
        rendered(content, Look((100,)), (0.4, 0.4, 0.6, 0.6))
        rendered(content, Look((100,)))
    assert seen == [500, 100] or seen == [501, 100]


def test_same_photo_same_bytes():
    content = layouts.photo(5, width=333, height=222)
    assert rendered(content, Look((32, 48))) == rendered(content, Look((32, 48)))


@pytest.mark.parametrize("size", [(1, 1), (3000, 2), (7, 500)])
@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_odd_sizes(size, fit):
    assert [one.shape for one in shown(written(Image.new("RGB", size)), Look((16, 32), fit=fit))][1] == (32, 32, 3)


def damaged() -> dict[str, bytes]:
    whole = layouts.photo(1, width=200, height=150)
    return {
        "empty": b"",
        "a page": b"<html>no photo</html>",
        "cut in its header": whole[:40],
        "cut in its data": whole[: len(whole) // 2],
        "rest of zeros": whole[: len(whole) // 2] + bytes(500),
        "png cut": layouts.photo(1, "PNG")[:200],
        "gif": layouts.photo(1, "GIF"),
    }


@pytest.mark.parametrize("name", damaged())
def test_damaged_photos_are_refused_not_patched_over(name):
    with pytest.raises(PhotoError):
        rendered(damaged()[name], Look((32,)))


def test_too_many_pixels_are_refused_by_the_header():
    header = bytearray(layouts.photo(1))
    place = header.index(b"\xff\xc0")
    header[place + 5 : place + 9] = b"\xff\xdc\xff\xdc"
    with pytest.raises(PhotoError, match="more pixels than the limits"):
        rendered(bytes(header), Look((32,)))


# ------------------------------------------------------------------------------------------------------------- names


def test_ids_are_nine_hexadecimal_characters_of_the_source_and_the_name():
    photos = [("a", "x", ""), ("b", "x", ""), ("a", "y", "")]
    found = ids(photos)
    assert len(set(found)) == 3 and found == ids(photos)
    assert all(len(one) == 9 and set(one) <= set("0123456789abcdef") for one in found)


def test_ids_that_meet_get_out_of_the_way(monkeypatch):
    real = record._hashed
    monkeypatch.setattr(record, "_hashed", lambda source, name, number: real("", "", number))
    assert len(set(ids([("a", str(i), "") for i in range(5)]))) == 5


def test_ids_that_photos_have_are_kept_by_the_first():
    """Also where an earlier photo's made-up one would be the same."""
    taken = ids([("a", "x", "")])[0]
    found = ids([("a", "x", ""), ("b", "1", "0123abcde"), ("c", "1", "0123abcde"), ("d", "2", taken)])
    assert found[1] == "0123abcde" and found[3] == taken and len(set(found)) == 4


def test_names_in_one_line():
    assert displayed("a b/ä.jpg") == "a b/ä.jpg"
    assert displayed("a\nb\\c") == "a\\x0ab\\\\c"
    assert displayed(b"caf\xe9".decode("utf-8", "surrogateescape")) == "caf\\xe9"
