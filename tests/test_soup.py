"""Soups: the mean of weights, greedily; a run folder as any other; nothing in it that does not belong together."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from corolla.errors import DataError, RunError, WishError
from corolla.evaluate import evaluate
from corolla.identify import identify
from corolla.predict import predict
from corolla.run import RunFolder
from corolla.soup import soup
from corolla.train import train
from flow import SETTINGS, Recorder, flower

pytestmark = pytest.mark.xdist_group("runs")


@pytest.fixture(scope="module")
def other(flowers, tmp_path_factory) -> Path:
    """A run as `finished`, with other chance; nobody may change it."""
    folder = tmp_path_factory.mktemp("other") / "run"
    train(flowers, folder, dataclasses.replace(SETTINGS, seed=5))
    return folder


@pytest.fixture(scope="module")
def made(finished, other, flowers, tmp_path_factory):
    """(folder, what was made, what was told) of a soup of two copies of `finished` and of `other`."""
    folder = tmp_path_factory.mktemp("soup")
    copy, reporter = shutil.copytree(finished, folder / "copy"), Recorder()
    return folder / "soup", soup([finished, copy, other], flowers, folder / "soup", reporter=reporter), reporter


def changed(run: Path, to: Path, change) -> Path:
    """A copy of a run whose best weights are changed, name by name."""
    shutil.copytree(run, to)
    saved = RunFolder(run).best()
    RunFolder(to).save_best(saved.number, {name: change(name, v) for name, v in saved.arrays.items()}, saved.meta)
    return to


def weights(run: Path) -> dict[str, np.ndarray]:
    return {name: value for name, value in RunFolder(run).best().arrays.items() if name != "val_logits"}


def test_a_soup_never_scores_below_its_best_run(made, finished, other):
    _, found, reporter = made
    alone = [RunFolder(run).scores()["macro_f1_present"] for run in (finished, other)]
    assert found.scores.macro_f1_present >= max(alone) - 1e-6
    assert [one.alone for one in found.ingredients] == sorted((one.alone for one in found.ingredients), reverse=True)
    assert found.ingredients[0].kept and len(reporter.notes) == 2
    assert found.gain == pytest.approx(found.scores.macro_f1_present - found.ingredients[0].macro_f1, abs=1e-9)
    kept = [one.macro_f1 for one in found.ingredients if one.kept]
    assert kept == sorted(kept)


def test_the_weights_are_the_mean_of_those_kept(made):
    folder, found, _ = made
    kept = [weights(Path(one.run)) for one in found.ingredients if one.kept]
    for name, value in weights(folder).items():
        np.testing.assert_allclose(value, np.mean([one[name] for one in kept], axis=0), rtol=1e-6, atol=1e-7)
        assert value.dtype == np.float32


def test_runs_of_the_same_weights_all_stay(finished, flowers, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "copy")
    found = soup([finished, copy], flowers, tmp_path / "soup")
    assert [one.kept for one in found.ingredients] == [True, True] and found.gain == 0
    for name, value in weights(finished).items():
        np.testing.assert_array_equal(weights(tmp_path / "soup")[name], value)


def test_a_run_that_spoils_it_is_left_out(finished, flowers, tmp_path):
    noise = np.random.default_rng(0)

    def spoil(name: str, value: np.ndarray) -> np.ndarray:
        return value + noise.normal(0, 9, value.shape).astype(value.dtype) if name.endswith("kernel") else value

    spoilt, reporter = changed(finished, tmp_path / "spoilt", spoil), Recorder()
    found = soup([finished, spoilt], flowers, tmp_path / "soup", reporter=reporter)
    assert [(Path(one.run), one.kept) for one in found.ingredients] == [(finished, True), (spoilt, False)]
    assert reporter.notes == [f"{spoilt}: macro F1 {found.ingredients[1].macro_f1:.4f} with it, left out"]
    broken = changed(finished, tmp_path / "broken", lambda _, value: value * np.nan)
    found = soup([finished, broken], flowers, tmp_path / "another")
    assert [(one.macro_f1 > 0, one.kept) for one in found.ingredients] == [(True, True), (False, False)]


def test_a_soup_is_a_run_as_any_other(made, finished, flowers, tmp_path):
    folder, found, _ = made
    stored = RunFolder(folder).scores()
    assert stored["soup"]["ingredients"][0]["kept"] and RunFolder(folder).settings() == RunFolder(finished).settings()
    run = shutil.copytree(folder, tmp_path / "run")
    scores, _ = evaluate(run, flowers)
    assert scores.macro_f1_present == pytest.approx(found.scores.macro_f1_present)
    assert scores.loss == pytest.approx(stored["loss"], rel=1e-4)
    assert len(predict([run, finished], flowers, tmp_path / "s.csv").ids) == 9
    (tmp_path / "photo.jpg").write_bytes(flower(1, 0))
    assert next(iter(identify(run, [tmp_path / "photo.jpg"]))).top[0].probability > 1 / 104
    assert RunFolder(run).predictions("predictions").probabilities.shape == (26, 104)


# --------------------------------------------------------------------------------------------------------- refusals


def with_settings(run: Path, to: Path, **settings) -> Path:
    shutil.copytree(run, to)
    stored = json.loads((to / "config.json").read_text())
    stored["settings"] |= settings
    (to / "config.json").write_text(json.dumps(stored))
    return to


def test_what_has_no_mean(finished, flowers, tmp_path):
    wide = with_settings(finished, tmp_path / "wide", image_size=48)
    folds = with_settings(finished, tmp_path / "folds", folds=5)
    names = shutil.copytree(finished, tmp_path / "names")
    (names / "labels.json").write_text(json.dumps(RunFolder(finished).names()[::-1]))
    cut = changed(finished, tmp_path / "cut", lambda name, v: v[..., :2] if name.endswith("stem/kernel") else v)
    for runs, wanted in (
        ([finished], "soup needs at least two run folders, each named once"),
        ([finished, finished], "soup needs at least two run folders, each named once"),
        ([finished, wide], f"{wide} has image_size 48, not 32 as {finished}: only weights of one model have a mean"),
        ([finished, folds], f"{folds} has learned from the validation split (--folds 5): it cannot judge it"),
        ([finished, names], f"{names} and {finished} were trained with other label names: they have no mean"),
        ([finished, cut], f"{cut} has other weights than the runs before it: only those of one model have a mean"),
    ):
        with pytest.raises(WishError) as raised:
            soup(runs, flowers, tmp_path / "soup")
        assert str(raised.value) == wanted
    with pytest.raises(WishError, match="soup wants --data DATA"):
        soup([finished, shutil.copytree(finished, tmp_path / "copy")], None, tmp_path / "soup")
    assert not (tmp_path / "soup").exists()


def test_taken_places_unfinished_runs_no_labels(finished, other, flowers, tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "file"):
        with pytest.raises(WishError, match="is there already: choose another --out"):
            soup([finished, other], flowers, place)
    with pytest.raises(RunError, match="is no run folder"):
        soup([finished, tmp_path], flowers, tmp_path / "soup")
    copy = shutil.copytree(finished, tmp_path / "copy")
    (copy / "scores.json").unlink()
    with pytest.raises(RunError, match=r"scores\.json cannot be read"):
        soup([finished, copy], flowers, tmp_path / "soup")
    data = tmp_path / "data"
    shutil.copytree(flowers / "test", data / "val")
    with pytest.raises(DataError, match="this split needs"):
        soup([finished, other], data, tmp_path / "soup")
    assert not (tmp_path / "soup").exists()
