"""What makes a trained classifier's answers believable: a temperature, and a limit for what is no flower it knows.

Takes: the runs of a cross-validation, the data they were trained on, a finished run. Gives: `Trust`.

Both are fitted to what each fold's run says of the photos it has not seen: of its own photos a model is too sure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from corolla.calibrate import Calibration, calibrate
from corolla.errors import RunError
from corolla.folds import refolded
from corolla.inference import make_predictor, values_of
from corolla.mesh import mesh_for
from corolla.models.freeze import HEAD
from corolla.network import feature_model, trained
from corolla.open_set import SCORES, Known, OpenSet, limit
from corolla.order import Lanes
from corolla.records.shards import find_split
from corolla.reporter import SILENT, Reporter
from corolla.resident import fits, make_feed
from corolla.run import RunFolder
from corolla.share import load_share
from corolla.storage import AnyPath
from corolla.types import Photos

SCORE = "nearness"
"""The score that is shipped: see docs/open_set.md."""


class Seen(NamedTuple):
    """What a run sees in photos: features float32[n, f], logits float32[n, classes], labels int32[n]."""

    features: NDArray[np.float32]
    logits: NDArray[np.float32]
    labels: NDArray[np.int32]


class Fold(NamedTuple):
    """What a fold's run sees in the photos it learned from, and in those it has not seen."""

    learned: Seen
    held: Seen


@dataclass(frozen=True)
class Trust:
    """What is shipped beside a model. known_refused: part of the out-of-fold photos below the open-set limit."""

    calibration: Calibration
    open_set: OpenSet
    known_refused: float


def trust(run: AnyPath, cross: AnyPath, data: AnyPath, reporter: Reporter = SILENT) -> Trust:
    """Fit both on the folds' runs under `cross`; the kinds' means are those of `run`, on all photos it learned from.

    Raises RunError (a run that is missing, damaged or of other data), DataError (broken data, too few photos).
    """
    folder = RunFolder(run)
    photos = labelled(data, folder.settings().image_size)
    folds = out_of_fold(cross, photos, reporter)
    calibration = calibrate(*RunFolder(cross).predictions("predictions"))
    scores = out_of_fold_scores(folds, SCORE)
    reporter.note(f"what {folder.path.name} sees")
    settings = folder.settings()
    (learned,) = seen_by(folder, [refolded(photos, settings.folds, settings.fold)["train"]])
    known = Known.of(learned.features, learned.labels)
    below = limit(scores)
    return Trust(calibration, OpenSet(SCORE, below, known), float((scores < below).mean()))


# What the runs see ------------------------------------------------------------------------------------------------


def labelled(data: AnyPath, image_size: int) -> dict[str, Photos]:
    """Both labelled splits, decoded."""
    mesh = mesh_for(1)
    found = {}
    for split in ("train", "val"):
        files = find_split(data, split, image_size)
        found[split] = load_share(files, mesh, 1, on_bad_record="fail", labels="need")
    return found


def out_of_fold(cross: AnyPath, photos: dict[str, Photos], reporter: Reporter = SILENT) -> list[Fold]:
    """What every fold's run sees in both parts of its photos."""
    count = RunFolder(cross / "fold-0").settings().folds
    found = []
    for number in range(count):
        reporter.note(f"what the run of fold {number + 1} of {count} sees")
        folder = RunFolder(cross / f"fold-{number}")
        parts = refolded(photos, count, number)
        if folder.predictions("predictions").ids != parts["val"].ids:
            raise RunError(f"{folder.path} learned from other data: give the folder that the runs were trained on")
        found.append(Fold(*seen_by(folder, [parts["train"], parts["val"]])))
    return found


def seen_by(folder: RunFolder, splits: Sequence[Photos]) -> list[Seen]:
    """What a run sees in photos; without labels they count as of kind -1."""
    settings = folder.settings()
    mesh = mesh_for(settings.batch_size)
    model = trained(folder, mesh)
    kernel, bias = model.get_layer(HEAD).get_weights()
    backbone = feature_model(model)
    predictor, values = make_predictor(backbone, mesh, settings.image_size), values_of(backbone)
    found = []
    for photos in splits:
        resident = fits(mesh, photos.nbytes, "auto").resident
        feed = make_feed(mesh, Lanes(len(photos), settings.batch_size), photos, resident)
        features = predictor(values, feed)[:, 0]
        labels = np.full(len(photos), -1, np.int32) if photos.labels is None else photos.labels
        found.append(Seen(features, features @ kernel + bias, labels))
    return found


def out_of_fold_scores(folds: Sequence[Fold], score: str) -> NDArray[np.float32]:
    """An open-set score of every photo by the run that has not seen it."""
    return np.concatenate(
        [
            SCORES[score](fold.held.features, fold.held.logits, Known.of(fold.learned.features, fold.learned.labels))
            for fold in folds
        ]
    )
