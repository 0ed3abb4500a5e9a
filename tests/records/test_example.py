"""`tf.train.Example`: both spellings, every form of an image, and a named error for everything else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corolla.records.example import (
    ExampleMessage,
    SchemaError,
    TensorMessage,
    encode_example,
    parse_example,
)
from corolla.records.framing import read_records
from corolla.types import Example
from tiny import jpeg

JPEG = jpeg()
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
SQUARE = np.random.default_rng(1).integers(0, 256, (192, 192, 3), np.uint8)
TENSOR_TYPES = {"float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int64": 9, "float16": 19}


def encoded(**features) -> bytes:
    """Return an Example with any features: bytes, int, float, or lists of them."""
    message = ExampleMessage()
    for name, value in features.items():
        values = value if isinstance(value, list) else [value]
        kind = {bytes: "bytes_list", int: "int64_list", float: "float_list"}[type(values[0])]
        getattr(message.features.feature[name], kind).value.extend(values)
    return message.SerializeToString(deterministic=True)


def serialized(array: np.ndarray) -> bytes:
    """Return what tf.io.serialize_tensor gives for an array."""
    tensor = TensorMessage(dtype=TENSOR_TYPES[array.dtype.name], tensor_content=array.tobytes())
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    return tensor.SerializeToString()


def parsed_image(**features) -> np.ndarray:
    image = parse_example(encoded(id=b"a", **features)).image
    assert isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.flags.c_contiguous
    return image


# ------------------------------------------------------------------------------------------------------- round trip


@given(st.text(max_size=30), st.none() | st.integers(0, 103), st.binary(max_size=200))
def test_round_trip_of_encoded_images(name, label, body):
    example = Example(name, label, b"\xff\xd8\xff" + body)
    assert parse_example(encode_example(example)) == example
    assert encode_example(example) == encode_example(example)


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_round_trip_of_pixels(height, width, data):
    pixels = np.frombuffer(data.draw(st.binary(min_size=height * width * 3, max_size=height * width * 3)), np.uint8)
    example = Example("a", 3, pixels.reshape(height, width, 3))
    np.testing.assert_array_equal(parse_example(encode_example(example)).image, example.image)


def test_known_bytes():
    """What TensorFlow 2.21 writes for the same Example (deterministic), and tf.io.serialize_tensor for uint8."""
    assert encode_example(Example("a762df180", 95, b"\xff\xd8\xff")).hex() == (
        "0a370a0e0a05636c61737312051a030a015f0a130a026964120d0a0b0a096137363264663138300a100a05696d61676512070a050a03ffd8ff"
    )
    assert serialized(np.arange(12, dtype=np.uint8).reshape(2, 2, 3)).hex() == (
        "0804120c120208021202080212020803220c000102030405060708090a0b"
    )


@pytest.mark.real_data
def test_real_records_come_back_byte_for_byte(real_data):
    for shard in (real_data / "train" / "00-224x224-389.tfrec", real_data / "test" / "00-224x224-114.tfrec"):
        for record in read_records(shard):
            assert encode_example(parse_example(record.data)) == record.data


@pytest.mark.parametrize("spelling", [("class", "image"), ("label", "img"), ("class", "img"), ("label", "image")])
def test_both_spellings(spelling):
    label, image = spelling
    assert parse_example(encoded(id=b"a762df180", **{label: 7, image: JPEG})) == Example("a762df180", 7, JPEG)


def test_other_features_do_not_disturb():
    """Görner's tf_flowers files carry the class as a number, and `label` as its name in letters."""
    data = encoded(id=b"a", **{"class": 7}, label=b"tulip", one_hot_class=[0.0, 1.0], image=JPEG)
    assert parse_example(data) == Example("a", 7, JPEG)


def test_what_may_be_missing():
    assert parse_example(encoded(image=JPEG)) == Example("", None, JPEG)


# -------------------------------------------------------------------------------------------------- forms of images


def test_png_is_handed_on():
    png = b"\x89PNG\r\n\x1a\n rest"
    assert parse_example(encoded(image=png)).image == png


def test_raw_bytes_with_declared_shape():
    np.testing.assert_array_equal(parsed_image(image=PIXELS.tobytes(), height=5, width=7, channels=3), PIXELS)
    np.testing.assert_array_equal(parsed_image(image=PIXELS.tobytes(), height=5, width=7), PIXELS)


def test_one_channel_becomes_three():
    gray = PIXELS[..., :1]
    wanted = np.repeat(gray, 3, axis=2)
    np.testing.assert_array_equal(parsed_image(image=gray.tobytes(), height=5, width=7, channels=1), wanted)
    np.testing.assert_array_equal(parsed_image(image=gray.tobytes(), height=5, width=7), wanted)
    np.testing.assert_array_equal(parsed_image(image=serialized(gray[..., 0])), wanted)


def test_raw_bytes_of_a_known_square():
    np.testing.assert_array_equal(parsed_image(img=SQUARE.tobytes()), SQUARE)


@pytest.mark.parametrize("start", [b"\xff\xd8\xff", b"\x08\x04\x12", b"\x89PNG\r\n\x1a\n"])
def test_declared_raw_bytes_may_begin_like_a_file(start):
    pixels = start + PIXELS.tobytes()[len(start) :]
    assert parsed_image(image=pixels, height=5, width=7, channels=3).tobytes() == pixels


def test_a_jpeg_with_height_and_width_beside_it_stays_a_jpeg():
    assert parse_example(encoded(image=JPEG, height=32, width=32, channels=3)).image == JPEG


def test_a_dark_square_is_no_tensor():
    dark = b"\x08\x04\x12" + SQUARE.tobytes()[3:]
    assert parsed_image(image=dark).tobytes() == dark


def test_int64_list():
    values = [int(value) for value in PIXELS.ravel()]
    np.testing.assert_array_equal(parsed_image(image=values, height=5, width=7, channels=3), PIXELS)
    square = PIXELS[:, :5]
    np.testing.assert_array_equal(parsed_image(image=[int(value) for value in square.ravel()]), square)


@pytest.mark.parametrize("scale", [1, 255])
def test_float_list(scale):
    values = [float(value) / 255 * scale for value in PIXELS.ravel()]
    np.testing.assert_array_equal(parsed_image(image=values, height=5, width=7, channels=3), PIXELS)


def test_fractions_are_rounded():
    values = [0.4, 0.6, 254.6] * 2
    assert parsed_image(image=values, height=1, width=2).ravel().tolist() == [0, 1, 255] * 2
    assert parsed_image(image=[value / 255 for value in values], height=1, width=2).ravel().tolist() == [0, 1, 255] * 2


@pytest.mark.parametrize("kind", list(TENSOR_TYPES))
def test_serialized_tensors(kind):
    np.testing.assert_array_equal(parsed_image(image=serialized(PIXELS.astype(kind))), PIXELS)


def test_a_serialized_tensor_of_fractions():
    np.testing.assert_array_equal(parsed_image(image=serialized(PIXELS.astype(np.float32) / 255)), PIXELS)


# ----------------------------------------------------------------------------------------------------------- errors

LIST = [1, 2, 3]


@pytest.mark.parametrize(
    ("features", "line"),
    [
        ({"class": 104, "image": JPEG}, "id 'a': feature 'class' is 104, wanted 0 to 103"),
        ({"class": -1, "image": JPEG}, "id 'a': feature 'class' is -1, wanted 0 to 103"),
        ({"label": 104, "image": JPEG}, "id 'a': feature 'label' is 104, wanted 0 to 103"),
        ({"label": b"rose", "image": JPEG}, "id 'a': feature 'label' holds bytes, wanted int64"),
        ({"class": 1.0, "image": JPEG}, "id 'a': feature 'class' holds float, wanted int64"),
        ({"class": [1, 2], "image": JPEG}, "id 'a': feature 'class' holds 2 values, wanted 1"),
        ({"class": 1}, "id 'a': feature 'image' (or 'img') is missing; the record has: 'class', 'id'"),
        ({"image": [JPEG, JPEG]}, "id 'a': feature 'image' holds 2 values, wanted 1"),
        (
            {"image": b"<html>"},
            "id 'a': feature 'image' holds 6 bytes starting b'<html>': neither JPEG nor PNG nor an array of a known "
            "size (add height and width)",
        ),
        (
            {"img": b""},
            "id 'a': feature 'img' holds no bytes: neither JPEG nor PNG nor an array of a known size (add height and "
            "width)",
        ),
        (
            {"image": [*LIST, 1]},
            "id 'a': feature 'image' holds 4 values, no square RGB image: add height and width features",
        ),
        (
            {"image": [256, 0, 0]},
            "id 'a': feature 'image' holds values from 0 to 256, wanted 0 to 255 (or 0 to 1 as fractions)",
        ),
        (
            {"image": [0.0, float("nan"), 1.0]},
            "id 'a': feature 'image' holds values from nan to nan, wanted 0 to 255 (or 0 to 1 as fractions)",
        ),
        (
            {"image": LIST, "height": 2, "width": 2},
            "id 'a': feature 'image' holds 3 values, which make no image of shape (2, 2, 1)",
        ),
        (
            {"image": [1] * 16, "height": 2, "width": 2, "channels": 4},
            "id 'a': feature 'image' has shape (2, 2, 4), wanted [h, w, 3] or [h, w, 1]",
        ),
        (
            {"image": LIST, "height": 0, "width": 2},
            "id 'a': height, width and channels are (0, 2), wanted at least 1 each",
        ),
        (
            {"image": serialized(PIXELS)[:-1]},
            "id 'a': feature 'image' holds neither JPEG nor PNG, nor a whole serialized tensor",
        ),
        ({"image": b"\x08\x07"}, "id 'a': feature 'image' is a tensor of TensorFlow's type 7, wanted uint8 or float32"),
        (
            {"image": serialized(PIXELS).replace(b"\x12\x02\x08\x05", b"\x12\x02\x08\x06")},
            "id 'a': feature 'image' is a tensor of shape (6, 7, 3) with 105 bytes, which disagree",
        ),
    ],
)
def test_what_is_refused(features, line):
    with pytest.raises(SchemaError) as caught:
        parse_example(encoded(id=b"a", **features))
    assert str(caught.value) == line


def test_ids_that_are_refused():
    with pytest.raises(SchemaError, match="feature 'id' is not UTF-8 text"):
        parse_example(encoded(id=b"caf\xe9", image=JPEG))
    with pytest.raises(SchemaError, match="this record: feature 'id' holds int64, wanted bytes"):
        parse_example(encoded(id=5, image=JPEG))


def test_a_feature_that_holds_nothing():
    message = ExampleMessage()
    message.features.feature["image"].SetInParent()
    with pytest.raises(SchemaError, match="holds nothing, wanted an image"):
        parse_example(message.SerializeToString())


def test_number_of_classes_is_the_callers():
    data = encoded(id=b"a", label=7, image=JPEG)
    assert parse_example(data, classes=8).label == 7
    with pytest.raises(SchemaError, match="is 7, wanted 0 to 6"):
        parse_example(data, classes=7)


@given(st.binary(max_size=200))
def test_any_bytes_give_an_example_or_a_schema_error(junk):
    try:
        parse_example(junk)
    except SchemaError as error:
        assert str(error)


@given(
    st.dictionaries(
        st.sampled_from(["id", "class", "label", "image", "img", "height", "width", "channels"]),
        st.binary(max_size=12)
        | st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=12)
        | st.lists(st.floats(width=32), min_size=1, max_size=12),
    )
)
def test_any_features_give_an_example_or_a_schema_error(features):
    try:
        parsed = parse_example(encoded(**features))
    except SchemaError as error:
        assert "\n" not in str(error)
    else:
        assert parsed.label is None or 0 <= parsed.label < 104


def test_our_messages_do_not_touch_the_default_pool():
    from google.protobuf import descriptor_pool

    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("corolla.records.Example")
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("tensorflow.Example")
