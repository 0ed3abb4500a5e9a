"""Two submissions: where they agree, which classes moved, and the photos on which they do not.

Takes: two CSV files, the data they are of where photos are wanted. Gives: `Difference`; `diff_page`: an HTML file.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corolla.classes import COUNT, NAMES
from corolla.errors import DataError
from corolla.images import decode
from corolla.page import Markup, element, figure, grid, page, photo, section, table
from corolla.records.shards import Found, find_split, read_split
from corolla.storage import AnyPath
from corolla.submission.reading import read

MOST = 200
"""Photos shown."""
_SIDE = 150


@dataclass(frozen=True)
class Difference:
    """Of two submissions: ids that both have, the labels of either int[n], ids that only one has."""

    first: AnyPath
    second: AnyPath
    ids: list[str]
    labels: NDArray[np.int64]
    """int64[2, n]."""
    only: tuple[int, int]

    @property
    def agreement(self) -> float:
        """Part of the ids of both that have one label."""
        return float((self.labels[0] == self.labels[1]).mean()) if self.ids else 0.0

    def moved(self) -> list[tuple[int, int, int]]:
        """(label in the first, label in the second, photos), most photos first."""
        pairs = Counter((a, b) for a, b in self.labels.T.tolist() if a != b)
        return [(a, b, count) for (a, b), count in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))]

    def classes(self) -> list[tuple[int, int, int, int]]:
        """(label, called so in the first, in the second, in both) of classes that differ, most moved first."""
        one, other = (np.bincount(row, minlength=COUNT) for row in self.labels)
        both = np.bincount(self.labels[0][self.labels[0] == self.labels[1]], minlength=COUNT)
        moved = one + other - 2 * both
        order = [k for k in np.argsort(-moved, kind="stable").tolist() if moved[k]]
        return [(k, int(one[k]), int(other[k]), int(both[k])) for k in order]

    def to_json(self) -> dict[str, Any]:
        """Plain data, every photo that moved included."""
        photos = [
            {"id": name, "first": int(a), "second": int(b)}
            for name, a, b in zip(self.ids, *self.labels, strict=True)
            if a != b
        ]
        return {
            "first": str(self.first),
            "second": str(self.second),
            "ids": len(self.ids),
            "only_in_first": self.only[0],
            "only_in_second": self.only[1],
            "agreement": self.agreement,
            "classes": [
                {"label": k, "name": NAMES[k], "first": a, "second": b, "both": both}
                for k, a, b, both in self.classes()
            ],
            "moved": photos,
        }


def diff(first: AnyPath, second: AnyPath) -> Difference:
    """Compare two submissions. Raises DataError: no such file, one that is broken, no id in common."""
    one, other = read(first), read(second)
    for each in (one, other):
        if each.faults:
            raise DataError(f"{each.path}: {each.faults[0]}: see `corolla submission check`")
    ids = [name for name in one.labels if name in other.labels]
    if not ids:
        raise DataError(f"{first} and {second} have no id in common: are they of the same data?")
    labels = np.array([[each.labels[name] for name in ids] for each in (one, other)], np.int64)
    return Difference(first, second, ids, labels, (len(one.labels) - len(ids), len(other.labels) - len(ids)))


# ------------------------------------------------------------------------------------------------------------- page


def diff_page(
    found: Difference, data: AnyPath | None = None, split: str = "test", image_size: int | None = None, most: int = MOST
) -> bytes:
    """The difference as a page; with DATA, the photos that moved, most frequent moves first.

    Raises DataError: no such data, or none of the ids in it.
    """
    told = (
        f"{found.first} and {found.second}: {len(found.ids):,} ids in both, {found.agreement:.2%} with the same label."
    )
    names = ("class", "first", "second", "both")
    rows = [(f"{k} {NAMES[k]}", a, b, both) for k, a, b, both in found.classes()]
    pieces: list[Markup] = [element("p", told, kind="dim"), section("Classes that moved", table(names, rows))]
    if data is not None:
        pieces.append(_photos(found, data, split, image_size, most))
    return page("Two submissions", *pieces)


def _photos(found: Difference, data: AnyPath, split: str, image_size: int | None, most: int) -> Markup:
    rank = {(a, b): place for place, (a, b, _) in enumerate(found.moved())}
    moved = [(rank[a, b], i, a, b) for i, (a, b) in enumerate(found.labels.T.tolist()) if a != b]
    shown = sorted(moved)[:most]
    images = _images(data, split, image_size, [found.ids[i] for _, i, _, _ in shown])
    figures = [
        figure(
            [photo(images[found.ids[i]], _SIDE, f"photo {found.ids[i]}")],
            found.ids[i],
            f"first {NAMES[a]}",
            element("span", f"second {NAMES[b]}", kind="mark"),
        )
        for _, i, a, b in shown
        if found.ids[i] in images
    ]
    cut = [element("p", f"The first {most:,} of {len(moved):,}.", kind="dim")] if len(moved) > most else []
    return section(f"Photos that moved ({len(moved):,})", *cut, grid(figures))


def _images(data: AnyPath, split: str, image_size: int | None, ids: Sequence[str]) -> dict[str, NDArray[np.uint8]]:
    """Photos by their ids."""
    wanted, found = set(ids), {}
    for item in read_split(find_split(data, split, image_size), on_bad_record="skip"):
        if isinstance(item, Found) and item.example.id in wanted:
            image = item.example.image
            found[item.example.id] = decode(image) if isinstance(image, bytes) else image
    if wanted and not found:
        raise DataError(f"{data}: {split} holds none of the {len(wanted)} photos that moved: name the data they are of")
    return found
