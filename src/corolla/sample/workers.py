"""Paint a plan's photos in several processes, in order.

Takes: a `Plan`'s numbers and how many processes. Gives: the JPEG bytes of each photo, in the plan's order.

Worker w of n paints photos w, w + n, w + 2n, …, and writes them to its standard output, so reading the outputs in turn
gives the plan's order, and a full pipe holds back a worker that runs ahead. Plain processes rather than
multiprocessing: that would import the caller's script again, and fork is unsafe once JAX runs.
"""

import os
import subprocess
import sys
from collections.abc import Generator, Iterator

from corolla.errors import RunError
from corolla.sample.plan import Plan, photo, plan
from corolla.types import SPLITS, Split

_LENGTH_BYTES = 4


def paint_all(wanted: Plan, images: int, workers: int) -> Generator[bytes]:
    """Yield every photo of a plan, train, val, test; raises RunError where a worker dies."""
    if workers <= 1:
        yield from _share(wanted, 0, 1)
        return
    processes = [_start(wanted, images, worker, workers) for worker in range(workers)]
    try:
        for number in range(len(wanted)):
            yield _next_photo(processes[number % workers])
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def _share(wanted: Plan, worker: int, workers: int) -> Iterator[bytes]:
    photos: list[tuple[Split, int]] = [(split, index) for split in SPLITS for index in range(len(wanted.labels[split]))]
    return (photo(wanted, split, index) for split, index in photos[worker::workers])


def _start(wanted: Plan, images: int, worker: int, workers: int) -> subprocess.Popen[bytes]:
    numbers = [images, wanted.image_size, wanted.seed, worker, workers]
    return subprocess.Popen(
        [sys.executable, "-c", f"from {__name__} import main; main({numbers})"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | _ALONE | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


_ALONE = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_TRIM_THRESHOLD_": "500000000",
    "MALLOC_MMAP_THRESHOLD_": "500000000",
}
"""One thread each for BLAS, as the processes fill the cores; and glibc keeps freed pages, which saves a sixth."""


def _next_photo(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    head = process.stdout.read(_LENGTH_BYTES)
    content = process.stdout.read(int.from_bytes(head, "little"))
    if len(head) < _LENGTH_BYTES or len(content) < int.from_bytes(head, "little"):
        _, complaint = process.communicate()
        last = complaint.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
        raise RunError(f"a process that paints the sample died ({last[0]}): try again with workers=1")
    return content


def main(numbers: list[int]) -> None:
    """Paint one worker's share to standard output: images, image size, seed, worker, workers."""
    images, image_size, seed, worker, workers = numbers
    for content in _share(plan(images, image_size, seed), worker, workers):
        sys.stdout.buffer.write(len(content).to_bytes(_LENGTH_BYTES, "little") + content)
        sys.stdout.buffer.flush()
