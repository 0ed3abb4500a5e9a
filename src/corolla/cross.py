"""Cross-validation: a run for each fold of train and val together, and out-of-fold predictions of every record.

Takes: a data folder, settings, a number of folds. Gives: run folders `fold-0`, `fold-1`, ..., `predictions.npz` with
the prediction of each record by the run that has not seen it, and `scores.json` of them all.

The same command takes a stopped cross-validation up where it stands: finished folds are kept.
"""

import gc
from dataclasses import replace

import numpy as np

from corolla import classes, metrics
from corolla.config import TrainSettings
from corolla.errors import WishError
from corolla.folds import ALL
from corolla.metrics import Scores
from corolla.reporter import SILENT, Reporter
from corolla.run import FOLD, RunFolder
from corolla.storage import AnyPath
from corolla.train import train


def cross(data: AnyPath, out: AnyPath, settings: TrainSettings, folds: int = 5, reporter: Reporter = SILENT) -> Scores:
    """Train a run for each fold under `out`, and score what they say of the records they have not seen.

    Raises WishError (fewer than two folds; several hosts) and whatever `train` raises.
    """
    if folds <= ALL:
        raise WishError(f"--folds {folds}: cross-validation needs at least 2")
    for fold in range(folds):
        reporter.note(f"fold {fold + 1} of {folds}")
        train(data, out / f"{FOLD}{fold}", replace(settings, folds=folds, fold=fold), reporter)
        gc.collect()  # pixels and programs of the fold before
    return gathered(out, folds)


def gathered(out: AnyPath, folds: int) -> Scores:
    """Put the folds' predictions together, and score them. Raises RunError where a fold lacks its own."""
    runs = [RunFolder(out / f"{FOLD}{fold}").predictions("predictions") for fold in range(folds)]
    ids = [name for run in runs for name in run.ids]
    labels, probabilities = (np.concatenate([run[part] for run in runs]) for part in (1, 2))
    scores = metrics.score("out of fold", labels, probabilities, classes.NAMES)
    each = [RunFolder(out / f"{FOLD}{fold}").scores()["macro_f1_present"] for fold in range(folds)]
    folder = RunFolder(out)
    folder.write_predictions("predictions", ids, labels, probabilities)
    folder.write_scores({**scores.to_json(), "folds": folds, "macro_f1_present_by_fold": each})
    return scores
