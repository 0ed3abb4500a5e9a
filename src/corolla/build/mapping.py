"""From the names that sources use to the 104 labels: the table `mapping.csv`, and what is chosen by it.

Takes: an `Item`. Gives: `label_of`: its label and box, or why it has none.

A row is (source, name, class, note). Without a class the name is known and left out, for the reason in its note. The
sources: `oxford_102` (numbers from 1), `tf_flowers` (folders), `taxon` (species or genus in Latin, for iNaturalist,
and wherever a name is Latin), `openimages` (display names), `imagenet` (WordNet's numbers or words). A vocabulary of
its own is `labels`: the classes' names or numbers, which folders of one's own and the ready pack use.
"""

import csv
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from corolla.build.item import Item
from corolla.build.record import Box
from corolla.classes import COUNT, NAMES

LABELS = "labels"
UNKNOWN, NO_LABEL = "not in the table", "without a label"

_TABLES = {
    "oxford_102": ("oxford_102",),
    "tf_flowers": ("tf_flowers",),
    "inaturalist": ("taxon",),
    "openimages": ("openimages", "taxon"),
    "imagenet": ("imagenet", "taxon"),
}


@dataclass(frozen=True)
class Entry:
    """What the table says of a name: a label, or None and the reason."""

    label: int | None
    note: str


@dataclass(frozen=True)
class Left:
    """A photo that gets no label: the source's word for it, and the reason."""

    kind: str
    reason: str


def plain(name: str) -> str:
    """A name as it is compared: small letters, one space for what separates words, no apostrophes."""
    return re.sub(r"[\s_×-]+", " ", re.sub(r"['’]", "", name.lower())).strip()


@cache
def table() -> dict[tuple[str, str], Entry]:
    """{(source, plain name): entry}, of `mapping.csv`."""
    text = files("corolla.build").joinpath("mapping.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {
        (row["source"], plain(row["name"])): Entry(NAMES.index(row["class"]) if row["class"] else None, row["note"])
        for row in rows
    }


@cache
def find(vocabulary: str, kind: str) -> Entry | None:
    """What a vocabulary says of a name, or None where it does not know it."""
    if vocabulary == LABELS:
        return _of_labels(kind)
    for source in _TABLES[vocabulary]:
        # Of a genus alone a word of English cannot be told: "Iris" is one of the eye, too.
        if source == "taxon" and vocabulary != "inaturalist" and " " not in kind:
            continue
        if entry := table().get((source, plain(kind))):
            return entry
    return None


@cache
def _own_names() -> dict[str, int]:
    return {plain(name): label for label, name in enumerate(NAMES)}


def _of_labels(kind: str) -> Entry | None:
    if kind.isascii() and kind.isdigit() and int(kind) < COUNT:
        return Entry(int(kind), "")
    label = _own_names().get(plain(kind))
    return None if label is None else Entry(label, "")


def label_of(item: Item) -> tuple[int, Box | None] | Left:
    """The label of a photo and the box of what is meant, or why it is left out."""
    known = [(kind, entry) for kind in item.kinds if (entry := find(item.vocabulary, kind))]
    if not known:
        return Left(item.kinds[0], UNKNOWN) if item.kinds else Left("", NO_LABEL)
    if not item.several:
        known = known[:1]
    labelled = {entry.label: kind for kind, entry in reversed(known) if entry.label is not None}
    if not labelled:
        kind, entry = known[0]
        return Left(kind, entry.note)
    if len(labelled) > 1:
        return Left(" + ".join(sorted(labelled.values())), "flowers of several classes in one photo")
    ((label, kind),) = labelled.items()
    return label, item.boxes.get(kind)
