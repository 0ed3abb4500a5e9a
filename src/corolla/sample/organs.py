"""The organs of a flower, as clouds of coloured points.

Takes: traits (`Petals`, `Tube`, `Dome`, `Stamens`), a `Palette`, the distance between points, a random generator.
Gives: `Part`: one `Cloud` in the organ's own frame, and the frames in which copies of it stand in the bloom.

A bloom looks along +z and has a radius of about 1. Lengths are in that unit, angles in degrees.
Points, not triangles: placing copies is one small matrix product, and hidden ones fall to a z-buffer (see `painting`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Vector = tuple[float, float, float]
Girth = Callable[[Floats], Floats]
Surface = Callable[[Floats, Floats], tuple[Floats, Floats, Floats]]
Paint = Callable[[Floats, Floats], Floats]

GOLDEN_DEGREES = 137.50776
SHAPES = {
    "ray": (0.22, 0.16),
    "oval": (0.60, 0.60),
    "round": (0.75, 0.32),
    "fan": (1.00, 0.20),
    "spoon": (1.80, 0.32),
    "lance": (0.50, 1.10),
    "spear": (0.80, 0.85),
    "drop": (0.95, 0.55),
    "heart": (0.22, 0.85),
    "blade": (0.12, 0.50),
}
"""Outlines: half width at s, from base (0) to tip (1), is s**a * (1 - s)**b, scaled to a greatest value of 1."""


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
    """p copies of a cloud: frames float32[p, 3, 3], offsets float32[p, 3], tints float32[p, 3] (they multiply colours)."""

    cloud: Cloud
    frames: Floats
    offsets: Floats
    tints: Floats


# ---------------------------------------------------------------------------------------------------------- colours


@dataclass(frozen=True)
class Palette:
    """The colours of one bloom: a species' form, shifted a little for each photo.

    form: hex colours, named by the letters a, b, c, … in traits. shift: float32[3], multiplies linear light.
    """

    form: tuple[str, ...]
    shift: Floats = field(default_factory=lambda: np.ones(3, np.float32))

    def colour(self, name: str) -> Floats:
        """Return float32[3] in linear light for a letter of the form or a hex colour like "#ffcc00"."""
        return linear(_hex(name, self.form)) * self.shift

    def gradient(self, paint: str, s: Floats) -> Floats:
        """Return float32[3, ...] along s for a paint such as "a b:.4 #ffffff": colours, with places where given."""
        table = _gradient_table(paint, self.form) * self.shift[:, None]
        steps = np.clip(s * np.float32(_STOPS - 1), 0, _STOPS - 1).astype(np.int64)
        return table.take(steps, axis=1)


_STOPS = 128


def _hex(name: str, form: tuple[str, ...]) -> str:
    return name if name.startswith("#") else form[min(ord(name) - ord("a"), len(form) - 1)]


@cache
def _gradient_table(paint: str, form: tuple[str, ...]) -> Floats:
    """A paint's colours at even steps from base to tip: float32[3, steps]."""
    words = [word.partition(":") for word in paint.split()]
    even = np.linspace(0, 1, len(words)) if len(words) > 1 else [0.0]
    places = [float(place) if colon else at for (_, colon, place), at in zip(words, even, strict=True)]
    colours = np.stack([linear(_hex(name, form)) for name, _, _ in words])
    steps = np.linspace(0, 1, _STOPS)
    return np.stack([np.interp(steps, places, colours[:, c]) for c in range(3)]).astype(np.float32)


@cache
def linear(text: str) -> Floats:
    """Turn a hex colour (sRGB) into linear light, float32[3]."""
    srgb = np.array([int(text[i : i + 2], 16) for i in (1, 3, 5)], np.float32) / 255
    return srgb**2.2


def _mix(colours: Floats, other: Floats, share: Floats) -> Floats:
    return colours + (other[:, None, None] - colours) * share


# ----------------------------------------------------------------------------------------------------------- traits


@dataclass(frozen=True, kw_only=True)
class Petals:
    """One or several whorls of petals, rays, bracts, sepals or leaflets."""

    count: int = 5
    paint: str = "a"
    """Colours from base to tip; see `Palette.gradient`."""
    length: float = 1.0
    width: float = 0.4
    """Greatest half width, as a part of the length."""
    shape: str = "oval"
    rise: float = 12.0
    """Degrees above the disc at the base: 0 flat, 90 upright, more closes the bud."""
    curl: float = -10.0
    """Degrees by which the tip turns up (+) or away (-)."""
    late: float = 1.5
    """1: turns evenly; more: turns near the tip."""
    cup: float = 25.0
    """Half the angle of the arc seen across the petal; negative domes."""
    roll: float = 8.0
    """Sideways tilt, which lays one edge over the neighbour."""
    skew: float = 0.0
    notch: float = 0.0
    teeth: float = 0.0
    tooth_count: float = 3.0
    ruffle: float = 0.0
    ruffle_count: float = 2.0
    whorls: int = 1
    inner_length: float = 0.5
    inner_rise: float = 40.0
    """The innermost whorl: its length as a part of the outermost, and how many degrees it rises above it."""
    at: tuple[float, ...] = ()
    """Azimuths in degrees (90 is up) in place of `count` even ones."""
    radius: float = 0.03
    height: float = 0.0
    edge: str = ""
    edge_share: float = 0.7
    veins: str = ""
    vein_share: float = 0.3
    vein_count: float = 4.0
    stripe: str = ""
    stripe_width: float = 0.15
    spots: str = ""
    spot_count: int = 24
    spot_size: float = 0.035
    spot_reach: tuple[float, float] = (0.1, 0.75)
    checks: str = ""
    under: str = ""
    under_share: float = 0.35
    gloss: float = 0.06
    wild: float = 1.0
    """How much copies differ."""


@dataclass(frozen=True, kw_only=True)
class Tube:
    """A surface of revolution with lobes: a bell, a trumpet, a crown, a throat."""

    profile: tuple[tuple[float, float], ...]
    """(radius, height) from the base to the rim."""
    paint: str = "a"
    lobes: int = 5
    depth: float = 0.15
    """How far the rim is cut between the lobes, as a part of the arc length."""
    pointed: bool = False
    ruffle: float = 0.0
    ruffle_count: int = 10
    pleat: float = 0.0
    star: str = ""
    star_width: float = 0.12
    veins: str = ""
    vein_share: float = 0.2
    spots: str = ""
    spot_count: int = 20
    spot_size: float = 0.03
    spot_reach: tuple[float, float] = (0.2, 0.7)
    under: str = ""
    under_share: float = 0.3
    gloss: float = 0.05
    shift: Vector = (0, 0, 0)
    lean: tuple[float, float] = (0, 0)


@dataclass(frozen=True, kw_only=True)
class Dome:
    """A cap, cone, ball or column; seeds stand on it in golden-angle spirals."""

    radius: float = 0.25
    height: float = 0.12
    sweep: float = 90.0
    """Degrees from the top down: 90 half a ball, 180 a whole one."""
    paint: str = "#7a5a10"
    """Colours from the top down."""
    seeds: int = 0
    seed_paint: str = "#f2c21a"
    """Colours of the seeds from the top down."""
    seed_size: float = 0.03
    seed_length: float = 1.0
    """Length of a seed as a multiple of its size; long ones are spikes."""
    gloss: float = 0.05
    shift: Vector = (0, 0, 0)
    lean: tuple[float, float] = (0, 0)
    """(degrees away from the axis, azimuth)."""


@dataclass(frozen=True, kw_only=True)
class Stamens:
    """Threads with a knob at the end: stamens, styles, a brush, a crown of filaments."""

    count: int = 20
    length: float = 0.3
    rise: tuple[float, float] = (40, 85)
    """Degrees above the disc, from the outermost thread to the innermost."""
    curl: float = 0.0
    paint: str = "#e8e3b0"
    thick: float = 0.012
    knob: str = "#e0a81c"
    knob_size: float = 0.03
    radius: float = 0.04
    height: float = 0.0
    at: tuple[float, ...] = ()
    lean: tuple[float, float] = (0, 0)


Organ = Petals | Tube | Dome | Stamens

# --------------------------------------------------------------------------------------------------------- surfaces


def _cloud(surface: Surface, paint: Paint, length: float, girth: Girth, spacing: float, columns: int = 25) -> Cloud:
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


def _outline(shape: str, s: Floats) -> Floats:
    a, b = SHAPES[shape]
    top = a / (a + b)
    s = np.clip(s, 1e-4, 1 - 1e-4)
    return s**a * (1 - s) ** b / (top**a * (1 - top) ** b)


def _spots(s: Floats, t: Floats, aspect: float, trait: Petals | Tube, rng: np.random.Generator) -> Floats:
    """Return how much of a spot covers each point, float32[h, w]; spots are round, whatever the petal's aspect."""
    low, high = trait.spot_reach
    spot_s = rng.uniform(low, high, trait.spot_count).astype(np.float32)
    spot_t = rng.uniform(-0.8, 0.8, trait.spot_count).astype(np.float32)
    size = trait.spot_size * rng.uniform(0.6, 1.3, trait.spot_count).astype(np.float32)
    apart = (s[..., None] - spot_s) ** 2 + ((t[..., None] - spot_t) * aspect) ** 2
    return np.clip(2.2 - 2 * np.sqrt((apart / size**2).min(axis=-1)), 0, 1)


def _mottle(s: Floats, t: Floats, rng: np.random.Generator) -> Floats:
    """A slow, uneven brightness around 1, float32[h, w]: no petal is of one colour."""
    p = rng.uniform(0, 6.28, 3).astype(np.float32)
    return 1 + 0.035 * (np.sin(5 * s + 2 * t + p[0]) + np.sin(9 * s - 5 * t + p[1]) + 0.6 * np.sin(17 * s + 13 * t + p[2]))


# ----------------------------------------------------------------------------------------------------------- petals


def petal_cloud(trait: Petals, palette: Palette, spacing: float, rng: np.random.Generator) -> Cloud:
    """Build one petal: base at the origin, running along +x, upper side towards +z."""
    width = trait.width * trait.length

    def paint(s: Floats, t: Floats) -> Floats:
        return _petal_paint(trait, palette, s, t, rng)

    def girth(s: Floats) -> Floats:
        return 2 * width * _outline(trait.shape, s)

    busy = trait.teeth or trait.veins or trait.spots or trait.checks or trait.ruffle
    cloud = _cloud(_petal_surface(trait, rng), paint, trait.length, girth, spacing, columns=45 if busy else 25)
    under = palette.colour(trait.under) if trait.under else cloud.under * 0.7 + 0.25
    return cloud._replace(under=under, under_share=trait.under_share, gloss=trait.gloss)


_REACH = np.linspace(0, 1.15, 93)


def _petal_surface(trait: Petals, rng: np.random.Generator) -> Surface:
    rise, curl, cup = (float(np.deg2rad(angle)) for angle in (trait.rise, trait.curl, trait.cup or 0.1))
    grid = _REACH
    bend = rise + curl * grid**trait.late
    step = float(grid[1]) * trait.length
    out = (np.cumsum(np.cos(bend)) - np.cos(rise)) * step
    up = (np.cumsum(np.sin(bend)) - np.sin(rise)) * step
    width = trait.width * trait.length
    phase = float(rng.uniform(0, 6.28))

    def surface(s: Floats, t: Floats) -> tuple[Floats, Floats, Floats]:
        reach = s * (1 - trait.notch * np.exp(-((t / 0.3) ** 2))) if trait.notch else s
        if trait.teeth:
            reach = reach - s**3 * trait.teeth * np.abs(np.sin(0.5 * np.pi * trait.tooth_count * (t + 1)))
        half = width * _outline(trait.shape, s)
        across = half * np.sin(cup * t) / cup
        lift = half * (1 - np.cos(cup * t)) / cup
        if trait.ruffle:
            wave = np.sin(np.pi * trait.ruffle_count * t + phase + 2 * s)
            lift = lift + trait.ruffle * s**2 * wave * (0.35 + 0.65 * np.abs(t))
        tilt = (rise + curl * reach**trait.late).astype(np.float32)
        x = np.interp(reach, grid, out).astype(np.float32) - lift * np.sin(tilt)
        z = np.interp(reach, grid, up).astype(np.float32) + lift * np.cos(tilt)
        return x, across + trait.skew * reach**2, z

    return surface


def _petal_paint(trait: Petals, palette: Palette, s: Floats, t: Floats, rng: np.random.Generator) -> Floats:
    # zones end in an arc rather than a straight line across the petal
    colours = palette.gradient(trait.paint, s * (1 + 0.12 * t * t))
    colours *= 1 - 0.10 * np.exp(-((t / 0.08) ** 2))
    if trait.stripe:
        colours = _mix(colours, palette.colour(trait.stripe), np.exp(-((t / trait.stripe_width) ** 2)) * (1 - s * s))
    if trait.edge:
        rim = np.maximum(np.abs(t), s**3) ** 4
        colours = _mix(colours, palette.colour(trait.edge), rim * trait.edge_share)
    if trait.veins:
        line = np.abs(np.cos(np.pi * trait.vein_count * t * (1 + 0.15 * np.sin(9 * s)))) ** 8
        colours = _mix(colours, palette.colour(trait.veins), line * trait.vein_share * (1 - 0.8 * s))
    if trait.checks:
        board = np.sin(26 * s) * np.sin(9 * t)
        colours = _mix(colours, palette.colour(trait.checks), np.clip(board * 4 + 0.5, 0, 1) * 0.8)
    if trait.spots:
        colours = _mix(colours, palette.colour(trait.spots), 0.85 * _spots(s, t, trait.width, trait, rng))
    return colours * _mottle(s, t, rng)


def petal_part(trait: Petals, palette: Palette, spacing: float, rng: np.random.Generator) -> Part:
    """Place a petal's copies around the axis, whorl inside whorl."""
    cloud = petal_cloud(trait, palette, spacing, rng)
    ring = np.array(trait.at) if trait.at else np.arange(trait.count) * 360 / trait.count
    whorl = np.repeat(np.arange(trait.whorls), len(ring))
    total = len(whorl)
    depth = whorl / max(1, trait.whorls - 1)
    wild = trait.wild * rng.standard_normal((4, total))
    # whorls stand in the gaps of the one before; the golden angle keeps any two from lining up
    azimuth = np.tile(ring, trait.whorls) + whorl * (GOLDEN_DEGREES if not trait.at else 0) + 90 * (not trait.at)
    azimuth = azimuth + wild[0] * (22 / max(4, len(ring)) + 1)
    tilt = depth * trait.inner_rise + 4.5 * wild[1]
    scale = (1 + depth * (trait.inner_length - 1)) * (1 + 0.05 * wild[2])
    frames = _turn(2, azimuth) @ _turn(1, -tilt) @ _turn(0, trait.roll + 3.5 * wild[3])
    radius = trait.radius * (1 - 0.6 * depth)
    out = np.stack([np.cos(np.deg2rad(azimuth)) * radius, np.sin(np.deg2rad(azimuth)) * radius], axis=1)
    offsets = np.column_stack([out, trait.height + 0.02 * depth])
    tints = 1 + 0.05 * rng.standard_normal((total, 1)) * np.ones((1, 3)) - 0.06 * depth[:, None]
    return _part(cloud, frames * scale[:, None, None], offsets, tints)


# ---------------------------------------------------------------------------------------------------- other organs


def tube_part(trait: Tube, palette: Palette, spacing: float, rng: np.random.Generator) -> Part:
    """Build a tube around the axis; its upper side is the inner one."""
    path = _path(trait.profile)
    arc = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(path)))])
    length = float(arc[-1])
    arc = arc / length

    def paint(s: Floats, t: Floats) -> Floats:
        return _tube_paint(trait, palette, s, t, rng)

    def girth(s: Floats) -> Floats:
        return 2 * np.pi * np.interp(s, arc, path[0])

    cloud = _cloud(_tube_surface(trait, arc, path), paint, length, girth, spacing, columns=97)
    under = palette.colour(trait.under) if trait.under else cloud.under * 0.8 + 0.1
    cloud = cloud._replace(under=under, under_share=trait.under_share, gloss=trait.gloss)
    return _part(cloud, _lean(trait.lean)[None], np.array([trait.shift]), np.ones((1, 3)))


def _path(knots: tuple[tuple[float, float], ...]) -> NDArray[np.float64]:
    """Join (radius, height) knots by a rounded line: float64[2, 97]."""
    fine = np.linspace(0, len(knots) - 1, 97)
    path = np.stack([np.interp(fine, np.arange(len(knots)), [knot[i] for knot in knots]) for i in (0, 1)])
    if len(knots) == 2:
        return path
    ends = np.pad(path, ((0, 0), (8, 8)), mode="reflect", reflect_type="odd")
    return np.stack([np.convolve(line, np.ones(17) / 17, mode="valid") for line in ends])


def _tube_surface(trait: Tube, arc: NDArray[np.float64], path: NDArray[np.float64]) -> Surface:
    def surface(s: Floats, t: Floats) -> tuple[Floats, Floats, Floats]:
        theta = np.pi * t
        half = 0.5 * trait.lobes * theta
        cut = np.abs(np.sin(half)) if trait.pointed else 1 - np.abs(np.cos(half)) ** 0.8
        reach = s * (1 - trait.depth * cut * s)
        radius = np.interp(reach, arc, path[0]) * (1 + trait.pleat * s * s * np.cos(trait.lobes * theta))
        z = np.interp(reach, arc, path[1]) + trait.ruffle * s**4 * np.sin(trait.ruffle_count * theta)
        return -radius * np.sin(theta), radius * np.cos(theta), z

    return surface


def _tube_paint(trait: Tube, palette: Palette, s: Floats, t: Floats, rng: np.random.Generator) -> Floats:
    colours = palette.gradient(trait.paint, s + 0 * t)
    theta = np.pi * t
    if trait.star:
        apart = np.abs(np.sin(0.5 * trait.lobes * theta))
        share = np.exp(-((apart / (trait.star_width * (1.6 - s))) ** 2))
        colours = _mix(colours, palette.colour(trait.star), share * 0.75)
    if trait.veins:
        line = np.abs(np.cos(1.5 * trait.lobes * theta)) ** 10
        colours = _mix(colours, palette.colour(trait.veins), line * trait.vein_share)
    if trait.spots:
        # on the lower lip only, which lies at theta = 180 degrees
        low = _spots(s, np.abs(t) * 6 - 5.2, 0.25, trait, rng)
        colours = _mix(colours, palette.colour(trait.spots), 0.9 * low)
    return colours * _mottle(s, 3 * np.abs(t), rng)


def dome_parts(trait: Dome, palette: Palette, spacing: float, rng: np.random.Generator) -> list[Part]:
    """Build a dome and the seeds that stand on it."""
    sweep = float(np.deg2rad(trait.sweep))

    def surface(s: Floats, t: Floats) -> tuple[Floats, Floats, Floats]:
        around = trait.radius * np.sin(sweep * s)
        return around * np.cos(np.pi * t), around * np.sin(np.pi * t), trait.height * np.cos(sweep * s)

    def paint(s: Floats, t: Floats) -> Floats:
        return palette.gradient(trait.paint, s + 0 * t) * _mottle(s, 3 * np.abs(t), rng)

    def girth(s: Floats) -> Floats:
        return 2 * np.pi * trait.radius * np.sin(sweep * s)

    length = float(0.5 * (trait.radius + trait.height) * sweep)
    cloud = _cloud(surface, paint, length, girth, spacing)._replace(gloss=trait.gloss)
    frame, shift = _lean(trait.lean), np.array([trait.shift])
    parts = [_part(cloud, frame[None], shift, np.ones((1, 3)))]
    if trait.seeds:
        parts.append(_moved(_seed_part(trait, palette, spacing, rng), frame, shift))
    return parts


def _seed_part(trait: Dome, palette: Palette, spacing: float, rng: np.random.Generator) -> Part:
    size, tall = trait.seed_size, trait.seed_size * trait.seed_length

    def surface(s: Floats, t: Floats) -> tuple[Floats, Floats, Floats]:
        around = size * np.sqrt(1 - s)
        return around * np.cos(np.pi * t), -around * np.sin(np.pi * t), tall * s

    def paint(s: Floats, t: Floats) -> Floats:
        return 0.55 + 0.45 * s + 0 * t

    cloud = _cloud(surface, paint, tall + 0.5 * size, lambda s: 6 * size * np.sqrt(1 - s), spacing * 1.2, columns=9)
    order = (np.arange(trait.seeds) + 0.5) / trait.seeds
    polar = np.arccos(1 - order * (1 - np.cos(np.deg2rad(trait.sweep))))
    azimuth = np.arange(trait.seeds) * GOLDEN_DEGREES + 3 * rng.standard_normal(trait.seeds)
    frames = _turn(2, azimuth) @ _turn(1, np.rad2deg(polar) + 3 * rng.standard_normal(trait.seeds))
    flat = trait.radius * np.sin(polar)
    place = np.deg2rad(azimuth)
    offsets = np.column_stack([flat * np.cos(place), flat * np.sin(place), trait.height * np.cos(polar)])
    tints = palette.gradient(trait.seed_paint, order.astype(np.float32)).T
    return _part(cloud, frames, offsets, tints * (1 + 0.12 * rng.standard_normal((trait.seeds, 1))))


def stamen_part(trait: Stamens, palette: Palette, spacing: float, rng: np.random.Generator) -> Part:
    """Build the threads: one cloud for thread and knob, copies fanned out from the axis."""
    body = Petals(
        length=trait.length, width=trait.thick / trait.length, shape="blade", rise=0, curl=trait.curl, cup=60, late=1.2,
        paint=trait.paint, under_share=0.1,
    )  # fmt: skip
    thread = petal_cloud(body, palette, spacing, rng)
    cloud = _with_knob(thread, trait, palette, spacing) if trait.knob_size else thread
    total = len(trait.at) or trait.count
    order = (np.arange(total) + 0.5) / total
    azimuth = np.array(trait.at) if trait.at else np.arange(total) * GOLDEN_DEGREES
    azimuth = azimuth + 4 * rng.standard_normal(total)
    low, high = trait.rise
    rise = low + (high - low) * order + 4 * rng.standard_normal(total)
    scale = 1 + 0.08 * rng.standard_normal(total)
    frames = _turn(2, azimuth) @ _turn(1, -rise) * scale[:, None, None]
    out = trait.radius * np.sqrt(1 - order)
    place = np.deg2rad(azimuth)
    offsets = np.column_stack([out * np.cos(place), out * np.sin(place), np.full(total, trait.height)])
    tints = 1 + 0.08 * rng.standard_normal((total, 1)) * np.ones((1, 3))
    return _moved(_part(cloud, frames, offsets, tints), _lean(trait.lean), np.zeros((1, 3)))


def _with_knob(thread: Cloud, trait: Stamens, palette: Palette, spacing: float) -> Cloud:
    size, tip = trait.knob_size, thread.points[:, -1]

    def surface(s: Floats, t: Floats) -> tuple[Floats, Floats, Floats]:
        around = 0.7 * size * np.sin(np.pi * s)
        x, y, z = size * np.cos(np.pi * s), around * np.cos(np.pi * t), around * np.sin(np.pi * t)
        return tip[0] + x, tip[1] + y, tip[2] + z

    def paint(s: Floats, t: Floats) -> Floats:
        return palette.colour(trait.knob)[:, None, None] + 0 * s + 0 * t

    knob = _cloud(surface, paint, 2.5 * size, lambda s: 4.4 * size * np.sin(np.pi * s), spacing, columns=13)
    both = [np.concatenate([getattr(thread, name), getattr(knob, name)], axis=1) for name in Cloud._fields[:3]]
    return thread._replace(points=both[0], normals=both[1], colours=both[2])


def stem_part(path: Floats, thick: float, paint: str, palette: Palette, spacing: float) -> Part:
    """Build a stem along a bent line through float[3, 3]: start, control point, end."""

    def surface(s: Floats, t: Floats) -> tuple[Floats, Floats, Floats]:
        start, middle, end = (knot[:, None, None] for knot in np.asarray(path, np.float32))
        line = start * (1 - s) ** 2 + middle * 2 * s * (1 - s) + end * s * s
        slope = (middle - start) * (1 - s) + (end - middle) * s
        side = np.stack([slope[1], -slope[0], 0 * slope[0]]) / (np.hypot(slope[0], slope[1]) + 1e-6)
        x, y, _ = line + side * (thick * np.sin(0.5 * np.pi * t))
        return x, y, line[2] + thick * np.cos(0.5 * np.pi * t)

    def tint(s: Floats, t: Floats) -> Floats:
        return palette.gradient(paint, s + 0 * t)

    length = float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
    cloud = _cloud(surface, tint, length, lambda s: np.full_like(s, 2.2 * thick), spacing, columns=7)
    return _part(cloud, np.eye(3)[None], np.zeros((1, 3)), np.ones((1, 3)))


def organ_parts(organ: Organ, palette: Palette, spacing: float, rng: np.random.Generator) -> list[Part]:
    """Build any organ."""
    match organ:
        case Petals():
            return [petal_part(organ, palette, spacing, rng)]
        case Tube():
            return [tube_part(organ, palette, spacing, rng)]
        case Dome():
            return dome_parts(organ, palette, spacing, rng)
        case Stamens():
            return [stamen_part(organ, palette, spacing, rng)]


# ----------------------------------------------------------------------------------------------------------- frames


def _part(cloud: Cloud, frames: NDArray, offsets: NDArray, tints: NDArray) -> Part:
    return Part(cloud, frames.astype(np.float32), offsets.astype(np.float32), tints.astype(np.float32))


def _moved(part: Part, frame: NDArray, shift: NDArray) -> Part:
    return part._replace(
        frames=(frame @ part.frames).astype(np.float32), offsets=(part.offsets @ frame.T + shift).astype(np.float32)
    )


def thinned(part: Part, step: int) -> Part:
    """Keep every `step`-th point: enough for a smaller or a blurred copy."""
    points, normals, colours = (np.ascontiguousarray(values[:, ::step]) for values in part.cloud[:3])
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


def _turn(axis: int, degrees: NDArray | float) -> NDArray:
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
    return _turn(2, azimuth) @ _turn(1, tilt) @ _turn(2, np.asarray(roll) - azimuth)


def _lean(lean: tuple[float, float]) -> NDArray:
    return turned(lean[1], lean[0])[0]
