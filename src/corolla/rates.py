"""The schedule of the learning rate: a linear rise, then half a cosine down to 0.

Takes: how much of the training is done. Gives: `part_of_peak`, by the operations of whichever library it is given.
"""

from typing import Any

import numpy as np


def part_of_peak(done: Any, warmup: float, ops: Any = np) -> Any:
    """The learning rate as a part of its peak, where `done` of all steps are done; it rises over `warmup` of them."""
    rising = done / max(warmup, 1e-9)
    falling = 0.5 * (1 + ops.cos(3.14159265 * ops.clip((done - warmup) / max(1 - warmup, 1e-9), 0, 1)))
    return ops.minimum(rising, falling)
