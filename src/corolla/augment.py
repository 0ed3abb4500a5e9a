"""What a training image goes through, on the device: random crop, resize and mirror in two matrix products.

Takes: uint8 pixels and uniform random numbers (all the chance is in those: `order.EpochOrder.draws`).
Gives: float pixels in 0..255 of the size that the model wants.

Crop, anti-aliased resize and mirror are linear in the rows and in the columns of an image, so each image needs one
small matrix for its rows and one for its columns. Matrix products are what a TPU is made for, and no gather is needed.
Written with `keras.ops`, so that it runs on any backend of Keras; there is no other augmentation.
"""

from typing import Any

from corolla.backend import keras

ops: Any = keras.ops
Tensor = Any

LOG_RATIO = 0.2877
"""Widest logarithm of a crop's aspect ratio: log(4/3), as in Inception's crop (Szegedy et al., 2015)."""


def augment(images: Tensor, draws: Tensor, size: int, crop_area: float, flip: bool, dtype: str = "float32") -> Tensor:
    """Crop, resize and mirror at random.

    images: uint8[b, h, w, 3]; draws: float32[b, >=5] uniform in [0, 1); size: side of the result [px];
    crop_area: smallest part of the area that is kept (1: all of it); flip: mirror half of the images.
    Returns dtype[b, size, size, 3]. With crop_area=1, flip=False and h = w = size it is the identity.
    """
    top, height, left, width = crop_boxes(draws, crop_area)
    mirrored = ops.cast(draws[:, 4] < 0.5, "float32") if flip else ops.zeros_like(top)
    rows = sampling_matrix(top, height, ops.zeros_like(top), size, images.shape[1])
    columns = sampling_matrix(left, width, mirrored, size, images.shape[2])
    return resample(images, rows, columns, dtype)


def resize(images: Tensor, size: int, dtype: str = "float32") -> Tensor:
    """Resize without chance, for evaluation. images: uint8[b, h, w, 3]; returns dtype[b, size, size, 3] in 0..255."""
    if images.shape[1:3] == (size, size):
        return ops.cast(images, dtype)
    one = ops.ones_like(
        images[:, 0, 0, 0], dtype="float32"
    )  # other backends than JAX do not know the batch's size here
    zero = ops.zeros_like(one)
    rows = sampling_matrix(zero, one, zero, size, images.shape[1])
    columns = sampling_matrix(zero, one, zero, size, images.shape[2])
    return resample(images, rows, columns, dtype)


def mirror(images: Tensor) -> Tensor:
    """The images seen in a mirror: columns reversed. images: [b, h, w, 3]."""
    return ops.flip(images, axis=2)


def crop_boxes(draws: Tensor, crop_area: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random boxes inside the unit square: (top, height, left, width), each float32[b].

    Area uniform in [crop_area, 1], aspect ratio log-uniform in [3/4, 4/3], place uniform; sides are cut at 1.
    """
    if crop_area >= 1:
        zero = ops.zeros_like(draws[:, 0])
        return zero, zero + 1, zero, zero + 1
    area = crop_area + (1 - crop_area) * draws[:, 0]
    stretch = ops.exp((draws[:, 1] - 0.5) * LOG_RATIO)  # the square root of the ratio
    side = ops.sqrt(area)
    height, width = ops.minimum(side * stretch, 1.0), ops.minimum(side / stretch, 1.0)
    return draws[:, 2] * (1 - height), height, draws[:, 3] * (1 - width), width


def sampling_matrix(start: Tensor, length: Tensor, mirrored: Tensor, out: int, inp: int) -> Tensor:
    """Matrices that read `out` samples from the part [start, start + length] of a line of `inp` pixels.

    start, length: float32[b] as parts of the line; mirrored: float32[b], 1 reads backwards.
    Returns float32[b, out, inp], rows summing to 1: a triangle filter, widened when it shrinks (anti-aliasing), as
    Pillow's BILINEAR.
    """
    place = ops.arange(out, dtype="float32") + 0.5
    place = ops.where(mirrored[:, None] > 0.5, out - place[None], place[None])
    centre = start[:, None] * inp + length[:, None] * (place * (inp / out))  # in this order no bit is lost at inp = out
    reach = ops.maximum(length * inp / out, 1.0)[:, None, None]
    distance = ops.abs(ops.arange(inp, dtype="float32") + 0.5 - centre[:, :, None])
    weight = ops.maximum(1 - distance / reach, 0.0)
    return weight / ops.sum(weight, axis=2, keepdims=True)


def resample(images: Tensor, rows: Tensor, columns: Tensor, dtype: str) -> Tensor:
    """Apply rows[b, o, h] and columns[b, p, w] to images[b, h, w, 3]; dtype[b, o, p, 3], products in `dtype`.

    Colours stand before columns from the first product to the last, so the pixels are turned round once before and
    once after. Turned round between the products as well, a TPU moves them five times: docs/benchmarks.md has the cost.
    """
    pixels = ops.cast(ops.transpose(images, (0, 1, 3, 2)), dtype)
    lines = ops.einsum("boh,bhcw->bocw", ops.cast(rows, dtype), pixels)
    seen = ops.einsum("bocw,bpw->bocp", lines, ops.cast(columns, dtype))
    return ops.transpose(seen, (0, 1, 3, 2))
