"""Heads of flowers: organs made into florets, florets set on umbels and spikes.

Takes: a `Species`, a `Palette`, the distance between points, a random generator.
Gives: the head's `Part`s in its own frame: radius about 1, looking along +z (spikes: standing along +y).
"""

import numpy as np
from numpy.typing import NDArray

from corolla.sample.clouds import Part, placed, turned
from corolla.sample.colours import Palette
from corolla.sample.organs import organ_parts, stem_part
from corolla.sample.traits import GOLDEN_DEGREES, Species, Spike, Stamens, Umbel


def head_parts(species: Species, palette: Palette, spacing: float, rng: np.random.Generator) -> list[Part]:
    """Build one head: a single bloom, or florets on their habit."""
    habit = species.habit
    if habit is None:
        return _organs(species, palette, spacing, rng)
    scale = habit.size
    florets = _organs(species, palette, spacing / scale, rng)
    frames, offsets = _umbel(habit, species, rng) if isinstance(habit, Umbel) else _spike(habit, species, rng)
    tints = 1 + 0.06 * rng.standard_normal((len(frames), 1)) * np.ones((1, 3))
    parts = [placed(part, frames, offsets, tints) for part in florets]
    parts += [part for organ in species.extra for part in organ_parts(organ, palette, spacing, rng)]
    return parts + _bearer(habit, palette, spacing, rng)


def _organs(species: Species, palette: Palette, spacing: float, rng: np.random.Generator) -> list[Part]:
    return [part for organ in species.organs for part in organ_parts(organ, palette, spacing, rng)]


def _rolls(species: Species, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.normal(0, 8, count) if species.upright else rng.uniform(0, 360, count)


def _umbel(habit: Umbel, species: Species, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frames float[n, 3, 3] and offsets float[n, 3] of florets on a dome."""
    count = max(1, round(habit.count * rng.uniform(0.8, 1.15)))
    order = (np.arange(count) + 0.5) / count
    polar = np.rad2deg(np.arccos(1 - order * (1 - np.cos(np.deg2rad(habit.spread)))))
    polar = polar + rng.normal(0, 5, count)
    azimuth = np.arange(count) * GOLDEN_DEGREES + rng.uniform(0, 360) + rng.normal(0, 10, count)
    out = turned(azimuth, polar)
    offsets = out[:, :, 2] * (habit.radius * rng.normal(1, 0.05, (count, 1)))
    size = habit.size * rng.normal(1, 0.07, count)
    # florets look a little less far out than they stand
    frames = turned(azimuth, polar * 0.8, _rolls(species, count, rng)) * size[:, None, None]
    return frames, offsets


def _spike(habit: Spike, species: Species, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frames float[n, 3, 3] and offsets float[n, 3] of florets around an axis from y = -1 to y = 1."""
    count = max(2, round(habit.count * rng.uniform(0.85, 1.15)))
    order = (np.arange(count) + 0.5) / count
    around = np.deg2rad(
        np.arange(count) * habit.turn + rng.uniform(0, 360) * (habit.turn != 180) + rng.normal(0, 8, count)
    )
    low, high = habit.rise
    rise = np.deg2rad(low + (high - low) * order + rng.normal(0, 5, count))
    side = np.cos(around)
    out = np.stack(
        [side * (1 - 0.5 * habit.front), np.zeros(count), np.sin(around) * (1 - habit.front) + habit.front], axis=1
    )
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    look = out * np.cos(rise)[:, None]
    look[:, 1] = np.sin(rise)
    size = habit.size * (1 + (habit.taper - 1) * order**1.3) * rng.normal(1, 0.06, count)
    radius = habit.radius * (1 + (habit.cone - 1) * order)
    offsets = out * radius[:, None]
    offsets[:, 0] += side * habit.front * (radius + 0.2 * size) * (habit.splay == 0)
    offsets[:, 1] = -1 + (1 + habit.reach) * (habit.bare + (1 - habit.bare) * order)
    roll = _rolls(species, count, rng) if not habit.splay else -habit.splay * np.sign(side) + rng.normal(0, 5, count)
    return _upright(look, roll) * size[:, None, None], offsets


def _upright(look: NDArray[np.float64], roll: NDArray[np.float64]) -> NDArray[np.float64]:
    """Frames whose z axis is `look` float[n, 3] and whose y axis is as near to the picture's up as it can be."""
    frames = np.empty((len(look), 3, 3))
    frames[:, :, 2] = look
    frames[:, :, 0] = np.cross(np.array([0.02, 1.0, 0.05]), look)
    frames[:, :, 0] /= np.linalg.norm(frames[:, :, 0], axis=1, keepdims=True) + 1e-9
    frames[:, :, 1] = np.cross(look, frames[:, :, 0])
    return frames @ turned(np.zeros(len(roll)), 0, roll)


def _bearer(habit: Umbel | Spike, palette: Palette, spacing: float, rng: np.random.Generator) -> list[Part]:
    """The stalks of an umbel, the axis of a spike."""
    if isinstance(habit, Umbel):
        stalks = Stamens(
            count=habit.count, length=habit.radius, rise=(90 - habit.spread, 88), paint=habit.stalks, knob_size=0.0,
            thick=0.016,
        )  # fmt: skip
        return organ_parts(stalks, palette, spacing, rng)
    path = np.array([[0, -1.02, 0], [0, 0, 0], [0, 0.98, 0]], np.float32)
    return [stem_part(path, habit.thick, f"{habit.axis}", palette, spacing)]
