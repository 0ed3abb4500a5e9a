"""A finished run applied to a split: the one way from run folder and data to probabilities.

Takes: a run folder, a data folder, a split's name, how each image is looked at.
Gives: `Judged`: the photos' ids and labels, and float32[n, classes] probabilities. `evaluate` and `predict` share it.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from corolla import hosts
from corolla.inference import CROPS, Progress, View, make_predictor, softmax, values_of
from corolla.mesh import mesh_for
from corolla.network import trained
from corolla.order import Lanes
from corolla.records.shards import find_split
from corolla.reporter import Reporter
from corolla.resident import Feed, fits, make_feed
from corolla.run import RunFolder, count_learned
from corolla.share import load_share
from corolla.start import refuse_differences
from corolla.storage import AnyPath
from corolla.types import BadRecord, OnBadRecord, Photos, Tta

VIEWS: dict[Tta, tuple[View, ...]] = {
    "none": ("plain",),
    "flip": ("plain", "mirror"),
    "scales": ("plain", "mirror", "middle", "middle mirror"),
    "crops": CROPS,
}
"""Views averaged at test time; each takes the time of a pass over the photos."""


@dataclass(frozen=True)
class Judged:
    """What a run says of a split."""

    folder: AnyPath
    """The folder that the split's shards lie in."""
    ids: list[str]
    labels: NDArray[np.int32] | None
    probabilities: NDArray[np.float32]
    bad: list[BadRecord]


def judge(
    run: AnyPath, data: AnyPath, split: str, tta: Tta, on_bad_record: OnBadRecord, labels: bool, reporter: Reporter
) -> Judged:
    """Predict every photo of a split with a run's best weights.

    labels: whether the split must have labels. Over several hosts each reads its share of the records, process 0 alone
    the run folder, and all get every probability. Raises RunError (no such run, damaged weights), DataError (data).
    """
    folder = RunFolder(run)
    frame = frame_of(folder)
    mesh = mesh_for(frame.batch_size)
    wishes = {"run": run.name, "split": split, "tta": tta, "on_bad_record": on_bad_record}
    refuse_differences(wishes, data, (split,), frame.image_size)
    opened = open_split(data, split, frame, mesh, on_bad_record, labels, reporter)
    found = probabilities_of(folder, frame, opened.feed, mesh, tta, reporter)
    return Judged(opened.folder, opened.ids, opened.labels, found, opened.bad)


def probabilities_of(
    folder: RunFolder, frame: "Frame", feed: Feed, mesh: Mesh, tta: Tta, reporter: Reporter
) -> NDArray[np.float32]:
    """What a run's best weights say of photos: float32[n, classes]. Raises RunError (damaged weights)."""
    if len(VIEWS[tta]) > 1:
        reporter.note(f"--tta {tta}: {len(VIEWS[tta])} views a photo, each as long as one pass")
    model = trained(folder, mesh)
    predictor = make_predictor(model, mesh, frame.image_size)
    logits = predictor(values_of(model), feed, telling(folder, reporter), VIEWS[tta])
    return softmax(logits).mean(axis=1)


def telling(folder: RunFolder, reporter: Reporter) -> Progress:
    """How a run's predicting tells how far it is."""
    return lambda done, total: reporter.progress(f"predicting with {folder.path.name}", done, total)


def warn_of_learned(learned: NDArray[np.uint64], ids: list[str], reporter: Reporter) -> int:
    """How many of the records to be judged the run has learned from, told in a line where there are any.

    learned: as `RunFolder.learned` gives it.
    """
    known = count_learned(learned, ids)
    if known:
        reporter.warn(f"the run has learned from {known:,} of these {len(ids):,} records: it scores better on them")
    return known


@dataclass(frozen=True)
class Frame:
    """What a run needs to know of images: their size, how many it takes a step, and the number of classes."""

    image_size: int
    batch_size: int
    classes: int


@dataclass(frozen=True)
class Opened:
    """A split whose pixels lie on the devices, or are streamed there."""

    folder: AnyPath
    ids: list[str]
    labels: NDArray[np.int32] | None
    bad: list[BadRecord]
    feed: Feed


def open_split(
    data: AnyPath, split: str, frame: Frame, mesh: Mesh, on_bad_record: OnBadRecord, labels: bool, reporter: Reporter
) -> Opened:
    """Read a split and put it on the devices; over several hosts each reads its share. Raises DataError."""
    folder, photos = read_photos(data, split, frame, mesh, on_bad_record, labels, reporter)
    return Opened(folder, photos.ids, photos.labels, photos.bad, feed_of(photos, frame, mesh))


def read_photos(
    data: AnyPath, split: str, frame: Frame, mesh: Mesh, on_bad_record: OnBadRecord, labels: bool, reporter: Reporter
) -> tuple[AnyPath, Photos]:
    """Read a split: the folder that its shards lie in, and its photos. Raises DataError."""
    files = hosts.together(lambda: find_split(data, split, frame.image_size))

    def reading(done: int, total: int) -> None:
        reporter.progress(f"reading {split}", done, total)

    wanted: Literal["need", "maybe"] = "need" if labels else "maybe"
    options = {"on_bad_record": on_bad_record, "labels": wanted, "classes": frame.classes, "progress": reading}
    photos = load_share(files, mesh, frame.batch_size, **options)
    for bad in photos.bad:
        reporter.warn(f"skipped {bad}")
    return files.folder, photos


def feed_of(photos: Photos, frame: Frame, mesh: Mesh) -> Feed:
    """Photos on the devices, or streamed there."""
    fit = fits(mesh, photos.nbytes, "auto")
    return make_feed(mesh, Lanes(len(photos), frame.batch_size), photos, fit.resident)


def frame_of(folder: RunFolder) -> Frame:
    """What a run needs to know of images; refuses one that has nothing to predict with."""

    def read() -> tuple[int, int, int]:
        settings, names = folder.settings(), folder.names()
        folder.best()  # before minutes of reading: is there anything to predict with?
        return settings.image_size, settings.batch_size, len(names)

    return Frame(*hosts.from_first(read))
