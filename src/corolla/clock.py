"""Where the time goes: seconds by purpose, kept apart so that a speed never hides compiling or waiting.

Takes: names of sections. Gives: `Clock`, which adds up, survives a restart inside a checkpoint, and knows the program's
own age.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

Section = Literal["input", "compile", "probe", "train", "evaluate", "save"]


def _age() -> float:
    """Seconds since this process was started: from the kernel on Linux, else its processor time (a lower bound)."""
    try:
        started = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):
        return time.process_time()


_PROCESS_START = time.perf_counter() - _age()


class Clock:
    """Seconds by section. Sections do not nest: each second belongs to one."""

    def __init__(self, seconds: dict[str, float] | None = None) -> None:
        self.seconds: dict[str, float] = dict(seconds or {})

    def add(self, section: Section, seconds: float) -> None:
        """Add seconds that were measured elsewhere."""
        self.seconds[section] = self.seconds.get(section, 0.0) + seconds

    @contextmanager
    def section(self, name: Section) -> Iterator[None]:
        """Measure a block."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - begin)

    def rounded(self) -> dict[str, float]:
        """Seconds by section, to the millisecond, for the run folder."""
        return {name: round(seconds, 3) for name, seconds in self.seconds.items()}


def process_seconds() -> float:
    """Seconds since this process started, imports included."""
    return time.perf_counter() - _PROCESS_START
