"""The submission: one label for each photo of a split, by one run or the mean of several.

Takes: run folders, a data folder. Gives: a CSV file `id,label`, checked against the records and, where it stands beside
them, against `sample_submission.csv`.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from corolla import hosts
from corolla.checkpoint import write_file
from corolla.errors import DataError, RunError, WishError
from corolla.judge import Judged, Tta, judge
from corolla.reporter import SILENT, Reporter
from corolla.run import RunFolder
from corolla.storage import AnyPath, refuse_unwritable
from corolla.types import OnBadRecord

SAMPLE = "sample_submission.csv"


@dataclass(frozen=True)
class Submission:
    """What was written: the file, the ids in its order, their labels, and the mean probability of those labels."""

    path: AnyPath
    ids: list[str]
    labels: NDArray[np.int64]
    mean_confidence: float
    checked_against: AnyPath | None
    skipped_records: int


def predict(
    runs: Sequence[AnyPath],
    data: AnyPath,
    out: AnyPath,
    split: str = "test",
    tta: Tta = "none",
    on_bad_record: OnBadRecord = "fail",
    reporter: Reporter = SILENT,
) -> Submission:
    """Predict a split with one run, or with the mean of the probabilities of several, and write `out`.

    The file is written whole or not at all. Raises WishError (no run; runs with other labels), RunError (damaged
    weights, no room), DataError (broken data; ids missing, twice, or other than those of sample_submission.csv).
    """
    reporter = reporter if hosts.first() else SILENT
    hosts.from_first(lambda: _refuse_wishes(runs, out))
    judged = [judge(run, data, split, tta, on_bad_record, labels=False, reporter=reporter) for run in runs]
    ids = judged[0].ids
    _check_ids(judged)
    probabilities = np.mean([_in_order(one, ids) for one in judged], axis=0)
    sample = sample_submission(judged[0].folder) if split == "test" else None
    if sample is not None:
        ids, probabilities = _as_in_sample(sample, ids, probabilities)
    labels = probabilities.argmax(axis=1)
    hosts.from_first(lambda: write_file(out, _csv(ids, labels)))
    return Submission(out, ids, labels, float(probabilities.max(axis=1).mean()), sample, len(judged[0].bad))


def _refuse_wishes(runs: Sequence[AnyPath], out: AnyPath) -> None:
    _refuse_mixed(runs)
    _refuse_folder(out)


def _refuse_mixed(runs: Sequence[AnyPath]) -> None:
    """All runs must know the same labels under the same numbers."""
    if not runs:
        raise WishError("predict needs at least one run folder")
    names = [RunFolder(run).names() if RunFolder(run).exists() else RunFolder(run).settings() for run in runs]
    for run, other in zip(runs, names, strict=True):
        if other != names[0]:
            raise WishError(f"{run} and {runs[0]} were trained with other label names: they cannot be averaged")


def _refuse_folder(out: AnyPath) -> None:
    """Before minutes of work: can the result be written at all?"""
    refuse_unwritable(out)
    if out.is_dir():
        raise WishError(f"--out {out} is a folder: name a file, such as {out / 'submission.csv'}")


def _check_ids(judged: list[Judged]) -> None:
    for one in judged:
        if "" in one.ids:
            raise DataError(f"{one.folder}: record {one.ids.index('')} has no id, so it cannot be submitted")
        if set(one.ids) != set(judged[0].ids):
            odd = sorted(set(one.ids) ^ set(judged[0].ids))[0]
            raise DataError(f"{one.folder} and {judged[0].folder} hold different records, such as id {odd}")


def _in_order(judged: Judged, ids: list[str]) -> NDArray[np.float32]:
    place = {name: i for i, name in enumerate(judged.ids)}
    return judged.probabilities[[place[name] for name in ids]]


def sample_submission(folder: AnyPath) -> AnyPath | None:
    """The sample_submission.csv that belongs to a split: beside it, or beside the folder that holds its sizes."""
    beside = (folder.parent / SAMPLE, folder.parent.parent / SAMPLE)
    return next((path for path in beside if path.is_file()), None)


def _as_in_sample(sample: AnyPath, ids: list[str], probabilities: NDArray) -> tuple[list[str], NDArray]:
    """Bring the rows into the sample's order. Raises DataError naming the first id that only one of them has."""
    wanted = _read_ids(sample)
    odd = sorted(set(wanted) ^ set(ids))
    if odd:
        side = "is missing from the records" if odd[0] in set(wanted) else "is not in it"
        raise DataError(f"{sample}: {len(odd)} ids differ from the test records, the first: {odd[0]} {side}")
    place = {name: i for i, name in enumerate(ids)}
    return wanted, probabilities[[place[name] for name in wanted]]


def _read_ids(sample: AnyPath) -> list[str]:
    try:
        text = sample.read_bytes().decode("utf-8")
        ids = [row["id"] for row in csv.DictReader(io.StringIO(text, newline=""))]
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise RunError(f"{sample} cannot be read: it should be a CSV with the header id,label") from error
    if len(set(ids)) != len(ids):
        raise DataError(f"{sample}: holds {len(ids) - len(set(ids))} ids twice: download it again")
    return ids


def _csv(ids: list[str], labels: NDArray) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "label"))
    writer.writerows(zip(ids, labels.tolist(), strict=True))
    return text.getvalue().encode()
