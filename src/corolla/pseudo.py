"""Pseudo-labels: labels for photos without, where several runs agree and are sure.

Takes: two finished runs or more, a data folder. Gives: a file of ids, labels and probabilities for `corolla train
--pseudo`, and `Chosen`: which photos got a label, and why the others got none.

Of each class at most its quota is taken, the most confident photos first: by confidence alone the easy classes would
fill the file (class-balanced self-training: Zou et al., 2018, "Unsupervised domain adaptation for semantic segmentation
via class-balanced self-training"). Labels that runs give are wrong at times, and a run repeats what it was taught: the
more so, the more alike the runs are.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corolla.config import refuse_outside
from corolla.errors import DataError, WishError
from corolla.judge import frame_of
from corolla.panel import hear, refuse_folder, refuse_mixed
from corolla.records.shards import Found, find_split, read_split
from corolla.reporter import SILENT, Reporter
from corolla.run import Predictions, RunFolder, hashes, runs_of
from corolla.storage import AnyPath
from corolla.types import OnBadRecord, Tta

LARGEST_QUOTA = 1000.0
"""A quota beyond any data, which takes every photo that is sure enough."""


@dataclass(frozen=True)
class Chosen:
    """How many of how many photos got a label, of how many classes; and how many did not, for the first reason that
    holds: runs disagree; they are not sure enough; the quota of the class is full."""

    photos: int
    labelled: int
    classes: int
    disagree: int
    unsure: int
    over_quota: int

    def __str__(self) -> str:
        given = f"{self.labelled:,} of {self.photos:,} photos have a label now, of {self.classes} classes"
        return f"{given}; not: {self.disagree:,} disagree, {self.unsure:,} unsure, {self.over_quota:,} over the quota"

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def pseudo(
    runs: Sequence[AnyPath],
    data: AnyPath,
    out: AnyPath,
    split: str = "test",
    confidence: float = 0.95,
    quota: float = 1.0,
    tta: Tta = "none",
    on_bad_record: OnBadRecord = "fail",
    reporter: Reporter = SILENT,
) -> Chosen:
    """Label the photos of a split on which all of `runs` agree, and write them to `out`.

    confidence: least mean probability of the label. quota: at most this times as many photos of a class as its share in
    DATA/train would have of the split. A cross-validation stands for its runs. The file is written whole or not at all.
    Raises WishError (fewer than two runs, or one twice; runs with other labels; numbers out of range; no photo that
    gets a label), RunError (damaged runs, no room), DataError (broken data; ids missing or different).
    """
    refuse_outside("confidence", confidence, 0, 1)
    refuse_outside("quota", quota, 0, LARGEST_QUOTA)
    folders = _folders(runs, out)
    frame = frame_of(folders[0])
    counts = _counts(data, frame.image_size, frame.classes, on_bad_record, reporter)
    heard = hear([[str(folder.path)] for folder in folders], data, split, tta, on_bad_record, reporter)
    ids = heard.first.ids
    _warn_of_learned(folders, ids, split, reporter)
    labels, found = select(heard.stack, counts, confidence, quota)
    rows = np.flatnonzero(labels >= 0)
    if not len(rows):
        raise WishError(f"no photo of {split} gets a label ({found}): lower --confidence, or raise --quota")
    mean = heard.stack.mean(axis=0)
    Predictions([ids[row] for row in rows], labels[rows], mean[rows]).write(out)
    return found


def select(
    stack: NDArray, counts: NDArray[np.integer], confidence: float, quota: float
) -> tuple[NDArray[np.int32], Chosen]:
    """Labels int32[n], -1 for none, and how they came about.

    stack: float[runs, n, classes], what each run says; counts: int[classes], records of each class that teach.
    """
    photos, mean = stack.shape[1], stack.mean(axis=0, dtype=np.float64)
    said = stack.argmax(axis=2)
    labels, agree = said[0], (said == said[0]).all(axis=0)
    sureness = mean[np.arange(photos), labels]
    sure = agree & (sureness >= confidence)
    kept = np.zeros(photos, bool)
    for label, room in enumerate(quotas(counts, photos, quota)):
        own = np.flatnonzero(sure & (labels == label))
        kept[own[np.argsort(-sureness[own], kind="stable")][:room]] = True  # of equals the first
    left_out = ((~agree).sum(), (agree & ~sure).sum(), (sure & ~kept).sum())
    numbers = photos, kept.sum(), len(np.unique(labels[kept])), *left_out
    return np.where(kept, labels, -1).astype(np.int32), Chosen(*map(int, numbers))


def quotas(counts: NDArray[np.integer], photos: int, quota: float) -> NDArray[np.int64]:
    """Most photos of each class that get its label, int64[classes]: `quota` times its share, rounded up."""
    wanted = quota * counts * photos / max(int(counts.sum()), 1)
    return np.ceil(np.round(wanted, 9)).astype(np.int64)  # 0.1 * 3 * 10 is a little more than 3


def _folders(runs: Sequence[AnyPath], out: AnyPath) -> list[RunFolder]:
    folders = [folder for run in runs for folder in runs_of(run)]
    if len(folders) < 2 or len({str(folder.path) for folder in folders}) < len(folders):
        raise WishError("pseudo needs at least two runs, each named once: one alone agrees with itself")
    refuse_folder(out, "pseudo.npz")
    refuse_mixed(runs)
    return folders


def _warn_of_learned(folders: list[RunFolder], ids: list[str], split: str, reporter: Reporter) -> None:
    known = np.isin(hashes(ids), np.concatenate([folder.learned() for folder in folders])).sum()
    if known:
        reporter.warn(
            f"runs have learned from {known:,} of the {len(ids):,} photos of {split}: they repeat those labels"
        )


def _counts(
    data: AnyPath, image_size: int, classes: int, on_bad_record: OnBadRecord, reporter: Reporter
) -> NDArray[np.int64]:
    """Records of each class in DATA/train; no image is decoded."""
    files = find_split(data, "train", image_size)
    labels = []
    for done, item in enumerate(read_split(files, on_bad_record=on_bad_record, labels="need", classes=classes), 1):
        if isinstance(item, Found):
            labels.append(item.example.label)
        else:
            reporter.warn(f"skipped {item}")
        reporter.progress("counting train", done, files.count or done)
    if not labels:
        raise DataError(f"{files.folder}: none of the records can be used")
    return np.bincount(np.array(labels), minlength=classes)
