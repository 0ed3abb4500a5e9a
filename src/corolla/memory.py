"""Memory of the machine that this process may still take: the machine's own, or its container's where that is less.

Takes: what Linux tells under /proc and /sys. Gives: `host_free_bytes`; and large arrays whose first touch is cheap
(`small_pages`, `populate`), and a heap that keeps what is given back (`keep_freed`).
"""

import ctypes
import math
import mmap
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
"""Parameters of glibc's mallopt, from its malloc.h."""
_POPULATE_WRITE = 23
"""MADV_POPULATE_WRITE of Linux 5.14, from its uapi/asm-generic/mman-common.h."""


def host_free_bytes(root: Path = Path("/")) -> int:
    """Bytes that can be taken without swapping: what the kernel thinks, or the least room left in a container.

    The kernel's estimate (MemAvailable) counts what it only caches, such as shards just read, as free.
    """
    rooms = [_room_in_version_2(root), _room_in_version_1(root), _available(root)]
    return max(min(room for room in rooms if room is not None), 0)


def _available(root: Path) -> int:
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")  # not Linux


def _room_in_version_2(root: Path) -> int | None:
    """Room in the control group of this process and in those around it; None where none has a limit.

    Inside a container its own group is usually mounted as the root: then the path of the group leads nowhere.
    """
    lines = _text(root / "proc/self/cgroup").splitlines()
    own = next((line.removeprefix("0::").strip("/") for line in lines if line.startswith("0::")), "")
    base = root / "sys/fs/cgroup"
    folders = [base / own, *(base / part for part in Path(own).parents), base]
    rooms = [_room(folder / "memory.max", folder / "memory.current", folder / "memory.stat") for folder in folders]
    return min((room for room in rooms if room is not None), default=None)


def _room_in_version_1(root: Path) -> int | None:
    folder = root / "sys/fs/cgroup/memory"
    return _room(folder / "memory.limit_in_bytes", folder / "memory.usage_in_bytes", folder / "memory.stat")


def _room(limit: Path, usage: Path, stat: Path) -> int | None:
    """Limit less usage; file caches that can be dropped do not count as used."""
    most, used = _text(limit).strip(), _text(usage).strip()
    if not (most.isdigit() and used.isdigit()):  # no such file, or "max"
        return None
    told = dict(line.split() for line in _text(stat).splitlines() if len(line.split()) == 2)
    return int(most) - int(used) + int(told.get("total_inactive_file", told.get("inactive_file", 0)))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


# Large arrays -----------------------------------------------------------------------------------------------------


def small_pages(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """An uninitialised uint8 array on pages of ordinary size, freed with its last view.

    `np.empty` asks Linux for huge pages. Where memory is in pieces, or its host has yet to provide it, the first touch
    of 1 GB then took 3.4 to 4.2 s on a virtual machine with two cores, against 0.6 s page by page.
    """
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    memory = mmap.mmap(-1, max(math.prod(shape), 1), **private)
    return np.frombuffer(memory, np.uint8)[: math.prod(shape)].reshape(shape)


def populate(part: NDArray) -> None:
    """Have the kernel provide the pages of a contiguous part of a `small_pages` array at once; its values stay.

    Touched one by one while an image is decoded into them, 37 pages an image cost 165 µs of 470; so they cost 80.
    Where the system does not offer it, nothing happens, and the first touch does it.
    """
    if advise := _madvise():
        first = part.ctypes.data // mmap.PAGESIZE * mmap.PAGESIZE
        advise(first, part.ctypes.data + part.nbytes - first, _POPULATE_WRITE)


def keep_freed() -> None:
    """Have glibc keep freed memory for what comes next, instead of giving it back to the kernel.

    XLA takes the temporaries of a program, 0.8 GB of a train step, anew in every dispatch; touching their pages again
    cost an eighth of the step. To be called before threads are started: each takes to a heap of its own, whose blocks
    are limited. Costs: a process does not get smaller. With another C library nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    if mallopt:
        for parameter, value in ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1)):
            mallopt(parameter, value)


@cache
def _madvise() -> Callable[[int, int, int], int] | None:
    """The C library's madvise, which lets other threads run meanwhile: Python's own does not. None elsewhere."""
    if not sys.platform.startswith("linux"):
        return None
    advise = ctypes.CDLL(None).madvise
    advise.argtypes, advise.restype = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int], ctypes.c_int
    return advise
