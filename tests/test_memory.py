"""Memory that may still be taken: the machine's, or its container's where that is less; and large arrays."""

import ctypes
import mmap
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from corolla import memory
from corolla.memory import host_free_bytes

GIB = 2**30


@pytest.fixture
def machine(tmp_path):
    """Return a function that writes what Linux would tell under a folder, and returns the folder."""

    def write(**files: str) -> Path:
        told = {"proc/meminfo": f"MemTotal: 1 kB\nMemAvailable: {8 * 2**20} kB\n"} | files
        for name, text in told.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return write


def test_the_machine_alone(machine):
    assert host_free_bytes(machine()) == 8 * GIB
    assert 0 < host_free_bytes() < 2**50


def test_a_container_that_gives_less(machine):
    """File caches that can be dropped are free."""
    group = {
        "memory.max": f"{3 * GIB}",
        "memory.current": f"{2 * GIB}",
        "memory.stat": f"anon 1\ninactive_file {GIB}\n",
    }
    root = machine(**{"proc/self/cgroup": "0::/\n", **{f"sys/fs/cgroup/{name}": text for name, text in group.items()}})
    assert host_free_bytes(root) == 2 * GIB


def test_the_tightest_of_nested_groups_counts(machine):
    files = {"proc/self/cgroup": "0::/a/b\n"}
    for folder, limit in (("a", 5 * GIB), ("a/b", "max")):
        files |= {f"sys/fs/cgroup/{folder}/memory.max": f"{limit}", f"sys/fs/cgroup/{folder}/memory.current": f"{GIB}"}
    assert host_free_bytes(machine(**files)) == 4 * GIB


def test_version_1_and_a_limit_that_is_none(machine):
    folder = "sys/fs/cgroup/memory/memory"
    files = {f"{folder}.limit_in_bytes": "9223372036854771712", f"{folder}.usage_in_bytes": f"{GIB}"}
    assert host_free_bytes(machine(**files)) == 8 * GIB
    files |= {f"{folder}.limit_in_bytes": f"{2 * GIB}", f"{folder}.stat": "total_inactive_file 1024\n"}
    assert host_free_bytes(machine(**files)) == GIB + 1024


def test_used_beyond_the_limit_is_no_room(machine):
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1000", "sys/fs/cgroup/memory.current": "2000"}
    assert host_free_bytes(machine(**files)) == 0


def test_populating_keeps_values_and_neighbours():
    array = memory.small_pages((5, 4096, 3))
    array[:] = np.arange(5, dtype=np.uint8)[:, None, None]
    before = array.copy()
    memory.populate(array[1:3, 7:9])
    np.testing.assert_array_equal(array, before)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts the pages that Linux gave")
def test_populated_pages_are_there_before_they_are_touched():
    advise = memory._madvise()
    if advise is None or advise(0, 0, memory._POPULATE_WRITE):
        pytest.skip("Linux before 5.14 cannot populate")
    array = memory.small_pages((64 * mmap.PAGESIZE,))
    memory.populate(array)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    array[:: mmap.PAGESIZE] = 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 32


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="no glibc")
def test_freed_memory_is_kept_for_what_comes_next():
    program = (
        "import resource, threading\n"
        "import numpy as np\n"
        "from corolla.memory import keep_freed\n"
        "keep_freed()\n"
        "def fill(): np.full(100_000_000, 1, np.uint8)\n"
        "def in_a_thread():\n"
        "    thread = threading.Thread(target=fill)\n"
        "    thread.start(), thread.join()\n"
        "in_a_thread()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "in_a_thread()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1_000  # of 24,400 pages
