"""The sample on disk, in the competition's layout.

Takes: a folder, a size, a number of images, a seed.
Gives: OUT/tfrecords-jpeg-SxS/{train,val,test}/NN-SxS-COUNT.tfrec and OUT/sample_submission.csv, all or nothing.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from corolla.errors import RunError, WishError
from corolla.records.example import encode_example
from corolla.records.framing import write_records
from corolla.records.shards import even_ranges
from corolla.sample.plan import Plan, plan
from corolla.sample.workers import paint_all
from corolla.types import SPLITS, Example, Split

DEFAULT_IMAGES = 3000
SHARD_IMAGES = 256
LEAST_SIZE_PX, MOST_SIZE_PX = 16, 1024


@dataclass(frozen=True)
class Summary:
    """What was written: the folder, photos in each split, bytes, and the test split's labels (which no file holds).

    test_labels: int64[n], in the order of the test shards; the folder does not tell them, as the competition's did not.
    """

    out: Path
    train: int
    val: int
    test: int
    size_bytes: int
    test_labels: NDArray[np.int64]


def write_sample(
    out: Path,
    *,
    image_size: int = 224,
    images: int = DEFAULT_IMAGES,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Paint a sample data set into the folder `out`, which must not hold anything yet.

    images: photos in all; two thirds train, a fifth val, the rest test. From 520 on, train and val hold every kind.
    seed: same seed, same bytes, however many workers. workers: processes (None: one a core, fewer for few photos).
    progress: called as progress(done, total) after each photo.

    Raises WishError (settings out of range, a folder that is not empty), RunError (no room, no permission).
    """
    out = Path(out)
    _check(out, image_size, images, seed, workers)
    wanted = plan(images, image_size, seed)
    count = _worker_count(wanted) if workers is None else workers
    photos = _reported(paint_all(wanted, images, count), len(wanted), progress)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
    except OSError as error:
        raise RunError(f"{out}: cannot be made ({error.strerror}): choose another folder") from error
    try:
        _write(draft, wanted, photos)
        size_bytes = sum(path.stat().st_size for path in draft.rglob("*") if path.is_file())
        draft.chmod(0o755)  # mkdtemp made it private
        draft.replace(out)  # over an empty folder, too
    except OSError as error:
        raise RunError(
            f"{out}: cannot be written ({error.strerror}): free some room or choose another folder"
        ) from error
    finally:
        photos.close()
        shutil.rmtree(draft, ignore_errors=True)
    counts = {split: len(wanted.labels[split]) for split in SPLITS}
    return Summary(out, counts["train"], counts["val"], counts["test"], size_bytes, wanted.labels["test"])


def _check(out: Path, image_size: int, images: int, seed: int, workers: int | None) -> None:
    if not LEAST_SIZE_PX <= image_size <= MOST_SIZE_PX:
        raise WishError(f"image_size must be {LEAST_SIZE_PX} to {MOST_SIZE_PX} px, not {image_size}.")
    if images < 10:
        raise WishError(f"images must be at least 10 (three splits share them), not {images}.")
    if seed < 0:
        raise WishError(f"seed must be 0 or more, not {seed}.")
    if workers is not None and workers < 1:
        raise WishError(f"workers must be at least 1, not {workers}.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        what = "is not empty" if out.is_dir() else "is a file"
        raise WishError(f"{out} {what}: give a new folder, or remove this one first (rm -r {out}).")


def _worker_count(wanted: Plan) -> int:
    work = len(wanted) * wanted.image_size**2
    worthwhile = work // (100 * 224**2)  # a process takes about as long to start as 50 photos to paint
    return max(
        1, min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, worthwhile)
    )


def _reported(photos: Generator[bytes], total: int, progress: Callable[[int, int], None] | None) -> Generator[bytes]:
    with closing(photos):  # or a traceback would keep the workers alive
        for done, content in enumerate(photos, 1):
            if progress is not None:
                progress(done, total)
            yield content


def _write(draft: Path, wanted: Plan, photos: Iterator[bytes]) -> None:
    size = f"{wanted.image_size}x{wanted.image_size}"
    for split in SPLITS:
        folder = draft / f"tfrecords-jpeg-{size}" / split
        for number, part in enumerate(shard_ranges(len(wanted.labels[split]))):
            records = (encode_example(_example(wanted, split, index, next(photos))) for index in part)
            write_records(folder / f"{number:02d}-{size}-{len(part)}.tfrec", records)
    rows = "".join(f"{wanted.id('test', index)},0\n" for index in range(len(wanted.labels["test"])))
    (draft / "sample_submission.csv").write_text(f"id,label\n{rows}", encoding="ascii")


def _example(wanted: Plan, split: Split, index: int, image: bytes) -> Example:
    label = None if split == "test" else int(wanted.labels[split][index])
    return Example(wanted.id(split, index), label, image)


def shard_ranges(count: int) -> list[range]:
    """Divide records 0 to count - 1 over shards: at least two where there are two records, sizes one apart at most."""
    return even_ranges(count, max(2, -(-count // SHARD_IMAGES)))
