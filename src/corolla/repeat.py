"""Repeating: the same training with several seeds, how far their scores lie apart, and the mean of their weights.

Takes: a data folder, settings, a number of times. Gives: run folders `seed-0`, `seed-1`, ... and `soup-N`, a run as any
other whose weights are the mean of theirs (see `soup`): one network that predicts at the price of one.

The runs share their start (weights, solved head) and differ in chance alone: the order of the photos, their crops. How
far their scores lie apart is what no interval of one run says. The same command takes it up where it was stopped.
"""

import gc
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from corolla import hosts
from corolla.config import TrainSettings
from corolla.errors import WishError
from corolla.grow import deadlines
from corolla.metrics import Scores
from corolla.reporter import SILENT, Reporter
from corolla.run import SEED, RunFolder
from corolla.soup import Soup, read, soup
from corolla.storage import AnyPath, refuse_unwritable
from corolla.train import train

SOUP_SHARE = 0.05
"""Of `--minutes`, for the judging of the mean."""


@dataclass(frozen=True)
class Repeated:
    """The scores of each seed, by its number, and the mean of the weights."""

    scores: dict[int, Scores]
    soup: Soup
    folder: AnyPath
    """Of the soup."""

    @property
    def mean(self) -> float:
        """Of the runs' macro F1 over the classes present."""
        return float(np.mean([one.macro_f1_present for one in self.scores.values()]))

    @property
    def deviation(self) -> float:
        """Their standard deviation, as a sample's."""
        return float(np.std([one.macro_f1_present for one in self.scores.values()], ddof=1))

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        seeds = {str(seed): one.macro_f1_present for seed, one in self.scores.items()}
        spread = {"macro_f1_present": seeds, "mean": self.mean, "deviation": self.deviation}
        return {**self.soup.to_json(), "seeds": spread}


def repeat(
    data: AnyPath, out: AnyPath, settings: TrainSettings, times: int = 3, reporter: Reporter = SILENT
) -> Repeated:
    """Train `times` runs under `out`, with the seeds from `settings.seed` on, and average their weights.

    settings: of all runs; `minutes` are for all of it, divided among the runs that are not finished. Raises WishError
    (fewer than two times, no epochs, folds, several hosts, weights drawn anew by each seed) and whatever `train` and
    `soup` raise.
    """
    _refuse(settings, times)
    refuse_unwritable(out)
    seeds = range(settings.seed, settings.seed + times)
    runs = {seed: out / f"{SEED}{seed}" for seed in seeds}
    left = [seed for seed in seeds if not RunFolder(runs[seed]).finished()]
    minutes = None if settings.minutes is None else settings.minutes * (1 - SOUP_SHARE)
    ends = dict(zip(left, deadlines([replace(settings, minutes=minutes)] * len(left)), strict=True))
    scores = {}
    for number, (seed, run) in enumerate(runs.items()):
        reporter.note(f"seed {seed}, run {number + 1} of {times}")
        scores[seed] = train(data, run, replace(settings, seed=seed, minutes=ends.get(seed)), reporter)
        gc.collect()  # pixels and programs of the run before
    target = out / f"soup-{times}"
    if RunFolder(target).finished():
        reporter.note(f"{target}: this soup is finished")
        return Repeated(scores, read(target), target)
    made = soup(list(runs.values()), data, target, settings.on_bad_record, reporter, unfinished=True)
    return Repeated(scores, made, target)


def _refuse(settings: TrainSettings, times: int) -> None:
    if times < 2:
        raise WishError(f"--times {times}: once is `corolla train`; the mean of weights needs at least 2")
    if not settings.epochs:
        raise WishError("--epochs 0: the probe has no chance in it, so every run would be the same")
    if settings.folds:
        raise WishError(f"--folds {settings.folds}: folds learn from what would judge the mean; use `corolla cross`")
    if settings.weights == "none":
        raise WishError("--weights none: each seed would start elsewhere, and such weights have no mean")
    if hosts.several():
        raise WishError("repeat wants one host: one weighs the runs; train them by `corolla train --seed`, then soup")
