"""A finished run applied to a split: the one way from run folder and data to probabilities.

Takes: a run folder, a data folder, a split's name, how each image is looked at.
Gives: `Judged`: the photos' ids and labels, and float32[n, classes] probabilities. `evaluate` and `predict` share it.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from corolla import hosts
from corolla.inference import View, make_predictor, softmax, values_of
from corolla.mesh import mesh_for
from corolla.network import trained
from corolla.order import Lanes
from corolla.records.shards import find_split
from corolla.reporter import Reporter
from corolla.resident import fits, make_feed
from corolla.run import RunFolder
from corolla.share import load_share
from corolla.start import refuse_differences
from corolla.storage import AnyPath
from corolla.types import BadRecord, OnBadRecord

Tta = Literal["none", "flip"]
"""Views averaged at test time: the photo alone, or the photo and its mirror image (twice the time)."""

VIEWS: dict[Tta, tuple[View, ...]] = {"none": ("plain",), "flip": ("plain", "mirror")}


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
    image_size, batch_size, classes = _known(folder)
    mesh = mesh_for(batch_size)
    wishes = {"run": run.name, "split": split, "tta": tta, "on_bad_record": on_bad_record}
    refuse_differences(wishes, data, (split,), image_size)
    files = hosts.together(lambda: find_split(data, split, image_size))

    def reading(done: int, total: int) -> None:
        reporter.progress(f"reading {split}", done, total)

    wanted: Literal["need", "maybe"] = "need" if labels else "maybe"
    options = {"on_bad_record": on_bad_record, "labels": wanted, "classes": classes, "progress": reading}
    photos = load_share(files, mesh, batch_size, **options)
    for bad in photos.bad:
        reporter.warn(f"skipped {bad}")

    def predicting(done: int, total: int) -> None:
        reporter.progress(f"predicting with {folder.path.name}", done, total)

    fit = fits(mesh, photos.nbytes, "auto")
    feed = make_feed(mesh, Lanes(len(photos), batch_size), photos, fit.resident)
    model = trained(folder, mesh)
    logits = make_predictor(model, mesh, image_size)(values_of(model), feed, predicting, VIEWS[tta])
    probabilities = softmax(logits).mean(axis=1)
    return Judged(files.folder, photos.ids, photos.labels, probabilities, photos.bad)


def _known(folder: RunFolder) -> tuple[int, int, int]:
    """A run's image size, batch size and number of classes; refuses one that has nothing to predict with."""

    def read() -> tuple[int, int, int]:
        settings, names = folder.settings(), folder.names()
        folder.best()  # before minutes of reading: is there anything to predict with?
        return settings.image_size, settings.batch_size, len(names)

    image_size, batch_size, classes = hosts.from_first(read)
    return image_size, batch_size, classes
