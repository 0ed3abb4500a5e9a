"""A finished run applied to a split: the one way from run folder and data to probabilities.

Takes: a run folder, a data folder, a split's name, how each image is looked at.
Gives: `Judged`: the photos' ids and labels, and float32[n, classes] probabilities. `evaluate` and `predict` share it.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from corolla.images import load_split
from corolla.inference import View, make_predictor, softmax, values_of
from corolla.mesh import mesh_for
from corolla.network import trained
from corolla.order import Lanes
from corolla.records.shards import find_split
from corolla.reporter import Reporter
from corolla.resident import fits, make_feed
from corolla.run import RunFolder
from corolla.storage import AnyPath
from corolla.types import BadRecord, OnBadRecord, Photos

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

    labels: whether the split must have labels. Raises RunError (no such run, damaged weights), DataError (data).
    """
    folder = RunFolder(run)
    settings, names = folder.settings(), folder.names()
    folder.best()  # before minutes of reading: is there anything to predict with?
    files = find_split(data, split, settings.image_size)

    def reading(done: int, total: int) -> None:
        reporter.progress(f"reading {split}", done, total)

    wanted: Literal["need", "maybe"] = "need" if labels else "maybe"
    photos = load_split(files, on_bad_record=on_bad_record, labels=wanted, classes=len(names), progress=reading)
    for bad in photos.bad:
        reporter.warn(f"skipped {bad}")
    return Judged(files.folder, photos.ids, photos.labels, _probabilities(folder, photos, tta, reporter), photos.bad)


def _probabilities(folder: RunFolder, photos: Photos, tta: Tta, reporter: Reporter) -> NDArray[np.float32]:
    """Mean probability over the views: float32[n, classes]."""
    settings = folder.settings()
    mesh = mesh_for(settings.batch_size)
    model = trained(folder, mesh)
    fit = fits(mesh, photos.images.nbytes, "auto")
    feed = make_feed(mesh, Lanes(len(photos), settings.batch_size), photos, fit.resident)
    predictor = make_predictor(model, mesh, settings.image_size)

    def predicting(done: int, total: int) -> None:
        reporter.progress(f"predicting with {folder.path.name}", done, total)

    return softmax(predictor(values_of(model), feed, predicting, VIEWS[tta])).mean(axis=1)
