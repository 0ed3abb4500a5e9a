"""What a teacher says: probabilities of runs for every labelled photo, as soft labels for a student.

Takes: finished run folders and cross-validations, a data folder. Gives: a file of ids, labels and probabilities for
`corolla train --soft-labels`, and `Told`: how it was made.

Each photo is told by those runs that have not learned from it, where there are such: what a run says of a photo that it
has learned is little more than its label once more. The folds of a cross-validation are such runs. A temperature above
1 shows more of what a photo looks like beside its label (Hinton et al., 2015, "Distilling the knowledge in a neural
network"). A student that is judged on photos from which its teachers have learned scores a little too well.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from corolla.calibrate import scaled
from corolla.config import refuse_outside
from corolla.errors import DataError, WishError
from corolla.judge import Frame, feed_of, frame_of, probabilities_of, read_photos
from corolla.mesh import mesh_for
from corolla.panel import check_ids, refuse_folder, refuse_mixed, rows_of
from corolla.reporter import SILENT, Reporter
from corolla.run import Predictions, RunFolder, hashes, runs_of
from corolla.storage import AnyPath
from corolla.types import OnBadRecord, Photos, Tta

LABELLED: tuple[Literal["train", "val"], ...] = ("train", "val")

COLDEST, HOTTEST = 0.05, 100.0
"""Temperatures that can be wished."""


@dataclass(frozen=True)
class Told:
    """The file, its number of records, how many of them all runs had learned, and how often the teacher is right.

    accuracy: of the records that a run told which had not learned them; None where there are none.
    """

    path: AnyPath
    records: int
    learned_records: int
    accuracy: float | None

    def __str__(self) -> str:
        held = self.records - self.learned_records
        right = "" if self.accuracy is None else f", the likeliest label right for {self.accuracy:.2%}"
        return f"{self.records:,} photos; {held:,} told by runs that have not learned from them{right}"

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "path": str(self.path),
            "records": self.records,
            "learned_records": self.learned_records,
            "accuracy": self.accuracy,
        }


def distill(
    runs: Sequence[AnyPath],
    data: AnyPath,
    out: AnyPath,
    tta: Tta = "none",
    temperature: float = 1.0,
    on_bad_record: OnBadRecord = "fail",
    reporter: Reporter = SILENT,
) -> Told:
    """Write to `out` what `runs` say, in the mean, of every photo of DATA/train and DATA/val.

    A cross-validation stands for its runs. The mean is raised to the power of 1 / temperature, and normalised. The file
    is written whole or not at all. Raises WishError (no run, or one twice; runs with other labels; a temperature out of
    range), RunError (unfinished or damaged runs, no room), DataError (broken data; ids missing, twice or different).
    """
    refuse_outside("temperature", temperature, COLDEST, HOTTEST)
    teachers = _teachers(runs, out, reporter)
    parts = [_of_split(split, teachers, data, tta, on_bad_record, reporter) for split in LABELLED]
    ids = [name for part in parts for name in part.ids]
    _refuse_twice(ids, data)
    labels, mean, alone = (np.concatenate([part[place] for part in parts]) for place in (1, 2, 3))
    if alone.any():
        of = f"{int(alone.sum()):,} of {len(ids):,} photos were learned by all of these runs"
        reporter.warn(
            f"{of}: what they say of them is little more than their labels; `corolla cross` trains better ones"
        )
    Predictions(ids, labels, scaled(mean, temperature).astype(np.float32)).write(out)
    right = (mean.argmax(axis=1) == labels)[~alone]
    return Told(out, len(ids), int(alone.sum()), float(right.mean()) if len(right) else None)


class _Teacher:
    """A run, what it needs to know of images, and which photos it has learned from."""

    def __init__(self, folder: RunFolder, reporter: Reporter) -> None:
        self.folder, self.frame = folder, frame_of(folder)
        self._learned = folder.learned()
        if not len(self._learned):
            reporter.warn(f"{folder.path} does not say what it has learned from: taken for all of the photos")

    def has_learned(self, ids: list[str]) -> NDArray[np.bool_]:
        """bool[n]."""
        return np.isin(hashes(ids), self._learned) if len(self._learned) else np.ones(len(ids), bool)


def _teachers(runs: Sequence[AnyPath], out: AnyPath, reporter: Reporter) -> list[_Teacher]:
    """The runs, those of one image size together, so that photos are read once for all of them."""
    if not runs:
        raise WishError("distill needs at least one run folder")
    refuse_folder(out, "teacher.npz")
    refuse_mixed(runs)
    folders = [folder for run in runs for folder in runs_of(run)]
    if len({str(folder.path) for folder in folders}) < len(folders):
        raise WishError("distill was given the same run twice")
    teachers = [_Teacher(folder, reporter) for folder in folders]
    return sorted(teachers, key=lambda teacher: teacher.frame.image_size)


def speakers(learned: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which runs tell which photos, bool[runs, n]: those that have not learned from it, or all where there are none.

    learned: bool[runs, n]. Returns also for which photos there are none, bool[n].
    """
    alone = np.asarray(learned.all(axis=0))
    return ~learned | alone, alone


class _Part(NamedTuple):
    """Of a labelled split: ids, labels int32[n], mean probabilities float64[n, classes], bool[n]: learned by all."""

    ids: list[str]
    labels: NDArray[np.int32]
    mean: NDArray[np.float64]
    alone: NDArray[np.bool_]


def _of_split(
    split: str, teachers: list[_Teacher], data: AnyPath, tta: Tta, on_bad_record: OnBadRecord, reporter: Reporter
) -> _Part:
    """Read a split once for each image size, and have every run judge the photos that it tells: those alone."""
    folder, photos = _read(data, split, teachers[0].frame, on_bad_record, reporter)
    first, ids, labels, size = folder, photos.ids, photos.labels, teachers[0].frame.image_size
    check_ids(first, ids, first, ids)
    speak, alone = speakers(np.stack([teacher.has_learned(ids) for teacher in teachers]))
    sums = np.zeros((len(ids), teachers[0].frame.classes))
    for teacher, own in zip(teachers, speak, strict=True):
        if teacher.frame.image_size != size:
            del photos  # two splits at once would be twice the memory
            folder, photos = _read(data, split, teacher.frame, on_bad_record, reporter)
            check_ids(folder, photos.ids, first, ids)
            size = teacher.frame.image_size
        place = np.array(rows_of(photos.ids, ids))
        rows = np.flatnonzero(own[place])
        if len(rows):
            sums[place[rows]] += _judged(teacher, _some(photos, rows), tta, reporter)
    assert labels is not None  # the reader refused a split without
    return _Part(ids, labels, sums / speak.sum(axis=0)[:, None], alone)


def _read(
    data: AnyPath, split: str, frame: Frame, on_bad_record: OnBadRecord, reporter: Reporter
) -> tuple[AnyPath, Photos]:
    mesh = mesh_for(frame.batch_size)
    return read_photos(data, split, frame, mesh, on_bad_record, labels=True, reporter=reporter)


def _some(photos: Photos, rows: NDArray[np.int64]) -> Photos:
    if len(rows) == len(photos):
        return photos
    return replace(photos, images=photos.images[rows], ids=[photos.ids[row] for row in rows], labels=None, places=[])


def _judged(teacher: _Teacher, photos: Photos, tta: Tta, reporter: Reporter) -> NDArray[np.float32]:
    mesh = mesh_for(teacher.frame.batch_size)
    feed = feed_of(photos, teacher.frame, mesh)
    return probabilities_of(teacher.folder, teacher.frame, feed, mesh, tta, reporter)


def _refuse_twice(ids: list[str], data: AnyPath) -> None:
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            raise DataError(f"{data}: id {name!r} stands in train and in val: remove one of the two")
        seen.add(name)
