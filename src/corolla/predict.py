"""The submission: one label for each photo of a split, by one run or the mean of several.

Takes: run folders (or cross-validations, whose runs count together as one), a data folder, what `corolla blend` found
for these runs where it was asked. Gives: a CSV file `id,label`, checked against the records and, where it stands beside
them, against `sample_submission.csv`; on wish a second file, with the probabilities that the labels were chosen by.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corolla import ensemble, hosts
from corolla.checkpoint import write_file
from corolla.errors import DataError, RunError, WishError
from corolla.panel import hear, refuse_folder, refuse_mixed
from corolla.reporter import SILENT, Reporter
from corolla.run import Predictions, RunFolder, runs_of
from corolla.storage import AnyPath, any_path
from corolla.types import OnBadRecord, Tta

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
    blend: AnyPath | None = None,
    probabilities_to: AnyPath | None = None,
) -> Submission:
    """Predict a split with one run, or with the mean of the probabilities of several, and write `out`.

    blend: file of `corolla blend` for these runs: their weights, temperatures, and the rule by which labels are chosen.
    probabilities_to: file for a `Predictions` in the order of `out`, whose labels are those of `out`. Each file is
    written whole or not at all. Raises WishError (no run; runs with other labels, or others than those of the blend; a
    file that cannot take probabilities), RunError (damaged weights, no room), DataError (broken data; ids missing,
    twice, or other than those of sample_submission.csv).
    """
    reporter = reporter if hosts.first() else SILENT
    plan = hosts.from_first(lambda: _plan(runs, out, blend, probabilities_to, split, reporter))

    heard = hear(plan["runs"], data, split, tta, on_bad_record, reporter)
    first, ids, stack = heard.first, heard.first.ids, heard.stack
    probabilities, labels = _decided(stack, plan["blend"])
    sample = sample_submission(first.folder) if split == "test" else None
    if sample is not None:
        ids, rows = _as_in_sample(sample, ids)
        probabilities, labels = probabilities[rows], labels[rows]
    hosts.from_first(lambda: _write(out, probabilities_to, Predictions(ids, labels, probabilities)))
    confidence = float(probabilities[np.arange(len(ids)), labels].mean())
    return Submission(out, ids, labels, confidence, sample, len(first.bad))


def _plan(
    runs: Sequence[AnyPath],
    out: AnyPath,
    blend: AnyPath | None,
    probabilities_to: AnyPath | None,
    split: str,
    reporter: Reporter,
) -> dict[str, Any]:
    """Refuse what makes no sense. Gives plain data: the runs of each member, and the blend of these members or None."""
    if not runs:
        raise WishError("predict needs at least one run folder")
    refuse_mixed(runs)
    refuse_folder(out, "submission.csv")
    if probabilities_to is not None:
        _refuse_probabilities(probabilities_to, out, split)
    if blend is None:
        return {"runs": [_paths(run) for run in runs], "blend": None}
    of_runs = ensemble.read(blend).of({RunFolder(run).predictions("predictions").digest(): str(run) for run in runs})
    for member in of_runs.members:
        if not member.weight:
            reporter.note(f"{member.run} counts nothing in {blend}: left out")
    counting = of_runs.counting()
    return {"runs": [_paths(any_path(member.run)) for member in counting.members], "blend": counting.to_json()}


def _refuse_probabilities(path: AnyPath, out: AnyPath, split: str) -> None:
    """Before the work. Of a split with labels, those that were chosen could be taken for the true ones later."""
    if split != "test":
        raise WishError(
            f"--probabilities is for the test split, not for {split}: what a run says of labelled records stands in "
            "its predictions.npz"
        )
    if path == out:
        raise WishError(f"--probabilities {path} is the submission itself: name another file, such as test.npz")
    if path.suffix.lower() != ".npz":
        raise WishError(f"--probabilities {path}: name it .npz, which is what it will be")
    refuse_folder(path, "test.npz")


def _write(out: AnyPath, probabilities_to: AnyPath | None, made: Predictions) -> None:
    """The submission last: where it stands, what belongs to it does too."""
    if probabilities_to is not None:
        made.write(probabilities_to)
    write_file(out, _csv(made.ids, made.labels))


def _paths(run: AnyPath) -> list[str]:
    return [str(one.path) for one in runs_of(run)]


def _decided(stack: NDArray, blend: dict[str, Any] | None) -> tuple[NDArray, NDArray[np.int64]]:
    """Probabilities float[n, classes] and labels of what the members say, float[members, n, classes]."""
    if blend is None:
        mean = stack.mean(axis=0)
        return mean, mean.argmax(axis=1)
    made_of = ensemble.from_json(blend)
    return made_of.probabilities(stack), made_of.labels(stack)


def sample_submission(folder: AnyPath) -> AnyPath | None:
    """The sample_submission.csv that belongs to a split: beside it, or beside the folder that holds its sizes."""
    beside = (folder.parent / SAMPLE, folder.parent.parent / SAMPLE)
    return next((path for path in beside if path.is_file()), None)


def _as_in_sample(sample: AnyPath, ids: list[str]) -> tuple[list[str], list[int]]:
    """The sample's ids, and the row of each. Raises DataError naming the first id that only one of them has."""
    wanted = _read_ids(sample)
    odd = sorted(set(wanted) ^ set(ids))
    if odd:
        side = "is missing from the records" if odd[0] in set(wanted) else "is not in it"
        raise DataError(f"{sample}: {len(odd)} ids differ from the test records, the first: {odd[0]} {side}")
    place = {name: i for i, name in enumerate(ids)}
    return wanted, [place[name] for name in wanted]


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
