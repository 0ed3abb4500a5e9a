"""One of several processes that talk to each other: a program that `test_hosts` starts and reads.

`python pod.py COORDINATOR COUNT INDEX DATA`: prints JSON, what each function gave on this process.
"""

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from corolla import hosts
from corolla.config import HostsWish
from corolla.errors import CorollaError, DataError, WishError
from corolla.images import load_split
from corolla.mesh import copy_to_all, make_mesh
from corolla.order import Lanes, epoch_order
from corolla.records.shards import find_split
from corolla.resident import own_records
from corolla.run import fingerprint
from corolla.share import digests, load_share
from corolla.start import refuse_differences
from corolla.step import train_steps
from corolla.types import Photos
from flow import photos, small_learner


def error_of(call: Callable[[], Any]) -> list[Any]:
    """Kind, line and exit code of the error that a call raises, and whether all processes know that they have it."""
    try:
        call()
    except CorollaError as error:
        return [type(error).__name__, str(error), error.exit_code, error.everywhere]
    return []


def fail_on(process: int, own: int, error: CorollaError) -> Callable[[], int]:
    """A function that fails on one process alone."""

    def work() -> int:
        if own == process:
            raise error
        return own

    return work


def spoken(own: int) -> dict[str, Any]:
    """What the processes tell each other."""
    arrays = {"a": np.arange(3) * (own + 1), "b": np.float32(own) * np.ones((2, 0))}
    return {
        "gather": [len(one) for one in hosts.gather(b"x" * (own * 1000))],
        "empty": [one.decode() for one in hosts.gather(b"")],
        "rows": hosts.gather_rows(np.full((own, 2), own)).tolist(),
        "agreed": hosts.agreed({"clock": own + 0.1, "text": "ä"}),
        "arrays": {name: [one.tolist(), one.dtype.str] for name, one in hosts.arrays_from_first(arrays).items()},
        "together": hosts.together(lambda: own),
        "one fails": error_of(lambda: hosts.together(fail_on(1, own, WishError("not so")))),
        "first fails": error_of(lambda: hosts.from_first(fail_on(0, own, DataError("broken")))),
        "several": hosts.several(),
        "first": hosts.first(),
    }


def different(data: Path, own: int) -> list[Any]:
    """The refusals of processes that started differently."""
    wishes = [{"seed": 0}, {"seed": own}]
    return [error_of(lambda one=one: refuse_differences(one, data, ("train", "val"), 32)) for one in wishes]


def read(data: Path, batch_size: int, **options: Any) -> dict[str, Any]:
    """A split as this process holds it: its place, whether its pixels are the right ones, and the fingerprint."""
    mesh, files = make_mesh(), find_split(data, "train")
    share = load_share(files, mesh, batch_size, **options)
    whole = load_split(files, **options)
    first, end = own_records(mesh, Lanes(len(whole), batch_size))
    return {
        "place": [share.first, share.first + len(share.images)],
        "wanted": [first, end],
        "pixels": bool((share.images == whole.images[first:end]).all()),
        "ids": share.ids == whole.ids,
        "labels": bool((share.labels == whole.labels).all()),
        "bad": sorted(map(str, share.bad)) == sorted(map(str, whole.bad)),
        "fingerprint": fingerprint(share, digests(share, mesh, batch_size)),
    }


def trained(batch_size: int, resident: bool) -> str:
    """A digest of the weights after an epoch, the pixels of the other processes being garbage here."""
    from corolla.resident import ResidentFeed, StreamFeed

    mesh, data, learner = make_mesh(), photos(2 * batch_size + 3), small_learner()
    lanes = Lanes(len(data), batch_size)
    first, end = own_records(mesh, lanes)
    own = Photos(data.split, data.images[first:end], data.labels, data.ids, first=first)
    feed = ResidentFeed(mesh, lanes, own) if resident else StreamFeed(mesh, lanes, own, chunk_bytes=1)
    feed.start(epoch_order(lanes, seed=0, epoch=1))
    program, step = train_steps(learner, mesh), 0
    state, sums = copy_to_all(mesh, (learner.initial_state(), _no_sums()))
    while step < lanes.steps:
        part = feed.take(step, lanes.steps)
        state, sums = program(state, sums, *part)
        step += part.last - part.first
    return hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in state.trainable)).hexdigest()


def _no_sums() -> Any:
    from corolla.step import empty_sums
    from flow import CLASSES

    return empty_sums(CLASSES)


def main() -> None:
    """Do everything, in the same order on all processes."""
    coordinator, count, own, data = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    if count > 1:
        hosts.connect(HostsWish(coordinator=coordinator, process_count=count, process_index=own))
    told = {"spoken": spoken(own), "different": different(data / "clean", own)} if count > 1 else {}
    told |= {f"read {size}": read(data / "clean", size) for size in (1, 5, 7, 24, 40)}
    told["skip"] = read(data / "broken", 4, on_bad_record="skip")
    told["fail"] = error_of(lambda: read(data / "broken", 4))
    told |= {f"trained, {kind}": trained(6, kind == "resident") for kind in ("resident", "stream")}
    print(json.dumps(told))
    hosts.leave()


if __name__ == "__main__":
    main()
