"""What run folders tell, as a report wants it.

Takes: paths of finished runs, or of cross-validations. Gives: `Told`, one each: scores, predictions, history. Nothing
here needs the photos, JAX or Keras.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from corolla import config, metrics
from corolla.calibrate import calibration_error
from corolla.checkpoint import read_json
from corolla.doubts import Doubt, doubts
from corolla.errors import RunError, WishError
from corolla.metrics import ClassCost, Confusion, Scores
from corolla.run import Predictions, RunFolder, runs_of
from corolla.storage import AnyPath, any_path

T = TypeVar("T")


@dataclass(frozen=True)
class History:
    """How a run got there: the lines of metrics.jsonl, its seconds by what they were spent on, and how many records
    taught.
    """

    name: str
    lines: list[dict[str, Any]]
    seconds: dict[str, float]
    records: int

    def images_per_second(self) -> list[tuple[int, float]]:
        """Of each epoch after the probe: (epoch, training images a second of training)."""
        found, before = [], 0.0
        for line in self.lines:
            now = line.get("seconds", {}).get("train", 0.0)
            if line["epoch"] > 0 and now > before and self.records:
                found.append((line["epoch"], self.records / (now - before)))
            before = now
        return found


@dataclass(frozen=True)
class Told:
    """A finished run, or a cross-validation as a whole.

    name: as it is called on the page; classes: their names; gain: over the probe, where it is known; prints: of its
    data (`run.fingerprint`), by split; runs: its run folders, one, or one a fold.
    """

    name: str
    path: AnyPath
    classes: list[str]
    scores: Scores
    gain: dict[str, Any] | None
    epoch: int | None
    predictions: Predictions
    histories: list[History]
    settings: dict[str, Any]
    command: list[str]
    environment: dict[str, Any]
    prints: dict[str, Any]
    runs: list[RunFolder] = field(default_factory=list)

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """The likeliest label of each record, int64[n]."""
        return self.predictions.probabilities.argmax(axis=1)

    @cached_property
    def confusion(self) -> Confusion:
        """Rows are true labels."""
        return metrics.confusion_matrix(self.predictions.labels, self.predicted, len(self.classes))

    @cached_property
    def costs(self) -> dict[int, ClassCost]:
        """What each class with mistakes costs, by its label."""
        return {each.label: each for each in metrics.class_costs(self.confusion, self.classes)}

    @cached_property
    def wrong(self) -> NDArray[np.int64]:
        """Numbers of the records with another label, the ones that the run was surest of first."""
        found = np.flatnonzero(self.predicted != self.predictions.labels)
        sure = self.predictions.probabilities[found, self.predicted[found]]
        return found[np.argsort(-sure, kind="stable")]

    @cached_property
    def doubts(self) -> dict[str, Doubt]:
        """Labels in doubt, by the records' ids."""
        return {} if self.judges_taught else {doubt.id: doubt for doubt in doubts(self.predictions) if doubt.id}

    @cached_property
    def calibration_error(self) -> float:
        """With bins of equal mass."""
        return calibration_error(self.predictions.labels, self.predictions.probabilities)

    @cached_property
    def top5(self) -> float:
        """Part of the records whose label is among the five likeliest."""
        best = np.argsort(-self.predictions.probabilities, axis=1, kind="stable")[:, :5]
        return float((best == self.predictions.labels[:, None]).any(axis=1).mean())

    @property
    def judges_taught(self) -> bool:
        """Whether the run has learned from the records that it is judged by."""
        return self.settings["folds"] == 1


def read(paths: Sequence[AnyPath | str]) -> list[Told]:
    """Read runs. Raises WishError (no run, one twice, runs that tell other labels apart), RunError (no run folder, one
    that is not finished, or damaged).
    """
    places = [any_path(path) for path in paths]
    if not places:
        raise WishError("report: name at least one run")
    twice = [path for path, times in Counter(place.resolve() for place in places).items() if times > 1]
    if twice:
        raise WishError(f"{twice[0]} is named twice: once is enough")
    short = Counter(place.resolve().name for place in places)
    found = [_read(place, name if short[name := place.resolve().name] == 1 else str(place)) for place in places]
    for each in found[1:]:
        if each.classes != found[0].classes:
            raise WishError(
                f"{each.path} tells other labels apart than {found[0].path}: make a report of each by itself"
            )
    return found


def _read(path: AnyPath, name: str) -> Told:
    runs = runs_of(path)
    whole = RunFolder(path)
    if not whole.finished():
        verb = "cross" if len(runs) > 1 else "train"
        raise RunError(f"{path} is not finished: the same `corolla {verb}` command goes on with it")
    first = runs[0]
    settings = first.settings()
    stored = _whole(path, "scores.json", whole.scores)
    scores = _whole(path, "scores.json", lambda: metrics.from_json(stored))
    verb = ["cross", "--folds", str(len(runs))] if len(runs) > 1 else ["train"]
    left_out = ("folds", "fold") if len(runs) > 1 else ()
    told = Told(
        name=name,
        path=path,
        classes=first.names(),
        scores=scores,
        gain=stored.get("gain_over_probe"),
        epoch=stored.get("epoch"),
        predictions=whole.predictions("predictions"),
        histories=[_history(run, f"{name}/{run.path.name}" if len(runs) > 1 else name) for run in runs],
        settings=asdict(settings),
        command=["corolla", verb[0], "DATA", "--out", "RUN", *verb[1:], *config.words(settings, left_out)],
        environment=_whole(path, "environment.json", lambda: read_json(first.path / "environment.json")),
        prints=_whole(path, "config.json", lambda: read_json(first.path / "config.json")["data"]),
        runs=runs,
    )
    _refuse_mixed(told)
    return told


def _history(run: RunFolder, name: str) -> History:
    lines = []
    if (run.path / "metrics.jsonl").is_file():  # a soup has none
        lines = _whole(run.path, "metrics.jsonl", run.metrics)
    seconds = _whole(run.path, "scores.json", lambda: dict(run.scores().get("seconds", {})))
    prints = read_json(run.path / "config.json")["data"]
    return History(name, lines, seconds, int(prints.get("train", {}).get("records", 0)))


def _refuse_mixed(told: Told) -> None:
    """Raise RunError where files of a run do not belong together."""
    labels, probabilities = told.predictions.labels, told.predictions.probabilities
    if len(labels) != told.scores.n or probabilities.shape != (len(labels), len(told.classes)):
        raise RunError(
            f"{told.path}: predictions.npz holds {len(labels):,} records of {probabilities.shape[-1]} classes, "
            f"scores.json {told.scores.n:,} of {len(told.classes)}: copy the run anew"
        )


def _whole(path: AnyPath, name: str, read: Callable[[], T]) -> T:
    """What is read of a file, or RunError."""
    try:
        return read()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path / name} is missing or damaged ({error!r}): copy the run anew") from error
