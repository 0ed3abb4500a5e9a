"""The whole, with data and runs in a store: the same records, the same numbers, also after kills and refusals."""

import dataclasses

import numpy as np
import pytest

from corolla.check import check
from corolla.errors import DataError, RunError, WishError
from corolla.evaluate import evaluate
from corolla.export import export
from corolla.images import load_split
from corolla.predict import predict
from corolla.records.shards import find_split
from corolla.run import RunFolder
from corolla.storage import any_path
from corolla.train import train
from fake_store import upload
from flow import PROBE, SETTINGS, Recorder, assert_same_run
from tiny import example, write_shard

pytestmark = pytest.mark.xdist_group("runs")

DATA = "fake://bucket/flowers"


@pytest.fixture
def data(fake_store, flowers):
    """The data set of `flow.write_flowers`, in a store."""
    upload(flowers, DATA)
    fake_store.calls.clear()
    return any_path(DATA)


def assert_same_photos(one, other) -> None:
    np.testing.assert_array_equal(one.images, other.images)
    assert one.ids == other.ids and len(one.bad) == len(other.bad)
    assert (one.labels is None) == (other.labels is None)
    if one.labels is not None:
        np.testing.assert_array_equal(one.labels, other.labels)


# ---------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_is_the_same_and_read_once(fake_store, data, flowers, split):
    remote = load_split(find_split(data, split), labels="maybe")
    assert_same_photos(remote, load_split(find_split(flowers, split), labels="maybe"))
    assert [name for name, _ in fake_store.calls].count("cat_file") == 2


def test_shards_whose_names_say_no_count_are_read_once_too(fake_store, tmp_path):
    for number in range(6):
        path = write_shard(tmp_path / "d" / "train", number, [example(10 * number + i) for i in range(3)])
        path.rename(path.with_name(f"part-{number}.tfrecord"))
    upload(tmp_path / "d", DATA)
    fake_store.calls.clear()
    remote = load_split(find_split(any_path(DATA), "train"))
    assert_same_photos(remote, load_split(find_split(tmp_path / "d", "train")))
    assert [name for name, _ in fake_store.calls].count("cat_file") == 6


@pytest.mark.parametrize("declared", [2, 4])
def test_names_that_lie_are_found_out(fake_store, tmp_path, declared):
    """Memory is set aside by the names of remote shards: one that holds more must not be written past its end."""
    write_shard(tmp_path / "d" / "train", 0, [example(i) for i in range(3)], count=declared)
    upload(tmp_path / "d", DATA)
    with pytest.raises(DataError, match=rf"declare{'s' * (declared == 4)} {declared}"):
        load_split(find_split(any_path(DATA), "train"))
    photos = load_split(find_split(any_path(DATA), "train"), on_bad_record="skip")
    assert len(photos) == min(declared, 3) and len(photos.bad) >= 1


def test_a_shard_that_cannot_be_fetched(fake_store, data):
    fake_store.script += [("cat_file", "01-32x32-15", ConnectionResetError(104, "Connection reset by peer"))] * 4
    line = rf"^{DATA}/train/01-32x32-15.tfrec: cannot be opened \(Connection reset by peer, 4 times\): check the path"
    with pytest.raises(DataError, match=line):
        load_split(find_split(data, "train"))


def test_check_says_the_same(data, flowers):
    there, here = check(data).to_json(), check(flowers).to_json()
    assert there.pop("data") == there.pop("folder") == DATA
    assert there["ok"] and there == {name: here[name] for name in there}


def test_check_names_the_remote_file(fake_store, data):
    path = data / "val" / "00-32x32-13.tfrec"
    path.write_bytes(path.read_bytes()[:-3])
    (problem,) = check(data).problems
    assert problem.path == str(path) and "ends in the middle of this record" in problem.reason


# ------------------------------------------------------------------------------------------------------------- runs


class KilledError(BaseException):
    """Nothing that any code would catch."""


def test_a_run_in_a_store_killed_again_and_again_ends_with_the_same_numbers(fake_store, data, finished):
    run = any_path("fake://bucket/runs/one")
    best = RunFolder(finished).best().number
    for moment in (f"best/epoch-{best:08d}/meta", "step-00000006/arrays"):
        fake_store.script.append(("pipe_file", moment, KilledError()))
        with pytest.raises(KilledError):
            train(data, run, SETTINGS)
        assert fake_store.script == []
    reporter = Recorder()
    train(data, run, SETTINGS, reporter)
    assert reporter.warnings == []
    assert_same_run(run, finished)


def test_judging_and_predicting_from_a_store(fake_store, data, flowers, finished, tmp_path):
    run = any_path(upload(finished, "fake://bucket/runs/two"))
    scores, path = evaluate(run, data)
    assert str(path) == "fake://bucket/runs/two/evaluation-val.json" and path.is_file()
    assert scores.macro_f1 == pytest.approx(RunFolder(finished).scores()["macro_f1"])
    out = any_path("fake://bucket/out/submission.csv")
    predict([run], data, out)
    predict([finished], flowers, tmp_path / "submission.csv")
    assert out.read_bytes() == (tmp_path / "submission.csv").read_bytes()
    made = export(run)
    assert str(made.path) == "fake://bucket/runs/two/model.keras" and made.path.stat().st_size > 1000


def test_a_sample_submission_in_a_store_is_found(fake_store, data, probed):
    ids = load_split(find_split(data, "test"), labels="maybe").ids
    (data / "sample_submission.csv").write_bytes(("id,label\n" + "".join(f"{i},0\n" for i in reversed(ids))).encode())
    made = predict([probed], data, any_path("fake://bucket/s.csv"))
    assert made.ids == ids[::-1] and str(made.checked_against) == f"{DATA}/sample_submission.csv"


def test_a_store_that_refuses_to_write_ends_the_run_before_the_probe(fake_store, data):
    fake_store.script.append(("pipe_file", "labels.json", PermissionError("no")))
    line = r"^fake://bucket/run/labels.json cannot be written \(access refused\): make room or choose another folder"
    with pytest.raises(RunError, match=line):
        train(data, any_path("fake://bucket/run"), PROBE)


def test_another_run_in_the_folder(fake_store, data, finished):
    run = any_path(upload(finished, "fake://bucket/runs/two"))
    with pytest.raises(WishError, match="holds a run with other settings"):
        train(data, run, dataclasses.replace(SETTINGS, seed=9))
    (any_path("fake://bucket/stuff") / "photo.jpg").write_bytes(b"x")
    with pytest.raises(WishError, match="is there already and is no run folder"):
        train(data, any_path("fake://bucket/stuff"), SETTINGS)


@pytest.mark.parametrize("out", ["https://host/run", "hf://datasets/owner/name/run"])
def test_places_that_are_only_read_are_refused_at_once(flowers, finished, out, tmp_path):
    """Nothing is asked of a network: neither the extra nor the host is there."""
    for work in (
        lambda: train(flowers, any_path(out), SETTINGS),
        lambda: evaluate(any_path(out), flowers),
        lambda: predict([finished], flowers, any_path(out)),
        lambda: export(finished, any_path(f"{out}/model.keras")),
    ):
        with pytest.raises(WishError, match="can only be read"):
            work()


def test_a_preset_of_a_run_in_a_store_is_brought_to_the_disk(fake_store):
    run = RunFolder("fake://bucket/run")
    run.begin(SETTINGS, {}, {}, ["a"], {"config.json": "{}"})
    name = run.model().removeprefix("hub:")
    assert any_path(f"{name}/config.json").read_text() == "{}"


def test_the_data_folder_is_left_alone(flowers, tmp_path, monkeypatch):
    """Kaggle's mounted input cannot be written."""
    monkeypatch.chdir(tmp_path)
    from corolla.run import default_path

    before = sorted((str(path), path.stat().st_mtime_ns) for path in flowers.rglob("*"))
    out = default_path(flowers, PROBE)
    train(flowers, out, PROBE)
    assert sorted((str(path), path.stat().st_mtime_ns) for path in flowers.rglob("*")) == before
    assert out.resolve().is_relative_to(tmp_path)
    remote = default_path(any_path(DATA), PROBE)
    assert str(remote).startswith("runs/flowers-micro-") and remote != out
