"""One side of a comparison: a process that does a round of work whenever it is told to.

Takes: on the command line, which work and a wish in JSON; then a line on standard input for every round.
Gives: a line of JSON when it is ready, one with its versions, and one for every round: images worked on, seconds,
processor seconds of this process and its children.

Both sides of a comparison are alive at once, so that rounds can be taken in turn without building and compiling anew;
the one that waits is stopped. It needs nothing but Python, for it is run in every peer's environment.
"""

import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

Round = Callable[[], int]
"""Does the work once; returns the number of images."""

TOLD: dict[str, Any] = {}
"""What a side tells of its work when it is ready, beside the seconds that it took."""

HELD: list[Any] = []
"""What a round made and its user would keep: let go of when the time has been taken."""

Prepare = Callable[[dict[str, Any]], Round]
"""Builds, compiles and warms up, by a wish."""


def serve(works: dict[str, Prepare], packages: tuple[str, ...]) -> None:
    """Prepare the work that the command line names, tell so, and do a round for each line that comes in."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to standard error
    work, wish = sys.argv[1], json.loads(sys.argv[2])
    begin = time.perf_counter()
    run = works[work](wish)
    print(json.dumps({"ready_seconds": time.perf_counter() - begin, **TOLD}), file=answers, flush=True)
    print(json.dumps(_versions(packages)), file=answers, flush=True)
    for _ in sys.stdin:
        begin, before = time.perf_counter(), _processor()
        images = run()
        seconds, processor = time.perf_counter() - begin, _processor() - before
        took = {"images": images, "seconds": seconds, "processor_seconds": processor, "peak_bytes": peak_bytes()}
        print(json.dumps(took), file=answers, flush=True)
        HELD.clear()


def _processor() -> float:
    """Processor seconds of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def peak_bytes() -> int:
    """Most memory that this process has held, or the largest of its children that have ended."""
    size = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return size if platform.system() == "Darwin" else size * 1024


def macro_f1(labels: Any, predicted: Any) -> float:
    """The mean F1 of the classes that occur among the labels, of two integer arrays."""
    scores = []
    for label in sorted(set(labels.tolist())):
        right = int(((labels == label) & (predicted == label)).sum())
        scores.append(2 * right / int((labels == label).sum() + (predicted == label).sum()))
    return sum(scores) / len(scores)


def _versions(packages: tuple[str, ...]) -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
