"""Paint clouds of points: a z-buffer, light, soft shadows.

Takes: a `Light` and `Part`s placed in the picture: its side is 1, its middle the origin, x right, y up, z to the eye.
Gives: `Layer`: linear light float32[3, side, side], multiplied by its cover float32[side, side].

Each point becomes one 64-bit key, depth above part above point, and `np.maximum.at` keeps the nearest key of a pixel.
Only the winners are lit. The picture is worked out at `FINE` times its resolution, so averaging smooths the edges.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from corolla.sample.clouds import Part
from corolla.sample.colours import Floats

FINE = 1.5
"""Resolution of the z-buffer as a multiple of the picture's."""
_POINT_BITS, _PART_BITS = 25, 8
_DEPTH_SHIFT = _POINT_BITS + _PART_BITS
_DEPTH_STEPS = 1 << 18
_DEPTH_ZERO = 4.0
_BLOCK = 1 << 14
"""Points handled at a time: their scratch arrays stay in the core's cache, and BLAS in one thread."""


@dataclass(frozen=True)
class Light:
    """A sun and a sky: towards float32[3] (unit), sun and sky float32[3] in linear light."""

    towards: Floats
    sun: Floats
    sky: Floats


class Layer(NamedTuple):
    """Premultiplied linear light float32[3, side, side] and cover float32[side, side] in 0 to 1."""

    colour: Floats
    cover: Floats


def paint(parts: list[Part], side: int, light: Light, *, fine: float = FINE, shadows: bool = True) -> Layer:
    """Paint parts into a square of `side` pixels; fine: 1, or 1.5 for smooth edges."""
    wide = side if fine == 1 else 3 * -(-side // 2)
    scale = side * fine
    nearest = np.zeros(wide * wide + 1, np.int64)  # one more: where points outside the picture go
    for number, part in enumerate(parts):
        _splat(part, nearest, wide, scale, number << _POINT_BITS)
    nearest = _spread(nearest[:-1].reshape(wide, wide)).ravel()
    seen = np.flatnonzero(nearest)
    planes = np.zeros((5, wide * wide), np.float32)  # red, green, blue, depth, cover
    if len(seen):
        key = nearest.take(seen)
        _light_up(planes[:3], seen, parts, key, light)
        planes[3][seen] = (key >> _DEPTH_SHIFT).astype(np.float32) * np.float32(1 / _DEPTH_STEPS)
        planes[4][seen] = 1
    means = planes.reshape(5, wide, wide)
    if fine != 1:
        means = _three_to_two(means)[:, :side, :side]
    return _shaded(means, light) if shadows else Layer(means[:3], means[4])


def _splat(part: Part, nearest: NDArray[np.int64], wide: int, scale: float, first: int) -> None:
    """Enter a part's points into the z-buffer, numbered from `first`; `scale` of its pixels are the picture's side."""
    points = part.cloud.points
    count, total = points.shape[1], len(part.frames)
    matrix = np.empty((total, 3, 4), np.float32)
    matrix[:, :, :3], matrix[:, :, 3] = part.frames, part.offsets
    matrix *= np.array([scale, -scale, _DEPTH_STEPS], np.float32)[:, None]
    matrix[:, :, 3] += np.array([scale / 2, scale / 2, _DEPTH_ZERO * _DEPTH_STEPS], np.float32)
    whole = np.concatenate([points, np.ones((1, count), np.float32)])
    copies = max(1, _BLOCK // count)
    for copy in range(0, total, copies):
        for point in range(0, count, _BLOCK):
            world = matrix[copy : copy + copies] @ whole[:, point : point + _BLOCK]
            _enter(world, nearest, wide, first + copy * count + point)


def _enter(world: Floats, nearest: NDArray[np.int64], wide: int, first: int) -> None:
    """Keep the nearest of points float32[p, (column, row, depth), n], numbered from `first`."""
    column = world[:, 0].astype(np.int32)
    row = world[:, 1].astype(np.int32)
    outside = (column.view(np.uint32) >= wide) | (row.view(np.uint32) >= wide)
    row *= wide
    row += column
    pixel = row.astype(np.int64)
    pixel[outside] = wide * wide
    key = world[:, 2].astype(np.int64)
    np.maximum(key, 1, out=key)
    key <<= _DEPTH_SHIFT
    key += np.arange(first, first + key.size).reshape(key.shape)
    np.maximum.at(nearest, pixel.ravel(), key.ravel())


def _spread(nearest: NDArray[np.int64]) -> NDArray[np.int64]:
    """Let every point cover two by two pixels, so that points up to 1.4 pixels apart leave no hole."""
    np.maximum(nearest[:, 1:], nearest[:, :-1], out=(wider := nearest.copy())[:, 1:])
    np.maximum(wider[1:], wider[:-1], out=(taller := wider.copy())[1:])
    return taller


def _light_up(planes: Floats, seen: NDArray[np.intp], parts: list[Part], key: NDArray[np.int64], light: Light) -> None:
    """Light the visible points and set their pixels in planes float32[3, pixels]."""
    point = key & ((1 << _POINT_BITS) - 1)
    owner = ((key >> _POINT_BITS) & ((1 << _PART_BITS) - 1)).astype(np.uint8)
    order = np.argsort(owner, kind="stable")  # small integers: a radix sort
    bounds = np.searchsorted(owner.take(order), np.arange(len(parts) + 1))
    for i, part in enumerate(parts):
        if bounds[i] == bounds[i + 1]:
            continue
        cosines = _cosines(part, light)
        for start in range(bounds[i], bounds[i + 1], _BLOCK):
            some = order[start : min(start + _BLOCK, bounds[i + 1])]
            lit = _lit(part, cosines, point.take(some), light)
            pixels = seen.take(some)
            for plane, values in zip(planes, lit, strict=True):
                plane[pixels] = values


def _cosines(part: Part, light: Light) -> tuple[Floats, Floats]:
    """Cosines between each copy's normals and the light, and the eye: float32[copies * points] each."""
    scale = np.sqrt((part.frames[:, :, 0] ** 2).sum(axis=1, keepdims=True))
    to_light = (light.towards @ part.frames / scale) @ part.cloud.normals
    to_eye = (part.frames[:, 2] / scale) @ part.cloud.normals
    return to_light.ravel(), to_eye.ravel()


def _lit(part: Part, cosines: tuple[Floats, Floats], index: NDArray[np.int64], light: Light) -> Floats:
    """Light some of a part's points: float32[3, n]."""
    cloud = part.cloud
    copy = index // cloud.points.shape[1]
    point = index - copy * cloud.points.shape[1]
    to_light, to_eye = (cosine.take(index) for cosine in cosines)
    colour = cloud.colours.take(point, axis=1)
    if cloud.under_share:
        colour += (cloud.under[:, None] - colour) * ((to_eye < 0) * np.float32(cloud.under_share))
    grey = bool((part.tints == part.tints[:, :1]).all())
    colour *= part.tints[:, 0].take(copy) if grey else part.tints.T.take(copy, axis=1)
    facing = np.copysign(np.float32(1), to_eye) * to_light
    # a wrapped cosine: light scatters inside a petal, so its dark side begins late and is never black
    direct = np.maximum(np.float32(0.72) * facing + np.float32(0.28), 0)
    through = np.maximum(np.float32(-0.45) * facing, 0)
    sun, sky = light.sun[:, None], light.sky[:, None]
    result = colour * (sky + sun * (direct + colour * through))
    if cloud.gloss:
        mirror = np.maximum(2 * facing * np.abs(to_eye) - light.towards[2], 0)
        mirror *= mirror
        mirror *= mirror
        result += sun * (np.float32(cloud.gloss) * mirror * mirror * mirror)
    return result


def _three_to_two(planes: Floats) -> Floats:
    """Average planes float32[k, 3n, 3n] over areas down to float32[k, 2n, 2n]."""
    side = planes.shape[1] // 3 * 2
    rows = np.empty((len(planes), side, planes.shape[2]), np.float32)
    rows[:, 0::2] = planes[:, 0::3] + 0.5 * planes[:, 1::3]
    rows[:, 1::2] = planes[:, 2::3] + 0.5 * planes[:, 1::3]
    out = np.empty((len(planes), side, side), np.float32)
    middle = 0.5 * rows[:, :, 1::3]
    out[:, :, 0::2] = rows[:, :, 0::3] + middle
    out[:, :, 1::2] = rows[:, :, 2::3] + middle
    out *= np.float32(4 / 9)
    return out


def _shaded(means: Floats, light: Light) -> Layer:
    """Turn means over pixels into a layer, darker where neighbours stand higher (towards the light, above all)."""
    cover = means[4]
    full = cover > 0.02
    depth = means[3] / np.maximum(cover, np.float32(0.02))
    low = float(depth.min(where=full, initial=2 * _DEPTH_ZERO))
    shade = np.exp(-_darkness(np.where(full, depth, low), light))
    colour = means[:3] * shade
    colour[0] *= 0.93 + 0.07 * shade  # shadows lose the sun's warmth before the sky's blue
    colour[2] *= 1.07 - 0.07 * shade
    return Layer(colour, cover)


def _darkness(depth: Floats, light: Light) -> Floats:
    side = len(depth)
    even = np.pad(depth, ((0, side % 2), (0, side % 2)), mode="edge") if side % 2 else depth
    field = 0.25 * (even[0::2, 0::2] + even[1::2, 0::2] + even[0::2, 1::2] + even[1::2, 1::2])
    step = len(field) / 16
    shift = (round(step * float(light.towards[1])), round(-step * float(light.towards[0])))
    near = uniform_filter(field, max(3, len(field) // 28) | 1, mode="nearest")
    far = uniform_filter(near, max(3, len(field) // 9) | 1, mode="nearest")
    cast = np.roll(uniform_filter(field, 3, mode="nearest"), shift, axis=(0, 1))
    dark = np.zeros_like(depth)
    for weight, look in ((12.0, near), (5.0, far), (5.0, cast)):
        # blurred fields are smooth: doubling their pixels shows no steps
        higher = look.repeat(2, axis=0).repeat(2, axis=1)[:side, :side] - depth
        dark += np.float32(weight) * np.clip(higher, 0, 0.12)
    return dark
