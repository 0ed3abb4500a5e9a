"""Memory of the machine that this process may still take: the machine's own, or its container's where that is less.

Takes: what Linux tells under /proc and /sys. Gives: `host_free_bytes`.
"""

import os
from pathlib import Path


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
