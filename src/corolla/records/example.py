"""The content of a record: `tf.train.Example` to and from `Example`, without TensorFlow.

Takes: a record's bytes. Gives: `Example(id, label, image)`; and the bytes back.

Both spellings of the competition are read: `id | class | image` (its files) and `id | label | img` (its description).
An image may be
  - an encoded JPEG or PNG (bytes), which is handed on undecoded;
  - raw uint8 (bytes), int64 list, or float list, with `height` and `width` (and `channels`, 1 or 3) features, or
    without them where it is square RGB (bytes: only of 192, 224, 331 or 512 px, for any text is some small square);
  - bytes of `tf.io.serialize_tensor` of shape [h, w], [h, w, 1] or [h, w, 3].
Whole numbers must lie in 0..255. Fractions are read as 0..1 where none is above 1, else as 0..255, and rounded: a
picture in 0..255 whose every value is at most 1 (all black) would be read too bright.

Source: `tensorflow/core/example/{example,feature}.proto`, `tensorflow/core/framework/{tensor,tensor_shape}.proto`.
The messages live in a descriptor pool of their own, so that TensorFlow in the same process does not clash with them.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
from numpy.typing import NDArray

from corolla import classes as flowers
from corolla.errors import DataError
from corolla.types import Example

ID_NAMES = ("id",)
LABEL_NAMES = ("class", "label")
IMAGE_NAMES = ("image", "img")
RAW_SQUARES_PX = (192, 224, 331, 512)

JPEG_MAGIC = b"\xff\xd8\xff"
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"

# tensorflow/core/framework/types.proto: DataType -> how NumPy reads TensorProto.tensor_content
_TENSOR_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "|u1", 9: "<i8", 19: "<f2"}
_KIND_WORDS = {"bytes_list": "bytes", "int64_list": "int64", "float_list": "float", None: "nothing"}


class SchemaError(DataError):
    """An intact record whose content is not a flower: a feature is missing, of the wrong type, or out of range."""


# --------------------------------------------------------------------------------------------------------- messages

_PACKAGE = "corolla.records"
_Field = descriptor_pb2.FieldDescriptorProto


def _field(
    name: str, number: int, kind: int, type_name: str = "", repeated: bool = False
) -> descriptor_pb2.FieldDescriptorProto:
    label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
    field = _Field(name=name, number=number, type=kind, label=label)  # type: ignore[arg-type]
    if type_name:
        field.type_name = f".{_PACKAGE}.{type_name}"
    return field


def _message(name: str, *fields: descriptor_pb2.FieldDescriptorProto) -> descriptor_pb2.DescriptorProto:
    return descriptor_pb2.DescriptorProto(name=name, field=fields)


def _feature_message() -> descriptor_pb2.DescriptorProto:
    kinds = ("bytes_list", "BytesList"), ("float_list", "FloatList"), ("int64_list", "Int64List")
    feature = _message(
        "Feature", *(_field(name, i, _Field.TYPE_MESSAGE, kind) for i, (name, kind) in enumerate(kinds, 1))
    )
    feature.oneof_decl.add(name="kind")
    for field in feature.field:
        field.oneof_index = 0
    return feature


def _features_message() -> descriptor_pb2.DescriptorProto:
    """Features { map<string, Feature> feature = 1; }, a map being a repeated message of entries on the wire."""
    features = _message("Features", _field("feature", 1, _Field.TYPE_MESSAGE, "Features.FeatureEntry", repeated=True))
    entry = _message(
        "FeatureEntry", _field("key", 1, _Field.TYPE_STRING), _field("value", 2, _Field.TYPE_MESSAGE, "Feature")
    )
    entry.options.map_entry = True
    features.nested_type.append(entry)
    return features


def _proto_file() -> descriptor_pb2.FileDescriptorProto:
    return descriptor_pb2.FileDescriptorProto(
        name="corolla/records/example.proto",
        package=_PACKAGE,
        syntax="proto3",
        message_type=[
            _message("BytesList", _field("value", 1, _Field.TYPE_BYTES, repeated=True)),
            _message("FloatList", _field("value", 1, _Field.TYPE_FLOAT, repeated=True)),
            _message("Int64List", _field("value", 1, _Field.TYPE_INT64, repeated=True)),
            _feature_message(),
            _features_message(),
            _message("Example", _field("features", 1, _Field.TYPE_MESSAGE, "Features")),
            _message("TensorDim", _field("size", 1, _Field.TYPE_INT64)),
            _message("TensorShape", _field("dim", 2, _Field.TYPE_MESSAGE, "TensorDim", repeated=True)),
            _message(
                "Tensor",
                _field("dtype", 1, _Field.TYPE_INT32),
                _field("tensor_shape", 2, _Field.TYPE_MESSAGE, "TensorShape"),
                _field("tensor_content", 4, _Field.TYPE_BYTES),
            ),
        ],
    )


def _message_classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_proto_file())  # type: ignore[attr-defined]
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in ("Example", "Tensor")
    }


_MESSAGES = _message_classes()
ExampleMessage: Any = _MESSAGES["Example"]
"""The protobuf class of `tf.train.Example`: same bytes on the wire, another name in the registry."""
TensorMessage: Any = _MESSAGES["Tensor"]
"""The protobuf class of `TensorProto`, reduced to what `tf.io.serialize_tensor` writes for numbers."""


# ---------------------------------------------------------------------------------------------------------- reading


def parse_example(data: bytes, *, classes: int = flowers.COUNT) -> Example:
    """Return a record's content; the image is the encoded bytes, or uint8[h, w, 3] where it came as an array.

    Raises SchemaError, naming the id and the feature, where something is missing, of the wrong type, or where the
    label is outside 0..classes-1. A record without an id has the id ""; one without a label has the label None.
    """
    features = _features(data)
    name = _id(features)
    return Example(name, _label(features, name, classes), _image(features, name))


def _features(data: bytes) -> Mapping[str, Any]:
    parsed = ExampleMessage()
    try:
        parsed.ParseFromString(data)
    except message.DecodeError as error:
        raise SchemaError(f"the content is not a tf.train.Example: write the record again ({error})") from error
    return parsed.features.feature


def _present(features: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        if name in features:
            return name
    return None


def _one_value(features: Mapping[str, Any], feature: str, kind: str, who: str) -> Any:
    """Return the only value of a feature that must be a list of `kind` with one value."""
    value = features[feature]
    found = value.WhichOneof("kind")
    if found != kind:
        raise SchemaError(f"{who}: feature {feature!r} holds {_KIND_WORDS[found]}, wanted {_KIND_WORDS[kind]}")
    values = getattr(value, kind).value
    if len(values) != 1:
        raise SchemaError(f"{who}: feature {feature!r} holds {len(values)} values, wanted 1")
    return values[0]


def _id(features: Mapping[str, Any]) -> str:
    feature = _present(features, ID_NAMES)
    if feature is None:
        return ""
    value = _one_value(features, feature, "bytes_list", "this record")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SchemaError(f"feature {feature!r} is not UTF-8 text: {value[:40]!r}") from error


def _label(features: Mapping[str, Any], name: str, classes: int) -> int | None:
    feature = _present(features, LABEL_NAMES)
    if feature is None:
        return None
    label = _one_value(features, feature, "int64_list", f"id {name!r}")
    if not 0 <= label < classes:
        raise SchemaError(f"id {name!r}: feature {feature!r} is {label}, wanted 0 to {classes - 1}")
    return label


def _image(features: Mapping[str, Any], name: str) -> bytes | NDArray[np.uint8]:
    who = f"id {name!r}"
    feature = _present(features, IMAGE_NAMES)
    if feature is None:
        found = ", ".join(repr(key) for key in sorted(features)[:8]) or "none"
        raise SchemaError(f"{who}: feature 'image' (or 'img') is missing; the record has: {found}")
    who = f"{who}: feature {feature!r}"
    shape = _declared_shape(features, f"id {name!r}")
    kind = features[feature].WhichOneof("kind")
    if kind == "bytes_list":
        return _from_bytes(_one_value(features, feature, kind, f"id {name!r}"), shape, who)
    if kind is None:
        raise SchemaError(f"{who} holds nothing, wanted an image")
    values = getattr(features[feature], kind).value
    array = np.array(values, np.int64 if kind == "int64_list" else np.float32)
    return _pixels(array, shape or _square(len(array), who), who)


def _declared_shape(features: Mapping[str, Any], who: str) -> tuple[int, ...] | None:
    """Return (h, w) or (h, w, c) from the record's own features, or None where it does not say."""
    if "height" not in features or "width" not in features:
        return None
    names = ("height", "width", "channels") if "channels" in features else ("height", "width")
    shape = tuple(_one_value(features, name, "int64_list", who) for name in names)
    if min(shape) < 1:
        raise SchemaError(f"{who}: height, width and channels are {shape}, wanted at least 1 each")
    return shape


def _square(length: int, who: str) -> tuple[int, ...]:
    side = math.isqrt(length // 3)
    if length == 0 or 3 * side * side != length:
        raise SchemaError(f"{who} holds {length} values, no square RGB image: add height and width features")
    return side, side, 3


def _from_bytes(image: bytes, shape: tuple[int, ...] | None, who: str) -> bytes | NDArray[np.uint8]:
    # The order matters: a raw picture may begin with any bytes, and a JPEG may have any length, but not both at once
    # the length that its record declares.
    if shape and len(image) in (math.prod(shape), 3 * math.prod(shape[:2])):
        return _pixels(np.frombuffer(image, np.uint8), shape, who)
    if image.startswith((JPEG_MAGIC, PNG_MAGIC)):
        return image
    if len(image) in (3 * side * side for side in RAW_SQUARES_PX):
        return _pixels(np.frombuffer(image, np.uint8), _square(len(image), who), who)
    if image.startswith(b"\x08"):
        return _from_tensor(image, who)
    start = f"{len(image)} bytes starting {image[:12]!r}" if image else "no bytes"
    raise SchemaError(f"{who} holds {start}: neither JPEG nor PNG nor an array of a known size (add height and width)")


def _from_tensor(image: bytes, who: str) -> NDArray[np.uint8]:
    tensor = TensorMessage()
    try:
        tensor.ParseFromString(image)
    except message.DecodeError as error:
        raise SchemaError(f"{who} holds neither JPEG nor PNG, nor a whole serialized tensor") from error
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    kind = _TENSOR_TYPES.get(tensor.dtype)
    if kind is None:
        raise SchemaError(f"{who} is a tensor of TensorFlow's type {tensor.dtype}, wanted uint8 or float32")
    if len(tensor.tensor_content) != math.prod(shape) * np.dtype(kind).itemsize or min(shape, default=0) < 1:
        raise SchemaError(f"{who} is a tensor of shape {shape} with {len(tensor.tensor_content)} bytes, which disagree")
    return _pixels(np.frombuffer(tensor.tensor_content, kind), shape, who)


def _pixels(values: NDArray[Any], shape: tuple[int, ...], who: str) -> NDArray[np.uint8]:
    """Return flat numbers as uint8[h, w, 3]; one channel becomes three equal ones."""
    if len(shape) == 2:
        shape = (*shape, 3 if len(values) == 3 * math.prod(shape) else 1)
    if len(shape) != 3 or shape[2] not in (1, 3):
        raise SchemaError(f"{who} has shape {shape}, wanted [h, w, 3] or [h, w, 1]")
    if len(values) != math.prod(shape):
        raise SchemaError(f"{who} holds {len(values)} values, which make no image of shape {shape}")
    pixels = _to_uint8(values, who).reshape(shape)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*shape[:2], 3)))


def _to_uint8(values: NDArray[Any], who: str) -> NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return values
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 255):  # written so that NaN fails too
        raise SchemaError(f"{who} holds values from {low} to {high}, wanted 0 to 255 (or 0 to 1 as fractions)")
    if values.dtype.kind == "f":
        values = np.rint(values.astype(np.float32) * (255 if high <= 1 else 1))
    return values.astype(np.uint8)


# ---------------------------------------------------------------------------------------------------------- writing


def encode_example(example: Example) -> bytes:
    """Return an Example as the competition writes it: `id`, `class` (unless None) and `image`; same input, same bytes.

    Pixels (uint8[h, w, 3]) become raw bytes with `height`, `width` and `channels` beside them.
    """
    encoded = ExampleMessage()
    features = encoded.features.feature
    features["id"].bytes_list.value.append(example.id.encode("utf-8"))
    if example.label is not None:
        features["class"].int64_list.value.append(int(example.label))
    image = example.image
    if not isinstance(image, bytes):
        for name, size in zip(("height", "width", "channels"), image.shape, strict=True):
            features[name].int64_list.value.append(size)
        image = image.astype(np.uint8, casting="no", copy=False).tobytes()
    features["image"].bytes_list.value.append(image)
    return encoded.SerializeToString(deterministic=True)
