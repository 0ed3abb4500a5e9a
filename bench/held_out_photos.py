"""How well full-size photos are named by models that have not seen them.

Takes: a cross-validation folder (`corolla cross`), the data it was made from, a folder of photos by name of their kind.
Gives: a table: photos, those of which a smaller copy stands among the records, top-1 and top-5.

    python bench/held_out_photos.py RUNS --data DATA --photos PHOTOS [--names CSV]

Data sets of small photos and of full-size ones often come from the same source. A photo is looked for among the records
by its thumbnail; it is then named by the run whose fold holds its copy out. One that has no copy is named by all runs,
and counts as the mean of them. Other photos of the same plant may have taught: that is not looked for.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from corolla import classes
from corolla.folds import places
from corolla.identify import ENDINGS
from corolla.images import load_split
from corolla.interpreter import Interpreter
from corolla.photo import prepared
from corolla.records.shards import find_split
from corolla.run import RunFolder

SIDE = 16
ALIKE = 0.97
"""Least correlation of two thumbnails, pixel by pixel, of which one photo is a copy of the other."""


def thumbnails(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8[n, s, s, 3] -> float32[n, SIDE * SIDE * 3], of mean 0 and length 1."""
    step = images.shape[1] // SIDE
    cut = images[:, : step * SIDE, : step * SIDE].reshape(len(images), SIDE, step, SIDE, step, 3)
    small = cut.mean(axis=(2, 4), dtype=np.float32).reshape(len(images), -1)
    small -= small.mean(axis=1, keepdims=True)
    return small / np.linalg.norm(small, axis=1, keepdims=True)


def labels_by_name(table: Path | None) -> dict[str, int]:
    """The label of each name of Corolla's own, and of those in the columns `oxford_102_name` and `label` of a table."""
    found = {name: label for label, name in enumerate(classes.NAMES)}
    if table:
        rows = list(csv.DictReader(table.read_text("utf-8").splitlines()))
        found |= {row["oxford_102_name"]: int(row["label"]) for row in rows if row["oxford_102_name"]}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--names", type=Path, help="other names of kinds: a CSV of oxford_102_name and label")
    wish = parser.parse_args()
    known = labels_by_name(wish.names)
    folders = sorted(wish.runs.glob("fold-*"))
    runs = [RunFolder(folder) for folder in folders]
    models = [Interpreter(run.graph(), run.best().arrays, str(run.path)) for run in runs]
    splits = [load_split(find_split(wish.data, name, models[0].image_size)) for name in ("train", "val")]
    ids, labels = [*splits[0].ids, *splits[1].ids], np.concatenate([split.labels for split in splits])
    folds = places(ids, labels, len(runs))
    small = np.concatenate([thumbnails(split.images) for split in splits])

    taught, left = set(labels.tolist()), 0
    hits, copies, n = np.zeros(2), 0, 0
    for path in sorted(path for path in wish.photos.rglob("*") if path.suffix.lower() in ENDINGS):
        label = known.get(path.parent.name, -1)
        if label not in taught:
            left += 1
            continue
        seen = prepared(path.read_bytes(), models[0].image_size, str(path))[None]
        likeness = (small @ thumbnails(seen).T)[:, 0]
        nearest = int(likeness.argmax())
        found = likeness[nearest] > ALIKE
        judges = [models[folds[nearest]]] if found else models
        ranks = [int((logits > logits[label]).sum()) for logits in (model(seen)[0] for model in judges)]
        hits += [np.mean([rank < most for rank in ranks]) for most in (1, 5)]
        copies, n = copies + found, n + 1
        if min(ranks) > 0:
            print(f"{path.parent.name}/{path.name}: rank {[rank + 1 for rank in ranks]}", file=sys.stderr)
    print(f"{n} photos, {copies} of them with a copy among the records; {left} of kinds that nobody taught left out")
    print(f"top-1 {hits[0] / n:.4f}, top-5 {hits[1] / n:.4f}")


if __name__ == "__main__":
    main()
