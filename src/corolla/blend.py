"""Blending: how much each of several runs should count, found on records that none of them has learned from.

Takes: finished run folders and cross-validations. Gives: a JSON file for `corolla predict --blend`, and `Blended`: each
run alone, their plain mean, their mean calibrated, with equal and with fitted weights, judged by cross-fitting.

Only what is kept in the folders is read (`predictions.npz`): no photo, no device, a second of work.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from corolla import calibrate, ensemble, metrics
from corolla.checkpoint import write_json
from corolla.ensemble import Ensemble
from corolla.errors import DataError, WishError
from corolla.folds import ALL
from corolla.reporter import SILENT, Reporter
from corolla.run import Predictions, RunFolder, runs_of
from corolla.storage import AnyPath, refuse_unwritable
from corolla.types import Weighing

EQUAL, CALIBRATED, FITTED = "equal weights", "calibrated", "fitted weights"
DECIDED = {"equal": "calibrated, by expected F1", "fitted": "fitted, by expected F1"}


@dataclass(frozen=True)
class Way:
    """One way to make labels of what the runs say. Scores are over the classes present.

    gain, interval: in macro F1, against equal weights. loss: of the probabilities that labels are made of [nats].
    """

    name: str
    macro_f1: float
    accuracy: float
    loss: float
    calibration_error: float
    gain: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Blended:
    """The fitted ensemble, the number of records, and the ways it was compared with.

    Ways that are fitted are cross-fitted: each record is judged by a fit without it.
    """

    ensemble: Ensemble
    records: int
    ways: list[Way]

    def to_json(self) -> dict[str, Any]:
        """Plain data: what `ensemble.from_json` reads, and what was measured."""
        return {**self.ensemble.to_json(), "records": self.records, "ways": [asdict(way) for way in self.ways]}


def blend(
    runs: Sequence[AnyPath], out: AnyPath | None = None, weighing: Weighing = "equal", reporter: Reporter = SILENT
) -> Blended:
    """Fit an ensemble to what `runs` have said of records that they have not learned from, and judge it.

    Records that some of the runs have not judged are left out, with a note. out: file to write, or None; weighing: of
    the calibrated runs in it (both are judged).
    Raises WishError (no run, or one twice; one that has learned what it judged; no record in common; other label
    names), RunError (unfinished or damaged runs, no room), DataError (labels that differ; too few records).
    """
    _refuse_wishes(runs, out)
    told = [RunFolder(run).predictions("predictions") for run in runs]
    ids, labels, stack = _in_common(runs, told, reporter)
    names = [(str(run), each.digest()) for run, each in zip(runs, told, strict=True)]
    ways = _ways(runs, ids, labels, stack, weighing)
    made = Blended(ensemble.fit(names, labels, stack, weighing), len(ids), ways)
    if out is not None:
        write_json(out, made.to_json())
    return made


def _refuse_wishes(runs: Sequence[AnyPath], out: AnyPath | None) -> None:
    if not runs:
        raise WishError("blend needs at least one run folder")
    if len(set(map(str, runs))) < len(runs):
        raise WishError("blend was given the same run twice")
    if out is not None:
        refuse_unwritable(out)
        if out.is_dir():
            raise WishError(f"--out {out} is a folder: name a file, such as {out / 'blend.json'}")
    names = runs_of(runs[0])[0].names()
    for one in (one for run in runs for one in runs_of(run)):
        if one.settings().folds == ALL:
            raise WishError(f"{one.path} has learned the records that it judged (--folds 1): it cannot be blended")
        if one.names() != names:
            raise WishError(f"{one.path} and {runs[0]} were trained with other label names: they cannot be blended")


def _in_common(
    runs: Sequence[AnyPath], told: list[Predictions], reporter: Reporter
) -> tuple[list[str], NDArray, NDArray]:
    """The ids that all have judged, in the order of the first; labels int[n], probabilities float[runs, n, classes]."""
    known = [{name: row for row, name in enumerate(one.ids) if name} for one in told]
    ids = [name for name in told[0].ids if all(name in one for one in known)]
    if not ids:
        raise WishError(f"no record was judged by all of {', '.join(map(str, runs))}: were they trained on other data?")
    for run, one in zip(runs, told, strict=True):
        if len(one.ids) > len(ids):
            reporter.note(f"{run}: {len(one.ids) - len(ids)} of {len(one.ids)} records were not judged by all runs")
    rows = [[one[name] for name in ids] for one in known]
    labels = [one.labels[row] for one, row in zip(told, rows, strict=True)]
    for run, own in zip(runs, labels, strict=True):
        if (own != labels[0]).any():
            odd = ids[int((own != labels[0]).argmax())]
            raise DataError(
                f"{run} and {runs[0]} know other labels of record {odd!r}: were they trained on other data?"
            )
    return ids, labels[0], np.stack([one.probabilities[row] for one, row in zip(told, rows, strict=True)])


def _ways(runs: Sequence[AnyPath], ids: list[str], labels: NDArray, stack: NDArray, weighing: Weighing) -> list[Way]:
    """Each run alone, their mean, the same calibrated, with fitted weights, and labels that suit the one chosen."""
    equal = stack.mean(axis=0)
    level, fitted = (ensemble.cross_fitted(ids, labels, stack, each) for each in get_args(Weighing))

    def way(name: str, probabilities: NDArray, found: NDArray) -> Way:
        confusion = metrics.confusion_matrix(labels, found, probabilities.shape[1])
        gain = metrics.paired_difference(labels, equal.argmax(axis=1), found, probabilities.shape[1])
        return Way(
            name,
            float(metrics.macro_f1(confusion, present_only=True)),
            float((found == labels).mean()),
            metrics.cross_entropy(labels, calibrate.logits_of(probabilities)),
            calibrate.calibration_error(labels, probabilities),
            *gain,
        )

    def likeliest(name: str, probabilities: NDArray) -> Way:
        return way(name, probabilities, probabilities.argmax(axis=1))

    chosen = level if weighing == "equal" else fitted
    several = len(runs) > 1
    return [
        *(likeliest(str(run), own) for run, own in zip(runs, stack, strict=True)),
        *([likeliest(EQUAL, equal)] if several else []),
        likeliest(CALIBRATED, level.probabilities),
        *([likeliest(FITTED, fitted.probabilities)] if several else []),
        way(DECIDED[weighing], chosen.probabilities, chosen.labels),
    ]
