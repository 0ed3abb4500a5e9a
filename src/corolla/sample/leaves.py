"""Leaves: their kinds, how they are divided, where they grow.

Takes: a kind, its greens, the distance between points, a random generator.
Gives: `leaf_part`, one leaf of length 1 along +x; `leaf_places`, frames for leaves behind and below a head.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from corolla.sample.clouds import Part, placed, turned
from corolla.sample.colours import Palette
from corolla.sample.organs import organ_parts
from corolla.sample.traits import Petals

KINDS: dict[str, Petals] = {
    "grass": Petals(width=0.028, shape="blade", rise=0, curl=-55, cup=40),
    "strap": Petals(width=0.065, shape="blade", rise=0, curl=-45, cup=45, gloss=0.12),
    "oval": Petals(width=0.27, shape="spear", rise=0, curl=-45, cup=30, gloss=0.16),
    "lance": Petals(width=0.13, shape="lance", rise=0, curl=-45, cup=30),
    "round": Petals(width=0.5, shape="round", rise=0, curl=-25, cup=20),
    "heart": Petals(width=0.46, shape="heart", rise=0, curl=-35, cup=20, gloss=0.14),
    "pad": Petals(width=0.5, shape="round", rise=0, curl=0, cup=8, gloss=0.3),
    "spiny": Petals(width=0.16, shape="lance", rise=0, curl=-30, cup=30, teeth=0.0, ruffle=0.06, ruffle_count=7),
    "thread": Petals(width=0.012, shape="blade", rise=0, curl=-35, cup=30),
    "fern": Petals(width=0.13, shape="spear", rise=0, curl=-20, cup=20),
    "palm": Petals(width=0.17, shape="spear", rise=0, curl=-30, cup=25),
    "bare": Petals(width=0.018, shape="blade", rise=0, curl=15, cup=80),
}
TALL = ("grass", "strap", "thread")
"""Leaves that rise from the ground to the height of the flower."""
_COMPOUND = {
    "fern": (
        *((0.15 + 0.1 * i, side * 52.0, 0.4 - 0.025 * i) for i in range(8) for side in (-1, 1)),
        (0.9, 0.0, 0.3),
    ),
    "palm": tuple((0.12, angle, 1 - abs(angle) / 180) for angle in (-100.0, -52.0, 0.0, 52.0, 100.0)),
    "thread": tuple((0.1 * i, side * 34.0, 0.7 - 0.05 * i) for i in range(6) for side in (-1, 1)),
}
"""Leaflets of compound leaves: place along the leaf, degrees away from it, length."""


def leaf_part(kind: str, paint: str, spacing: float, rng: np.random.Generator) -> Part:
    """One leaf along +x, of length 1."""
    dark, middle, light = paint.split()
    bark = kind == "bare"
    trait = replace(
        KINDS[kind], at=(0.0,), radius=0.0, roll=0.0, wild=0.0,
        paint="#4a3c30 #6a5848" if bark else f"{dark} {middle}:.5 {light}",
        veins="" if bark else light, vein_count=3.0, stripe="" if bark else light, stripe_width=0.05, under=light,
    )  # fmt: skip
    part = organ_parts(trait, Palette(("#ffffff",)), spacing, rng)[0]
    if kind not in _COMPOUND:
        return part
    along, angle, length = (np.array(column) for column in zip(*_COMPOUND[kind], strict=True))
    frames = spin(angle) * length[:, None, None]
    return placed(part, frames, np.column_stack([along * 0.8, 0 * along, -0.1 * along**2]))


def spin(degrees: NDArray) -> NDArray:
    """Turn about z: float64[n, 3, 3]."""
    return turned(0, 0, degrees)


def leaf_places(kind: str, middle: NDArray, count: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Frames float[n, 3, 3] and offsets float[n, 3] of leaves behind and below a head."""
    tall = kind in TALL
    if kind == "pad":
        tilt = rng.normal(0, 4, count)
        base = np.column_stack([rng.uniform(-0.7, 0.5, count), rng.uniform(-0.5, 0.35, count), np.full(count, -0.8)])
        frames = turned(90, 62 + tilt, rng.uniform(0, 360, count)) * rng.uniform(0.25, 0.5, count)[:, None, None]
        return frames, base
    azimuth = rng.normal(90, 28, count) if tall else rng.uniform(-40, 220, count)
    lift = rng.normal(10, 18, count)
    size = rng.uniform(0.6, 1.1, count) if tall else rng.uniform(0.22, 0.48, count)
    base_y = -0.62 if tall else middle[1] - rng.uniform(0.0, 0.55, count)
    base = np.column_stack(
        [
            middle[0] + rng.normal(0, 0.28 if tall else 0.16, count),
            base_y + 0 * size,
            rng.uniform(-1.1, -0.8, count),
        ]
    )
    frames = spin(azimuth) @ turned(0, -lift) @ turned(90, rng.normal(0, 25, count))
    return frames * size[:, None, None], base
