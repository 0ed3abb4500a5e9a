"""Repeating is a run a seed and the soup of them; stopped anywhere, the same command goes on."""

import dataclasses
import shutil

import numpy as np
import pytest

from corolla import repeat as module
from corolla.cli import main
from corolla.config import TrainSettings
from corolla.errors import WishError
from corolla.interrupt import InterruptedRunError
from corolla.repeat import repeat
from corolla.run import RunFolder
from corolla.soup import soup
from corolla.train import train
from flow import SETTINGS, Recorder, Stopper, assert_same_run

pytestmark = pytest.mark.xdist_group("runs")


@pytest.fixture(scope="module")
def short(finished):
    """All seeds start from the weights of one run, as they do from those of ImageNet."""
    return dataclasses.replace(SETTINGS, epochs=1, weights=str(finished), seed=3)


@pytest.fixture(scope="module")
def repeated(flowers, short, tmp_path_factory):
    """(folder, what was made, what was told)"""
    out, told = tmp_path_factory.mktemp("repeated") / "runs", Recorder()
    return out, repeat(flowers, out, short, 2, told), told


def weights(run):
    return {name: value for name, value in RunFolder(run).best().arrays.items() if name != "val_logits"}


def test_a_run_for_each_seed_and_the_mean_of_them(flowers, short, repeated, tmp_path):
    out, made, told = repeated
    assert [note for note in told.notes if note.startswith("seed ")] == ["seed 3, run 1 of 2", "seed 4, run 2 of 2"]
    train(flowers, tmp_path / "run", dataclasses.replace(short, seed=4))
    assert_same_run(tmp_path / "run", out / "seed-4")
    soup([out / "seed-3", out / "seed-4"], flowers, tmp_path / "soup")
    assert made.folder == out / "soup-2"
    for name, value in weights(tmp_path / "soup").items():
        np.testing.assert_array_equal(weights(made.folder)[name], value, err_msg=name)
    own = [RunFolder(out / f"seed-{seed}").scores()["macro_f1_present"] for seed in (3, 4)]
    assert [one.macro_f1_present for one in made.scores.values()] == own and list(made.scores) == [3, 4]
    assert made.mean == pytest.approx(sum(own) / 2) and made.deviation == pytest.approx(abs(own[0] - own[1]) / 2**0.5)
    assert made.to_json()["macro_f1_present"] == RunFolder(made.folder).scores()["macro_f1_present"]


def test_what_is_finished_is_kept(flowers, short, repeated, tmp_path):
    out, told = shutil.copytree(repeated[0], tmp_path / "runs"), Recorder()
    again = repeat(flowers, out, short, 2, told)
    assert again.to_json()["seeds"] == repeated[1].to_json()["seeds"]
    assert again.soup.scores == repeated[1].soup.scores and again.soup.interval == repeated[1].soup.interval
    assert sum("this run is finished" in note for note in told.notes) == 2
    assert told.notes[-1] == f"{out / 'soup-2'}: this soup is finished"


def test_stopped_in_a_run_and_in_the_soup_it_ends_the_same(flowers, short, repeated, tmp_path, monkeypatch):
    out = tmp_path / "runs"
    with pytest.raises(InterruptedRunError):
        repeat(flowers, out, short, 2, Stopper())
    monkeypatch.setattr(RunFolder, "write_scores", fails_in_a_soup(RunFolder.write_scores))
    with pytest.raises(KeyboardInterrupt):
        repeat(flowers, out, short, 2)
    monkeypatch.undo()
    assert (out / "soup-2" / "config.json").exists() and not RunFolder(out / "soup-2").finished()
    repeat(flowers, out, short, 2)
    for name in ("seed-3", "seed-4"):
        assert_same_run(out / name, repeated[0] / name)
    for name, value in weights(repeated[0] / "soup-2").items():
        np.testing.assert_array_equal(weights(out / "soup-2")[name], value, err_msg=name)


def fails_in_a_soup(write):
    def writing(folder, scores):
        if folder.path.name.startswith("soup"):
            raise KeyboardInterrupt
        write(folder, scores)

    return writing


def test_minutes_are_divided_among_the_runs_that_are_left(flowers, short, repeated, tmp_path, monkeypatch):
    given = []

    def tell(data, run, settings, reporter):
        given.append(settings.minutes)
        return train(data, repeated[0] / "seed-3", short, reporter)

    monkeypatch.setattr(module, "train", tell)
    monkeypatch.setattr(module, "soup", lambda *_, **__: repeated[1].soup)
    repeat(flowers, tmp_path / "runs", dataclasses.replace(short, minutes=20.0), 2)
    out = shutil.copytree(repeated[0], tmp_path / "some")
    repeat(flowers, out, dataclasses.replace(short, minutes=20.0), 4)
    assert given == [pytest.approx(9.5), pytest.approx(19), None, None, pytest.approx(9.5), pytest.approx(19)]


@pytest.mark.parametrize(
    ("changes", "times", "line"),
    [
        ({}, 1, r"^--times 1: once is `corolla train`"),
        ({"epochs": 0}, 3, r"^--epochs 0: the probe has no chance in it"),
        ({"folds": 3}, 3, r"^--folds 3: folds learn from what would judge the mean"),
        ({"weights": "none"}, 3, r"^--weights none: each seed would start elsewhere"),
    ],
)
def test_what_cannot_be_averaged(tmp_path, changes, times, line):
    with pytest.raises(WishError, match=line):
        repeat(tmp_path / "nowhere", tmp_path / "runs", dataclasses.replace(TrainSettings(), **changes), times)
    assert not (tmp_path / "runs").exists()


def test_the_command_tells_each_seed_and_the_mean(flowers, short, repeated, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "train", lambda *_: repeated[1].scores[3])
    monkeypatch.setattr(module, "soup", lambda *_, **__: repeated[1].soup)
    with pytest.raises(SystemExit) as end:
        main(["repeat", str(flowers), "--out", str(tmp_path / "runs"), "--times", "2"])
    told = capsys.readouterr()
    assert end.value.code == 0 and told.out == f"{tmp_path / 'runs' / 'soup-2'}\n"
    score = f"{repeated[1].scores[3].macro_f1_present:.4f}"
    assert f"macro F1 by seed  0: {score}  1: {score}  mean {score}, deviation 0.0000" in told.err
    assert "of 2 runs are in it; macro F1 " in told.err
