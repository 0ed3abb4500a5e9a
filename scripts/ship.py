"""Makes the model that lies inside the package: calibrated, packed, with its card.

Takes: a finished run (the soup of a cross-validation, or `corolla train --folds 1`), the folder of a cross-validation
with the same settings, the data of both. Gives: in src/corolla/shipped_model the file, its SHA-256 and model_card.md;
sizes and scores are printed.

    corolla cross DATA --out CROSS --preset balanced                         # out-of-fold predictions
    corolla soup CROSS --out RUN                                             # the model: the mean of the folds
    python scripts/ship.py RUN --cross CROSS --data DATA --photos PHOTOS --others OTHERS --score "NAME=VALUE"

PHOTOS: a folder a kind, named like it, with photos of any size; OTHERS: photos of other things, such as those that
`bench/open_set.py --save` writes. Both are judged by the packed file, as `corolla identify` would.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from rich.console import Console

from corolla.checkpoint import read_json
from corolla.config import TrainSettings
from corolla.console import ConsoleReporter
from corolla.identify import identify
from corolla.run import RunFolder
from corolla.shipped import CARD, SUM, folder, pack
from corolla.trust import Trust, trust

TEMPLATE = Path(__file__).with_name("model_card.md")

TRAINED = {
    True: "`corolla cross` {}, and `corolla soup`: the mean of the weights of its runs",
    False: "`corolla train` {}",
}
RELATION = {
    True: "The shipped model is the mean of their weights: it has\nlearned from all photos, none is left to judge it, "
    "and the scores are those of its parts. Where that could be measured, the mean\nwas better than each of them "
    "(`docs/recipes.md`).",
    False: "The shipped run\nlearned from all of them in the same way, and has no photos left to be judged by.",
}
"""Whether the run is a mean of several: what the card says."""


@dataclass(frozen=True)
class Judged:
    """What the packed model says of full-size photos: named right, and among the first five, and refused; of all."""

    photos: int
    right: int
    among_five: int
    refused: int


def judged(photos: Path, place: Path) -> Judged:
    """Judge photos by the names of their folders."""
    seen = [(one, one.path.parent.name) for one in identify(None, [photos], place=place) if not one.error]
    right = sum(answer.top[0].name == name for answer, name in seen)
    five = sum(name in [guess.name for guess in answer.top] for answer, name in seen)
    return Judged(len(seen), right, five, sum(bool(answer.unknown) for answer, _ in seen))


def rows(cross: dict[str, Any], found: Trust, known: Judged | None, others: Judged | None) -> Iterator[str]:
    """The lines of the card's table."""
    low, high = cross["macro_f1_present_interval"]
    present = f"macro F1, {cross['classes_present']} kinds with photos"
    yield f"| {present} | {cross['macro_f1_present']:.4f} (95 %: {low:.4f} to {high:.4f}) |"
    yield f"| macro F1, all {len(cross['per_class'])} kinds | {cross['macro_f1']:.4f} |"
    yield f"| accuracy | {cross['accuracy']:.4f} of {cross['n']:,} photos |"
    before, after = found.calibration.error_by_mass
    yield f"| expected calibration error | {after:.3f} (without temperature {before:.3f}) |"
    yield f"| known flowers refused | {found.known_refused:.1%} |"
    if known:
        result = f"{known.right} right, {known.among_five} among the first five, {known.refused} refused"
        yield f"| {known.photos} full-size photos of known kinds, some of which taught | {result} |"
    if others:
        yield f"| {others.photos} photos of other things | {others.refused} refused |"
    weakest = sorted((one for one in cross["per_class"] if one["support"]), key=lambda one: one["f1"])[:5]
    told = ", ".join(f"{one['name']} {one['f1']:.2f}" for one in weakest)
    yield f"| weakest kinds (F1) | {told} |"


def card(run: RunFolder, file: Path, cross: dict[str, Any], found: Trust, table: list[str]) -> str:
    """The template with its places filled."""
    settings = run.settings()
    never = [one["name"] for one in cross["per_class"] if not one["support"]]
    mean = "soup" in run.scores()
    set_by_folds = {"fold", "folds"} if mean else set()
    changed = [
        one
        for one in fields(TrainSettings)
        if getattr(settings, one.name) != one.default and one.name not in set_by_folds
    ]
    words = (f"--{one.name.replace('_', '-')} {getattr(settings, one.name)}" for one in changed)
    return TEMPLATE.read_text("utf-8").format(
        size_mb=f"{file.stat().st_size / 1e6:.1f}",
        size_bytes=f"{file.stat().st_size:,}",
        digest=(file.parent / SUM).read_text().split()[0],
        model=settings.model,
        image_size=settings.image_size,
        values=f"{sum(value.size for value in run.best().arrays.values()):,}",
        trained_by=TRAINED[mean].format(" ".join(f"`{word}`" for word in words)),
        relation=RELATION[mean],
        version=read_json(run.path / "environment.json")["packages"]["corolla"],
        records=f"{cross['n']:,}",
        kinds_seen=cross["classes_present"],
        never=" and ".join(never) or "none",
        these="these" if len(never) > 1 else "this kind",
        folds=cross["folds"],
        scores="\n".join(table),
        known_refused=f"{found.known_refused:.1%}",
        temperature=f"{found.calibration.temperature:.2f}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="run folder of the model")
    parser.add_argument("--cross", type=Path, required=True, help="folder of `corolla cross`")
    parser.add_argument("--data", type=Path, required=True, help="what both were trained on")
    parser.add_argument("--photos", type=Path, help="full-size photos of known kinds, a folder a kind")
    parser.add_argument("--others", type=Path, help="photos of other things")
    parser.add_argument("--score", action="append", default=[], help="a further line of the card: NAME=VALUE")
    parser.add_argument("--out", type=Path, default=folder())
    wish = parser.parse_args()
    with ConsoleReporter(Console(stderr=True)) as reporter:
        found = trust(wish.run, wish.cross, wish.data, reporter)
    file = pack(wish.run, wish.out, found.calibration.temperature, found.open_set)
    cross = RunFolder(wish.cross).scores()
    looked = [judged(photos, wish.out) if photos else None for photos in (wish.photos, wish.others)]
    table = [*rows(cross, found, *looked), *(f"| {' | '.join(one.split('=', 1))} |" for one in wish.score)]
    (wish.out / CARD).write_text(card(RunFolder(wish.run), file, cross, found, table), "utf-8")
    print("\n".join(table))
    limit, temperature = found.open_set.limit, found.calibration.temperature
    print(f"temperature {temperature:.3f}; {found.open_set.score} below {limit:.3f} is refused")
    print(f"{file}: {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
