"""A soup: the mean of the weights of several runs of one model, which predicts at the price of one run.

Takes: finished run folders of the same model, and data whose validation split none of them has learned from; or a
cross-validation. Gives: a run folder as any other, whose `scores.json` tells what is in it, and its `Scores`.

The greedy soup of Wortsman et al. (2022, "Model soups"): runs come in the order of their own scores, and one stays in
if macro F1 on the validation split does not fall with it. The mean makes sense where the runs started from the same
weights and have not gone far from each other. What is chosen on a split scores a little too well on it; so do runs.

Of a cross-validation all folds are averaged: the mean has learned from every record, so none is left to judge it, and
its scores are those of its runs, each on the records that it has not seen.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from corolla import metrics
from corolla.errors import WishError
from corolla.inference import make_predictor, softmax, values_of
from corolla.judge import frame_of, open_split, telling, warn_of_learned
from corolla.mesh import mesh_for
from corolla.metrics import Scores
from corolla.network import load_weights, trained
from corolla.reporter import SILENT, Reporter
from corolla.run import RunFolder, runs_of
from corolla.storage import AnyPath, refuse_unwritable
from corolla.types import OnBadRecord

SAME = ("model", "image_size")
"""Settings that all ingredients share."""


@dataclass(frozen=True)
class Ingredient:
    """A run that was tried. macro_f1: over the classes present, of the soup with it, where that was judged; alone: its
    own, as it says."""

    run: str
    alone: float
    macro_f1: float | None
    kept: bool


@dataclass(frozen=True)
class Soup:
    """The scores of the mean, what was tried, and what it gains over the best run, on the same records.

    Of a cross-validation: the scores of its runs out of fold, and no gain.
    """

    scores: Scores
    ingredients: list[Ingredient]
    gain: float | None = None
    interval: tuple[float, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data for `scores.json`."""
        gain = {"macro_f1_present": self.gain, "interval": self.interval}
        tried = [asdict(one) for one in self.ingredients]
        return {**self.scores.to_json(), "soup": {"ingredients": tried, "gain_over_best": gain}}


def soup(
    runs: Sequence[AnyPath],
    data: AnyPath | None,
    out: AnyPath,
    on_bad_record: OnBadRecord = "fail",
    reporter: Reporter = SILENT,
    unfinished: bool = False,
) -> Soup:
    """Average the weights of those of `runs` that together score best on DATA/val, and write them as the run `out`.

    One path of a cross-validation: of all its folds, which wants no data. unfinished: write over what a soup that was
    killed has left at `out`. Raises WishError (fewer than two runs, one
    twice, runs of other models or of folds, no data, a path that is taken), RunError (unfinished runs, damaged weights,
    no room), DataError (broken data).
    """
    refuse_unwritable(out)
    target = RunFolder(out)
    if not unfinished:
        target.refuse_taken()
    if len(runs) == 1 and len(folds := runs_of(runs[0])) > 1:
        return _of_folds(RunFolder(runs[0]), folds, target)
    folders = _by_score(runs)
    if data is None:
        raise WishError("soup wants --data DATA: by its validation split it chooses which runs stay in")
    taste = _Taster(folders[0], data, on_bad_record, reporter)
    learned = np.concatenate([folder.learned() for folder in folders])
    warn_of_learned(learned, taste.ids, reporter)
    sums = _weights(folders[0])
    first = best = taste(sums, folders[0])
    tried, kept = [Ingredient(str(folders[0].path), best.macro_f1, best.macro_f1, True)], 1
    for folder in folders[1:]:
        more = _added(sums, _weights(folder), folder)
        found = taste({name: value / (kept + 1) for name, value in more.items()}, folder)
        stays = found.macro_f1 >= best.macro_f1
        tried.append(Ingredient(str(folder.path), folder.scores()["macro_f1_present"], found.macro_f1, stays))
        reporter.note(f"{folder.path}: macro F1 {found.macro_f1:.4f} with it, {'kept' if stays else 'left out'}")
        if stays:
            sums, best, kept = more, found, kept + 1
    scores = metrics.score("val", taste.labels, best.probabilities, taste.names, taste.skipped)
    before, after = (one.probabilities.argmax(axis=1) for one in (first, best))
    made = Soup(scores, tried, *metrics.paired_difference(taste.labels, before, after, len(taste.names)))
    target.begin_like(folders[0])
    target.write_learned(learned)
    mean = {name: (value / kept).astype(np.float32) for name, value in sums.items()}
    target.save_best(0, {**mean, "val_logits": best.logits}, {"epoch": 0, "macro_f1": scores.macro_f1})
    target.write_predictions("predictions", taste.ids, taste.labels, best.probabilities)
    target.write_scores(made.to_json())
    return made


def read(path: AnyPath) -> Soup:
    """What `soup` left at a path. Raises RunError where there is no finished soup."""
    stored = RunFolder(path).scores()
    told = stored["soup"]
    gain, interval = told["gain_over_best"]["macro_f1_present"], told["gain_over_best"]["interval"]
    tried = [Ingredient(**one) for one in told["ingredients"]]
    return Soup(metrics.from_json(stored), tried, gain, None if interval is None else tuple(interval))


def _of_folds(cross: RunFolder, folds: list[RunFolder], target: RunFolder) -> Soup:
    """The mean of all folds' weights, as a run that has learned from all records."""
    sums = _weights(folds[0])
    for fold in folds[1:]:
        _refuse_unlike(fold, folds[0])
        sums = _added(sums, _weights(fold), fold)
    told = cross.predictions("predictions")
    names, skipped = folds[0].names(), int(cross.scores()["skipped_records"])
    scores = metrics.score("out of fold", told.labels, told.probabilities, names, skipped)
    made = Soup(scores, [Ingredient(str(one.path), one.scores()["macro_f1_present"], None, True) for one in folds])
    target.begin_like(folds[0], folds=1, fold=0)
    target.write_learned(np.concatenate([fold.learned() for fold in folds]))
    mean = {name: (value / len(folds)).astype(np.float32) for name, value in sums.items()}
    target.save_best(0, mean, {"epoch": 0, "macro_f1": scores.macro_f1})
    target.write_predictions("predictions", *told)
    target.write_scores(made.to_json())
    return made


# -------------------------------------------------------------------------------------------------- ingredients


def _by_score(runs: Sequence[AnyPath]) -> list[RunFolder]:
    """The runs, the best first; of equal ones in their order. Refuses what cannot be averaged."""
    if len(runs) < 2 or len(set(map(str, runs))) < len(runs):
        raise WishError("soup needs at least two run folders, each named once")
    folders = [RunFolder(run) for run in runs]
    for folder in folders:
        if folds := folder.settings().folds:
            found = f"{folder.path} has learned from the validation split (--folds {folds}): it cannot judge it"
            raise WishError(found)
        _refuse_unlike(folder, folders[0])
    return sorted(folders, key=lambda folder: -folder.scores()["macro_f1_present"])


def _refuse_unlike(folder: RunFolder, first: RunFolder) -> None:
    own, other = folder.settings(), first.settings()
    for name in SAME:
        if getattr(own, name) != getattr(other, name):
            found = f"{name} {getattr(own, name)}, not {getattr(other, name)}"
            raise WishError(f"{folder.path} has {found} as {first.path}: only weights of one model have a mean")
    if folder.names() != first.names():
        raise WishError(f"{folder.path} and {first.path} were trained with other label names: they have no mean")


def _weights(folder: RunFolder) -> dict[str, NDArray]:
    """The weights of a run's best epoch, by name, as float64: sums of many lose nothing."""
    return {name: value.astype(np.float64) for name, value in folder.best().arrays.items() if name != "val_logits"}


def _added(sums: dict[str, NDArray], more: dict[str, NDArray], folder: RunFolder) -> dict[str, NDArray]:
    if {n: v.shape for n, v in sums.items()} != {n: v.shape for n, v in more.items()}:
        raise WishError(f"{folder.path} has other weights than the runs before it: only those of one model have a mean")
    return {name: value + more[name] for name, value in sums.items()}


# ------------------------------------------------------------------------------------------------------- tasting


class _Tasted(NamedTuple):
    """What weights say of the validation split, float32[n, classes]; macro F1 is that over the classes present."""

    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    macro_f1: float


class _Taster:
    """The validation split and a compiled model, into which any weights go."""

    def __init__(self, folder: RunFolder, data: AnyPath, on_bad_record: OnBadRecord, reporter: Reporter) -> None:
        frame = frame_of(folder)
        mesh = mesh_for(frame.batch_size)
        opened = open_split(data, "val", frame, mesh, on_bad_record, labels=True, reporter=reporter)
        assert opened.labels is not None
        self.ids, self.labels, self.skipped, self.names = opened.ids, opened.labels, len(opened.bad), folder.names()
        self._feed, self._reporter, self._model = opened.feed, reporter, trained(folder, mesh)
        self._predictor = make_predictor(self._model, mesh, frame.image_size)

    def __call__(self, weights: dict[str, NDArray], last: RunFolder) -> _Tasted:
        """last: the run whose weights came in last, for what is told."""
        load_weights(self._model, weights, str(last.path))
        logits = self._predictor(values_of(self._model), self._feed, telling(last, self._reporter))[:, 0]
        confusion = metrics.confusion_matrix(self.labels, logits.argmax(axis=1), logits.shape[1])
        reached = float(metrics.macro_f1(confusion, present_only=True)) if np.isfinite(logits).all() else 0.0
        return _Tasted(logits, softmax(logits), reached)
