"""The largest batch that fits, found by compiling as few programs as can be.

Takes: a function that compiles for so many images a device and tells the memory needed. Gives: `Largest`.

Memory grows almost in proportion to the batch, so a line through two programs that were compiled points at the third
(the secant method), which is near the end already; what is left is to see that a batch a little larger does not fit.
Only what was compiled counts as fitting: near the limit the compiler computes things twice to save memory.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

MOST_COMPILES = 6
"""Programs compiled at most; each takes as long as the plan itself."""

FARTHEST = 3
"""How many times as many images as were compiled may be tried next."""


@dataclass(frozen=True)
class Largest:
    """Images a device: fits, the most that were compiled and do; too_many, the fewest known not to (None: none was)."""

    fits: int
    too_many: int | None
    compiles: int


def search(needed: Callable[[int], float], capacity: float, images: int, bytes_needed: float, limit: int) -> Largest:
    """Find the largest number of images a device, in steps of `unit`, with at most MOST_COMPILES calls of `needed`.

    needed: bytes for so many images, math.inf where the compiler refuses and does not say; capacity: bytes there are;
    images, bytes_needed: what is known already; limit: never more images than these.
    """
    known = {images: bytes_needed}
    for compiles in range(MOST_COMPILES + 1):
        fits = max((n for n, size in known.items() if size <= capacity), default=0)
        too_many = min((n for n, size in known.items() if size > capacity), default=None)
        more = _next(known, capacity, fits, too_many, limit)
        if more is None or compiles == MOST_COMPILES:
            return Largest(fits, too_many, compiles)
        known[more] = needed(more)
    raise AssertionError("the loop returns")


def unit(images: int) -> int:
    """Batches worth a look: multiples of 8 images a device, of 128 from 512 on, the sides of a TPU's registers."""
    return 128 if images >= 512 else 8


def _next(known: dict[int, float], capacity: float, fits: int, too_many: int | None, limit: int) -> int | None:
    """How many images to compile for; None where nothing is left between what fits and what does not."""
    low, high = _up(fits + 1), limit if too_many is None else too_many - 1
    high = min(high, FARTHEST * fits) if fits else high
    if low > high:
        return None
    aimed = _aim(known, capacity, fits, too_many)
    return min(max(_down(min(aimed, high)), low), high)


def _aim(known: dict[int, float], capacity: float, fits: int, too_many: int | None) -> int:
    """Where a line through two known programs meets the capacity; halfway where there is no such line."""
    halfway = (fits + (too_many or FARTHEST * fits)) // 2
    if too_many and not math.isfinite(known[too_many]):
        return halfway
    nearest = sorted(known, key=lambda n: abs(known[n] - capacity))[:2]
    if len(nearest) == 1:
        return int(nearest[0] * capacity / max(known[nearest[0]], 1))
    one, other = sorted(nearest)
    slope = (known[other] - known[one]) / (other - one)
    return int(one + (capacity - known[one]) / slope) if slope > 0 and math.isfinite(slope) else halfway


def _down(images: int) -> int:
    return images - images % unit(images)


def _up(images: int) -> int:
    return -(-images // unit(images)) * unit(images)
