"""Clouds of points on curved surfaces, and the frames in which copies of them stand.

Takes: a surface and its paint as functions of (s along, t across), the distance between points.
Gives: `Cloud`; `Part`, copies of one cloud; rotations.

Points, not triangles: placing copies is one small matrix product, and hidden ones fall to a z-buffer (see `painting`).
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from corolla.sample.colours import Floats

Girth = Callable[[Floats], NDArray]
Surface = Callable[[Floats, Floats], tuple[NDArray, NDArray, NDArray]]
Paint = Callable[[Floats, Floats], NDArray]


class Cloud(NamedTuple):
    """Points of one surface: points, normals and colours (linear light) float32[3, n]; under float32[3]."""

    points: Floats
    normals: Floats
    colours: Floats
    under: Floats
    """Colour of the far side; it replaces `under_share` of the near side's."""
    under_share: float = 0.0
    gloss: float = 0.05


class Part(NamedTuple):
    """p copies of a cloud: frames float32[p, 3, 3], offsets float32[p, 3], tints float32[p, 3] (factors of colours)."""

    cloud: Cloud
    frames: Floats
    offsets: Floats
    tints: Floats


# --------------------------------------------------------------------------------------------------------- surfaces


def cover(surface: Surface, paint: Paint, length: float, girth: Girth, spacing: float, columns: int = 25) -> Cloud:
    """Cover a surface with points `spacing` apart.

    Geometry and paint are worked out on a coarse grid of (s along, t across) and interpolated:
    a petal of 40,000 points costs as much thought as one of 3,000.
    """
    rows = max(3, int(np.ceil(length / spacing)))
    middles = ((np.arange(rows) + 0.5) / rows).astype(np.float32)
    counts = np.maximum(1, np.ceil(girth(middles) / spacing)).astype(np.int64)
    wide = max(3, int(counts.max()))
    coarse_rows, coarse_columns = min(40, rows + 6), min(columns, wide + 2)
    s, t = _grid(coarse_rows, coarse_columns)
    grid = np.empty((9, coarse_rows, coarse_columns), np.float32)
    for axis, values in enumerate(surface(s, t)):
        grid[axis] = values
    grid[3:6] = _normals(grid[:3])
    grid[6:] = paint(s, t)
    lines = (_weights(np.arccos(1 - 2 * middles) / np.float32(np.pi), coarse_rows) @ grid).reshape(9, -1)
    row = np.repeat(np.arange(rows), counts)
    place = np.arange(len(row)) - (np.cumsum(counts) - counts)[row]
    at = ((place + 0.5) * ((coarse_columns - 1) / counts)[row]).astype(np.float32)
    left = at.astype(np.int64)
    right = at - left.astype(np.float32)
    left += row * coarse_columns
    values = lines.take(left, axis=1)
    left += 1
    values += (lines.take(left, axis=1) - values) * right
    return Cloud(values[:3], values[3:6], values[6:], grid[6:].mean(axis=(1, 2)))


@cache
def _grid(rows: int, columns: int) -> tuple[Floats, Floats]:
    """Where a coarse grid lies: s float32[rows, 1], crowding at both ends, where outlines turn fastest; t even."""
    s = (0.5 - 0.5 * np.cos(np.linspace(0, np.pi, rows, dtype=np.float32)))[:, None]
    return s, np.linspace(-1, 1, columns, dtype=np.float32)[None]


def _weights(at: Floats, count: int) -> Floats:
    """Weights float32[n, count] that interpolate linearly between `count` even places, at float32[n] in 0 to 1."""
    place = at[:, None] * np.float32(count - 1)
    return np.maximum(0, 1 - np.abs(place - np.arange(count, dtype=np.float32)))


def _normals(points: Floats) -> Floats:
    """Unit normals float32[3, h, w] of a grid of points float32[3, h, w]: along x across."""
    a, b = np.empty_like(points), np.empty_like(points)
    a[:, 1:-1], a[:, 0], a[:, -1] = points[:, 2:] - points[:, :-2], 0, 0
    b[:, :, 1:-1] = points[:, :, 2:] - points[:, :, :-2]
    b[:, :, 0], b[:, :, -1] = points[:, :, 1] - points[:, :, 0], points[:, :, -1] - points[:, :, -2]
    normal = np.empty_like(points)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        np.subtract(a[j] * b[k], a[k] * b[j], out=normal[i])
    normal /= np.sqrt(np.einsum("chw,chw->hw", normal, normal)) + np.float32(1e-9)
    # where a surface closes to a point its normal is noise: borrow the neighbours'
    normal[:, 0], normal[:, -1] = normal[:, 2], normal[:, -3]
    normal[:, 1], normal[:, -2] = normal[:, 2], normal[:, -3]
    return normal


# ----------------------------------------------------------------------------------------------------------- copies


def part_of(cloud: Cloud, frames: NDArray, offsets: NDArray, tints: NDArray) -> Part:
    return Part(cloud, frames.astype(np.float32), offsets.astype(np.float32), tints.astype(np.float32))


def moved(part: Part, frame: NDArray, shift: NDArray) -> Part:
    return part._replace(
        frames=(frame @ part.frames).astype(np.float32), offsets=(part.offsets @ frame.T + shift).astype(np.float32)
    )


def thinned(part: Part, step: int) -> Part:
    """Keep about every `step`-th point: enough for a smaller or a blurred copy."""
    steps = np.arange(max(1, part.cloud.points.shape[1] // step))
    keep = steps * step + steps * 5 % step  # uneven, or rows as long as the step would leave stripes
    keep = np.minimum(keep, part.cloud.points.shape[1] - 1)
    points, normals, colours = (values.take(keep, axis=1) for values in part.cloud[:3])
    return part._replace(cloud=part.cloud._replace(points=points, normals=normals, colours=colours))


def placed(part: Part, frames: NDArray, offsets: NDArray, tints: NDArray | None = None) -> Part:
    """Copy a part of p copies into q frames (float[q, 3, 3], float[q, 3]): q * p copies."""
    frames, offsets = frames.astype(np.float32), offsets.astype(np.float32)
    turned = (frames[:, None] @ part.frames).reshape(-1, 3, 3)
    moved = (part.offsets @ frames.transpose(0, 2, 1) + offsets[:, None]).reshape(-1, 3)
    mixed = np.tile(part.tints, (len(frames), 1))
    if tints is not None:
        mixed *= np.repeat(tints, len(part.frames), axis=0).astype(np.float32)
    return Part(part.cloud, turned, moved, mixed)


def turn(axis: int, degrees: NDArray | float) -> NDArray:
    """Rotations about an axis (0 x, 1 y, 2 z): float64[n, 3, 3]."""
    angle = np.deg2rad(np.atleast_1d(degrees))
    frames = np.zeros((len(angle), 3, 3))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    frames[:, axis, axis] = 1
    frames[:, i, i] = frames[:, j, j] = np.cos(angle)
    frames[:, j, i] = np.sin(angle)
    frames[:, i, j] = -frames[:, j, i]
    return frames


def turned(azimuth: NDArray | float, tilt: NDArray | float, roll: NDArray | float = 0.0) -> NDArray:
    """Frames whose z axis leaves +z by `tilt` towards `azimuth`, after a `roll` about itself: float64[n, 3, 3]."""
    return turn(2, azimuth) @ turn(1, tilt) @ turn(2, np.asarray(roll) - azimuth)


def leaning(lean: tuple[float, float]) -> NDArray:
    return turned(lean[1], lean[0])[0]
