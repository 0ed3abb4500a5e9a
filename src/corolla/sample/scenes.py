"""Photos: heads of flowers in a place, in a light, through a camera.

Takes: a label, a side in pixels, a random generator. Gives: uint8[side, side, 3].
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy.ndimage import uniform_filter1d

from corolla.sample.blooms import head_parts
from corolla.sample.clouds import Part, placed, thinned, turned
from corolla.sample.colours import Floats, Palette, linear
from corolla.sample.herbarium import SPECIES
from corolla.sample.organs import organ_parts, stem_part
from corolla.sample.painting import FINE, Layer, Light, paint
from corolla.sample.traits import Petals, Place, Species, Spike

_SPACING = 1.35
_GRAIN = np.random.default_rng(20).standard_normal((3, 512, 512), np.float32)


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
    leaf = _leaf(species.leaf, species.leaf_paint, _spacing(side, 1.0 if species.leaf in _TALL else 0.45), rng)
    far = [*_far_leaves(leaf, species, rng), *_far_head(head, species, stands, rng)]
    picture = _distance(far, place, palette, side, light, rng)
    near = [*_heads(head, stands), *(_stem(species, palette, stand, side, rng) for stand in stands if species.stem)]
    picture = _over(picture, paint([*near, _near_leaves(leaf, species, stands, rng)], side, light))
    if rng.random() < 0.12:
        picture = _over(picture, _before(side, light, rng))
    return _develop(picture, side, rng)


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
    spike = isinstance(species.habit, Spike)
    axis = stand.frame[:, 1] if spike else stand.frame[:, 2]
    start = stand.middle - axis * stand.radius * (0.95 if spike else 0.12)
    bend = start - axis * 0.25 + [0, 0.12 if species.pose == "nod" else -0.05, -0.05]
    end = np.array([start[0] + rng.normal(0, 0.08), -0.62, min(start[2], -0.1)])
    if species.pose == "nod":
        end[0] += rng.choice([-0.12, 0.12])
    thick = 0.05 * stand.radius * (0.6 if spike else 1.0)
    return stem_part(np.stack([start, bend, end], axis=0), thick, species.stem, palette, _SPACING / (side * FINE))


# ------------------------------------------------------------------------------------------------------------ leaves

_LEAVES: dict[str, Petals] = {
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
_TALL = ("grass", "strap", "thread")
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


def _leaf(kind: str, paint: str, spacing: float, rng: np.random.Generator) -> Part:
    """One leaf along +x, of length 1."""
    dark, middle, light = paint.split()
    bark = kind == "bare"
    trait = replace(
        _LEAVES[kind], at=(0.0,), radius=0.0, roll=0.0, wild=0.0,
        paint="#4a3c30 #6a5848" if bark else f"{dark} {middle}:.5 {light}",
        veins="" if bark else light, vein_count=3.0, stripe="" if bark else light, stripe_width=0.05, under=light,
    )  # fmt: skip
    part = organ_parts(trait, Palette(("#ffffff",)), spacing, rng)[0]
    if kind not in _COMPOUND:
        return part
    along, angle, length = (np.array(column) for column in zip(*_COMPOUND[kind], strict=True))
    frames = _spin(angle) * length[:, None, None]
    return placed(part, frames, np.column_stack([along * 0.8, 0 * along, -0.1 * along**2]))


def _spin(degrees: NDArray) -> NDArray:
    return turned(0, 0, degrees)


def _leaf_places(stand: Stand, kind: str, count: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Frames float[n, 3, 3] and offsets float[n, 3] of leaves behind and below a head."""
    tall = kind in _TALL
    if kind == "pad":
        tilt = rng.normal(0, 4, count)
        base = np.column_stack([rng.uniform(-0.7, 0.5, count), rng.uniform(-0.5, 0.35, count), np.full(count, -0.8)])
        frames = turned(90, 62 + tilt, rng.uniform(0, 360, count)) * rng.uniform(0.25, 0.5, count)[:, None, None]
        return frames, base
    azimuth = rng.normal(90, 28, count) if tall else rng.uniform(-40, 220, count)
    lift = rng.normal(10, 18, count)
    size = rng.uniform(0.6, 1.1, count) if tall else rng.uniform(0.22, 0.48, count)
    base_y = -0.62 if tall else stand.middle[1] - rng.uniform(0.0, 0.55, count)
    base = np.column_stack(
        [
            stand.middle[0] + rng.normal(0, 0.28 if tall else 0.16, count),
            base_y + 0 * size,
            rng.uniform(-1.1, -0.8, count),
        ]
    )
    frames = _spin(azimuth) @ turned(0, -lift) @ turned(90, rng.normal(0, 25, count))
    return frames * size[:, None, None], base


def _near_leaves(leaf: Part, species: Species, stands: list[Stand], rng: np.random.Generator) -> Part:
    """Sharp leaves right behind the heads."""
    count = int(rng.integers(2, 8))
    frames, base = _leaf_places(stands[0], species.leaf, count, rng)
    return placed(leaf, frames, base, rng.normal(1, 0.12, (count, 1)) * np.ones((1, 3)))


# ---------------------------------------------------------------------------------------------------------- distance

_FAR_STEP = 5
"""Far things are painted at half the size and blurred, so every fifth point of theirs is enough."""


def _far_leaves(leaf: Part, species: Species, rng: np.random.Generator) -> list[Part]:
    count = int(rng.integers(4, 18))
    wide = Stand(np.array([0.0, 0.2, 0.0]), 0.4, np.eye(3))
    frames, base = _leaf_places(wide, species.leaf, count, rng)
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
    """Paint all that is out of focus behind the heads, at half size: float32[3, side, side]."""
    half = max(8, side // 2)
    picture = _background(place, palette, half, light, rng)
    picture = _over(picture, _soft(paint(far, half, light, fine=1, shadows=False), rng))
    return np.stack([_enlarged(plane, side) for plane in picture])


def _before(side: int, light: Light, rng: np.random.Generator) -> Layer:
    """A blurred blade or leaf between the flower and the lens."""
    half = max(8, side // 2)
    kind = str(rng.choice(["grass", "strap", "oval"]))
    leaf = _leaf(kind, "#2f5a22 #4f8033 #6d9a45", _spacing(half, 0.6), rng)
    edge = rng.choice([-1, 1]) * rng.uniform(0.2, 0.55)
    frame = _spin(np.array([rng.normal(90, 25)])) * rng.uniform(0.35, 0.85)
    layer = paint([placed(leaf, frame, np.array([[edge, -0.58, 0.8]]))], half, light, fine=1, shadows=False)
    blurred = _soft(layer, rng)
    return Layer(np.stack([_enlarged(plane, side) for plane in blurred.colour]), _enlarged(blurred.cover, side))


# ------------------------------------------------------------------------------------------------------- backgrounds

_GROUNDS: dict[str, tuple[str, ...]] = {
    "garden": ("#1c3312 #3a5f22 #7a9a48", "#20381c #466a34 #94ac6a", "#2a3a18 #5a7030 #a8b060"),
    "meadow": ("#3a5a1c #6a8c30 #b4c468", "#4a6a24 #86a044 #c8cc80", "#345020 #6f8a3c #a8bc60"),
    "soil": ("#2a1f16 #54402e #8a7258", "#1f1a14 #4a3a2a #7a6850", "#3a2c20 #6a5440 #a08868"),
    "rock": ("#3a3a38 #6a6a66 #a4a29c", "#2c2c30 #5c5c60 #94949a", "#4a4440 #807870 #b8b0a4"),
    "water": ("#0c1a1c #1c3638 #4a6a66", "#101c2a #26405a #6a8aa0", "#14200f #2a4024 #5a7850"),
    "dark": ("#050705 #0e140c #24301c", "#080808 #141614 #2a2c28", "#0a0c08 #1a2012 #343c22"),
    "sky": ("#5a8ac8 #8ab4e4 #d4e4f4", "#7a9ec0 #b0c8dc #e8eef0", "#4a7ac0 #7aa4dc #b8d4f0"),
}


def _noise(side: int, cells: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Smooth noise float32[side, side] from cells (down, across), about 0 to 1."""
    small = rng.random(cells, np.float32)
    return np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC))


def _background(place: Place, palette: Palette, side: int, light: Light, rng: np.random.Generator) -> Floats:
    """Paint what lies behind everything: float32[3, side, side], linear light."""
    cells = {"water": (9, 4), "sky": (2, 2), "soil": (14, 14), "rock": (11, 11)}.get(place, (5, 5))
    field = 0.65 * _noise(side, cells, rng) + 0.35 * _noise(side, (cells[0] * 3, cells[1] * 3), rng)
    if place in ("soil", "rock"):
        field = 0.75 * field + 0.25 * _noise(side, (side // 3, side // 3), rng)
    slope = np.linspace(-1, 1, side, dtype=np.float32)[:, None]
    field = field - slope * rng.uniform(-0.05, 0.22)
    words = str(rng.choice(_GROUNDS[place])).split()
    colours = np.stack([linear(word) for word in words])
    picture = np.stack([np.interp(field, (0.18, 0.5, 0.85), colours[:, c]) for c in range(3)]).astype(np.float32)
    if place in ("garden", "meadow", "dark"):
        _bokeh(picture, colours, palette, place, rng)
    picture *= (light.sky + 0.6 * light.sun)[:, None, None] * np.float32(1.05)
    return picture


def _bokeh(picture: Floats, colours: Floats, palette: Palette, place: Place, rng: np.random.Generator) -> None:
    """Add soft discs of light and of far blossoms, in place."""
    side = picture.shape[1]
    rows, columns = np.ogrid[0:side, 0:side]
    rows, columns = (axis.astype(np.float32) / side for axis in (rows, columns))
    for _ in range(int(rng.integers(0, 4 if place == "dark" else 11))):
        x, y, radius = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.03, 0.11)
        blossom = rng.random() < 0.3
        colour = palette.colour("a") * 0.7 if blossom else colours[2] * rng.uniform(0.8, 1.7)
        apart = np.sqrt((rows - y) ** 2 + (columns - x) ** 2)
        share = np.clip((radius - apart) / (0.45 * radius) + 0.5, 0, 1) * rng.uniform(0.15, 0.6)
        picture += (colour.astype(np.float32)[:, None, None] - picture) * share


def _enlarged(plane: Floats, side: int) -> Floats:
    return np.asarray(Image.fromarray(plane).resize((side, side), Image.Resampling.BILINEAR))


def _soft(layer: Layer, rng: np.random.Generator) -> Layer:
    """Put a layer out of focus."""
    size = 1 + 2 * round(rng.uniform(0.6, 2.6) * len(layer.cover) / 112)
    planes = np.concatenate([layer.colour, layer.cover[None]])
    for axis in (1, 2, 1, 2):
        planes = uniform_filter1d(planes, size, axis=axis)
    return Layer(planes[:3], planes[3])


def _over(picture: Floats, layer: Layer) -> Floats:
    return picture * (1 - layer.cover) + layer.colour


# ------------------------------------------------------------------------------------------------------------ camera


def _develop(picture: Floats, side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Expose, balance, vignette, blur, add grain; linear light to sRGB bytes uint8[side, side, 3]."""
    balance = np.exp(rng.normal(0, (0.06, 0.02, 0.07)) + rng.normal(0.05, 0.13)).astype(np.float32)
    line = np.linspace(-1, 1, side, dtype=np.float32) ** 2
    vignette = 1 - rng.uniform(0.0, 0.18) * (line[:, None] + line)
    exposed = picture * balance[:, None, None] * vignette
    index = np.minimum(exposed * np.float32(1024), len(_FILM) - 1).astype(np.int32)
    grain_y, grain_x = rng.integers(0, 512 - min(side, 511), 2)
    grain = _GRAIN[:, grain_y : grain_y + side, grain_x : grain_x + side] * np.float32(rng.uniform(0.4, 3.0))
    shown = _FILM.take(index)
    shown += grain + grain[:1]
    image = Image.fromarray(shown.clip(0, 255).astype(np.uint8).transpose(1, 2, 0).copy())
    blur = max(0.0, rng.normal(-0.1, 0.6)) * side / 224
    return np.asarray(image.filter(ImageFilter.BoxBlur(blur)) if blur > 0.25 else image)


def _film() -> Floats:
    """Brightness 0 to 255 for linear light 0, 1/1024, … 4: a shoulder for highlights, sRGB, a contrast curve."""
    light = np.arange(4096, dtype=np.float32) / 1024
    bent = np.where(light < 0.55, light, 0.55 + 0.45 * (1 - np.exp(-(light - 0.55) / 0.45)))
    shown = bent ** (1 / 2.2)
    return (255 * (shown - 0.045 * np.sin(2 * np.pi * shown))).astype(np.float32)


_FILM = _film()
