"""Photos: heads of flowers in a place, in a light, through a camera.

Takes: a label, a side in pixels, a random generator. Gives: uint8[side, side, 3].
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import uniform_filter1d

from corolla.sample.backgrounds import background
from corolla.sample.blooms import head_parts
from corolla.sample.camera import develop
from corolla.sample.clouds import Part, placed, thinned, turned
from corolla.sample.colours import Floats, Palette
from corolla.sample.herbarium import SPECIES
from corolla.sample.leaves import TALL, leaf_part, leaf_places, spin
from corolla.sample.organs import stem_part
from corolla.sample.painting import FINE, Layer, Light, paint
from corolla.sample.traits import Place, Species, Spike

_SPACING = 1.35


@dataclass(frozen=True)
class Stand:
    """Where a head stands: middle (x, y, z) and radius as parts of the picture's side, frame float[3, 3]."""

    middle: NDArray[np.float64]
    radius: float
    frame: NDArray[np.float64]


def paint_photo(label: int, side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Paint one photo of the kind of flower `label`: uint8[side, side, 3]."""
    species = SPECIES[label]
    place: Place = species.places[min(len(species.places) - 1, int(rng.exponential(0.9)))]
    light = _light(rng)
    palette = _palette(species, rng)
    stands = _stands(species, rng)
    # one head and one leaf serve the whole photo: turned, scaled, far and near
    head = head_parts(species, palette, _spacing(side, stands[0].radius), rng)
    leaf = leaf_part(species.leaf, species.leaf_paint, _spacing(side, 1.0 if species.leaf in TALL else 0.45), rng)
    far = [*_far_leaves(leaf, species, rng), *_far_head(head, species, stands, rng)]
    picture = _distance(far, place, palette, side, light, rng)
    near = [*_heads(head, stands), *(_stem(species, palette, stand, side, rng) for stand in stands if species.stem)]
    picture = _over(picture, paint([*near, _near_leaves(leaf, species, stands, rng)], side, light))
    if rng.random() < 0.12:
        picture = _over(picture, _before(side, light, rng))
    return develop(picture, rng)


# ----------------------------------------------------------------------------------------------------- what there is


def _light(rng: np.random.Generator) -> Light:
    """Mostly a high sun from one side; now and then an overcast sky."""
    azimuth = rng.uniform(0.15, 0.85) * np.pi
    height = rng.uniform(0.5, 1.2)
    towards = np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)], np.float32)
    overcast = rng.random() < 0.3
    warm = rng.normal(0, 0.06)
    sun = np.array([1.0 + warm, 0.97, 0.9 - warm], np.float32) * (0.7 if overcast else rng.uniform(1.0, 1.3))
    sky = np.array([0.30, 0.34, 0.40], np.float32) * (1.7 if overcast else rng.uniform(0.6, 1.0))
    return Light(towards, sun, sky)


def _palette(species: Species, rng: np.random.Generator) -> Palette:
    # the first form is the one in most gardens
    form = species.forms[min(len(species.forms) - 1, int(rng.exponential(1.4)))]
    shift = np.exp(rng.normal(0, 0.09, 3) + rng.normal(0, 0.07)).astype(np.float32)
    return Palette(tuple(form.split()), shift)


def _stands(species: Species, rng: np.random.Generator) -> list[Stand]:
    """One head in the middle, often, and companions around it for kinds that grow in crowds."""
    many = species.crowd > 1 and rng.random() < 0.45
    count = int(rng.integers(2, species.crowd + 1)) if many else 1
    radius = species.size * rng.uniform(0.3, 0.47) * (1.0 if count == 1 else 0.72 if count < 4 else 0.58)
    middle = np.array([rng.normal(0, 0.05), rng.normal(0.02, 0.05), 0.0])
    stands = [Stand(middle, radius, _pose(species, rng))]
    for i in range(1, count):
        away = 2.4 * rng.random() + 2.4 * i
        reach = radius * rng.uniform(1.3, 1.9)
        step = np.array([np.cos(away) * reach, np.sin(away) * reach * 0.9, -rng.uniform(0.05, 0.3)])
        stands.append(Stand(middle + step, radius * rng.uniform(0.65, 1.0), _pose(species, rng)))
    return stands


def _pose(species: Species, rng: np.random.Generator) -> NDArray[np.float64]:
    """Turn a head: towards the eye, upright and seen from the side, or nodding."""
    if isinstance(species.habit, Spike):
        return turned(rng.uniform(0, 360), abs(rng.normal(0, 9)), rng.normal(0, 7))[0]
    if species.pose == "face":
        tilt = min(62.0, abs(rng.normal(14 if species.upright else 24, 13)))
        azimuth = rng.normal(90, 60)
        return turned(azimuth, tilt, rng.normal(0, 9) if species.upright else rng.uniform(0, 360))[0]
    lean = rng.normal(90, 12) if species.pose == "side" else rng.normal(-90, 14)
    tilt = rng.uniform(38, 78) if species.pose == "side" else rng.uniform(55, 85)
    return turned(lean, tilt, rng.normal(0, 20) if species.upright else rng.uniform(0, 360))[0]


def _spacing(side: int, radius: float) -> float:
    """Distance between points, in units of something that is `radius` of the picture's side large."""
    return _SPACING / (side * FINE * radius)


def _heads(head: list[Part], stands: list[Stand]) -> list[Part]:
    frames = np.stack([stand.frame * stand.radius for stand in stands])
    middles = np.stack([stand.middle for stand in stands])
    return [placed(part, frames, middles) for part in head]


def _stem(species: Species, palette: Palette, stand: Stand, side: int, rng: np.random.Generator) -> Part:
    """The stem from a head to below the picture; that of a nodding head arches over behind it."""
    spike, nods = isinstance(species.habit, Spike), species.pose == "nod"
    axis = stand.frame[:, 1] if spike else stand.frame[:, 2]
    start = stand.middle - axis * stand.radius * (0.95 if spike else 0.12)
    bend = start - axis * 0.25 + ([0, 0.12, -0.3] if nods else [0, -0.05, -0.05])
    end = np.array([start[0] + rng.normal(0, 0.08), -0.62, min(start[2], -0.1)])
    if nods:
        end += [rng.choice([-0.3, 0.3]), 0, -0.6]
    thick = 0.05 * stand.radius * (0.6 if spike else 1.0)
    return stem_part(np.stack([start, bend, end], axis=0), thick, species.stem, palette, _SPACING / (side * FINE))


def _near_leaves(leaf: Part, species: Species, stands: list[Stand], rng: np.random.Generator) -> Part:
    """Sharp leaves right behind the heads."""
    count = int(rng.integers(2, 8))
    frames, base = leaf_places(species.leaf, stands[0].middle, count, rng)
    return placed(leaf, frames, base, rng.normal(1, 0.12, (count, 1)) * np.ones((1, 3)))


# ---------------------------------------------------------------------------------------------------------- distance

_FAR_SHRINK = 3
_FAR_STEP = 6
"""What is far is blurred anyway: it is painted at a third of the size, from every sixth point."""


def _far_leaves(leaf: Part, species: Species, rng: np.random.Generator) -> list[Part]:
    count = int(rng.integers(4, 18))
    frames, base = leaf_places(species.leaf, np.array([0.0, 0.2, 0.0]), count, rng)
    base[:, 0] = rng.uniform(-0.6, 0.6, count)
    base[:, 2] -= 0.5
    return [placed(thinned(leaf, _FAR_STEP), frames, base, rng.uniform(0.35, 0.9, (count, 1)) * np.ones((1, 3)))]


def _far_head(head: list[Part], species: Species, stands: list[Stand], rng: np.random.Generator) -> list[Part]:
    if rng.random() > 0.3 + 0.08 * species.crowd:
        return []
    middle = np.array([rng.choice([-1, 1]) * rng.uniform(0.25, 0.45), rng.uniform(-0.3, 0.4), -0.6])
    far = Stand(middle, stands[0].radius * rng.uniform(0.4, 0.7), _pose(species, rng))
    return _heads([thinned(part, _FAR_STEP) for part in head], [far])


def _distance(
    far: list[Part], place: Place, palette: Palette, side: int, light: Light, rng: np.random.Generator
) -> Floats:
    """Paint all that is out of focus behind the heads, small: float32[3, side, side]."""
    small = max(8, -(-side // _FAR_SHRINK))
    picture = background(place, palette, small, light, rng)
    picture = _over(picture, _soft(paint(far, small, light, fine=1, shadows=False), rng))
    return np.stack([_enlarged(plane, side) for plane in picture])


def _before(side: int, light: Light, rng: np.random.Generator) -> Layer:
    """A blurred blade or leaf between the flower and the lens."""
    small = max(8, -(-side // _FAR_SHRINK))
    kind = str(rng.choice(["grass", "strap", "oval"]))
    leaf = leaf_part(kind, "#2f5a22 #4f8033 #6d9a45", _spacing(small, 0.6), rng)
    edge = rng.choice([-1, 1]) * rng.uniform(0.2, 0.55)
    frame = spin(np.array([rng.normal(90, 25)])) * rng.uniform(0.35, 0.85)
    layer = paint([placed(leaf, frame, np.array([[edge, -0.58, 0.8]]))], small, light, fine=1, shadows=False)
    blurred = _soft(layer, rng)
    return Layer(np.stack([_enlarged(plane, side) for plane in blurred.colour]), _enlarged(blurred.cover, side))


def _enlarged(plane: Floats, side: int) -> Floats:
    return np.asarray(Image.fromarray(plane).resize((side, side), Image.Resampling.BILINEAR))


def _soft(layer: Layer, rng: np.random.Generator) -> Layer:
    """Put a layer out of focus."""
    size = 1 + 2 * int(np.ceil(rng.uniform(0.4, 2.2) * len(layer.cover) / 112))
    planes = np.concatenate([layer.colour, layer.cover[None]])
    for axis in (1, 2, 1, 2):
        planes = uniform_filter1d(planes, size, axis=axis)
    return Layer(planes[:3], planes[3])


def _over(picture: Floats, layer: Layer) -> Floats:
    """Lay a layer over a picture, in place."""
    picture *= 1 - layer.cover
    picture += layer.colour
    return picture
