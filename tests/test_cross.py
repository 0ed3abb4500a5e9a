"""Cross-validation is the runs of its folds, and every record is judged once, by the run that has not seen it."""

import dataclasses

import numpy as np
import pytest

from corolla import metrics
from corolla.cross import cross
from corolla.errors import RunError, WishError
from corolla.folds import places
from corolla.images import load_split
from corolla.predict import predict
from corolla.records.shards import find_split
from corolla.run import RunFolder
from corolla.soup import soup
from corolla.train import train
from flow import SETTINGS, Recorder, assert_same_run

pytestmark = pytest.mark.xdist_group("folds")
SHORT = dataclasses.replace(SETTINGS, epochs=1)


@pytest.fixture(scope="module")
def crossed(flowers, tmp_path_factory):
    out = tmp_path_factory.mktemp("cross") / "runs"
    return out, cross(flowers, out, SHORT, folds=2)


def test_predictions_are_those_of_the_runs_that_have_not_seen_the_records(flowers, crossed):
    out, scores = crossed
    whole = RunFolder(out).predictions("predictions")
    splits = [load_split(find_split(flowers, name, 32), labels="need") for name in ("train", "val")]
    ids, labels = [*splits[0].ids, *splits[1].ids], np.concatenate([split.labels for split in splits])
    assert sorted(whole.ids) == sorted(ids)
    for name, fold in zip(ids, places(ids, labels, 2), strict=True):
        run = RunFolder(out / f"fold-{fold}").predictions("predictions")
        row = run.ids.index(name)
        np.testing.assert_array_equal(whole.probabilities[whole.ids.index(name)], run.probabilities[row])
        assert run.labels[row] == labels[ids.index(name)]
    wanted = metrics.score("out of fold", whole.labels, whole.probabilities, [""] * 104)
    assert scores.macro_f1 == wanted.macro_f1 and scores.n == len(ids)


def test_a_fold_is_a_run_of_its_own(flowers, crossed, tmp_path):
    train(flowers, tmp_path / "run", dataclasses.replace(SHORT, folds=2, fold=1))
    assert_same_run(tmp_path / "run", crossed[0] / "fold-1")


def test_what_is_finished_is_kept(flowers, crossed):
    """The same command again trains nothing and says the same."""
    seen = Recorder()
    assert cross(flowers, crossed[0], SHORT, folds=2, reporter=seen).macro_f1 == crossed[1].macro_f1
    assert sum("this run is finished" in note for note in seen.notes) == 2


def test_a_run_on_everything_keeps_its_last_epoch_and_says_what_its_score_is_worth(flowers, tmp_path):
    seen = Recorder()
    train(flowers, tmp_path / "run", dataclasses.replace(SETTINGS, folds=1), seen)
    assert RunFolder(tmp_path / "run").best().number == SETTINGS.epochs
    assert any("the scores measure nothing" in text for text in seen.warnings)


def test_one_fold_is_refused(flowers, tmp_path):
    with pytest.raises(WishError, match="needs at least 2"):
        cross(flowers, tmp_path / "runs", SETTINGS, folds=1)
    with pytest.raises(WishError, match="folds are counted from 0"):
        dataclasses.replace(SETTINGS, folds=3, fold=3)


def test_the_mean_of_the_folds_is_a_run_that_has_learned_from_everything(flowers, crossed, tmp_path):
    out, scores = crossed
    made = soup([out], None, tmp_path / "soup")
    run, folds = RunFolder(tmp_path / "soup"), [RunFolder(out / f"fold-{fold}") for fold in range(2)]
    assert made.scores.macro_f1 == scores.macro_f1 and made.gain is None and run.settings().folds == 1
    assert run.scores()["split"] == "out of fold" and len(run.scores()["soup"]["ingredients"]) == 2
    assert set(run.learned()) == set(np.concatenate([fold.learned() for fold in folds]))
    for name, value in run.best().arrays.items():
        np.testing.assert_allclose(value, np.mean([fold.best().arrays[name] for fold in folds], axis=0), atol=1e-6)
    assert len(predict([tmp_path / "soup"], flowers, tmp_path / "s.csv").ids) == 9


def test_soups_that_cannot_be(flowers, crossed, tmp_path):
    out, _ = crossed
    for runs, error, told in (
        ([out, out / "fold-0"], RunError, "is no run folder"),
        ([out / "fold-0", out / "fold-1"], WishError, "has learned from the validation split"),
    ):
        with pytest.raises(error, match=told):
            soup(runs, flowers, tmp_path / "soup")
    assert not (tmp_path / "soup").exists()
