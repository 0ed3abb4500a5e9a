"""The 104 kinds of flowers as tables of traits: what grows where, in which shape and colour.

Takes: nothing. Gives: `SPECIES`, one `Species` a label, in the order of `classes.NAMES`.

Colours a, b, c, … in a species' organs are those of its forms, in order; a photo picks one form.
Botany is a guide here and not a law: a species must look like its name at 224 pixels, and differ from its neighbours.
"""

from dataclasses import replace
from typing import Any

from corolla.sample.traits import Dome, Petals, Species, Spike, Stamens, Tube, Umbel

# ------------------------------------------------------------------------------------------------- building blocks


def _rays(count: int, width: float, paint: str = "a", **traits: Any) -> Petals:
    return replace(Petals(count=count, width=width, paint=paint, shape="ray", rise=6, cup=30), **traits)


def _disc(radius: float, paint: str, seeds: str, count: int = 140, **traits: Any) -> Dome:
    given = Dome(
        radius=radius, height=radius * 0.5, paint=paint, seeds=count, seed_paint=seeds,
        seed_size=0.9 * radius / count**0.5, seed_length=2.0,
    )  # fmt: skip
    return replace(given, **traits)


def _sepals(count: int, **traits: Any) -> Petals:
    given = Petals(
        count=count, width=0.2, length=0.5, paint="#4f7a30 #6d9a45", shape="lance", height=-0.05, rise=-5, curl=-20
    )
    return replace(given, **traits)


_MANY = Stamens(count=60, length=0.3, rise=(25, 85), knob="#e8b01c", knob_size=0.026, radius=0.08)

# fmt: off
SPECIES: tuple[Species, ...] = (
    # 0 pink primrose: four broad, veined petals, a yellow-green throat
    Species(
        organs=(
            Petals(count=4, width=0.56, shape="fan", paint="#d9de6a a:.3 b", rise=22, cup=30, notch=0.07, veins="c",
                vein_share=0.45, vein_count=5),
            Stamens(count=8, length=0.34, rise=(35, 70), knob="#e8d24a", knob_size=0.04),
        ),
        forms=("#f6dde8 #ee9cc0 #c7508a", "#fbf3f4 #f5cfdd #d67fa8", "#f3b9d2 #e682b2 #b23a78"),
        leaf="lance", crowd=3,
    ),
    # 1 hard-leaved pocket orchid: a round banner, two spotted arms, a pouch
    Species(
        organs=(
            Petals(at=(90,), width=0.48, length=0.85, shape="round", paint="#b8c46a a:.35 #fbf7f4", rise=10, cup=20,
                curl=10, veins="b", vein_share=0.8, vein_count=6, wild=0.5),
            Petals(at=(5, 175), width=0.2, length=0.9, shape="oval", paint="#c9b86a a", rise=10, curl=-15, veins="b",
                vein_share=0.7, vein_count=3, spots="#5a1a2a", spot_count=18, spot_size=0.03, wild=0.5),
            Dome(radius=0.36, height=0.46, sweep=180, paint="#f7e6ea c", shift=(0, -0.42, 0.2), lean=(75, -90),
                gloss=0.15),
            Dome(radius=0.14, height=0.1, sweep=180, paint="#f0e6b0", shift=(0, 0.02, 0.25)),
        ),
        forms=("#f4d9e4 #8a1d50 #e9a9c2", "#f3eee0 #7a2a4a #f6e9ec", "#efd0a0 #8a3a20 #e6b8c8"),
        upright=True, leaf="strap", places=("garden", "dark", "rock"), size=0.95,
    ),
    # 2 canterbury bells
    Species(
        organs=(
            Tube(profile=((0.05, -0.9), (0.45, -0.75), (0.5, -0.2), (0.55, 0.1), (0.95, 0.35)), paint="b a:.5 a",
                lobes=5, depth=0.2, ruffle=0.02, veins="c", under="a", under_share=0.8),
            Stamens(count=3, length=0.7, rise=(80, 90), paint="#f2f0d8", knob="#f2f0d8", height=-0.6, knob_size=0.05),
            _sepals(5, height=-0.9, length=0.45),
        ),
        habit=Spike(count=11, size=0.52, taper=0.6, radius=0.3, rise=(-15, 30)),
        forms=("#6a4ac8 #c8bdf0 #4a2aa0", "#b83ab0 #f0c8ea #8a1a88", "#f0eef4 #dfe6d0 #c8c8dc",
            "#e48ac0 #fbe0ee #b85a98"),
        pose="side", leaf="lance", places=("garden", "meadow", "rock"),
    ),
    # 3 sweet pea: a wide banner behind two wings
    Species(
        organs=(
            Petals(at=(90,), width=0.72, length=0.85, shape="fan", paint="b a", rise=35, curl=-40, cup=-25,
                notch=0.12, ruffle=0.06, veins="b", wild=0.6),
            Petals(at=(35, 145), width=0.42, length=0.6, shape="round", paint="b c", rise=62, curl=-10, cup=30,
                ruffle=0.05, wild=0.8),
            Petals(at=(-90,), width=0.22, length=0.5, shape="oval", paint="#f3eee0 c", rise=70, cup=60, wild=0.3),
        ),
        habit=Spike(count=5, size=0.72, taper=0.8, radius=0.22, rise=(0, 15), front=0.75, bare=0.25),
        forms=("#e9a8d4 #f8e3f0 #cf7fc0", "#b596d8 #ece2f6 #9272c4", "#f3eef0 #f6f3ea #ead9e6",
            "#c83a78 #f0b0cc #a82a66"),
        pose="side", upright=True, leaf="oval",
    ),
    # 4 wild geranium
    Species(
        organs=(
            Petals(count=5, width=0.42, shape="round", paint="#f4e4f2 a:.3 a", rise=15, cup=20, veins="b",
                vein_share=0.5, vein_count=3, notch=0.02),
            Stamens(count=10, length=0.3, rise=(45, 75), paint="#e8d0e4", knob="#8a7a50", knob_size=0.034),
            _sepals(5, length=0.6),
        ),
        forms=("#cf86c4 #93429a", "#b58ad6 #7440a8", "#dca0cc #a8549c"),
        leaf="palm", crowd=4, size=0.85, places=("meadow", "garden", "soil"),
    ),
    # 5 tiger lily
    Species(
        organs=(
            Petals(count=6, width=0.2, length=1.25, shape="lance", paint="b a:.3 a", rise=45, curl=-190, late=1.3,
                cup=35, spots="#3a1008", spot_count=34, spot_size=0.03),
            Stamens(count=6, length=0.95, rise=(52, 72), curl=-20, paint="#d8c890", knob="#5a2408", knob_size=0.065),
        ),
        forms=("#ee6a10 #f08a20", "#e4560c #f07a18"),
        pose="nod", crowd=3, leaf="lance",
    ),
    # 6 moon orchid
    Species(
        organs=(
            Petals(at=(90, 215, 325), width=0.28, length=0.9, paint="b a:.2 a", rise=8, cup=15, veins="b",
                vein_share=0.15, wild=0.5),
            Petals(at=(12, 168), width=0.55, length=0.98, shape="fan", paint="b a:.2 a", rise=14, cup=12, height=0.03,
                veins="b", vein_share=0.2, wild=0.5),
            Petals(at=(-90,), width=0.28, length=0.4, shape="heart", paint="#e8b020 c", rise=35, cup=50, height=0.1,
                spots="#a03020", wild=0.4),
            Petals(at=(-30, 210), width=0.4, length=0.28, paint="#f0c030 c", rise=60, cup=50, height=0.08, wild=0.4),
        ),
        habit=Spike(count=5, size=0.6, taper=0.75, radius=0.1, rise=(5, 15), turn=180, front=0.9, bare=0.2,
            reach=0.7),
        forms=("#fbfbf7 #eef0dc #f4e6b0", "#f8eef4 #e6cfe0 #c83a80", "#f4f4ec #e0e6c0 #e8d060"),
        pose="side", upright=True, leaf="strap", places=("garden", "dark", "rock"),
    ),
    # 7 bird of paradise: orange flags and a blue arrow on a beak
    Species(
        organs=(
            Petals(at=(58, 82, 112), width=0.13, length=1.15, shape="lance", paint="#f0a010 a", rise=12, curl=8,
                cup=35, height=0.02, gloss=0.12),
            Petals(at=(40, 66), width=0.08, length=0.8, shape="heart", paint="#2a3ac0 b", rise=20, cup=40,
                height=0.08, wild=0.6),
            Petals(at=(-8,), width=0.13, length=1.5, shape="lance", paint="c #5a7a4a:.5 #8a3a4a", rise=5, curl=4,
                cup=70, radius=-0.55, gloss=0.12, wild=0.3),
            Petals(at=(-14,), width=0.1, length=1.3, shape="lance", paint="#b04a50 c", rise=5, cup=70, radius=-0.45,
                height=0.03, wild=0.3),
        ),
        forms=("#f47a08 #2a48d8 #4a7a5a", "#f89a10 #3450d0 #5a6a4a"),
        upright=True, leaf="strap", size=0.95, crowd=2, places=("garden", "dark", "sky"),
    ),
    # 8 monkshood: a spike of hooded florets
    Species(
        organs=(
            Petals(at=(90,), width=0.6, length=1.0, shape="round", paint="b a", rise=78, curl=85, late=1.0, cup=75,
                wild=0.5),
            Petals(at=(20, 160), width=0.5, length=0.8, shape="round", paint="a b", rise=28, cup=25, veins="b",
                wild=0.6),
            Petals(at=(240, 300), width=0.28, length=0.75, shape="oval", paint="a b", rise=30, wild=0.8),
            Stamens(count=14, length=0.3, rise=(40, 80), knob="#4a4030"),
        ),
        habit=Spike(count=17, size=0.36, taper=0.5, radius=0.18, rise=(-5, 25), front=0.35),
        forms=("#4a3ac8 #6a62e0", "#3a3ab4 #8a84e8", "#5a4ad4 #e8e6fa"),
        pose="side", upright=True, leaf="palm",
    ),
    # 9 globe thistle
    Species(
        organs=(
            Dome(radius=0.62, height=0.62, sweep=180, seeds=330, seed_size=0.05, seed_length=7.0, paint="#3a4a6a",
                seed_paint="a b"),
            Stamens(count=90, length=0.98, rise=(-60, 88), paint="b", thick=0.012, knob="c", knob_size=0.035,
                radius=0.02),
        ),
        forms=("#7a86d8 #5a68b8 #b8c0f4", "#8a9aa8 #5f7f78 #a8c0c8", "#6a5ac4 #4a4a9a #c8b8f0"),
        pose="side", leaf="spiny", size=0.82, crowd=3,
    ),
    # 10 snapdragon
    Species(
        organs=(
            Petals(at=(60, 120), width=0.55, length=0.8, shape="fan", paint="b a", rise=58, curl=-70, cup=15,
                ruffle=0.06, wild=0.7),
            Petals(at=(205, 270, 335), width=0.5, length=0.7, shape="fan", paint="b a", rise=45, curl=-80, cup=20,
                ruffle=0.05, wild=0.7),
            Dome(radius=0.28, height=0.24, sweep=100, paint="c b", shift=(0, -0.16, 0.3)),
            Tube(profile=((0.2, -0.7), (0.32, -0.3), (0.34, 0.15)), paint="b", lobes=2, depth=0.05, under="b"),
        ),
        habit=Spike(count=20, size=0.36, taper=0.35, radius=0.16, rise=(5, 45), front=0.25),
        forms=("#f4d426 #f8ea80 #f0b010", "#e84a8a #f8b8d0 #f4d040", "#f8f4e4 #fbf8ee #f4dc60",
            "#c8182c #e04a50 #f0c030", "#f08a4a #fad0a0 #f4c830"),
        pose="side", upright=True, leaf="lance",
    ),
    # 11 colt's foot: very many thread-thin rays on a scaly stem
    Species(
        organs=(
            _rays(44, 0.05, "b a:.4 a", whorls=3, inner_length=0.8, inner_rise=22, rise=4, curl=-5, radius=0.2),
            _disc(0.2, "#c88a08", "#e8b010 #f4cf20", 60, height=0.07, seed_length=2.6),
        ),
        forms=("#f8d80c #f0b408", "#f4cc10 #e8a408"),
        leaf="bare", places=("soil", "rock", "meadow"), size=0.8, crowd=4, stem="#a07a5a",
    ),
    # 12 king protea: pointed bracts around a silvery dome
    Species(
        organs=(
            Petals(count=14, width=0.17, shape="lance", paint="#f0d8c0 b:.3 a", rise=18, curl=35, cup=35, whorls=4,
                inner_length=0.72, inner_rise=38, radius=0.3, under="c", under_share=0.5),
            Dome(radius=0.46, height=0.42, sweep=90, seeds=240, seed_size=0.028, seed_length=9, paint="#e0c0b0",
                seed_paint="#fbf4ee #f4dcd4 #e6b4b0"),
        ),
        forms=("#d8506a #e89aa0 #f0b8b8", "#e87a5a #f0b090 #f4c8b0", "#e8a0b0 #f4d0d4 #fae4e4"),
        leaf="oval", places=("garden", "dark", "rock"), stem="#8a5a4a",
    ),
    # 13 spear thistle: a purple brush on a spiny green cup
    Species(
        organs=(
            Stamens(count=210, length=0.95, rise=(38, 90), paint="#e8c8e8 a:.3 b", thick=0.016, knob_size=0.0,
                radius=0.24, height=0.1),
            Dome(radius=0.46, height=0.5, sweep=165, paint="#5d8a4a #3d6a34", seeds=150, seed_size=0.035,
                seed_length=5.5, seed_paint="#8aa870 #5a8a4a #4a7a3a", shift=(0, 0, -0.25)),
        ),
        forms=("#b04ac0 #8a2aa8", "#c45ab8 #9a3a98", "#a85ad0 #7a30b8"),
        pose="side", leaf="spiny", crowd=2, places=("meadow", "garden", "sky"),
    ),
    # 14 yellow iris: three drooping falls, narrow standards
    Species(
        organs=(
            Petals(at=(-90, 30, 150), width=0.36, length=1.05, shape="spoon", paint="a:.3 a", rise=22, curl=-110,
                late=1.6, cup=-15, stripe="b", stripe_width=0.3, veins="b", vein_share=0.5),
            Petals(at=(90, 210, 330), width=0.13, length=0.62, shape="spear", paint="a", rise=72, curl=-20, cup=30),
            Petals(at=(-90, 30, 150), width=0.2, length=0.6, shape="ray", paint="a", rise=38, curl=-30, cup=-40,
                height=0.04),
        ),
        forms=("#f4d60c #9a6a10", "#f8e030 #a87a14"),
        pose="side", upright=True, leaf="strap", places=("water", "meadow", "garden"), crowd=2,
    ),
    # 15 globe-flower: petals closed into a ball
    Species(
        organs=(Petals(count=6, width=0.62, length=1.15, shape="round", paint="b a", rise=15, curl=125, late=1.0,
            cup=52, whorls=3, inner_length=0.88, inner_rise=12, radius=0.1, gloss=0.1),),
        forms=("#f6d20a #e8b408", "#f4c408 #dca008"),
        pose="side", leaf="palm", crowd=3, size=0.62,
    ),
    # 16 purple coneflower: drooping rays, a spiny copper cone
    Species(
        organs=(
            _rays(15, 0.13, "b a:.3 a", rise=-12, curl=-38, radius=0.3, length=0.85, veins="b", vein_count=2,
                notch=0.05, cup=-20),
            Dome(radius=0.36, height=0.36, sweep=95, paint="#5a2a10", seeds=210, seed_size=0.026, seed_length=5,
                seed_paint="#8a6a20 #e0741c #c8481c"),
        ),
        forms=("#dc78b4 #c25a9c", "#e69ac8 #d078b0", "#cf6a94 #b04a80"),
        leaf="lance", crowd=3, size=0.95,
    ),
    # 17 peruvian lily: broad outer petals, streaked inner ones
    Species(
        organs=(
            Petals(at=(90, 210, 330), width=0.36, length=0.95, shape="round", paint="b a:.5 a", rise=38, curl=-30,
                cup=25, notch=0.04),
            Petals(at=(40, 140), width=0.2, length=1.0, shape="spear", paint="c:.25 c:.6 a", rise=42, curl=-35,
                cup=30, spots="#4a1410", spot_count=26, spot_size=0.03, height=0.03),
            Petals(at=(-90,), width=0.2, length=0.9, shape="spear", paint="b a", rise=42, curl=-40, cup=30,
                spots="#4a1410", spot_count=10, height=0.03),
            Stamens(count=6, length=0.6, rise=(50, 65), curl=20, at=(-70, -110, -90, -80, -100, -60), knob="#6a5030",
                knob_size=0.04),
        ),
        habit=Umbel(count=4, spread=52, radius=0.5, size=0.72),
        forms=("#f4c21c #f0a410 #f8dc50", "#f08aa0 #f6c0c8 #f8e680", "#f07a3a #f4b070 #f8d850",
            "#f8e8ea #f0b0c0 #f6e070"),
        upright=True, leaf="lance",
    ),
    # 18 balloon flower: a wide star cup with dark veins
    Species(
        organs=(
            Tube(profile=((0.1, -0.3), (0.4, -0.1), (1.0, 0.12)), paint="b a:.4 a", lobes=5, depth=0.36, pointed=True,
                veins="c", vein_share=0.4, star="c", star_width=0.07, under="a", under_share=0.7),
            Stamens(count=5, length=0.3, rise=(30, 40), paint="#f4f0e8", knob="#f4f0e8", knob_size=0.05,
                height=-0.12),
            Dome(radius=0.06, height=0.3, paint="#f0f0fa", shift=(0, 0, -0.1)),
        ),
        forms=("#6a62d0 #8a84e4 #3a2a98", "#7a70dc #a09aec #4a3aa8", "#f0eef8 #f6f6fa #b8b4dc"),
        leaf="oval", crowd=2,
    ),
    # 19 giant white arum lily: one rolled spathe around a yellow column
    Species(
        organs=(
            Tube(profile=((0.05, -1.1), (0.16, -0.7), (0.3, -0.2), (0.52, 0.2), (0.98, 0.42)), lobes=1, depth=0.3,
                pointed=True, paint="#b8cc80 #e8ecc0:.3 a:.55 a", under="a", under_share=0.4, ruffle=0.03,
                ruffle_count=2, gloss=0.14),
            Dome(radius=0.08, height=0.62, sweep=110, paint="#f4c81c #e0a810", seeds=110, seed_size=0.014,
                seed_paint="#f8d430 #f0b810"),
        ),
        forms=("#fbfaf2", "#f8f6e6", "#f6efc8"),
        pose="side", upright=True, leaf="heart", places=("garden", "dark", "water"), crowd=3, size=0.9,
    ),
    # 20 fire lily: wavy petals swept back, stamens spread below
    Species(
        organs=(
            Petals(count=6, width=0.12, length=1.25, shape="lance", paint="b:.25 a:.6 a", rise=-5, curl=-150,
                late=0.8, cup=15, ruffle=0.09, ruffle_count=1.2, edge="b", edge_share=0.9),
            Stamens(count=6, length=1.0, rise=(5, 20), curl=10, paint="#d8d060", knob="#c88a20", knob_size=0.055),
        ),
        forms=("#d8201c #f6cf20", "#e0381c #f4c020"),
        pose="nod", leaf="lance", crowd=2,
    ),
    # 21 pincushion flower: frilled rim florets around a cushion of pins
    Species(
        organs=(
            Petals(count=11, width=0.42, length=0.62, shape="fan", paint="b a", rise=8, teeth=0.25, tooth_count=3,
                ruffle=0.07, radius=0.42, whorls=2, inner_length=0.7, inner_rise=25),
            Dome(radius=0.5, height=0.26, seeds=110, seed_size=0.04, seed_length=1.8, paint="#a8a0c0",
                seed_paint="#f0ecf4 c:.5 a"),
            Stamens(count=60, length=0.62, rise=(35, 88), paint="#f0ecf4", thick=0.01, knob="#fbf6fa",
                knob_size=0.028),
        ),
        forms=("#a48ad8 #c8b4ec #b8a0e0", "#b86aa4 #d8a0c8 #c880b4", "#9a9ce0 #c4c6f4 #b0b0ea",
            "#f0ecf4 #fbf9fc #e4dcea"),
        leaf="thread", size=0.85, crowd=2, pose="face",
    ),
    # 22 fritillary: a nodding, chequered bell
    Species(
        organs=(
            Petals(count=6, width=0.36, length=1.25, shape="round", paint="a b:.5 a", rise=62, curl=38, late=0.9,
                cup=45, radius=0.1, checks="c", under="a", under_share=0.12, wild=0.5),
            Stamens(count=6, length=0.7, rise=(75, 85)),
        ),
        forms=("#8a2a52 #a84470 #e0a8c0", "#6a1f48 #8a3460 #cf94b0", "#f0f2e6 #e8ecd8 #dfe6c8"),
        pose="nod", leaf="grass", crowd=3, size=0.66, places=("meadow", "garden", "soil"),
    ),
    # 23 red ginger: a torch of overlapping bracts
    Species(
        organs=(Petals(count=1, at=(-90,), width=0.52, length=1.0, shape="oval", paint="b a:.3 a", rise=70, curl=-55,
            late=2, cup=55, gloss=0.18, wild=0.8),),
        habit=Spike(count=58, size=0.52, taper=0.42, radius=0.06, cone=0.3, rise=(22, 74), reach=0.75, axis="#a01828",
            thick=0.16),
        forms=("#d8142c #a00c20", "#e82844 #b01030", "#f05a80 #d03060"),
        pose="side", leaf="lance", places=("garden", "dark"), leaf_paint="#1f5a20 #3f8a30 #5fa840",
    ),
    # 24 grape hyacinth: beads on a spike
    Species(
        organs=(
            Dome(radius=0.5, height=0.62, sweep=165, paint="b a:.5 a", gloss=0.14),
            Petals(count=6, width=0.5, length=0.13, paint="#d8dcf4", rise=60, height=0.6, radius=0.08),
        ),
        habit=Spike(count=64, size=0.27, taper=0.4, radius=0.32, cone=0.25, rise=(-35, 50), bare=0.22),
        forms=("#3a4ac0 #6a7ae0", "#4a58cc #8a96ec", "#2f3aa4 #5a66cc"),
        pose="side", leaf="grass", crowd=4, places=("soil", "meadow", "garden"),
    ),
    # 25 corn poppy: four crumpled petals, black blotches
    Species(
        organs=(
            Petals(count=4, width=0.72, shape="fan", paint="#180a10:.1 b:.24 a:.3 a", rise=26, cup=40, ruffle=0.09,
                ruffle_count=4, veins="c", vein_share=0.2, vein_count=9, roll=10),
            Stamens(count=70, length=0.3, rise=(25, 75), paint="#2a1a2a", knob="#1c1420", knob_size=0.03, radius=0.1),
            Dome(radius=0.12, height=0.2, paint="#8aa060 #5a7a40"),
        ),
        forms=("#e02410 #7a1010 #b81808", "#ee3a18 #8a1810 #c42410", "#d81818 #5a0c10 #a81010"),
        leaf="fern", crowd=3, places=("meadow", "garden", "sky"),
    ),
    # 26 prince of wales feathers: a flame of plumes
    Species(
        organs=(Petals(count=9, width=0.13, length=0.9, shape="lance", paint="b a", rise=48, curl=12, cup=40,
            whorls=3, inner_length=0.8, inner_rise=28, ruffle=0.06, wild=1.8),),
        habit=Spike(count=38, size=0.4, taper=0.32, radius=0.24, cone=0.12, rise=(25, 75), axis="#b04028"),
        forms=("#f4b414 #e07a10", "#d8203a #a01030", "#f07a1c #d84a14", "#e83a80 #b81a5a"),
        pose="side", leaf="lance", crowd=2, places=("garden", "soil"),
    ),
    # 27 stemless gentian: a deep blue trumpet near the ground
    Species(
        organs=(
            Tube(profile=((0.18, -1.3), (0.35, -0.6), (0.5, 0.0), (1.0, 0.22)), paint="#c8d8a8:.15 c:.45 a:.7 a",
                lobes=5, depth=0.3, pointed=True, star="b", star_width=0.16, pleat=0.08, spots="#c8e0b8",
                spot_reach=(0.4, 0.6), under="b", under_share=0.6),
            Stamens(count=5, length=0.4, rise=(75, 85), paint="#f0f4f0", knob="#f0f4f0", height=-0.6),
        ),
        forms=("#2a42d8 #1a2898 #5a78ec", "#1f34c0 #141f80 #4a64dc"),
        leaf="oval", places=("rock", "soil", "meadow"), crowd=4, size=0.8,
    ),
    # 28 artichoke: a scaly globe and a violet brush
    Species(
        organs=(
            Stamens(count=200, length=0.62, rise=(30, 90), paint="#d8d0f0 a:.4 b", thick=0.017, knob_size=0.0,
                radius=0.44, height=0.3),
            Petals(count=12, width=0.36, length=0.8, shape="oval", paint="#34502c c:.45 #a8c090:.8 #5a7a50", rise=62,
                curl=42, cup=40, whorls=4, inner_length=0.9, inner_rise=26, radius=0.34, height=-0.42, edge="#6a4a70",
                edge_share=0.9, wild=1.6, gloss=0.08),
        ),
        forms=("#9a5ae0 #6a3ac8 #5d7a50", "#8a6ae8 #5a44cc #6a5a60", "#a86ae0 #7a40c0 #4f7048"),
        pose="side", leaf="spiny", size=0.95, places=("garden", "meadow", "rock"),
            leaf_paint="#5a7a58 #7a9a78 #94ae90",
    ),
    # 29 sweet william: zoned, fringed florets in a flat head
    Species(
        organs=(
            Petals(count=5, width=0.46, shape="fan", paint="b:.2 c:.3 a:.5 a:.8 b", rise=8, cup=12, teeth=0.14,
                tooth_count=7),
            Stamens(count=3, length=0.25, paint="#f4e8f0", knob="#b8a0c0"),
        ),
        habit=Umbel(count=19, spread=62, radius=0.78, size=0.33),
        forms=("#d8286a #f6d0e0 #8a1040", "#c81c38 #f4e8ea #7a0c20", "#f08ab8 #fbf0f4 #c83a78",
            "#fbf4f6 #f4d8e2 #d84a7a"),
        leaf="lance", extra=(_sepals(12, length=1.0, width=0.08, height=-0.1),),
    ),
    # 30 carnation: many fringed, ruffled petals
    Species(
        organs=(Petals(count=9, width=0.58, shape="fan", paint="b a:.5 a", rise=12, cup=20, teeth=0.1, tooth_count=9,
            ruffle=0.15, ruffle_count=3, whorls=5, inner_length=0.55, inner_rise=62, edge="c", edge_share=0.85,
            wild=1.4),),
        forms=("#e8528a #c83a70 #f08ab0", "#d01c2c #a81020 #d8303c", "#f6f0f2 #f0e4ea #b83a88",
            "#f8f6f0 #ece8dc #f8f6f0", "#f4b0c4 #e890ac #f8ccd8"),
        leaf="grass", leaf_paint="#5a7a68 #7a9a84 #94ae98", crowd=2, places=("garden", "dark", "rock"),
    ),
    # 31 garden phlox: flat pinwheel florets in a dome
    Species(
        organs=(
            Petals(count=5, width=0.48, shape="fan", paint="b:.12 c:.28 a:.45 a", rise=4, cup=8, skew=0.12, roll=10),
            Dome(radius=0.07, height=0.04, paint="b"),
        ),
        habit=Umbel(count=22, spread=82, radius=0.72, size=0.32),
        forms=("#d47ad0 #9a2a90 #e8b0e4", "#b06ae0 #6a20a0 #c898ee", "#f2c8e6 #d83a90 #f0a0d0",
            "#f8f6f8 #d85a98 #f6e0ec"),
        leaf="lance",
    ),
    # 32 love in the mist: blue petals in a mist of green threads
    Species(
        organs=(
            Stamens(count=60, length=1.2, rise=(-25, 25), paint="#5a8a3a #7aa84a", thick=0.014, knob_size=0.0,
                curl=25),
            Petals(count=8, width=0.3, length=0.88, shape="spear", paint="b a:.35 a", rise=12, cup=15, veins="c",
                vein_share=0.4, whorls=2, inner_length=0.82, inner_rise=10),
            Stamens(count=24, length=0.38, rise=(35, 70), paint="#4a5a8a", knob="#3a2a5a", knob_size=0.035),
            Dome(radius=0.13, height=0.24, paint="#8ab050 #5a8a3a"),
        ),
        forms=("#6a8ae4 #a8c0f4 #4a5ac0", "#f4f6fa #dfe8e0 #b0c4e0", "#ee9ac0 #f8d0e0 #d06a9c"),
        leaf="thread",
    ),
    # 33 cosmos: eight broad, toothed rays
    Species(
        organs=(
            _rays(8, 0.3, "b a:.4 a", shape="fan", teeth=0.08, tooth_count=3, veins="b", vein_count=4, radius=0.1,
                rise=8),
            _disc(0.2, "#c88a10", "#e8a810 #f4cc24", 90),
        ),
        forms=("#e478b8 #c44a94", "#f4dcea #e8a8cc", "#c83a7c #98205c", "#fbf8f8 #f0e8ee"),
        leaf="thread", crowd=3,
    ),
    # 34 alpine sea holly: a steel-blue ruff of spines around a cone
    Species(
        organs=(
            Petals(count=20, width=0.07, shape="lance", paint="b a", rise=12, curl=15, whorls=2, inner_length=0.85,
                inner_rise=20, teeth=0.2, tooth_count=5, ruffle=0.05, wild=1.4),
            Stamens(count=110, length=0.95, rise=(0, 40), paint="b a", thick=0.014, knob_size=0.0, radius=0.1),
            Dome(radius=0.2, height=0.52, sweep=95, seeds=170, seed_size=0.026, seed_length=2.6, paint="#4a5a7a",
                seed_paint="c a"),
        ),
        forms=("#7a94c8 #b0c4dc #8a9ac0", "#8aa8b8 #c0d4d4 #90a8a0", "#6a7ac0 #a8b4e0 #5a6ab0"),
        leaf="spiny", leaf_paint="#5a7a70 #7a9a90 #a0b8b0", pose="face",
    ),
    # 35 ruby-lipped cattleya: wide petals, a ruffled ruby lip
    Species(
        organs=(
            Petals(at=(90, 225, 315), width=0.17, length=1.0, shape="spear", paint="a", rise=8, cup=15, wild=0.6),
            Petals(at=(15, 165), width=0.36, length=0.95, shape="oval", paint="a", rise=12, cup=15, ruffle=0.05,
                height=0.04, wild=0.6),
            Tube(profile=((0.12, -0.1), (0.2, 0.2), (0.24, 0.45), (0.5, 0.72)), paint="#f0c040:.3 b:.6 b:.85 c",
                lobes=3, depth=0.2, ruffle=0.05, ruffle_count=9, lean=(48, -90), under="a", under_share=0.8),
        ),
        forms=("#f6f2f6 #c01c60 #f0c8dc", "#dc9ae0 #9a1468 #c850a8", "#e0485a #b01440 #f0a030",
            "#e8b8ea #a01c70 #d070b8"),
        upright=True, leaf="strap", places=("garden", "dark", "rock"),
    ),
    # 36 cape flower: wavy, swept-back petals in a loose umbel
    Species(
        organs=(
            Petals(count=6, width=0.11, length=1.05, shape="spear", paint="b a", rise=35, curl=-85, ruffle=0.09,
                ruffle_count=1.4, stripe="c", stripe_width=0.2, cup=20),
            Stamens(count=6, length=0.95, rise=(40, 58), paint="b", knob="#8a3a5a", knob_size=0.05, curl=25),
        ),
        habit=Umbel(count=9, spread=80, radius=0.5, size=0.6),
        forms=("#f28ac4 #f8d0e6 #d84a9c", "#f6b8d8 #fbe4f0 #e878b0", "#f05a90 #f8a8c4 #c82a68"),
        leaf="strap", places=("garden", "dark", "rock"),
    ),
    # 37 great masterwort: a papery collar around a posy of pins
    Species(
        organs=(
            Petals(count=16, width=0.13, shape="spear", paint="b a:.5 c", rise=10, cup=20, veins="c", vein_share=0.4,
                vein_count=2),
            Stamens(count=60, length=0.46, rise=(20, 85), paint="#e8efd8", thick=0.012, knob="d", knob_size=0.05),
        ),
        habit=None,
        forms=("#f4f0f2 #d8e4c0 #8aa860 #f4e4ea", "#eec8d8 #f4e0e8 #a83a68 #e890b0",
            "#f8f6f0 #e4ecd4 #b0c890 #fbf4f2"),
        leaf="palm", crowd=5, size=0.72,
    ),
    # 38 siam tulip: pink bracts stacked like a tulip over green ones
    Species(
        organs=(Petals(count=1, at=(-90,), width=0.44, length=1.0, shape="oval", paint="c:.1 b:.4 a", rise=62,
            curl=-28, cup=45, veins="b", vein_share=0.25, wild=0.8),),
        habit=Spike(count=19, size=0.66, taper=0.9, radius=0.1, cone=0.25, rise=(5, 76), bare=0.3, reach=0.5,
            axis="#6a8a4a", thick=0.1),
        forms=("#e68ac0 #f2b8d8 #c8d8a0", "#d86ab4 #ea9ccc #a8c880", "#f4d4e4 #f8e8ee #d0e0b0"),
        pose="side", leaf="lance", places=("garden", "meadow", "dark"),
    ),
    # 39 lenten rose: five leathery sepals, a green-gold middle
    Species(
        organs=(
            Petals(count=5, width=0.5, shape="round", paint="c:.15 a:.5 b", rise=24, cup=25, veins="b",
                vein_share=0.3, spots="d", spot_count=26, spot_size=0.025, roll=10),
            Stamens(count=60, length=0.3, rise=(20, 80), paint="#e0e8a8", knob="#ecdc88", knob_size=0.036,
                radius=0.12),
            Petals(count=10, width=0.3, length=0.2, paint="#a8c040", rise=50, cup=60),
        ),
        forms=("#e4ecc4 #cfdca8 #b0c878 #a8688a", "#d8a0b4 #b86a8a #c8d090 #7a1f48",
            "#7a2a50 #5a1a3c #8a6a50 #3a0c24", "#f0f0e4 #e4ccd4 #c0d090 #98386a"),
        leaf="palm", crowd=2, places=("soil", "garden", "dark"),
    ),
    # 40 barberton daisy: two rows of rays around a fringed eye
    Species(
        organs=(
            _rays(24, 0.11, "b a:.25 a", whorls=2, inner_length=0.86, inner_rise=9, radius=0.12, veins="b",
                vein_count=1.5),
            _rays(26, 0.13, "a c", length=0.4, rise=28, radius=0.08, whorls=2, inner_length=0.7, inner_rise=20,
                height=0.03),
            _disc(0.17, "#3a2a18", "d #2a1c14:.6 c", 110, height=0.05, seed_length=3),
        ),
        forms=("#e8246a #b8104a #f05a90 #c8c060", "#f47a14 #e05a0c #f8a040 #5a2a18",
            "#f4cc1c #e0a810 #f8dc60 #c8c060", "#d81828 #a80c1c #e83a40 #3a1a14", "#f8f0f2 #f0c8d8 #f8f0ec #b8c050",
            "#f4a0bc #e87098 #f8c4d4 #3a1c18"),
        leaf="oval", places=("garden", "dark", "meadow"),
    ),
    # 41 daffodil: six petals and a frilled crown
    Species(
        organs=(
            Petals(count=6, width=0.36, shape="oval", paint="a", rise=8, cup=12, veins="b", vein_share=0.15, roll=9,
                ruffle=0.03),
            Tube(profile=((0.2, 0.0), (0.27, 0.2), (0.3, 0.4), (0.42, 0.52)), paint="b", lobes=6, depth=0.08,
                ruffle=0.05, ruffle_count=14, pleat=0.05, under="b", under_share=0.7),
            Stamens(count=6, length=0.36, rise=(78, 86), knob="#f0d050", knob_size=0.035),
        ),
        forms=("#f8da1c #f4b80c", "#fbf6e4 #f4a81c", "#f8e878 #f0c010", "#fbf8ee #f07a1c"),
        leaf="strap", crowd=3, stem="#6a9a4a",
    ),
    # 42 sword lily: large ruffled funnels up a spike
    Species(
        organs=(
            Petals(count=6, width=0.48, length=1.05, shape="round", paint="c:.2 a:.5 b", rise=42, curl=-40, cup=25,
                ruffle=0.11, ruffle_count=2.4, radius=0.06),
            Stamens(count=3, length=0.6, rise=(50, 65), knob="#8a6aa0", knob_size=0.04),
        ),
        habit=Spike(count=10, size=0.56, taper=0.3, radius=0.1, rise=(5, 55), turn=180, front=0.75),
        forms=("#f4a0b8 #e85a8c #f8f0c0", "#e83a30 #c81c20 #f8d080", "#f8f6f0 #f4e6ec #f0f0b8",
            "#c870d4 #a03ab0 #f0e0f4", "#f8c850 #f4a830 #e06020", "#fbe8ea #e04a80 #f8f0d0"),
        pose="side", leaf="strap",
    ),
    # 43 poinsettia: pointed, veined bracts
    Species(
        organs=(
            Petals(count=6, width=0.33, shape="spear", paint="b a:.4 a", rise=2, cup=15, curl=-18, whorls=3,
                inner_length=0.5, inner_rise=16, veins="b", vein_share=0.45, vein_count=3, ruffle=0.03, wild=1.3),
            Dome(radius=0.16, height=0.1, paint="#8aa040", seeds=14, seed_size=0.05, seed_length=1.2,
                seed_paint="#e8d040 #9ab040"),
            Petals(count=6, width=0.33, length=1.1, shape="spear", paint="#2a5a24 #3f7a30", rise=-14, curl=-20,
                veins="#7aa050", height=-0.1),
        ),
        forms=("#d8141c #a80c14", "#e83028 #b8181c", "#f6ecc8 #e0dc9c", "#f0909c #d85a70"),
        leaf="oval", places=("garden", "dark", "rock"),
    ),
    # 44 bolero deep blue: a ruffled double cup, violet
    Species(
        organs=(
            Petals(count=5, width=0.72, shape="fan", paint="c:.12 b:.35 a", rise=38, cup=35, ruffle=0.07, whorls=3,
                inner_length=0.7, inner_rise=24, roll=12, veins="b"),
            Stamens(count=6, length=0.3, rise=(45, 70), knob="#e8c030", knob_size=0.05),
            Dome(radius=0.07, height=0.3, paint="#c8d060 #7aa040"),
        ),
        forms=("#6a3ac0 #4a1f98 #c8d0a0", "#8060d0 #5a38b0 #e0e4c0", "#5a2aa8 #3a1480 #b0b880"),
        leaf="oval", leaf_paint="#5a7a68 #7a9a84 #94ae98", crowd=3, size=0.85,
    ),
    # 45 wallflower: four-petalled florets, warm colours
    Species(
        organs=(
            Petals(count=4, width=0.55, shape="fan", paint="b a:.4 a", rise=10, cup=15, ruffle=0.05, notch=0.04,
                roll=12),
            Stamens(count=5, length=0.18, rise=(60, 85), knob="#b8a030", knob_size=0.05),
        ),
        habit=Umbel(count=15, spread=75, radius=0.68, size=0.4),
        forms=("#f6c80c #e08a08", "#f08a10 #c84a08", "#a81c1c #6a0c10", "#f4dc60 #e8b020"),
        leaf="lance",
    ),
    # 46 marigold: a packed, frilled pompon
    Species(
        organs=(Petals(count=14, width=0.42, length=0.95, shape="fan", paint="b a", rise=6, cup=35, teeth=0.1,
            tooth_count=4, ruffle=0.12, ruffle_count=2, whorls=6, inner_length=0.42, inner_rise=66, edge="c",
            edge_share=0.7, wild=1.3),),
        forms=("#f89408 #e06a04 #fbb020", "#f8c80c #e8a008 #fbdc40", "#f06a08 #c84404 #f48a18"),
        leaf="fern", crowd=3, size=0.82, places=("garden", "soil", "dark"),
    ),
    # 47 buttercup: five glossy cups
    Species(
        organs=(
            Petals(count=5, width=0.46, shape="round", paint="b a:.4 a", rise=34, cup=45, gloss=0.5, veins="b",
                vein_share=0.2),
            Stamens(count=46, length=0.28, rise=(25, 78), knob="#e8b808", knob_size=0.03, paint="#e8d040",
                radius=0.08),
            Dome(radius=0.1, height=0.1, paint="#a8b830", seeds=30, seed_size=0.022, seed_paint="#b8c840"),
            _sepals(5, length=0.5),
        ),
        forms=("#fadc08 #e8bc04", "#f8d004 #e0a804"),
        leaf="palm", crowd=3, size=0.72, places=("meadow", "garden", "dark"),
    ),
    # 48 daisy
    Species(
        organs=(
            _rays(21, 0.11, "b a:.3 a", radius=0.2, notch=0.03, veins="b", vein_count=1.5, under_share=0.2),
            _disc(0.27, "#b88408", "#e0b010 #f4c81c #e89c10", 160),
        ),
        forms=("#fbfbf8 #e8ecd8", "#f8f6f4 #e4e4d4", "#fbf2f4 #f0d0dc"),
        leaf="oval", crowd=4, places=("meadow", "garden", "soil"),
    ),
    # 49 common dandelion: rays all the way to the middle
    Species(
        organs=(
            _rays(30, 0.06, "b a:.4 a", whorls=5, inner_length=0.38, inner_rise=56, teeth=0.05, tooth_count=4, rise=2,
                radius=0.08, wild=1.2),
            _sepals(16, length=0.7, width=0.08, rise=-25),
        ),
        forms=("#fad40a #f0ac08", "#f8c808 #e89c08"),
        leaf="lance", places=("meadow", "soil", "garden"), crowd=3, size=0.85,
    ),
    # 50 petunia: a soft, five-lobed funnel
    Species(
        organs=(
            Tube(profile=((0.1, -0.8), (0.22, -0.35), (0.42, -0.08), (1.0, 0.06)), paint="d:.25 b:.42 a:.62 a",
                lobes=5, depth=0.12, ruffle=0.035, ruffle_count=11, pleat=0.03, star="c", star_width=0.09, veins="b",
                vein_share=0.35),
            Stamens(count=5, length=0.35, rise=(75, 88), height=-0.55, knob="#d8d0a0"),
        ),
        forms=("#8a3ac0 #4a1480 #6a20a0 #3a1060", "#e83a90 #a81060 #d02a80 #f4e0a0",
            "#f8f6f8 #e8ead8 #f4f0f4 #e8e8a0", "#c81c30 #7a0c1c #a81424 #3a0a10", "#f0a0c8 #c85a98 #e07ab0 #f4f0b0",
            "#5a44b8 #2a1a78 #f4f0fa #2a1a60"),
        leaf="oval", crowd=4, places=("garden", "dark", "soil"),
    ),
    # 51 wild pansy: a small face in violet and yellow
    Species(
        organs=(
            Petals(at=(65, 115), width=0.48, length=0.88, shape="round", paint="b a:.4 a", rise=8, cup=10, wild=0.6),
            Petals(at=(12, 168), width=0.42, length=0.75, shape="round", paint="#f8e060:.15 c:.4 d", rise=10, cup=10,
                height=0.04, veins="#3a1440", vein_share=0.9, vein_count=3, wild=0.6),
            Petals(at=(-90,), width=0.56, length=0.78, shape="fan", paint="#f4a810:.15 c:.5 c", rise=12, cup=10,
                height=0.06, veins="#3a1440", vein_share=1.0, vein_count=4, notch=0.04, wild=0.5),
            Dome(radius=0.06, height=0.06, paint="#d8d860", shift=(0, 0, 0.1)),
        ),
        forms=("#6a3ab8 #4a2090 #f8dc30 #b8a0e4", "#8a7ad8 #6a58c0 #f8ecb0 #d8d0f4",
            "#4a1f80 #34106a #f4c81c #7a4ab8", "#f4f0fa #e4dcf4 #f8e050 #ece4f8"),
        upright=True, leaf="oval", crowd=4, places=("meadow", "soil", "garden"), size=0.9,
    ),
    # 52 primula: notched petals, a yellow eye
    Species(
        organs=(
            Petals(count=5, width=0.52, shape="fan", paint="#f4b808:.28 #f8d830:.42 a:.52 a", rise=2, cup=10,
                notch=0.16, roll=8),
            Dome(radius=0.08, height=0.05, paint="#b8b830"),
        ),
        habit=Umbel(count=5, spread=56, radius=0.8, size=0.42),
        forms=("#f6ecb0", "#d83a70", "#7a3ac0", "#f8f4f0", "#f4d040", "#e8601c"),
        leaf="oval", places=("soil", "garden", "meadow"), leaf_paint="#3a6a28 #5a8a3a #7aa04a",
    ),
    # 53 sunflower
    Species(
        organs=(
            Petals(count=24, width=0.15, length=0.68, shape="spear", paint="b a:.4 a", rise=8, cup=30, whorls=2,
                inner_length=0.9, inner_rise=14, radius=0.4, veins="b", vein_count=2),
            _disc(0.46, "#2a1808", "#6a5a20 #3a2410:.4 #4a2c10:.8 #c88a18", 420, height=0.1, seed_length=1.8),
            _sepals(18, length=0.95, width=0.14, rise=-10),
        ),
        forms=("#f8c60c #e88c08", "#f4b408 #dc7a08"),
        leaf="heart", places=("sky", "garden", "meadow"), stem="#6a8a3a",
    ),
    # 54 lilac hibiscus: an overlapping lilac whirl, a white column
    Species(
        organs=(
            Petals(count=5, width=0.56, shape="fan", paint="c:.12 b:.3 a:.45 a", rise=24, cup=25, roll=16, skew=0.15,
                veins="b", vein_share=0.35, vein_count=5),
            Dome(radius=0.06, height=0.5, sweep=100, paint="#f8f0d8", seeds=46, seed_size=0.022, seed_length=2.2,
                seed_paint="#fbf6e0 #f0e0b0"),
        ),
        forms=("#b48ad8 #8a4ab8 #7a1f68", "#c0a0e4 #9a64c8 #8a2a70", "#a88ae0 #7a50c0 #6a1a60"),
        leaf="palm", crowd=2,
    ),
    # 55 bishop of llandaff: scarlet, half-double, dark leaves
    Species(
        organs=(
            Petals(count=9, width=0.29, shape="oval", paint="b a:.35 a", rise=10, cup=30, whorls=2, inner_length=0.8,
                inner_rise=16, radius=0.1, gloss=0.1),
            _disc(0.22, "#5a2010", "#4a1a10 #8a4010:.6 #f0c020", 100, seed_length=2.6),
        ),
        forms=("#d8141c #8a0810", "#c80c18 #7a060e", "#e4281c #981010"),
        leaf="oval", leaf_paint="#241c1c #3a2c28 #4a4434", crowd=3, size=0.9, places=("dark", "garden", "soil"),
            stem="#4a2a24",
    ),
    # 56 gaura: butterflies along a thin wand
    Species(
        organs=(
            Petals(at=(15, 60, 120, 165), width=0.36, length=0.85, shape="spoon", paint="c a:.4 b", rise=14, cup=10,
                wild=1.2),
            Stamens(count=8, length=0.9, rise=(15, 35), at=(-60, -75, -90, -105, -120, -45, -135, -85),
                paint="#f4e8e0", knob="#b87a50", knob_size=0.05),
        ),
        habit=Spike(count=9, size=0.44, taper=0.3, radius=0.14, rise=(-5, 40), front=0.5, bare=0.25, axis="#a06a5a",
            thick=0.018),
        forms=("#fbf4f6 #f6e0e8 #e890b0", "#f6c0d4 #ea8ab0 #d05a88", "#f8f6f4 #fbf0f2 #f0b8c8"),
        pose="side", upright=True, leaf="lance", places=("meadow", "garden", "soil"), stem="#a06a5a",
    ),
    # 57 geranium: a ball of warm red florets
    Species(
        organs=(
            Petals(count=5, width=0.5, shape="round", paint="b a:.3 a", rise=14, cup=15, roll=12, veins="b",
                vein_share=0.25),
            Stamens(count=5, length=0.2, paint="#f4c0b0", knob="#c86030"),
        ),
        habit=Umbel(count=24, spread=105, radius=0.66, size=0.38),
        forms=("#ee3a24 #c81c14", "#f06a80 #d83a5a", "#e8203a #b01028", "#f8b8c4 #ee8a9c", "#f07a50 #d85030"),
        leaf="round", places=("garden", "dark", "soil"),
    ),
    # 58 orange dahlia: one row of orange rays, an open gold middle
    Species(
        organs=(
            _rays(10, 0.23, "b a:.35 a", shape="spear", rise=8, cup=35, radius=0.14, veins="b", vein_count=3),
            _disc(0.24, "#b86808", "#e8940c #f6bc1c:.5 #f8d040", 110, seed_length=3.0),
        ),
        forms=("#f46a08 #d84804", "#f88010 #e05a08", "#ee5408 #c83c04"),
        leaf="oval", crowd=3, size=0.88, leaf_paint="#4a5a38 #6a7a50 #8a9468",
    ),
    # 59 pink-yellow dahlia: many cupped petals, peach with a yellow base
    Species(
        organs=(Petals(count=11, width=0.24, shape="oval", paint="b a:.6 c", rise=6, cup=55, whorls=6,
            inner_length=0.4, inner_rise=66, curl=8, radius=0.1),),
        forms=("#f4a878 #f6d060 #f08a80", "#f4b890 #f4c850 #e87a90", "#f2947a #f8d870 #ea6a84"),
        leaf="oval", crowd=2, size=0.9,
    ),
    # 60 cautleya spicata: yellow lips out of dark red bracts
    Species(
        organs=(
            Petals(at=(-90,), width=0.42, length=0.8, shape="fan", paint="a", rise=35, curl=-35, cup=25, notch=0.15,
                wild=0.8),
            Petals(at=(50, 130), width=0.24, length=0.8, shape="spear", paint="a b", rise=45, cup=50, wild=0.8),
            Petals(at=(-90, 90), width=0.3, length=0.85, shape="lance", paint="c d", rise=58, cup=70, height=-0.3,
                gloss=0.1, wild=0.6),
        ),
        habit=Spike(count=14, size=0.44, taper=0.4, radius=0.14, rise=(5, 50), axis="#7a1f24", thick=0.04),
        forms=("#f6c014 #f0d850 #7a1420 #a02a34", "#f8d030 #f4e070 #5a1420 #8a2430"),
        pose="side", upright=True, leaf="lance",
    ),
    # 61 japanese anemone: pink rounds, a green button in a gold ring
    Species(
        organs=(
            Petals(count=6, width=0.46, shape="round", paint="b a:.35 a", rise=12, cup=22, roll=12, under="c",
                under_share=0.5, veins="c", vein_share=0.2),
            Stamens(count=80, length=0.28, rise=(12, 50), knob="#f0b410", knob_size=0.03, radius=0.12,
                paint="#f0dc90"),
            Dome(radius=0.13, height=0.12, paint="#a8b840 #7a9a30", seeds=40, seed_size=0.018, seed_paint="#b8c850"),
        ),
        forms=("#dc94cc #f0c0e0 #b05aa0", "#f6ecf4 #f8f4f6 #e0b0d0", "#c878b8 #e4a8d4 #98488c"),
        leaf="palm", crowd=3,
    ),
    # 62 black-eyed susan
    Species(
        organs=(
            Petals(count=13, width=0.17, length=0.82, shape="ray", paint="b a:.35 a", rise=2, curl=-14, cup=25,
                radius=0.2, notch=0.05, veins="b", vein_count=1.5),
            _disc(0.24, "#1a0e0a", "#2a1610 #3a2014 #5a3418", 130, height=0.2, seed_length=2.4),
        ),
        forms=("#f8c00c #e88a08", "#f6b008 #e07808"),
        leaf="lance", crowd=4, places=("garden", "meadow", "dark"),
    ),
    # 63 silverbush: a white pentagon, silver leaves
    Species(
        organs=(
            Tube(profile=((0.08, -0.5), (0.3, -0.2), (1.0, 0.05)), paint="#f4d838:.1 #f0ecb8:.3 a:.42 a", lobes=5,
                depth=0.07, pointed=True, star="b", star_width=0.08, under="b", under_share=0.5),
            Stamens(count=5, length=0.34, rise=(62, 78), height=-0.25, knob="#f0b818", knob_size=0.06),
        ),
        forms=("#fbfaf8 #f0e6e8", "#f8f6f8 #f4d8e0"),
        leaf="lance", leaf_paint="#7a8a80 #9aaa9c #b8c4b8", crowd=4, size=0.82, places=("garden", "rock", "dark"),
    ),
    # 64 californian poppy: four silken fans
    Species(
        organs=(
            Petals(count=4, width=0.66, shape="fan", paint="b a:.5 c", rise=44, cup=42, roll=9, ruffle=0.04,
                ruffle_count=3, veins="b", vein_share=0.15, vein_count=9, gloss=0.12),
            Stamens(count=22, length=0.36, rise=(55, 85), paint="#f0a020", knob="#f4b020", knob_size=0.045),
        ),
        forms=("#f88c08 #ee6404 #faa818", "#f8b010 #f08408 #fac830", "#fac828 #f0a010 #fadc58"),
        leaf="fern", leaf_paint="#5a7a68 #7a9a84 #94ae90", crowd=3, places=("meadow", "soil", "rock"),
    ),
    # 65 osteospermum: clean rays, a blue-black eye
    Species(
        organs=(
            _rays(16, 0.15, "c:.05 b:.25 a:.5 a", radius=0.14, veins="b", vein_count=1.5, under="c", under_share=0.4),
            _disc(0.17, "#1f2048", "#2a2a68 #3a3a8a:.5 #d8a030:.9 #e8c040", 80, height=0.07),
        ),
        forms=("#cf5ab8 #a83a98 #6a2078", "#fbfaf8 #e8e4f4 #7a60b0", "#9a5ac8 #7438a8 #3f1a70",
            "#f0a8d0 #d878b0 #8a3a88"),
        leaf="lance", crowd=3, places=("garden", "soil", "meadow"),
    ),
    # 66 spring crocus: a goblet straight from the ground
    Species(
        organs=(
            Petals(count=3, width=0.34, length=1.15, shape="oval", paint="c:.1 a:.5 a", rise=64, curl=-6, cup=50,
                whorls=2, inner_length=0.95, inner_rise=8, radius=0.05, veins="b", vein_share=0.6, vein_count=3,
                under="a", under_share=0.2),
            Stamens(count=4, length=0.55, rise=(75, 88), paint="#f08a10", knob="#f07a08", knob_size=0.07),
            Petals(count=1, at=(0,), width=0.12, length=0.9, paint="#f0ecf4", rise=-90, shape="blade", cup=80,
                wild=0.1),
        ),
        forms=("#8a4ad0 #5a20a0 #e0c8f4", "#f6f4f8 #b89ad8 #f8f4d8", "#f8c818 #d89808 #e8b010",
            "#c0a8ea #7a4ab8 #f0e8f8"),
        pose="side", leaf="grass", places=("soil", "meadow", "rock"), crowd=5, size=0.72, stem="#e8e0ec",
    ),
    # 67 iris: standards up, bearded falls down
    Species(
        organs=(
            Petals(at=(-90, 25, 155), width=0.5, length=1.0, shape="round", paint="#f4ecd0:.12 c:.3 b", rise=30,
                curl=-135, late=1.3, cup=-20, ruffle=0.08, ruffle_count=2.5, veins="c", vein_share=0.5,
                stripe="#f0a818", stripe_width=0.07),
            Petals(at=(90, 205, 335), width=0.48, length=0.98, shape="round", paint="c a:.4 a", rise=66, curl=42,
                cup=35, ruffle=0.07, ruffle_count=2.5),
        ),
        forms=("#8a6ad4 #5a38b0 #d8c8f0", "#d8c8f2 #8a5ac8 #f0e8f8", "#a8603a #7a2a20 #e0b060",
            "#f4f4fa #e8ecf8 #d8e0f0", "#f4dc60 #a84a2a #f4e8a0", "#6a8ae0 #3f58c0 #d0dcf8"),
        pose="side", upright=True, leaf="strap", size=0.95,
    ),
    # 68 windflower: white rounds, a loose yellow ring
    Species(
        organs=(
            Petals(count=7, width=0.32, shape="oval", paint="b a:.3 a", rise=12, cup=25, veins="b", vein_share=0.2,
                roll=8, under="c", under_share=0.3),
            Stamens(count=44, length=0.3, rise=(25, 70), paint="#f4f4e8", knob="#e8cc38", knob_size=0.03,
                radius=0.06),
            Dome(radius=0.09, height=0.1, paint="#9ab848", seeds=20, seed_size=0.02, seed_paint="#a8c858"),
        ),
        forms=("#fbfbfa #e8f0dc #e4c8dc", "#f6f4f8 #e0e4d0 #cfc4e8", "#7a8ae8 #c0c8f6 #5a60c8"),
        leaf="fern", crowd=4, size=0.85, places=("soil", "meadow", "garden"),
    ),
    # 69 tree poppy: crumpled white sheets around a golden ball
    Species(
        organs=(
            Petals(count=6, width=0.6, shape="fan", paint="b a:.3 a", rise=14, cup=15, ruffle=0.09, ruffle_count=4,
                veins="b", vein_share=0.3, vein_count=10, roll=10, wild=1.4),
            Dome(radius=0.2, height=0.2, sweep=120, paint="#d89a08", seeds=230, seed_size=0.02, seed_length=4.5,
                seed_paint="#f0b410 #f8cc20"),
        ),
        forms=("#fbfbf9 #e4e8e0", "#f8f8f4 #dfe4dc"),
        leaf="fern", leaf_paint="#5a7a70 #7a9a8c #98b0a0", places=("garden", "sky", "dark"),
    ),
    # 70 gazania: rays with a dark ring and a stripe
    Species(
        organs=(
            Petals(count=16, width=0.19, shape="spear", paint="#281408:.16 #f4f0d0:.22 c:.3 a:.48 b", rise=6, cup=25,
                radius=0.12, stripe="d", stripe_width=0.22),
            _disc(0.2, "#a86808", "#d89010 #f0b818", 100),
        ),
        forms=("#f49a10 #f8cc24 #7a2408 #b8340c", "#f8d418 #fae040 #5a3010 #e87a10",
            "#d8401c #f07a20 #3a1008 #8a1408", "#f4f0e0 #f8f4e8 #6a2a50 #b04a88"),
        leaf="lance", leaf_paint="#3a5a34 #5a7a4a #7a9468", places=("soil", "rock", "garden"), crowd=2,
    ),
    # 71 azalea: flared funnels in trusses, long stamens
    Species(
        organs=(
            Petals(count=5, width=0.4, length=1.0, shape="oval", paint="b a:.4 a", rise=36, curl=-30, cup=20,
                ruffle=0.08, ruffle_count=2, roll=8, veins="c", vein_share=0.2),
            Petals(at=(90,), width=0.3, length=0.7, paint="b a", rise=38, curl=-15, cup=20, spots="c", spot_count=30,
                spot_size=0.035, height=0.02),
            Stamens(count=7, length=0.85, rise=(58, 72), curl=18, paint="b", knob="#5a2a40", knob_size=0.035),
        ),
        habit=Umbel(count=6, spread=62, radius=0.5, size=0.62),
        forms=("#e0409c #f08ac4 #98105c", "#f4a8cc #f8d4e4 #d04a88", "#d850d0 #f0a0e8 #8a1a88",
            "#fbf6f6 #f4f0dc #c8b850", "#f06a50 #f8a890 #b02a20"),
        upright=True, leaf="oval", places=("garden", "dark"),
    ),
    # 72 water lily: tiers of pointed petals, afloat
    Species(
        organs=(
            Petals(count=9, width=0.2, shape="spear", paint="b a:.5 a", rise=14, curl=18, cup=50, whorls=4,
                inner_length=0.66, inner_rise=46, under="c", under_share=0.4),
            Stamens(count=46, length=0.3, rise=(35, 85), curl=35, paint="#f4a810", thick=0.03, knob="#f8c828",
                knob_size=0.03, radius=0.08),
        ),
        forms=("#e86aa8 #f4b0d0 #c84888", "#fbf6f6 #f4ece8 #e0d8c8", "#f8e668 #f8f0a8 #d8c850",
            "#f0b4d0 #f8dce8 #d888b0", "#8a7ae0 #c0b8f4 #6a58c8"),
        leaf="pad", places=("water",), crowd=2, stem="",
    ),
    # 73 rose: a spiral of rolled petals
    Species(
        organs=(
            Petals(count=5, width=0.6, shape="round", paint="b a:.6 c", rise=18, cup=45, curl=-20, late=2.5, whorls=7,
                inner_length=0.42, inner_rise=66, roll=14, radius=0.06, ruffle=0.02, wild=1.2),
            _sepals(5, length=0.75),
        ),
        forms=("#d8203a #98081c #e03a50", "#f07a9c #d84a78 #f4a0b8", "#fbf4ec #f0e0c8 #fbf8f4",
            "#f8d850 #f0b828 #f8e888", "#f49a60 #e86a40 #f8c090", "#f4b8c4 #e890a4 #f8d4dc"),
        leaf="oval", places=("garden", "dark", "soil"),
    ),
    # 74 thorn apple: a great white trumpet with five drawn-out points
    Species(
        organs=(
            Tube(profile=((0.12, -1.5), (0.22, -0.8), (0.4, -0.25), (1.05, 0.08)), paint="#c8d8a0:.3 b:.5 a:.7 a",
                lobes=5, depth=0.24, pointed=True, star="b", star_width=0.07, pleat=0.04, ruffle=0.02, under="b",
                under_share=0.5),
            Stamens(count=5, length=0.3, rise=(75, 86), height=-0.6, knob="#e8e4b0"),
        ),
        forms=("#fbfaf8 #e4e8d4", "#f4f0fa #d4c8e8", "#f8f6e8 #e8e4b0"),
        leaf="oval", places=("garden", "dark", "soil"), leaf_paint="#2a4f28 #3f6a38 #5a8048",
    ),
    # 75 morning glory: a round, starred funnel
    Species(
        organs=(
            Tube(profile=((0.08, -0.9), (0.16, -0.4), (0.4, -0.08), (1.0, 0.1)),
                paint="#fbf4c8:.2 #f8f0fa:.36 a:.56 a", lobes=5, depth=0.025, ruffle=0.015, star="b", star_width=0.1,
                under="c", under_share=0.6),
            Stamens(count=5, length=0.3, rise=(75, 88), height=-0.45, paint="#f8f4f0", knob="#f8f4f0"),
        ),
        forms=("#4a5ae0 #8a60e0 #c8c4f4", "#7a2ab0 #c0409a #d8b0ec", "#6aa0f0 #a8a0f0 #dce8fb",
            "#e04aa8 #f4a0d4 #f4c8e4"),
        leaf="heart", crowd=3,
    ),
    # 76 passion flower: ten petals under a banded crown of filaments
    Species(
        organs=(
            Petals(count=10, width=0.2, shape="ray", paint="a", rise=2, cup=25, under="#a8c088", under_share=0.5),
            Stamens(count=110, length=0.72, rise=(8, 16), paint="d:.3 #f4f0f8:.5 b:.62 b", thick=0.017, knob_size=0.0,
                radius=0.04, height=0.05),
            Stamens(count=60, length=0.3, rise=(20, 35), paint="d #f4f0f8", thick=0.014, knob_size=0.0, height=0.07),
            Stamens(at=(18, 90, 162, 234, 306), length=0.42, rise=(35, 38), paint="#b8c860", thick=0.04,
                knob="#d8c840", knob_size=0.1, height=0.18),
            Stamens(at=(70, 190, 310), length=0.38, rise=(50, 52), paint="#8a3a6a", thick=0.03, knob="#6a2a50",
                knob_size=0.07, height=0.3),
            Dome(radius=0.09, height=0.34, paint="#a8c060 #c8d480"),
        ),
        forms=("#f0f0e8 #4a5ac8 #f0f0f0 #5a2a78", "#e0b8e8 #7a3ac0 #f0f0f0 #4a1460",
            "#c8486a #6a38b0 #f0f0f0 #3a1450", "#dcd4f4 #5a48c8 #f0f0f0 #4a2070"),
        leaf="palm", places=("garden", "dark"),
    ),
    # 77 lotus: a bowl of broad, pointed petals around a seed head
    Species(
        organs=(
            Petals(count=8, width=0.33, length=1.15, shape="oval", paint="c:.1 b:.5 a", rise=20, curl=26, cup=50,
                whorls=3, inner_length=0.76, inner_rise=34, veins="a", vein_share=0.2, vein_count=4, radius=0.06),
            Stamens(count=70, length=0.36, rise=(25, 70), knob="#f0e4b0", knob_size=0.035, radius=0.14,
                paint="#f0c030"),
            Dome(radius=0.2, height=0.06, paint="#c8cc48", seeds=18, seed_size=0.028, seed_paint="#8aa030",
                shift=(0, 0, 0.3)),
            Tube(profile=((0.08, 0.0), (0.2, 0.3)), paint="#c0c840", lobes=8, depth=0.0, under="#c0c840"),
        ),
        forms=("#e87aac #f4b8d0 #f6e8c8", "#fbf8f2 #f8f4e8 #f0eccc", "#f4c4d8 #fbeaf0 #f8f0d4"),
        pose="face", leaf="pad", places=("water", "garden"),
    ),
    # 78 toad lily: freckled stars with a fountain of styles
    Species(
        organs=(
            Petals(count=6, width=0.17, shape="spear", paint="#f0dc70:.1 a:.25 a", rise=24, curl=-35, cup=25,
                spots="b", spot_count=46, spot_size=0.03, spot_reach=(0.1, 0.95)),
            Stamens(count=9, length=0.6, rise=(55, 65), curl=-75, paint="c", thick=0.03, knob="b", knob_size=0.04),
        ),
        forms=("#f2ecf6 #6a1f88 #d8b0e0", "#e4d0f0 #5a1a78 #c898d8", "#f6f4f0 #8a2a60 #e8c8d8"),
        leaf="oval", crowd=3, places=("dark", "garden", "soil"),
    ),
    # 79 anthurium: a lacquered heart and a spadix
    Species(
        organs=(
            Petals(at=(-90,), width=0.6, length=1.5, shape="heart", paint="b a:.2 a", rise=4, curl=-14, cup=14,
                radius=-0.42, veins="b", vein_share=0.35, vein_count=3, gloss=0.55, wild=0.4),
            Dome(radius=0.085, height=0.8, sweep=100, paint="c d", seeds=140, seed_size=0.016, seed_length=1.2,
                seed_paint="c d", lean=(38, -80), shift=(0, 0.18, 0.04)),
        ),
        forms=("#d81420 #98080f #f4e08a #f0c030", "#f090a0 #d85a74 #f8f0c0 #f0a8a0",
            "#fbf6ee #e0e4b8 #f4e080 #e8c850", "#8a0c18 #56060c #e8c890 #c08040", "#f0743a #c84a18 #f4e8a0 #e8b040"),
        upright=True, leaf="heart", places=("garden", "dark"), size=0.9, leaf_paint="#1c4f20 #2f7030 #4a8a40",
    ),
    # 80 frangipani: a waxen pinwheel
    Species(
        organs=(Petals(count=5, width=0.42, shape="oval", paint="b:.1 c:.3 a:.6 a", rise=14, cup=18, skew=0.16,
            roll=16, edge="a", gloss=0.1, curl=-14),),
        habit=Umbel(count=3, spread=38, radius=0.66, size=0.6),
        forms=("#fbf9f4 #f4b408 #f8e07a", "#f6b8c4 #f0a020 #f8dca0", "#f8f0d8 #f0a808 #f8d860",
            "#e85a7a #f4b020 #f4a090"),
        leaf="oval", places=("garden", "dark", "sky"),
    ),
    # 81 clematis: broad pointed sepals with a bar
    Species(
        organs=(
            Petals(count=7, width=0.29, shape="spear", paint="b a:.4 a", rise=4, cup=12, ruffle=0.05,
                ruffle_count=1.6, stripe="b", stripe_width=0.22, veins="b", vein_share=0.25, vein_count=3, roll=9),
            Stamens(count=50, length=0.34, rise=(20, 80), paint="#f4f0e0", thick=0.02, knob="c", knob_size=0.026,
                radius=0.05),
        ),
        forms=("#6a44c8 #8a40b8 #f0ecd0", "#4a1f80 #6a1a70 #e8e0c0", "#8a8ae4 #b078d0 #8a2a50",
            "#e8a0cc #c83a80 #8a3050", "#f6f4fa #e8e4f4 #6a2a58"),
        leaf="oval", places=("garden", "dark", "rock"),
    ),
    # 82 hibiscus: five huge petals, a dark eye, a long column
    Species(
        organs=(
            Petals(count=5, width=0.56, shape="fan", paint="b:.14 b:.24 a:.42 a", rise=24, cup=15, curl=-28,
                ruffle=0.1, ruffle_count=3, roll=12, veins="c", vein_share=0.3, vein_count=5),
            Dome(radius=0.045, height=0.95, sweep=100, paint="c", lean=(16, -60)),
            Dome(radius=0.1, height=0.42, sweep=115, paint="c", seeds=70, seed_size=0.022, seed_length=1.6,
                seed_paint="#f4c424", lean=(16, -60), shift=(0.1, -0.18, 0.46)),
        ),
        forms=("#e02438 #7a0818 #c01428", "#f490a4 #b81440 #e05a78", "#f8d048 #c83010 #f0a030",
            "#f8ecd4 #8a1030 #e8c0b0", "#f07a28 #a01810 #e05020"),
        leaf="oval", places=("garden", "dark", "sky"),
    ),
    # 83 columbine: pointed stars behind a cup with spurs
    Species(
        organs=(
            Petals(count=5, width=0.25, shape="spear", paint="a", rise=12, cup=18, curl=-12, veins="a"),
            Petals(count=5, width=0.44, length=0.56, shape="round", paint="a b:.35 b", rise=52, cup=45, height=0.04,
                radius=0.1, wild=0.7),
            Stamens(count=34, length=0.6, rise=(66, 88), knob="#f0c020", knob_size=0.035),
            Stamens(count=5, length=0.8, rise=(-62, -52), paint="a", thick=0.05, knob="a", knob_size=0.05,
                at=(54, 126, 198, 270, 342)),
        ),
        forms=("#5a5ad0 #f8f6fa", "#c83a3a #f8d850", "#8a4ac0 #f0e4fa", "#f8f4e4 #fbf8ea", "#e884b0 #fbeef4"),
        leaf="palm", crowd=2, size=0.95,
    ),
    # 84 desert-rose: white throats, rose-red margins
    Species(
        organs=(
            Tube(profile=((0.16, -0.8), (0.26, -0.35), (0.3, -0.05)), paint="c b", lobes=5, depth=0.0, veins="a",
                under="a"),
            Petals(count=5, width=0.42, length=0.9, shape="fan", paint="b:.15 b:.35 a:.9 a", rise=14, cup=15, roll=14,
                radius=0.16, edge="a", edge_share=0.95, ruffle=0.04, skew=0.1),
        ),
        habit=Umbel(count=3, spread=46, radius=0.62, size=0.56),
        forms=("#e0285a #fbf0f2 #f0d860", "#d01838 #f8e0e0 #e8c850", "#f07aa0 #fbf4f6 #f0dc80"),
        leaf="oval", places=("dark", "rock", "garden"),
    ),
    # 85 tree mallow: satin pink, dark veins from a dark heart
    Species(
        organs=(
            Petals(count=5, width=0.5, shape="fan", paint="c:.1 b:.26 a:.46 a", rise=18, cup=18, notch=0.06,
                veins="b", vein_share=0.6, vein_count=4, roll=7),
            Dome(radius=0.06, height=0.3, sweep=110, paint="#e8c0d8", seeds=46, seed_size=0.02, seed_length=2,
                seed_paint="#f4dcea"),
        ),
        forms=("#e88ac4 #c04a98 #7a1850", "#f0a8cc #d06aa4 #8a2a60", "#d870c0 #a83a90 #6a1450"),
        leaf="palm", crowd=3, size=0.88,
    ),
    # 86 magnolia: goblets on bare wood
    Species(
        organs=(
            Petals(count=4, width=0.38, length=1.15, shape="round", paint="b a:.55 a", rise=50, curl=-12, cup=50,
                whorls=2, inner_length=0.9, inner_rise=20, radius=0.08, under="b", under_share=0.65, wild=1.5),
            Dome(radius=0.1, height=0.36, paint="#b8a050", seeds=60, seed_size=0.025, seed_length=2,
                seed_paint="#d8c070 #a83a60"),
        ),
        forms=("#f8e8ee #d87aa8", "#fbf6f2 #e8b8cc", "#e8a0c4 #a83a7c", "#f4f0c0 #e0dc90"),
        pose="side", leaf="bare", places=("sky", "dark", "garden"), crowd=2, stem="#5a4a40",
    ),
    # 87 cyclamen: petals thrown straight back
    Species(
        organs=(
            Petals(count=5, width=0.34, length=1.1, shape="round", paint="b:.14 a:.4 a", rise=-30, curl=-60, late=0.7,
                cup=25, skew=0.2, ruffle=0.05, radius=0.1, roll=14),
            Tube(profile=((0.24, 0.12), (0.2, -0.1)), paint="b", lobes=5, depth=0.1, under="b"),
        ),
        forms=("#e85aa8 #a81460", "#f4c0dc #d03a88", "#fbf6f8 #d83a80", "#d82050 #8a0c30"),
        pose="nod", leaf="heart", leaf_paint="#2a5038 #4a7a58 #a0b8a0", crowd=5, size=0.62, places=("dark", "soil",
            "garden"), stem="#a05a5a",
    ),
    # 88 watercress (nasturtium): clawed petals, a lined throat
    Species(
        organs=(
            Petals(count=5, width=0.5, shape="fan", paint="b:.12 c:.3 a:.5 a", rise=20, cup=15, ruffle=0.06,
                ruffle_count=3, veins="b", vein_share=0.85, vein_count=4, roll=7),
            Stamens(count=8, length=0.25, rise=(55, 80), knob="#b89a30"),
            Dome(radius=0.1, height=0.02, paint="b"),
        ),
        forms=("#f88a0c #a82408 #f0a818", "#f8c81c #b03808 #f4d840", "#c8200c #5a0808 #e8901c",
            "#f05a14 #8a1408 #f4a020"),
        leaf="round", crowd=3, leaf_paint="#3f7a3a #5a9a4a #7ab060",
    ),
    # 89 canna lily: a few loose, floppy flags
    Species(
        organs=(
            Petals(count=5, width=0.42, length=1.05, shape="round", paint="b a:.4 a", rise=40, curl=-50, cup=15,
                ruffle=0.12, ruffle_count=2, spots="c", spot_count=34, spot_size=0.04, edge="d", edge_share=0.75,
                wild=2.2, under_share=0.2),
            Petals(count=3, width=0.3, length=0.75, shape="fan", paint="c a", rise=62, curl=-50, cup=20, ruffle=0.08,
                spots="c", wild=2),
        ),
        habit=Spike(count=6, size=0.72, taper=0.6, radius=0.18, rise=(15, 65), bare=0.35),
        forms=("#f47a10 #f8b020 #d83a08 #f8cc28", "#f8d028 #f0b010 #d84a18 #f8dc50",
            "#d81c20 #f06030 #98101c #e03028", "#f4a0a0 #f8d0a0 #e06a70 #f8c8b0"),
        pose="side", leaf="oval", leaf_paint="#2a5a2c #3f7a3c #5a9050", places=("garden", "dark", "sky"),
    ),
    # 90 hippeastrum: wide striped trumpets, long stamens
    Species(
        organs=(
            Petals(count=6, width=0.36, length=1.05, shape="spear", paint="c:.12 a:.4 a", rise=40, curl=-38, cup=22,
                stripe="b", stripe_width=0.22, veins="b", vein_share=0.5, vein_count=4, ruffle=0.03),
            Stamens(count=6, length=0.9, rise=(58, 68), curl=14, paint="#f4ece0", knob="#e8c840", knob_size=0.05,
                at=(-60, -75, -90, -105, -120, -85)),
        ),
        habit=Umbel(count=2, spread=42, radius=0.34, size=0.86),
        forms=("#d81c1c #b00c10 #c8d080", "#fbf2f0 #d83a50 #d0dc98", "#f08a70 #f8e8e0 #d0d890",
            "#f8f4f0 #f0e4dc #c8d890", "#e0405a #f8d8d8 #c8d080"),
        upright=True, leaf="strap", places=("dark", "garden", "rock"),
    ),
    # 91 bee balm: a shaggy mop of tubes
    Species(
        organs=(
            Petals(count=12, width=0.07, shape="spoon", paint="b a:.4 a", rise=8, curl=-40, cup=80, whorls=4,
                inner_length=0.8, inner_rise=66, wild=2.6, radius=0.16),
            Stamens(count=36, length=0.85, rise=(15, 80), paint="a", thick=0.012, knob="c", knob_size=0.03),
            Dome(radius=0.2, height=0.14, paint="#6a3a30", seeds=40, seed_size=0.03, seed_length=2.5,
                seed_paint="#8a4a40 b"),
            _sepals(8, length=0.75, width=0.16, paint="#6a7a3a a", rise=-6),
        ),
        forms=("#d81c34 #a00c20 #f0a0a0", "#e0509c #b82a78 #f8c8e0", "#b06ad4 #8440b0 #e8d0f4"),
        leaf="oval", crowd=2,
    ),
    # 92 pink quill: a flat paddle of pink bracts, a violet flower
    Species(
        organs=(Petals(at=(90,), width=0.3, length=1.0, shape="spear", paint="b a:.4 c", rise=8, cup=50, gloss=0.12,
            veins="b", vein_share=0.25, wild=0.35),),
        habit=Spike(count=18, size=0.8, taper=0.75, radius=0.02, rise=(0, 0), turn=180, front=1.0, splay=34, bare=0.1,
            reach=0.55, axis="#b04a78", thick=0.04),
        extra=(Petals(at=(150, 170, 130), width=0.36, length=0.5, shape="round", paint="#4a3ac8 #6a50e0", rise=18,
            cup=20, height=0.5),),
        forms=("#f06aa8 #d84a8c #f48ab8", "#f080a0 #e05a84 #f6a0a8", "#e85a98 #c83a80 #a8c070"),
        pose="side", leaf="grass", places=("dark", "garden", "rock"), size=0.9,
    ),
    # 93 foxglove: one-sided tiers of speckled bells
    Species(
        organs=(
            Tube(profile=((0.14, -1.0), (0.42, -0.6), (0.46, -0.1), (0.48, 0.2), (0.66, 0.36)),
                paint="#fbf0f4:.5 b:.8 a", lobes=4, depth=0.1, spots="c", spot_count=26, spot_size=0.03,
                spot_reach=(0.4, 0.85), under="a", under_share=0.9),
            _sepals(5, height=-1.0, length=0.4),
        ),
        habit=Spike(count=22, size=0.42, taper=0.3, radius=0.22, rise=(-38, 15), front=0.45),
        forms=("#d45ab4 #f0b8dc #6a1450", "#e88ac8 #f8d8ec #7a1a60", "#f8f2e8 #fbf8f2 #8a3a50",
            "#b83a90 #e8a0d0 #4a0c38"),
        pose="side", leaf="oval", upright=True,
    ),
    # 94 bougainvillea: three paper bracts, a tiny white flower
    Species(
        organs=(
            Petals(count=3, width=0.42, length=0.98, shape="spear", paint="b a:.3 a", rise=32, cup=25, veins="b",
                vein_share=0.6, vein_count=3, ruffle=0.03),
            Tube(profile=((0.05, 0.0), (0.06, 0.4), (0.2, 0.5)), paint="#d8a0b0 #fbf8e8:.6 #fbf8ee", lobes=5,
                depth=0.2, under="#d8a0b0"),
        ),
        habit=Umbel(count=9, spread=85, radius=0.58, size=0.5),
        forms=("#d82a9c #a81078", "#e8306a #b81848", "#f09038 #d86a1c", "#fbf4f0 #c8d8a0", "#a83ac8 #7a189a"),
        leaf="oval", places=("garden", "sky", "dark"),
    ),
    # 95 camellia: rounded petals in perfect tiers
    Species(
        organs=(
            Petals(count=7, width=0.56, shape="round", paint="b a:.5 a", rise=8, cup=25, whorls=5, inner_length=0.46,
                inner_rise=44, curl=-12, radius=0.06, notch=0.03, veins="b", vein_share=0.15, wild=0.8),
            Stamens(count=34, length=0.28, rise=(55, 88), knob="#f4c020", knob_size=0.04, paint="#f8f0c8",
                radius=0.08, height=0.08),
        ),
        forms=("#e83a54 #b81830 #f06a80", "#f49ab4 #e06a90 #f8c0d0", "#fbf8f4 #f0e8dc #fbfaf6",
            "#d81c34 #a00c20 #e03a4c"),
        leaf="oval", leaf_paint="#183f1c #2a5f28 #4a8040", places=("garden", "dark"),
    ),
    # 96 mallow: narrow, notched, dark-striped petals
    Species(
        organs=(
            Petals(count=5, width=0.29, shape="fan", paint="#f4f0e0:.08 a:.3 a", rise=12, cup=12, notch=0.18,
                veins="b", vein_share=0.85, vein_count=2, roll=5),
            Dome(radius=0.07, height=0.28, sweep=110, paint="#e8d0e0", seeds=50, seed_size=0.02, seed_length=2,
                seed_paint="#f8f0f4 #d8b8d0"),
            _sepals(5, length=0.5),
        ),
        forms=("#c870c8 #6a1478", "#d888c0 #8a2a78", "#b080d8 #5a1f90"),
        leaf="palm", crowd=4, size=0.85, places=("meadow", "garden", "soil"),
    ),
    # 97 mexican petunia: crinkled violet funnels
    Species(
        organs=(
            Tube(profile=((0.1, -0.9), (0.18, -0.45), (0.36, -0.1)), paint="b", lobes=5, depth=0.0, under="a"),
            Petals(count=5, width=0.52, length=0.86, shape="fan", paint="b a:.25 a", rise=16, cup=10, ruffle=0.09,
                ruffle_count=4, veins="b", vein_share=0.4, vein_count=4, radius=0.2, notch=0.05),
        ),
        forms=("#9a6ae0 #6a38b8", "#8a70e8 #5a40c0", "#b48aea #8450c8"),
        leaf="lance", crowd=3, size=0.88,
    ),
    # 98 bromelia: a star of lacquered bracts over strap leaves
    Species(
        organs=(
            Petals(count=9, width=0.1, length=1.3, shape="lance", paint="#3f7a30 #5a9a40", rise=6, curl=-25, cup=45,
                height=-0.15, gloss=0.2),
            Petals(count=8, width=0.15, shape="lance", paint="b a:.3 a", rise=20, curl=-22, cup=40, whorls=3,
                inner_length=0.5, inner_rise=42, gloss=0.3, under_share=0.15),
            Dome(radius=0.14, height=0.16, paint="#f0c030", seeds=20, seed_size=0.04, seed_length=2.4,
                seed_paint="#f8e060 c"),
        ),
        forms=("#d8181c #a80c14 #e83020", "#f06a14 #d8440c #f89a20", "#e83a6a #b8184a #f48a9c",
            "#f4cc20 #d8a010 #f8e060"),
        leaf="strap", places=("garden", "dark", "soil"),
    ),
    # 99 blanket flower: three-toothed rays, red with yellow tips
    Species(
        organs=(
            Petals(count=15, width=0.21, length=0.82, shape="fan", paint="b:.2 b:.52 a:.68 a", rise=6, cup=15,
                teeth=0.2, tooth_count=3, radius=0.2, veins="b", vein_share=0.2),
            _disc(0.27, "#6a1c10", "#d88a20 #8a2414:.5 #5a1410", 170, height=0.16, seed_length=3.4),
        ),
        forms=("#f8c414 #d02814", "#f4b008 #b81c14", "#f89a10 #c8200c"),
        leaf="lance", crowd=2, places=("meadow", "garden", "soil"),
    ),
    # 100 trumpet creeper: long orange tubes in a spray
    Species(
        organs=(
            Tube(profile=((0.1, -1.5), (0.2, -1.0), (0.3, -0.3), (0.4, 0.0), (0.85, 0.2)), paint="#f4c020:.4 b:.66 a",
                lobes=5, depth=0.14, ruffle=0.03, veins="c", vein_share=0.3, under="c", under_share=0.75),
            Stamens(count=4, length=0.4, rise=(78, 88), height=-0.3),
        ),
        habit=Umbel(count=8, spread=78, radius=0.76, size=0.5),
        forms=("#e8481c #d83010 #f08030", "#f06a28 #e04814 #f49a48", "#d8301c #b81c10 #e86a34"),
        leaf="fern", pose="face", places=("garden", "sky", "dark"),
    ),
    # 101 blackberry lily: flat orange stars with crimson freckles
    Species(
        organs=(
            Petals(count=6, width=0.19, shape="oval", paint="c:.1 a:.35 a", rise=8, cup=10, spots="b", spot_count=30,
                spot_size=0.045, spot_reach=(0.15, 0.85), curl=-8),
            Stamens(count=3, length=0.5, rise=(45, 60), paint="#f0a060", knob="#c87030", knob_size=0.05),
        ),
        forms=("#f4803c #b81c20 #f8b848", "#f0684a #a8182c #f4a850", "#f49a54 #c03028 #f8c860"),
        leaf="strap", crowd=3, size=0.9,
    ),
    # 102 common tulip: an upright cup of six
    Species(
        organs=(
            Petals(count=3, width=0.42, length=1.25, shape="oval", paint="b a:.3 a:.75 c", rise=74, curl=14, late=0.8,
                cup=50, whorls=2, inner_length=0.97, inner_rise=6, radius=0.2, under="a", under_share=0.15, veins="c",
                vein_share=0.2, vein_count=5),
            Stamens(count=6, length=0.4, rise=(70, 85), knob="#2a1a20", knob_size=0.06),
        ),
        forms=("#d81c28 #f0d040 #d81c28", "#f8d018 #f0c010 #f8d018", "#f490b0 #fbf0e8 #f4b0c4",
            "#8a2a80 #f0e8f0 #7a2070", "#fbf6ee #f0ecc0 #fbf6ee", "#f4741c #f0c030 #f8b020",
            "#d82a34 #f8d848 #f8d030"),
        pose="side", leaf="strap", leaf_paint="#4a7050 #6a9068 #8aaa80", crowd=4, size=0.92, stem="#7aa05a",
    ),
    # 103 wild rose: five notched petals, a ring of gold
    Species(
        organs=(
            Petals(count=5, width=0.52, shape="fan", paint="#fbf6f0:.2 b:.4 a", rise=14, cup=22, notch=0.1, roll=6,
                veins="a", vein_share=0.15),
            _MANY,
            Dome(radius=0.08, height=0.05, paint="#c8c050"),
            _sepals(5, length=0.75),
        ),
        forms=("#f08ab8 #f8c8dc", "#f6b8d0 #fbe4ec", "#e0609c #f4a8c8", "#fbf4f4 #fbf0ee"),
        leaf="oval", crowd=3, size=0.88, places=("garden", "meadow", "sky"),
    ),
)
# fmt: on
