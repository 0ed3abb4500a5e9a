"""Photos of a build that look alike, before they are dealt out to splits.

Takes: what the photos became (`work.Made`, without faults), and the sizes of their squares. Gives: `groups`: int64[n].

The limits are those of `corolla audit`, a little lower: it will see the same photos compressed once more.
"""

from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from corolla.build.work import Made
from corolla.images import decode, in_order
from corolla.likeness import Photos, find_twins, joined
from corolla.reporter import SILENT, Reporter

SLACK = 0.02
"""JPEGs of quality 95 move the similarity of two thumbnails by 0.01 at most."""

LARGE_PX = 224
"""The network that looks where there is doubt sees photos of this side."""

Pixels = NDArray[np.uint8]


def groups(made: Sequence[Made], sizes: Sequence[int], reporter: Reporter = SILENT) -> NDArray[np.int64]:
    """The group of each photo, int64[n]: the place of the first one that it hangs together with by twins.

    Raises DataError (a damaged part), RunError (the model inside the package is missing).
    """
    place = next((i for i, size in enumerate(sizes) if size >= LARGE_PX), len(sizes) - 1)

    def pixels(wanted: Collection[int], make: Callable[[Pixels], Pixels]) -> Iterator[tuple[int, Pixels]]:
        return in_order(lambda i: (i, make(decode(made[i].slots[place].data()))), sorted(wanted))

    thumbnails = np.stack([one.thumbnail() for one in made])
    photos = Photos([bytes.fromhex(one.sha256) for one in made], thumbnails, pixels)
    twins = find_twins(photos, SLACK, reporter=reporter)
    ends = np.array([(twin.first, twin.second) for twin in twins], np.int64).reshape(-1, 2)
    return joined(len(made), ends[:, 0], ends[:, 1])


def copies(made: Sequence[Made]) -> NDArray[np.int64]:
    """The groups of files of the same bytes alone."""
    _, firsts, kinds = np.unique([one.sha256 for one in made], return_index=True, return_inverse=True)
    return firsts[kinds].astype(np.int64)
