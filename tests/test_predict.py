"""The submission: what the competition wants, in its order, from one run or the mean of several, or not written."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from corolla import decide, soft
from corolla.classes import COUNT
from corolla.errors import DataError, RunError, WishError
from corolla.judge import judge
from corolla.predict import predict
from corolla.reporter import SILENT
from corolla.run import Predictions
from corolla.submission import check
from tiny import example, write_shard

pytestmark = pytest.mark.xdist_group("runs")

IDS = [f"test{i:03d}" for i in range(9)]


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def sample(data: Path, ids: list[str]) -> Path:
    """Write a sample_submission.csv as the competition's."""
    path = data / "sample_submission.csv"
    path.write_text("id,label\n" + "".join(f"{name},0\n" for name in ids))
    return path


@pytest.fixture
def data(flowers, tmp_path) -> Path:
    """A copy of the data, to be changed."""
    return shutil.copytree(flowers, tmp_path / "data")


@pytest.fixture(scope="module")
def judged(finished, probed, flowers):
    """Probabilities of the test split by both runs, from the photos as they are and with their mirror images."""
    return {
        (name, tta): judge(run, flowers, "test", tta, "fail", False, SILENT).probabilities
        for name, run in (("finished", finished), ("probed", probed))
        for tta in ("none", "flip")
    }


def test_a_submission_without_a_sample(finished, flowers, tmp_path, judged):
    """Rows in the order of the records, no carriage returns, labels as numbers."""
    made = predict([finished], flowers, tmp_path / "deep" / "submission.csv")
    labels = judged["finished", "none"].argmax(axis=1)
    text = "id,label\n" + "".join(f"{name},{label}\n" for name, label in zip(IDS, labels, strict=True))
    assert made.path.read_bytes() == text.encode()
    assert (made.ids, made.labels.tolist(), made.checked_against, made.skipped_records) == (
        IDS,
        labels.tolist(),
        None,
        0,
    )
    assert made.mean_confidence == pytest.approx(judged["finished", "none"].max(axis=1).mean())
    assert [path.name for path in made.path.parent.iterdir()] == ["submission.csv"]


@pytest.mark.parametrize("place", ["beside the splits", "beside the sizes"])
def test_rows_stand_in_the_order_of_the_sample(finished, tmp_path, flowers, judged, place):
    parent = tmp_path / "data"
    data = shutil.copytree(flowers, parent if place == "beside the splits" else parent / "tfrecords-jpeg-32x32")
    path = sample(parent, IDS[::-1])
    made = predict([finished], parent, tmp_path / "submission.csv")
    labels = judged["finished", "none"].argmax(axis=1)[::-1]
    assert made.checked_against == path and data.is_dir()
    assert rows(made.path) == [
        ["id", "label"],
        *([name, str(label)] for name, label in zip(IDS[::-1], labels, strict=True)),
    ]


@pytest.mark.parametrize("tta", ["none", "flip"])
def test_several_runs_are_averaged(finished, probed, flowers, tmp_path, judged, tta):
    made = predict([finished, probed], flowers, tmp_path / "s.csv", tta=tta)
    mean = (judged["finished", tta].astype(np.float64) + judged["probed", tta]) / 2
    assert made.labels.tolist() == mean.argmax(axis=1).tolist()
    assert made.mean_confidence == pytest.approx(mean.max(axis=1).mean(), rel=1e-5)
    assert not np.allclose(judged["finished", tta], judged["probed", tta], atol=0.01)


def test_mirrored_views_are_averaged(judged, finished, flowers):
    plain, both = judged["finished", "none"], judged["finished", "flip"]
    np.testing.assert_allclose(both.sum(axis=1), 1, rtol=1e-5)
    assert np.abs(both - plain).max() > 1e-4
    mirrored = 2 * both - plain
    assert mirrored.min() > -1e-6  # the other half of the mean is a distribution itself
    np.testing.assert_allclose(mirrored.sum(axis=1), 1, rtol=1e-5)


def test_a_labelled_split_has_nothing_to_do_with_the_sample(probed, data, tmp_path):
    sample(data, IDS)
    made = predict([probed], data, tmp_path / "val.csv", split="val")
    assert made.ids == [f"val{i:03d}" for i in range(26)] and made.checked_against is None


# ---------------------------------------------------------------------------------------------------- probabilities


def test_probabilities_are_those_that_the_labels_were_chosen_by(finished, probed, data, tmp_path, judged):
    sample(data, IDS[::-1])
    made = predict([finished, probed], data, tmp_path / "s.csv", probabilities_to=tmp_path / "deep" / "test.npz")
    told = soft.read(str(tmp_path / "deep" / "test.npz"), COUNT)
    mean = np.mean([judged["finished", "none"], judged["probed", "none"]], axis=0)
    assert told.ids == made.ids == IDS[::-1] and told.labels.tolist() == made.labels.tolist()
    assert told.probabilities.dtype == np.float32
    np.testing.assert_allclose(told.probabilities, mean[::-1], atol=1e-6)
    assert {path.name for path in (tmp_path / "deep").iterdir()} == {"test.npz"}


def test_from_probabilities_to_the_score_to_expect(probed, flowers, tmp_path):
    """Predict, then check; calibrated by what the run says of its own validation records, where they are enough."""
    out, file = tmp_path / "s.csv", tmp_path / "test.npz"
    predict([probed], flowers, out, probabilities_to=file)
    found = check(out, flowers, predictions=[file])
    probabilities = soft.read(str(file), COUNT).probabilities
    assert found.ok and found.temperature is None
    assert found.expected_macro_f1 == pytest.approx(
        decide.expected_macro_f1(probabilities, probabilities.argmax(axis=1))
    )
    assert check(out, flowers, predictions=[file, probed / "predictions.npz"]).expected_macro_f1 is not None


@pytest.mark.parametrize(
    ("name", "split", "wanted"),
    [
        ("p.npz", "val", "--probabilities is for the test split, not for val"),
        ("p.csv", "test", r"p\.csv: name it \.npz"),
        ("s.npz", "test", "is the submission itself"),
    ],
)
def test_probabilities_that_make_no_sense(probed, flowers, tmp_path, name, split, wanted):
    with pytest.raises(WishError, match=wanted):
        predict([probed], flowers, tmp_path / "s.npz", split=split, probabilities_to=tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_no_submission_where_its_probabilities_cannot_be_written(probed, flowers, tmp_path, monkeypatch):
    def full(*_):
        raise RunError("no room")

    monkeypatch.setattr(Predictions, "write", full)
    with pytest.raises(RunError, match="no room"):
        predict([probed], flowers, tmp_path / "s.csv", probabilities_to=tmp_path / "p.npz")
    assert not list(tmp_path.iterdir())


# --------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("ids", "wanted"),
    [
        ([*IDS, "flower9"], "1 ids differ from the test records, the first: flower9 is missing from the records"),
        (IDS[1:], "1 ids differ from the test records, the first: test000 is not in it"),
        (IDS[2:], "2 ids differ from the test records, the first: test000 is not in it"),
        ([*IDS, IDS[0], IDS[1]], "holds 2 ids twice: download it again"),
    ],
)
def test_a_sample_with_other_ids(probed, data, tmp_path, ids, wanted):
    path = sample(data, ids)
    with pytest.raises(DataError) as raised:
        predict([probed], data, tmp_path / "s.csv")
    assert str(raised.value) == f"{path}: {wanted}"
    assert not (tmp_path / "s.csv").exists()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"name,label\na,0\n", b"<!DOCTYPE html>", b'id,label\n"a\0'])
def test_a_sample_that_is_none(probed, data, tmp_path, content):
    (data / "sample_submission.csv").write_bytes(content)
    with pytest.raises((RunError, DataError), match=r"sample_submission\.csv"):
        predict([probed], data, tmp_path / "s.csv")
    assert not (tmp_path / "s.csv").exists()


def test_an_id_twice_in_the_records(probed, data, tmp_path):
    write_shard(data / "test", 2, [example(0, "test"), example(0, "test")])
    with pytest.raises(DataError, match="id 'test0000' stands already in "):
        predict([probed], data, tmp_path / "s.csv")


def test_a_damaged_record_leaves_no_half_submission(probed, data, tmp_path):
    sample(data, IDS)
    shard = sorted((data / "test").iterdir())[1]
    shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(DataError, match="record 4"):
        predict([probed], data, tmp_path / "s.csv")
    with pytest.raises(DataError, match="test008 is missing from the records"):
        predict([probed], data, tmp_path / "s.csv", on_bad_record="skip")
    assert not (tmp_path / "s.csv").exists()


def test_an_old_submission_stays_where_a_new_one_fails(probed, data, tmp_path):
    (tmp_path / "s.csv").write_text("old")
    sample(data, IDS[1:])
    with pytest.raises(DataError):
        predict([probed], data, tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_text() == "old"


def test_runs_with_other_label_names_are_not_averaged(finished, probed, flowers, tmp_path):
    other = shutil.copytree(probed, tmp_path / "other")
    names = json.loads((other / "labels.json").read_text())
    names[0], names[1] = names[1], names[0]
    (other / "labels.json").write_text(json.dumps(names))
    with pytest.raises(WishError, match=r"were trained with other label names: they cannot be averaged"):
        predict([finished, other], flowers, tmp_path / "s.csv")


def test_no_run_no_run_folder_no_file(flowers, probed, tmp_path):
    with pytest.raises(WishError, match="at least one run folder"):
        predict([], flowers, tmp_path / "s.csv")
    with pytest.raises(RunError, match="is no run folder"):
        predict([probed, tmp_path], flowers, tmp_path / "s.csv")
    with pytest.raises(WishError, match=r"is a folder: name a file, such as .*submission\.csv"):
        predict([probed], flowers, tmp_path)


def test_a_place_that_cannot_be_written_is_refused_before_the_work(flowers, probed, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        predict([probed], flowers, tmp_path / "file" / "s.csv")
