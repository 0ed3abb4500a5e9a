"""The organs of a flower: petals, tubes, domes, stamens, stems.

Takes: traits, a `Palette`, the distance between points, a random generator.
Gives: `Part`s: one cloud in the organ's own frame, and the frames in which copies of it stand in the bloom.
"""

import numpy as np
from numpy.typing import NDArray

from corolla.sample.clouds import Cloud, Part, Surface, cover, leaning, moved, part_of, turn
from corolla.sample.colours import Floats, Palette, mixed
from corolla.sample.traits import GOLDEN_DEGREES, Dome, Organ, Petals, Stamens, Tube

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
    return 1 + 0.035 * (
        np.sin(5 * s + 2 * t + p[0]) + np.sin(9 * s - 5 * t + p[1]) + 0.6 * np.sin(17 * s + 13 * t + p[2])
    )


# ----------------------------------------------------------------------------------------------------------- petals


def petal_cloud(trait: Petals, palette: Palette, spacing: float, rng: np.random.Generator) -> Cloud:
    """Build one petal: base at the origin, running along +x, upper side towards +z."""
    width = trait.width * trait.length

    def paint(s: Floats, t: Floats) -> Floats:
        return _petal_paint(trait, palette, s, t, rng)

    def girth(s: Floats) -> Floats:
        return 2 * width * _outline(trait.shape, s) * (1 + trait.ruffle * trait.ruffle_count)

    busy = trait.teeth or trait.veins or trait.spots or trait.checks or trait.ruffle
    cloud = cover(_petal_surface(trait, rng), paint, trait.length, girth, spacing, columns=45 if busy else 25)
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
        colours = mixed(colours, palette.colour(trait.stripe), np.exp(-((t / trait.stripe_width) ** 2)) * (1 - s * s))
    if trait.edge:
        rim = np.maximum(np.abs(t), s**3) ** 4
        colours = mixed(colours, palette.colour(trait.edge), rim * trait.edge_share)
    if trait.veins:
        line = np.abs(np.cos(np.pi * trait.vein_count * t * (1 + 0.15 * np.sin(9 * s)))) ** 8
        colours = mixed(colours, palette.colour(trait.veins), line * trait.vein_share * (1 - 0.8 * s))
    if trait.checks:
        board = np.sin(26 * s) * np.sin(9 * t)
        colours = mixed(colours, palette.colour(trait.checks), np.clip(board * 4 + 0.5, 0, 1) * 0.8)
    if trait.spots:
        colours = mixed(colours, palette.colour(trait.spots), 0.85 * _spots(s, t, trait.width, trait, rng))
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
    frames = turn(2, azimuth) @ turn(1, -tilt) @ turn(0, trait.roll + 3.5 * wild[3])
    radius = trait.radius * (1 - 0.6 * depth)
    out = np.stack([np.cos(np.deg2rad(azimuth)) * radius, np.sin(np.deg2rad(azimuth)) * radius], axis=1)
    offsets = np.column_stack([out, trait.height + 0.02 * depth])
    tints = 1 + 0.05 * rng.standard_normal((total, 1)) * np.ones((1, 3)) - 0.06 * depth[:, None]
    return part_of(cloud, frames * scale[:, None, None], offsets, tints)


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

    cloud = cover(_tube_surface(trait, arc, path), paint, length, girth, spacing, columns=97)
    under = palette.colour(trait.under) if trait.under else cloud.under * 0.8 + 0.1
    cloud = cloud._replace(under=under, under_share=trait.under_share, gloss=trait.gloss)
    return part_of(cloud, leaning(trait.lean)[None], np.array([trait.shift]), np.ones((1, 3)))


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
        colours = mixed(colours, palette.colour(trait.star), share * 0.75)
    if trait.veins:
        line = np.abs(np.cos(1.5 * trait.lobes * theta)) ** 10
        colours = mixed(colours, palette.colour(trait.veins), line * trait.vein_share)
    if trait.spots:
        # on the lower lip only, which lies at theta = 180 degrees
        low = _spots(s, np.abs(t) * 6 - 5.2, 0.25, trait, rng)
        colours = mixed(colours, palette.colour(trait.spots), 0.9 * low)
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
    cloud = cover(surface, paint, length, girth, spacing)._replace(gloss=trait.gloss)
    frame, shift = leaning(trait.lean), np.array([trait.shift])
    parts = [part_of(cloud, frame[None], shift, np.ones((1, 3)))]
    if trait.seeds:
        parts.append(moved(_seed_part(trait, palette, spacing, rng), frame, shift))
    return parts


def _seed_part(trait: Dome, palette: Palette, spacing: float, rng: np.random.Generator) -> Part:
    size, tall = trait.seed_size, trait.seed_size * trait.seed_length

    def surface(s: Floats, t: Floats) -> tuple[Floats, Floats, Floats]:
        around = size * np.sqrt(1 - s)
        return around * np.cos(np.pi * t), -around * np.sin(np.pi * t), tall * s

    def paint(s: Floats, t: Floats) -> Floats:
        return 0.55 + 0.45 * s + 0 * t

    cloud = cover(surface, paint, tall + 0.5 * size, lambda s: 6 * size * np.sqrt(1 - s), spacing * 1.2, columns=9)
    order = (np.arange(trait.seeds) + 0.5) / trait.seeds
    polar = np.arccos(1 - order * (1 - np.cos(np.deg2rad(trait.sweep))))
    azimuth = np.arange(trait.seeds) * GOLDEN_DEGREES + 3 * rng.standard_normal(trait.seeds)
    frames = turn(2, azimuth) @ turn(1, np.rad2deg(polar) + 3 * rng.standard_normal(trait.seeds))
    flat = trait.radius * np.sin(polar)
    place = np.deg2rad(azimuth)
    offsets = np.column_stack([flat * np.cos(place), flat * np.sin(place), trait.height * np.cos(polar)])
    tints = palette.gradient(trait.seed_paint, order.astype(np.float32)).T
    return part_of(cloud, frames, offsets, tints * (1 + 0.12 * rng.standard_normal((trait.seeds, 1))))


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
    frames = turn(2, azimuth) @ turn(1, -rise) * scale[:, None, None]
    out = trait.radius * np.sqrt(1 - order)
    place = np.deg2rad(azimuth)
    offsets = np.column_stack([out * np.cos(place), out * np.sin(place), np.full(total, trait.height)])
    tints = 1 + 0.08 * rng.standard_normal((total, 1)) * np.ones((1, 3))
    return moved(part_of(cloud, frames, offsets, tints), leaning(trait.lean), np.zeros((1, 3)))


def _with_knob(thread: Cloud, trait: Stamens, palette: Palette, spacing: float) -> Cloud:
    size, tip = trait.knob_size, thread.points[:, -1]

    def surface(s: Floats, t: Floats) -> tuple[Floats, Floats, Floats]:
        around = 0.7 * size * np.sin(np.pi * s)
        x, y, z = size * np.cos(np.pi * s), around * np.cos(np.pi * t), around * np.sin(np.pi * t)
        return tip[0] + x, tip[1] + y, tip[2] + z

    def paint(s: Floats, t: Floats) -> Floats:
        return palette.colour(trait.knob)[:, None, None] + 0 * s + 0 * t

    knob = cover(surface, paint, 2.5 * size, lambda s: 4.4 * size * np.sin(np.pi * s), spacing, columns=13)
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
    cloud = cover(surface, tint, length, lambda s: np.full_like(s, 2.2 * thick), spacing, columns=7)
    return part_of(cloud, np.eye(3)[None], np.zeros((1, 3)), np.ones((1, 3)))


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
