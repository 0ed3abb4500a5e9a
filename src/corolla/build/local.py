"""The work of a build by the threads of this machine.

Takes: a number of threads. Gives: a driver of tasks: decoding, scaling and encoding let go of Python's lock, so all
cores work.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from corolla.build.work import Driver
from corolla.images import in_order


def threads(count: int | None = None) -> Driver:
    """A driver of so many threads (None: one a core); each takes a task at a time."""

    def drive(work: Callable[[Any], int], tasks: Iterable[Any]) -> Iterator[int]:
        return in_order(work, tasks, count, chunk=1)

    return drive
