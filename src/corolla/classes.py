"""The 104 kinds of flowers of the competition: label numbers, names, training counts.

Takes: nothing (the table `classes.csv` ships with the package).
Gives: `NAMES`, `COUNT`, `TRAIN_IMAGES`. Labels are 0 to 103 and index these tuples.
"""

import csv
from importlib.resources import files


def _read_table() -> list[dict[str, str]]:
    text = files("corolla").joinpath("classes.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


_TABLE = _read_table()

NAMES: tuple[str, ...] = tuple(row["name"] for row in _TABLE)
"""Name of each label."""

TRAIN_IMAGES: tuple[int, ...] = tuple(int(row["competition_train_images"]) for row in _TABLE)
"""Training images of each label in the competition (18 to 782)."""

COUNT = len(NAMES)
"""Number of labels: 104."""
