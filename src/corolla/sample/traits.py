"""The words in which a kind of flower is described: organs, habits, species.

Takes: nothing. Gives: the dataclasses of which `herbarium` is made and which `organs`, `blooms` and `scenes` read.

A bloom looks along +z and has a radius of about 1. Lengths are in that unit, angles in degrees.
Paints are colours from base to tip, as `colours.Palette.gradient` reads them.
"""

from dataclasses import dataclass
from typing import Literal

Vector = tuple[float, float, float]
GOLDEN_DEGREES = 137.50776
"""Turning by this, no leaf ever stands straight above another."""

Pose = Literal["face", "side", "nod"]
Place = Literal["garden", "meadow", "soil", "rock", "water", "dark", "sky"]
Leaf = Literal["grass", "strap", "oval", "lance", "round", "heart", "fern", "palm", "spiny", "thread", "pad", "bare"]

# ----------------------------------------------------------------------------------------------------------- organs


@dataclass(frozen=True, kw_only=True)
class Petals:
    """One or several whorls of petals, rays, bracts, sepals or leaflets."""

    count: int = 5
    paint: str = "a"
    length: float = 1.0
    width: float = 0.4
    """Greatest half width, as a part of the length."""
    shape: str = "oval"
    """One of `organs.SHAPES`."""
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

# ---------------------------------------------------------------------------------------------------------- species


@dataclass(frozen=True, kw_only=True)
class Umbel:
    """Florets on a dome, each on its stalk."""

    count: int = 14
    spread: float = 75.0
    """Degrees from the top down to the outermost floret; 180 makes a ball."""
    radius: float = 0.75
    size: float = 0.34
    stalks: str = "#5d8a3c"


@dataclass(frozen=True, kw_only=True)
class Spike:
    """Florets around an upright axis of length 2, the youngest at the top."""

    count: int = 24
    size: float = 0.32
    taper: float = 0.4
    """Size of the topmost floret as a part of the lowest."""
    radius: float = 0.1
    cone: float = 1.0
    """Radius at the top as a part of that at the bottom."""
    rise: tuple[float, float] = (0.0, 50.0)
    """Degrees above the horizontal at which florets look, lowest and topmost."""
    bare: float = 0.0
    """Part of the axis, from below, without florets."""
    turn: float = GOLDEN_DEGREES
    """Degrees between one floret and the next; 180 puts them in two rows."""
    front: float = 0.0
    """0: all around; 1: all florets turn to the eye's side."""
    splay: float = 0.0
    """Degrees by which florets lean away from the axis, left and right."""
    reach: float = 0.96
    """Height of the topmost floret, from -1 to 1."""
    axis: str = "#5d8a3c"
    thick: float = 0.03


Habit = Umbel | Spike | None


@dataclass(frozen=True, kw_only=True)
class Species:
    """One kind of flower."""

    organs: tuple[Organ, ...]
    forms: tuple[str, ...]
    habit: Habit = None
    pose: Pose = "face"
    upright: bool = False
    """Keeps its upper side up: orchids, pansies, irises."""
    size: float = 1.0
    crowd: int = 1
    """Most blooms in one photo."""
    leaf: Leaf = "oval"
    leaf_paint: str = "#2f5a22 #4f8033 #6d9a45"
    places: tuple[Place, ...] = ("garden", "meadow", "dark")
    stem: str = "#55803a"
    extra: tuple[Organ, ...] = ()
    """Organs of the whole head under its florets."""
