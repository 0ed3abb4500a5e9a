"""What a training image goes through, on the device: one policy, whose strengths are all 0 where nothing is wished.

Takes: uint8 pixels and uniform random numbers (all the chance is in those: `order.EpochOrder.draws`).
Gives: float pixels in 0..255 of the size that the model wants; and, of pairs of images, mixtures and their shares.

Crop, scale, zoom, shift and mirror are linear in the rows and in the columns of an image, so each image needs one small
matrix for its rows and one for its columns: products are what a TPU is made for. A rotation or shear is a shear along
the rows before them and one along the columns after (Catmull & Smith, 1980): every row moves by a distance of its own,
in halves of halves (a shift by 32, 16, 8 ... pixels where that bit of the distance is set), so that no gather is
needed. Colours are one product of an image's 3 channels. Written with `keras.ops`, so that it runs on any backend of
Keras; there is no other augmentation. A strength of 0 costs nothing: its part is not in the program.
"""

import math
from typing import Any

import numpy as np

from corolla.backend import keras
from corolla.config import Augmentation
from corolla.order import DRAWS

ops: Any = keras.ops
Tensor = Any

LOG_RATIO = 0.2877
"""Widest logarithm of a crop's aspect ratio: log(4/3), as in Inception's crop (Szegedy et al., 2015)."""

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey that looks as light (ITU-R BT.601)."""

_ERASED_AREA, _ERASED_RATIO = (0.02, 0.25), 3.0
"""Part of the image that is erased, and the rectangle's longest aspect ratio: as Zhong et al. (2020), a little less."""

_GRID_CELLS = (4.0, 8.0)
"""Fewest and most cells of a grid mask along a side; half of each is masked in both directions (Chen et al., 2020)."""

_BLANK = 127.5
"""What is masked becomes this grey, which is near to the mean that backbones subtract."""

_QUANTILES = 1024
"""Steps in which the shares of mixtures are tabulated."""


_CHANGES = ("rotate", "shear", "zoom", "shift", "brightness", "contrast", "saturation", "hue", "erase", "grid")
"""Those of which `chosen` are drawn."""

_CROP, _FLIP, _FIRST_CHANGE = slice(0, 4), 4, 5
_ERASE, _GRID = slice(17, 21), slice(21, 24)
_CHOICE = slice(24, 24 + len(_CHANGES))
ONE = (DRAWS - 4) // 2
"""Random numbers that `augment` uses of an image; of the other image of a pair the second so many, `mix` the rest."""
assert _CHOICE.stop <= ONE


def augment(images: Tensor, draws: Tensor, size: int, how: Augmentation, dtype: str = "float32") -> Tensor:
    """Change images at random.

    images: uint8[b, h, w, 3]; draws: float32[b, >= ONE] uniform in [0, 1); size: side of the result [px].
    Returns dtype[b, size, size, 3] in 0..255. With all strengths at 0 and h = w = size it is the identity.
    """
    strengths = _strengths(draws, how)
    box = _view(draws, how, strengths)
    mirrored = ops.cast(draws[:, _FLIP] < 0.5, "float32") if how.flip else ops.zeros_like(box[0])
    slant = None
    if how.rotate or how.shear:
        shape = (box[3] * images.shape[2]) / (box[1] * images.shape[1])
        images, box, slant = _sheared(ops.cast(images, dtype), box, strengths, how)
        slant = slant * (1 - 2 * mirrored) * shape  # of the result's pixels, which need not be square
    top, height, left, width = box
    margin = 0 if slant is None else _margin(how, size)  # above and below, for the columns to move in
    top, height = top - height * (margin / size), height * (1 + 2 * margin / size)
    rows = sampling_matrix(top, height, ops.zeros_like(top), size + 2 * margin, images.shape[1])
    columns = sampling_matrix(left, width, mirrored, size, images.shape[2])
    seen = resample(images, rows, columns, dtype)
    if slant is not None:
        seen = ops.transpose(_moved(ops.transpose(seen, (0, 2, 1, 3)), slant, 0.5, margin), (0, 2, 1, 3))
    seen = _coloured(seen, strengths, how)
    return _masked(seen, draws, strengths, how)


def seen_in_training(
    images: Tensor, others: Tensor | None, draws: Tensor, size: int, how: Augmentation, dtype: str = "float32"
) -> tuple[Tensor, Tensor]:
    """What the network sees: dtype[b, size, size, 3], and each image's own share of it, float32[b].

    images, others: uint8[b, h, w, 3], `others` to mix them with or None; draws: float32[b, DRAWS].
    """
    seen = augment(images, draws, size, how, dtype)
    if others is None:
        return seen, ops.ones_like(draws[:, 0])
    return mix(seen, augment(others, draws[:, ONE:], size, how, dtype), draws, how)


def _strengths(draws: Tensor, how: Augmentation) -> dict[str, Tensor]:
    """Of each change float32[b]: in [-1, 1) times its strength, or for those with a chance 1 or 0."""
    wished = [name for name in _CHANGES if getattr(how, name)]
    found = {}
    for place, name in enumerate(wished):
        own = draws[:, _FIRST_CHANGE + _CHANGES.index(name)]
        strength = getattr(how, name)
        found[name] = ops.cast(own < strength, "float32") if name in ("erase", "grid") else strength * (2 * own - 1)
        if 0 < how.chosen < len(wished):
            lots = draws[:, _CHOICE][:, : len(wished)]
            before = ops.sum(ops.cast(lots < lots[:, place : place + 1], "float32"), axis=1)
            found[name] = found[name] * ops.cast(before < how.chosen, "float32")
    return found


# Geometry ---------------------------------------------------------------------------------------------------------


def _view(draws: Tensor, how: Augmentation, strengths: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The part of the image that is seen: a crop, widened and moved; (top, height, left, width), each float32[b]."""
    top, height, left, width = crop_boxes(draws, how.crop_area)
    if how.zoom:
        wider = ops.abs(strengths["zoom"]) / 2
        top, height = top - height * wider, height * (1 + 2 * wider)
        left, width = left - width * wider, width * (1 + 2 * wider)
    if how.shift:  # one draw for the distance down, and its digits again for that to the right
        down = strengths["shift"]
        top, left = top + down, left + how.shift * _again(down / how.shift)
    return top, height, left, width


def _again(even: Tensor) -> Tensor:
    """Another even number in [-1, 1), of the later digits of one."""
    scaled = 64 * (even + 1)
    return 2 * (scaled - ops.floor(scaled)) - 1


def _margin(how: Augmentation, size: int) -> int:
    """Pixels by which the second shear moves at most, of crops with any aspect ratio."""
    stretch = math.exp(LOG_RATIO) if how.crop_area < 1 else 1.0
    return math.ceil(_most_slant(how) * stretch * size / 2) + 1


def _most_slant(how: Augmentation) -> float:
    """The largest shear, along rows or columns, that rotation and shear ask for."""
    return math.tan(math.radians(how.rotate)) + how.shear


def _sheared(
    images: Tensor, box: tuple[Tensor, Tensor, Tensor, Tensor], strengths: dict[str, Tensor], how: Augmentation
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """The first of the two shears: images, the box as it is after it, and the slant of the second [px a px].

    A turn and slant A of the view about its centre is a product U D L, so that a pixel of the result lies at
    U (D (L p)): U shears along the rows, D scales both axes, which the box takes over, L shears along the columns.
    """
    top, height, left, width = box
    angle = strengths.get("rotate", ops.zeros_like(top)) * (math.pi / 180)
    slant = strengths.get("shear", ops.zeros_like(top))
    cosine, sine = ops.cos(angle), ops.sin(angle)
    # A = rotation times a slant along the rows: [[cosine, sine + slant * cosine], [-sine, cosine - slant * sine]]
    across, down = sine + slant * cosine, cosine - slant * sine
    images = _shear(images, across / down, top + height / 2, _most_slant(how) / max(1 - _most_slant(how) ** 2, 0.3))
    tall, wide = height * down, width / down  # the determinant is 1
    box = top + (height - tall) / 2, tall, left + (width - wide) / 2, wide
    return images, box, -sine / down


def _shear(images: Tensor, slant: Tensor, middle: Tensor, most: float) -> Tensor:
    """Shear images float[b, h, w, c] along their rows, by at most `most`; outside stands the mirror image."""
    margin = min(math.ceil(most * images.shape[1] / 2) + 1, images.shape[2] - 2)
    edges = ((0, 0), (0, 0), (margin, margin), (0, 0))
    return _moved(ops.pad(images, edges, mode="reflect"), slant, middle, margin)


def _moved(images: Tensor, slant: Tensor, middle: Any, margin: int) -> Tensor:
    """Pixel (y, x) of the result is (y, x + slant * (y - middle * h)) of the images, whose columns begin at -margin.

    images: float[b, h, w + 2 * margin, c]; slant, middle: float32[b]. Between two pixels it is their mean by weight;
    a row moves by at most the margin.
    """
    height, width = images.shape[1], images.shape[2] - 2 * margin
    rows = ops.arange(height, dtype="float32") + 0.5
    move = slant[:, None] * (rows[None] - height * (ops.zeros_like(slant) + middle)[:, None])
    move = ops.clip(move, -margin, margin) + margin
    whole = ops.floor(move)
    part = ops.cast((move - whole)[:, :, None, None], images.dtype)
    bits, step = ops.cast(whole, "int32"), 1 << (2 * margin).bit_length()
    beyond = step - 2 * margin  # all bits together move by step - 1, though no row moves so far
    seen = ops.pad(images, ((0, 0), (0, 0), (0, beyond), (0, 0)))
    while step > 1:
        step //= 2
        moved = ops.cast((bits // step) % 2, "bool")[:, :, None, None]
        seen = ops.where(moved, seen[:, :, step:], seen[:, :, : seen.shape[2] - step])
    return seen[:, :, :width] * (1 - part) + seen[:, :, 1 : width + 1] * part


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


def look(images: Tensor, box: Tensor, size: int, dtype: str = "float32") -> Tensor:
    """The same part of every image, resized without chance: dtype[b, size, size, 3] in 0..255.

    images: uint8[b, h, w, 3]; box: float32[5]: top, height, left and width as parts of the sides, and 1 for a mirror.
    """
    one = ops.ones_like(images[:, 0, 0, 0], dtype="float32")
    top, height, left, width, mirrored = (one * box[place] for place in range(5))
    rows = sampling_matrix(top, height, ops.zeros_like(one), size, images.shape[1])
    columns = sampling_matrix(left, width, mirrored, size, images.shape[2])
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

    start, length: float32[b] as parts of the line, beyond whose ends the last pixel goes on; mirrored: float32[b], 1
    reads backwards. Returns float32[b, out, inp], rows summing to 1: a triangle filter, widened when it shrinks
    (anti-aliasing), as Pillow's BILINEAR.
    """
    place = ops.arange(out, dtype="float32") + 0.5
    place = ops.where(mirrored[:, None] > 0.5, out - place[None], place[None])
    centre = start[:, None] * inp + length[:, None] * (place * (inp / out))  # in this order no bit is lost at inp = out
    centre = ops.clip(centre, 0.5, inp - 0.5)
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


# Colours ----------------------------------------------------------------------------------------------------------

_TO_YIQ = np.array([GREY, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)], np.float32)
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


def _coloured(seen: Tensor, strengths: dict[str, Tensor], how: Augmentation) -> Tensor:
    """Brightness, contrast, saturation and hue: one 3 x 3 matrix and one level for each image."""
    if not (how.brightness or how.contrast or how.saturation or how.hue):
        return seen
    unit = ops.eye(3, dtype="float32")[None]
    grey = ops.convert_to_tensor(np.tile(np.array(GREY, np.float32)[:, None], (1, 3)))[None]
    matrix = unit
    if how.hue:
        turn = 2 * math.pi * strengths["hue"]
        cosine, sine, one, zero = ops.cos(turn), ops.sin(turn), ops.ones_like(turn), ops.zeros_like(turn)
        rows = ([one, zero, zero], [zero, cosine, -sine], [zero, sine, cosine])
        rotation = ops.stack([ops.stack(row, axis=1) for row in rows], axis=1)
        back, there = (ops.convert_to_tensor(each) for each in (_FROM_YIQ, _TO_YIQ))
        matrix = ops.transpose(ops.matmul(ops.matmul(back, rotation), there), (0, 2, 1))  # colours stand in rows
    if how.saturation:
        matrix = ops.matmul(matrix, grey + (1 + strengths["saturation"])[:, None, None] * (unit - grey))
    if how.brightness:
        matrix = matrix * (1 + strengths["brightness"])[:, None, None]
    colours = ops.cast(ops.mean(seen, axis=(1, 2)), "float32")  # the mean of the products is the product of the mean
    level = ops.zeros_like(colours)
    if how.contrast:
        factor = (1 + strengths["contrast"])[:, None]
        mean_grey = ops.einsum("bc,bcd,d->b", colours, matrix + 0 * factor[:, :, None], np.array(GREY, np.float32))
        level, matrix = (1 - factor) * mean_grey[:, None], matrix * factor[:, :, None]
    matrix = ops.cast(matrix + ops.zeros_like(colours)[:, :, None], seen.dtype)
    turned = ops.einsum("bhwc,bcd->bhwd", seen, matrix) + ops.cast(level, seen.dtype)[:, None, None]
    return ops.clip(turned, 0, 255)


# Masks ------------------------------------------------------------------------------------------------------------


def _masked(seen: Tensor, draws: Tensor, strengths: dict[str, Tensor], how: Augmentation) -> Tensor:
    """Blank out a rectangle, or the squares of a grid."""
    if not (how.erase or how.grid):
        return seen
    places = (ops.arange(seen.shape[1], dtype="float32") + 0.5) / seen.shape[1]
    hidden = ops.zeros_like(seen[:, :, :, :1], dtype="float32")
    if how.erase:
        chance = draws[:, _ERASE]
        area = _ERASED_AREA[0] + (_ERASED_AREA[1] - _ERASED_AREA[0]) * chance[:, 0]
        stretch = ops.exp((chance[:, 1] - 0.5) * math.log(_ERASED_RATIO))
        inside = _rectangle(places, ops.sqrt(area) * stretch, ops.sqrt(area) / stretch, chance[:, 2], chance[:, 3])
        hidden = ops.maximum(hidden, inside * strengths["erase"][:, None, None, None])
    if how.grid:
        chance = draws[:, _GRID]
        cells = _GRID_CELLS[0] + (_GRID_CELLS[1] - _GRID_CELLS[0]) * chance[:, 0]
        lines = [places[None] * cells[:, None] + chance[:, axis, None] for axis in (1, 2)]
        rows, columns = (ops.cast(line - ops.floor(line) < 0.5, "float32") for line in lines)
        squares = rows[:, :, None, None] * columns[:, None, :, None]
        hidden = ops.maximum(hidden, squares * strengths["grid"][:, None, None, None])
    hidden = ops.cast(hidden, seen.dtype)
    return seen * (1 - hidden) + _BLANK * hidden


def _rectangle(places: Tensor, height: Tensor, width: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """1 inside of rectangles that lie in the image, else 0: float32[b, h, w, 1]. down, right: their places, 0..1."""
    lines = []
    for length, free in ((height, down), (width, right)):
        start = (free * (1 - length))[:, None]
        lines.append(ops.cast((places[None] >= start) & (places[None] < start + length[:, None]), "float32"))
    return lines[0][:, :, None, None] * lines[1][:, None, :, None]


# Mixtures ---------------------------------------------------------------------------------------------------------


def mix(seen: Tensor, others: Tensor, draws: Tensor, how: Augmentation) -> tuple[Tensor, Tensor]:
    """Mix each image with another: (float[b, s, s, 3], the first one's share float32[b], in 0..1).

    draws: float32[b, DRAWS]. The share of a rectangle is that of its pixels.
    """
    own, share = own_parts(draws, seen.shape[1], how)
    own = ops.cast(own, seen.dtype)
    return seen * own + others * (1 - own), share


def own_share(draws: Tensor, size: int, how: Augmentation) -> Tensor:
    """Each image's own share of what `seen_in_training` makes of it: float32[b], 1 where nothing is mixed."""
    return own_parts(draws, size, how)[1] if how.mixes else ops.ones_like(draws[:, 0])


def own_parts(draws: Tensor, size: int, how: Augmentation) -> tuple[Tensor, Tensor]:
    """How much of each pixel of a mixture is the image's own, float32[b, s, s, 1], and of all of it, float32[b]."""
    chance = draws[:, 2 * ONE :]
    both = how.mixup > 0 and how.cutmix > 0
    cut = ops.cast(chance[:, 0] < (0.5 if both else 1.0 if how.cutmix else 0.0), "float32")
    share = ops.zeros_like(cut)
    own = ops.zeros_like(cut)[:, None, None, None] + ops.zeros((1, size, size, 1))
    if how.mixup:
        blend = _beta(chance[:, 1], how.mixup)
        share = share + (1 - cut) * blend
        own = own + ((1 - cut) * blend)[:, None, None, None]
    if how.cutmix:
        places = (ops.arange(size, dtype="float32") + 0.5) / size
        side = ops.sqrt(1 - _beta(chance[:, 1], how.cutmix))
        outside = 1 - _rectangle(places, side, side, chance[:, 2], chance[:, 3])
        share = share + cut * ops.mean(outside, axis=(1, 2, 3))
        own = own + cut[:, None, None, None] * outside
    return own, share


def _beta(even: Tensor, parameter: float) -> Tensor:
    """An even number in [0, 1) to one of Beta(parameter, parameter), by the table of its quantiles."""
    from scipy.stats import beta

    table = beta.ppf(np.linspace(0, 1, _QUANTILES + 1), parameter, parameter).astype(np.float32)
    place = even * _QUANTILES
    below = ops.floor(place)
    at = ops.cast(below, "int32")
    low, high = (ops.take(ops.convert_to_tensor(table), index) for index in (at, at + 1))
    return low + (high - low) * (place - below)
