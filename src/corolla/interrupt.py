"""Stopping at a good moment: SIGINT and SIGTERM raise a flag that the training loop reads between dispatches.

Takes: signals. Gives: `stop_requested`, a context that answers whether to stop. A second SIGINT stops at once.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from corolla.errors import CorollaError


class InterruptedRunError(CorollaError):
    """The run was asked to stop and has saved where it stands, on all hosts.

    Exit code 75, EX_TEMPFAIL of sysexits.h: "try again later". A shell's own 130 and 143 are left to what was cut off.
    """

    exit_code, everywhere = 75, True


@contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether a signal came. Outside the main thread it always answers no."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came = threading.Event()
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def remember(number: int, frame: FrameType | None) -> None:
        if came.is_set():
            raise KeyboardInterrupt
        came.set()

    try:
        for number in previous:
            signal.signal(number, remember)
        yield came.is_set
    finally:
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: it was not Python's
