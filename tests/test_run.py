"""The run folder: begun once, taken up only by the same run, and never mistaken for one when it is not."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corolla import checkpoint
from corolla.config import TrainSettings
from corolla.errors import RunError, WishError
from corolla.mesh import make_mesh
from corolla.run import RunFolder, default_path, environment, fingerprint, hashes
from corolla.share import digests
from corolla.types import BadRecord, Photos

SETTINGS = TrainSettings(model="micro", weights="none")
DATA = {"train": {"records": 3, "sha256": "ab"}, "val": {"records": 1, "sha256": "cd"}}
NAMES = ["rose", "löwenzahn"]


def begun(path: Path) -> RunFolder:
    folder = RunFolder(path)
    folder.begin(SETTINGS, DATA, {"python": "3"}, NAMES)
    return folder


@given(st.lists(st.text()))
def test_hashes_tell_ids_apart_and_leave_out_no_name(ids):
    found = hashes(ids)
    assert found.dtype == np.uint64 and len(found) == sum(map(bool, ids))
    assert len(set(found.tolist())) == len(set(ids) - {""})


def test_what_was_learned_is_kept_and_may_be_unknown(tmp_path):
    folder = begun(tmp_path / "run")
    assert len(folder.learned()) == 0
    folder.write_learned(hashes(["b", "a", "b"]))
    assert np.isin(hashes(["a", "c", "b"]), folder.learned()).tolist() == [True, False, True]
    assert len(folder.learned()) == 2
    (folder.path / "learned.npz").write_bytes(b"PK")
    with pytest.raises(RunError, match=r"learned\.npz is damaged: delete it"):
        folder.learned()
    (folder.path / "learned.npz").unlink()  # as runs of older versions have it
    assert len(folder.learned()) == 0


def test_creating_the_object_touches_nothing(tmp_path):
    folder = RunFolder(tmp_path / "run")
    assert not folder.exists() and not folder.finished() and list(tmp_path.iterdir()) == []


def test_what_was_asked_is_read_back(tmp_path):
    begun(tmp_path / "deep" / "run")
    folder = RunFolder(tmp_path / "deep" / "run")
    assert folder.exists() and not folder.finished()
    assert (folder.settings(), folder.names()) == (SETTINGS, NAMES)
    begun(folder.path)  # the same again is welcome


def test_an_empty_folder_is_taken(tmp_path):
    assert begun(tmp_path).exists()


def test_other_settings_are_refused_by_name(tmp_path):
    folder = begun(tmp_path)
    changed = dataclasses.replace(SETTINGS, epochs=9, seed=4)
    with pytest.raises(WishError) as raised:
        folder.begin(changed, DATA, {}, NAMES)
    wanted = f"{tmp_path} holds a run with other settings (epochs was 5, is 9; seed was 0, is 4): choose another --out"
    assert str(raised.value) == wanted
    folder.begin(dataclasses.replace(SETTINGS, resident="no", checkpoint_minutes=9.0), DATA, {}, NAMES)


def test_other_data_are_refused(tmp_path):
    folder = begun(tmp_path)
    with pytest.raises(WishError, match=r"holds a run on other data: choose another --out, or the data it began with"):
        folder.begin(SETTINGS, {**DATA, "val": {"records": 2}}, {}, NAMES)


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "holiday.jpg").write_text("")
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(WishError, match="is there already and is no run folder: choose another --out"):
            begun(path)
    assert {path.name for path in tmp_path.iterdir()} == {"holiday.jpg", "file"}


@pytest.mark.parametrize("left", [[".unfinished-labels.json"], ["labels.json"], ["labels.json", "environment.json"]])
def test_a_run_killed_while_it_began_begins_again(tmp_path, left):
    for name in left:
        (tmp_path / name).write_text("{")
    assert begun(tmp_path).names() == NAMES


# -------------------------------------------------------------------------------------------------- damaged or missing


def test_no_run_folder(tmp_path):
    for ask in (RunFolder.settings, RunFolder.names, RunFolder.best):
        with pytest.raises(RunError, match=str(tmp_path)):
            ask(RunFolder(tmp_path))
    with pytest.raises(RunError, match=r"is no run folder \(it holds no config.json\): train one with `corolla train`"):
        RunFolder(tmp_path).settings()


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "3", '{"settings": {}}', '{"settings": [], "data": {}}', "\x00"),
        '{"settings": {"epocs": 3}, "data": {}}',
        '{"settings": {"epochs": "3"}, "data": {}}',
    ],
)
def test_a_damaged_config(tmp_path, text):
    folder = begun(tmp_path)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(RunError, match=r"config\.json"):
        folder.settings()


@pytest.mark.parametrize("text", ["", "{}", "[1, 2]", "null"])
def test_damaged_label_names(tmp_path, text):
    folder = begun(tmp_path)
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(RunError, match=r"labels\.json"):
        folder.names()


def test_best_weights_are_the_newest_and_must_be_whole(tmp_path):
    folder = begun(tmp_path)
    with pytest.raises(RunError, match="holds no weights yet: let `corolla train` finish its probe first"):
        folder.best()
    for epoch in (0, 3):
        folder.save_best(epoch, {"w": np.full(2, epoch)}, {"epoch": epoch})
    assert folder.best().number == 3 and folder.best().arrays["w"].tolist() == [3, 3]
    (tmp_path / "best" / "epoch-00000003" / "arrays.npz").write_bytes(b"")
    with pytest.raises(RunError, match=r"arrays\.npz is damaged.*; train again into another --out, or copy"):
        folder.best()


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path):
    folder = begun(tmp_path)
    for step in (4, 8, 12):
        folder.save_checkpoint(step, {"w": np.full(2, step)}, {"position": step})
    path = tmp_path / "checkpoints" / "step-00000012" / "arrays.npz"
    path.write_bytes(path.read_bytes()[:-1])
    saved, (line,) = folder.newest_checkpoint()
    assert saved is not None and (saved.number, saved.meta) == (8, {"position": 8})
    assert str(path) in line
    assert len(checkpoint.numbered(tmp_path / "checkpoints", "step")) == 2


# ------------------------------------------------------------------------------------------------------- what is kept


def test_metrics_scores_and_predictions_come_back(tmp_path):
    folder = begun(tmp_path)
    lines = [{"epoch": 0, "val_loss": 1.5, "best": True}, {"epoch": 1, "val_loss": 0.25, "best": False}]
    folder.write_metrics(lines)
    assert folder.metrics() == lines
    assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == lines
    folder.write_scores({"macro_f1": 0.5}, "evaluation-val.json")
    assert not folder.finished()
    folder.write_scores({"macro_f1": 0.5})
    assert folder.finished() and folder.scores() == {"macro_f1": 0.5}
    probabilities = np.array([[0.25, 0.75], [1, 0]])
    folder.write_predictions("predictions", ["a", "ö"], np.array([1, 0], np.int32), probabilities)
    assert folder.predictions("predictions").probabilities.dtype == np.float32
    np.testing.assert_array_equal(folder.predictions("predictions").probabilities, probabilities)
    with np.load(tmp_path / "predictions.npz", allow_pickle=False) as stored:
        assert stored["ids"].tolist() == ["a", "ö"] and stored["labels"].tolist() == [1, 0]


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04", b"not a zip file at all"])
def test_damaged_predictions_are_named(tmp_path, content):
    folder = begun(tmp_path)
    if content is not None:
        (tmp_path / "predictions-probe.npz").write_bytes(content)
    with pytest.raises(RunError, match=r"predictions-probe\.npz is missing or damaged"):
        folder.predictions("predictions-probe")


def test_the_environment_names_versions_and_no_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = environment("8 TPU v5 lite")
    assert found["devices"] == "8 TPU v5 lite"
    assert found["packages"]["jax"] and found["packages"]["corolla"]
    assert "/" not in json.dumps(found)


# --------------------------------------------------------------------------------------------------- names and prints


def photos(**changes) -> Photos:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (5, 32, 32, 3), np.uint8)
    return dataclasses.replace(Photos("train", images, np.arange(5, dtype=np.int32), list("abcde")), **changes)


def printed(one: Photos) -> dict:
    return fingerprint(one, digests(one, make_mesh(), batch_size=2))


def test_fingerprints_tell_data_apart():
    images, labels = photos().images, photos().labels
    assert labels is not None
    variants = [
        photos(),
        photos(ids=list("abcdf")),
        photos(labels=labels[::-1].copy()),
        photos(labels=None),
        photos(images=images[::-1].copy()),
        photos(images=images[:, :16]),
        photos(images=images[:4], labels=labels[:4], ids=list("abcd")),
        photos(bad=[BadRecord(Path("x"), 0, 0, "cut")]),
    ]
    prints = [json.dumps(printed(one)) for one in variants]
    assert len(set(prints)) == len(prints)
    assert printed(photos()) == printed(photos(split="another name", images=np.asfortranarray(images)))


def test_a_wish_without_a_folder_always_finds_the_same_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flowers").mkdir()
    name = default_path(Path("flowers"), SETTINGS)
    assert name.parent == Path("runs") and name.name.startswith("flowers-micro-")
    assert name == default_path(tmp_path / "flowers", dataclasses.replace(SETTINGS, resident="no"))
    assert name != default_path(Path("flowers"), dataclasses.replace(SETTINGS, seed=1))
    assert name != default_path(Path("other"), SETTINGS)
