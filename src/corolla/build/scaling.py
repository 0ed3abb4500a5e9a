"""Photos made larger or smaller as Pillow's `resize` does it, in a third of the time.

Takes: uint8[h, w, 3] and a size. Gives: `scaled`: uint8[height, width, 3], the same bytes on every machine. They are
those of Pillow but for rounding, and for what it cuts off at black and white between its two passes.

First all rows are made of their neighbours above and below, then each pixel of those beside it. Weights are whole
multiples of 2^-14 and pixels whole numbers, so all sums are exact in float32, and neither the order in which a
processor adds matters, nor who does it: `scaling.cc`, where it can be compiled (`native`), else NumPy.

In NumPy each side is a matrix product. A pixel depends on some neighbours only, so the matrix is cut into blocks along
its diagonal, each small enough for OpenBLAS to compute it in the calling thread.
"""

import ctypes
import math
import threading
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from corolla import native

Resample = Literal["lanczos", "area"]

WORTH_REDUCING = 3.0
"""What is more than twice this many times too large goes through Pillow, which first reduces it by whole pixels."""

STEPS = 1 << 14
"""Of weights. Two passes make at most 2^8 * `MOST_WEIGHT`^2 * 2^14 steps of a pixel, float32 holds 2^24 exactly."""

MOST_WEIGHT = 2.0
"""The magnitudes of the weights of one pixel add up to less: to 1.6 in the middle of a photo."""

ONE_THREAD = 1 << 18
"""Multiplications up to which OpenBLAS computes a product in the calling thread (its `interface/gemm.c`)."""

_STRIP, _DOWN, _ACROSS = 256, 8, 8
"""Rows that go through both passes together (they stay in the processor's cache); rows, and pixels of a row, that one
product makes: with fewer there are more calls, with more there are more zeros to multiply."""

_CHANNELS = 3
_PILLOW = {"lanczos": Image.Resampling.LANCZOS, "area": Image.Resampling.BOX}

Floats = NDArray[np.float32]
Blocks = tuple[list[int], list[int], Floats]
"""Of each block: the first pixel that it makes, the first that it needs, weights float32[outputs, inputs]."""


def scaled(pixels: NDArray[np.uint8], height: int, width: int, resample: Resample) -> NDArray[np.uint8]:
    """uint8[h, w, 3], which may be a part of a larger array, as uint8[height, width, 3]."""
    h, w = pixels.shape[:2]
    if (h, w) == (height, width):
        return np.ascontiguousarray(pixels)
    if max(h / height, w / width) >= 2 * WORTH_REDUCING:
        photo = Image.fromarray(pixels)
        return np.asarray(photo.resize((width, height), _PILLOW[resample], reducing_gap=WORTH_REDUCING))
    by = _by_cpp if _library() else _by_numpy
    return by(pixels, height, width, resample)


# --------------------------------------------------------------------------------------------------------------- C++

_SOURCE, _FLAGS = Path(__file__).with_name("scaling.cc"), ("-O3",)


@cache
def _library() -> Any:
    """The function of `scaling.cc`, or None where it is not to be had."""
    whole, place = ctypes.c_int64, ctypes.c_void_p
    try:
        call = native.loaded(_SOURCE, _FLAGS).corolla_scale
    except native.NativeError:
        return None
    side = [place, place, whole]
    call.argtypes = [place, whole, whole, whole, whole, *side, *side, place]
    return call


def _by_cpp(pixels: NDArray[np.uint8], height: int, width: int, resample: Resample) -> NDArray[np.uint8]:
    """Rows may lie anywhere, the pixels of a row beside each other. Other threads work meanwhile."""
    if pixels.strides[1:] != (_CHANNELS, 1):
        pixels = np.ascontiguousarray(pixels)
    found = np.empty((height, width, _CHANNELS), np.uint8)
    sides = [_side(size, to, resample) for size, to in zip(pixels.shape[:2], (height, width), strict=True)]
    told = [each for firsts, weights in sides for each in (firsts.ctypes.data, weights.ctypes.data, weights.shape[1])]
    if _library()(pixels.ctypes.data, pixels.strides[0], pixels.shape[1], height, width, *told, found.ctypes.data):
        raise MemoryError(f"no memory to scale {pixels.shape[1]} x {pixels.shape[0]} px")
    return found


@lru_cache(maxsize=64)
def _side(size: int, wanted: int, resample: Resample) -> tuple[NDArray[np.int64], Floats]:
    firsts, steps = _weights(size, wanted, resample)
    return firsts, np.ascontiguousarray(steps / np.float32(STEPS), np.float32)


# ------------------------------------------------------------------------------------------------------------- NumPy


def _by_numpy(pixels: NDArray[np.uint8], height: int, width: int, resample: Resample) -> NDArray[np.uint8]:
    found = np.empty((height, width * _CHANNELS), np.uint8)
    for rows, strip in _down(pixels, height, resample):
        strip = _across(strip, width, resample)
        found[rows] = np.clip(strip, 0, 255, out=strip)
    return found.reshape(height, width, _CHANNELS)


def _down(pixels: NDArray[np.uint8], height: int, resample: Resample) -> Iterator[tuple[slice, Floats]]:
    """Yield strips float32[rows, w * 3] of the right height. They lie in memory that the next one is written to."""
    h, values = pixels.shape[0], pixels.shape[1] * _CHANNELS
    starts, firsts, weights = _blocks(h, height, resample, _DOWN)
    outputs, inputs = weights.shape[1:]
    together = max(1, int(_STRIP * height / h) // outputs)
    for begin in range(0, len(starts), together):
        part = range(begin, min(begin + together, len(starts)))
        rows = slice(starts[part[0]], starts[part[-1]] + outputs)
        needed = slice(firsts[part[0]], firsts[part[-1]] + inputs)
        window = _room("window", needed.stop - needed.start, values)
        window.reshape(len(window), -1, _CHANNELS)[:] = pixels[needed]
        strip = _room("strip", rows.stop - rows.start, values)
        for block in part:
            out = strip[starts[block] - rows.start :][:outputs]
            source = window[firsts[block] - needed.start :][:inputs]
            for own in _parts(values, outputs * inputs):
                np.matmul(weights[block], source[:, own], out=out[:, own])
        yield rows, np.rint(strip, out=strip)


def _across(strip: Floats, width: int, resample: Resample) -> Floats:
    """float32[rows, w * 3] to float32[rows, width * 3]."""
    out = _room("out", len(strip), width * _CHANNELS)
    starts, firsts, weights = _interleaved(strip.shape[1] // _CHANNELS, width, resample)
    inputs, outputs = weights.shape[1:]
    for own in _parts(len(strip), inputs * outputs):
        for start, first, matrix in zip(starts, firsts, weights, strict=True):
            np.matmul(strip[own, first : first + inputs], matrix, out=out[own, start : start + outputs])
    return np.rint(out, out=out)


_rooms = threading.local()


def _room(purpose: str, rows: int, values: int) -> Floats:
    """Memory of this thread, which is kept: new pages for each photo take as long as the products."""
    held = getattr(_rooms, purpose, None)
    if held is None or held.size < rows * values:
        held = np.empty(rows * values, np.float32)
        setattr(_rooms, purpose, held)
    return held[: rows * values].reshape(rows, values)


def _parts(count: int, multiplications: int) -> list[slice]:
    """Cut `count` columns or rows, of so many multiplications each, into even parts for one thread."""
    parts = -(-count * multiplications // ONE_THREAD)
    step = -(-count // parts)
    return [slice(first, min(first + step, count)) for first in range(0, count, step)]


# ----------------------------------------------------------------------------------------------------------- weights


@lru_cache(maxsize=64)
def _interleaved(size: int, wanted: int, resample: Resample) -> Blocks:
    """The blocks of a row whose channels take turns: each weight three times, float32[inputs * 3, outputs * 3]."""
    starts, firsts, weights = _blocks(size, wanted, resample, _ACROSS)
    count, outputs, inputs = weights.shape
    found = np.zeros((count, inputs, _CHANNELS, outputs, _CHANNELS), np.float32)
    for channel in range(_CHANNELS):
        found[:, :, channel, :, channel] = weights.transpose(0, 2, 1)
    matrices = found.reshape(count, inputs * _CHANNELS, outputs * _CHANNELS)
    return [start * _CHANNELS for start in starts], [first * _CHANNELS for first in firsts], matrices


@lru_cache(maxsize=64)
def _blocks(size: int, wanted: int, resample: Resample, outputs: int) -> Blocks:
    """The matrix from `size` to `wanted` pixels in blocks of one shape; the last may repeat what the one before has."""
    outputs = min(outputs, wanted)
    starts = np.minimum(np.arange(0, wanted, outputs), wanted - outputs)
    own_firsts, steps = _weights(size, wanted, resample)
    made = starts[:, None] + np.arange(outputs)
    inputs = min(size, int((own_firsts[made[:, -1]] - own_firsts[made[:, 0]]).max()) + steps.shape[1])
    firsts = np.minimum(own_firsts[starts], size - inputs)
    found = np.zeros((len(starts), outputs, inputs), np.float32)
    places = (own_firsts[made] - firsts[:, None])[:, :, None] + np.arange(steps.shape[1])
    np.put_along_axis(found, places, steps[made] / np.float32(STEPS), axis=2)
    return starts.tolist(), firsts.tolist(), found


def _weights(size: int, wanted: int, resample: Resample) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each wanted pixel: the first that it is made of, int64[wanted]; weights in steps, int64[wanted, taps].

    They are those of `precompute_coeffs` in Pillow's Resample.c.
    """
    scale = size / wanted
    support, shape = _SHAPES[resample]
    reach = support * max(scale, 1.0)
    taps = min(size, 2 * math.ceil(reach) + 1)
    middle = (np.arange(wanted) + 0.5) * scale
    firsts = np.clip(np.floor(middle - reach + 0.5).astype(np.int64), 0, size - taps)
    places = firsts[:, None] + np.arange(taps)
    found = shape((places + 0.5 - middle[:, None]) / max(scale, 1.0))
    found /= found.sum(axis=1, keepdims=True)
    steps = np.rint(found * STEPS).astype(np.int64)
    steps[np.arange(wanted), steps.argmax(axis=1)] += STEPS - steps.sum(axis=1)  # flat areas stay as they are
    return firsts, steps


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


def _box(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where((x > -0.5) & (x <= 0.5), 1.0, 0.0)


_SHAPES: dict[Resample, tuple[float, Callable[[NDArray[np.float64]], NDArray[np.float64]]]] = {
    "lanczos": (3.0, _lanczos),
    "area": (0.5, _box),
}
