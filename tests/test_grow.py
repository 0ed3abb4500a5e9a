"""Growing is a run a size, each from the one before; stopped between sizes or in one, the same command goes on."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from corolla import grow as module
from corolla.config import GrowSettings, TrainSettings
from corolla.errors import WishError
from corolla.grow import deadlines, grow, parts_of
from corolla.interrupt import InterruptedRunError
from corolla.origin import origin_of
from corolla.run import RunFolder
from corolla.train import train
from flow import SETTINGS, Recorder, Stopper, assert_same_run, write_flowers

pytestmark = pytest.mark.xdist_group("folds")

SIZES, EPOCHS = (24, 32), (1, 0)


@pytest.fixture(scope="module")
def sized(tmp_path_factory):
    """The same data in two sizes, as the competition has them."""
    parent = tmp_path_factory.mktemp("sized")
    for side in (24, 40):
        write_flowers(parent / f"tfrecords-jpeg-{side}x{side}", side)
    return parent


@pytest.fixture(scope="module")
def grown(sized, tmp_path_factory):
    out = tmp_path_factory.mktemp("grown") / "runs"
    told = Recorder()
    return out, *grow(sized, out, SETTINGS, SIZES, EPOCHS, told), told


def test_each_size_starts_from_the_one_before_and_reads_its_own_folder(grown):
    out, scores, last, told = grown
    small, large = RunFolder(out / "size-24"), RunFolder(out / "size-32")
    assert last == large.path and scores.macro_f1 == large.scores()["macro_f1"]
    for run, size, side, epochs in ((small, 24, 24, 1), (large, 32, 40, 0)):
        assert (run.settings().image_size, run.settings().epochs) == (size, epochs)
        stored = json.loads((run.path / "config.json").read_text())["data"]
        assert stored["train"]["size_px"] == [side, side]
    assert small.settings().weights == "none" and large.settings().weights == str(small.path)
    origin = origin_of(large.settings())
    assert origin and stored["weights"] == origin.fingerprint()
    for name, value in small.best().arrays.items():
        if not name.startswith(("head/", "val_logits")):
            np.testing.assert_array_equal(large.best().arrays[name], value, err_msg=name)
    assert [note for note in told.notes if "px, size" in note] == ["24 px, size 1 of 2", "32 px, size 2 of 2"]
    assert told.warnings == []


@pytest.mark.parametrize("loop", ["jax", "keras"])
def test_stopped_in_a_size_and_between_sizes_it_ends_the_same(sized, grown, tmp_path, monkeypatch, loop):
    whole, out = grown[0], tmp_path / "runs"
    settings = dataclasses.replace(SETTINGS, loop=loop)
    if loop == "keras":
        whole = tmp_path / "whole"
        grow(sized, whole, settings, SIZES, EPOCHS)
    with pytest.raises(InterruptedRunError, match=r"stopped at epoch 1, step 1"):
        grow(sized, out, settings, SIZES, EPOCHS, Stopper())
    monkeypatch.setattr(module, "train", only_the_first)
    with pytest.raises(InterruptedRunError, match=r"between sizes"):
        grow(sized, out, settings, SIZES, EPOCHS)
    assert RunFolder(out / "size-24").finished() and not (out / "size-32").exists()
    monkeypatch.setattr(module, "train", train)
    told = Recorder()
    grow(sized, out, settings, SIZES, EPOCHS, told)
    assert sum("this run is finished" in note for note in told.notes) == 1
    for size in SIZES:
        assert_same_ends(out / f"size-{size}", whole / f"size-{size}")


def only_the_first(data, run, settings, reporter):
    if settings.image_size == SIZES[1]:
        raise InterruptedRunError("between sizes")
    return train(data, run, settings, reporter)


def assert_same_ends(one, other):
    if RunFolder(other).settings().epochs:
        assert_same_run(one, other)
    for name, value in RunFolder(other).best().arrays.items():  # a probe leaves no checkpoint
        np.testing.assert_array_equal(value, RunFolder(one).best().arrays[name], err_msg=name)


def test_what_is_finished_is_kept_and_more_sizes_may_follow(sized, grown, tmp_path):
    """The same weights elsewhere are the same weights: the folder of the runs may move."""
    out, told = shutil.copytree(grown[0], tmp_path / "runs"), Recorder()
    scores, last = grow(sized, out, SETTINGS, (*SIZES, 40), (*EPOCHS, 0), told)
    assert sum("this run is finished" in note for note in told.notes) == 2
    assert last == out / "size-40" and RunFolder(last).finished() and scores.n == 26


def test_a_folder_of_another_growth_is_refused(sized, grown, finished):
    with pytest.raises(WishError, match=r"holds size-24, which is not among --sizes: choose another --out$"):
        grow(sized, grown[0], SETTINGS, (28, 32))
    with pytest.raises(WishError, match=r" is a run folder itself: choose another --out, to hold one for each size$"):
        grow(sized, finished, SETTINGS, (28, 32))
    with pytest.raises(WishError, match=r"size-24 holds a run with other settings \(epochs was 1, is 2\)"):
        grow(sized, grown[0], SETTINGS, SIZES, (2, 0))


@pytest.mark.parametrize(
    ("sizes", "epochs", "line"),
    [
        ((), (1,), r"^--sizes \(none\): sizes must ascend"),
        ((32, 24), (1,), r"^--sizes 32 24: sizes must ascend"),
        ((24, 24), (1,), r"^--sizes 24 24: sizes must ascend"),
        ((24, 32, 40), (1, 2), r"^--epochs 1 2: give one number, or one for each of the 3 --sizes$"),
        ((24, 32), (), r"^--epochs \(none\): give one number"),
        ((4, 32), (1,), r"^--image-size is 4; it must lie between 16 and 2048$"),
        ((24, 32), (1, -1), r"^--epochs is -1; it must lie between"),
    ],
)
def test_sizes_and_epochs_that_make_no_sense(tmp_path, sizes, epochs, line):
    with pytest.raises(WishError, match=line):
        grow(tmp_path / "nowhere", tmp_path / "runs", SETTINGS, sizes, epochs)
    assert not (tmp_path / "runs").exists()


def test_one_number_of_epochs_is_for_all_sizes():
    assert [part.epochs for part in parts_of(SETTINGS, (24, 32, 40), (2,))] == [2, 2, 2]


def test_minutes_are_divided_by_pixels_and_epochs():
    """Deadlines, for the clock of a run is that of the process: what one leaves, the next has."""

    def ends(sizes, epochs, minutes):
        return deadlines(parts_of(dataclasses.replace(SETTINGS, minutes=minutes), sizes, epochs))

    assert ends((100, 200), (4, 1), 10.0) == [5.0, 10.0]
    assert ends((100, 200, 300), (1,), 28.0) == [2.0, 10.0, 28.0]
    assert ends((100, 200, 300), (1, 0, 1), 10.0) == [1.0, None, 10.0]  # a probe has no share
    assert ends((100, 200), (0,), 10.0) == [None, None]
    assert ends((16, 2000), (1,), 1.0) == [0.1, 1.0]  # less cannot be wished
    assert ends((100, 200), (4, 1), None) == [None, None] and deadlines([]) == []


def test_finished_sizes_have_no_share_of_the_minutes(sized, grown, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(module, "train", lambda data, run, settings, reporter: given.append(settings.minutes))
    grow(sized, grown[0], dataclasses.replace(SETTINGS, minutes=9.0), (*SIZES, 48), (1, 0, 1))
    grow(sized, tmp_path / "runs", dataclasses.replace(SETTINGS, minutes=10.0), (24, 48), (4, 1))
    assert given == [None, None, 9.0, 5.0, 10.0]


def test_its_settings_are_those_of_a_run_but_for_sizes_and_epochs():
    own, all_of_them = ({field.name for field in dataclasses.fields(kind)} for kind in (GrowSettings, TrainSettings))
    assert all_of_them - own == {"image_size", "epochs"} and own < all_of_them
    assert GrowSettings().of_a_size() == TrainSettings()
    with pytest.raises(WishError, match="folds are counted from 0"):
        GrowSettings(folds=3, fold=3).of_a_size()
