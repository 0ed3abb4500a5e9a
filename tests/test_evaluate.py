"""`evaluate` says of a run what the run said of itself, in any place, and names what stands in the way."""

import json
import shutil

import pytest

from corolla.errors import DataError, RunError
from corolla.evaluate import evaluate
from corolla.run import RunFolder
from corolla.train import train
from flow import PROBE, Recorder

pytestmark = pytest.mark.xdist_group("runs")


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the finished run, because `evaluate` writes into it; also: a run may move."""
    return shutil.copytree(finished, tmp_path / "moved")


@pytest.mark.parametrize("which", ["finished", "probed"])
def test_the_scores_are_those_of_the_run(request, flowers, tmp_path, which):
    """After an epoch of fine-tuning was best, and after the probe was."""
    run = shutil.copytree(request.getfixturevalue(which), tmp_path / "run")
    scores, path = evaluate(run, flowers)
    stored, known = json.loads(path.read_text()), RunFolder(run).scores()
    assert path == run / "evaluation-val.json" and stored["tta"] == "none"
    for name in ("n", "macro_f1", "macro_f1_present", "accuracy", "loss", "skipped_records", "classes_present"):
        assert getattr(scores, name) == stored[name] == pytest.approx(known[name], rel=1e-5), name
    assert stored["per_class"] == known["per_class"]


def test_training_data_can_be_scored_too(run, flowers):
    reporter = Recorder()
    scores, path = evaluate(run, flowers, split="train", tta="flip", reporter=reporter)
    assert (scores.split, scores.n, path.name) == ("train", 30, "evaluation-train.json")
    assert set(reporter.stages) == {"reading train", "predicting with moved"}
    assert RunFolder(run).scores()["split"] == "val"
    assert reporter.warnings == ["the run has learned from 30 of these 30 records: it scores better on them"]
    assert json.loads(path.read_text())["learned_records"] == 30


def test_records_that_teach_and_judge_are_warned_of(run, flowers, tmp_path):
    """By training, which is then told so, and by evaluating on other data than the run's."""
    data = shutil.copytree(flowers, tmp_path / "data")
    shutil.copy(sorted((data / "train").iterdir())[0], data / "val" / "02-32x32-15.tfrec")
    reporter = Recorder()
    scores, path = evaluate(run, data, reporter=reporter)
    assert reporter.warnings == ["the run has learned from 15 of these 41 records: it scores better on them"]
    assert (scores.n, json.loads(path.read_text())["learned_records"]) == (41, 15)
    reporter = Recorder()
    train(data, tmp_path / "new", PROBE, reporter)
    assert reporter.warnings == [
        "15 of 41 records of val stand in train too, by their ids: scores will be too good; `corolla check` names them"
    ]


def test_mirrored_views_are_averaged(run, flowers):
    plain, _ = evaluate(run, flowers)
    both, _ = evaluate(run, flowers, tta="flip")
    assert both.loss != plain.loss


@pytest.mark.parametrize(("tta", "views"), [("scales", 4), ("crops", 10)])
def test_parts_of_photos_are_averaged(run, flowers, tta, views):
    reporter = Recorder()
    scores, path = evaluate(run, flowers, tta=tta, reporter=reporter)
    stored = json.loads(path.read_text())
    assert (stored["tta"], stored["views"]) == (tta, views) and scores.n == 26
    assert reporter.notes == [f"--tta {tta}: {views} views a photo, each as long as one pass"]
    assert scores.loss != pytest.approx(RunFolder(run).scores()["loss"], rel=1e-4)


def test_a_split_without_labels_cannot_be_scored(run, flowers):
    with pytest.raises(DataError, match=r"id 'test000': feature 'class' \(or 'label'\) is missing: this split needs"):
        evaluate(run, flowers, split="test")
    assert not (run / "evaluation-test.json").exists()


def test_no_run_and_no_weights(tmp_path, run, flowers):
    with pytest.raises(RunError, match=r"is no run folder"):
        evaluate(tmp_path / "missing", flowers)
    shutil.rmtree(run / "best")
    with pytest.raises(RunError, match=r"holds no weights yet"):
        evaluate(run, flowers)


def test_damaged_weights_are_refused_before_anything_is_read(run, flowers):
    path = max(run.glob("best/*/arrays.npz"))
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    reporter = Recorder()
    with pytest.raises(RunError, match=r"arrays\.npz is damaged"):
        evaluate(run, flowers, reporter=reporter)
    assert reporter.stages == []


@pytest.mark.parametrize("fault", ["missing", "shape"])
def test_weights_of_another_model_are_refused(run, flowers, fault):
    folder = RunFolder(run)
    saved = folder.best()
    name = next(name for name in saved.arrays if name.endswith("stem/kernel"))
    kernel = saved.arrays.pop(name)
    other = {} if fault == "missing" else {name: kernel[..., :4]}
    folder.save_best(saved.number, saved.arrays | other, saved.meta)
    wanted = "is missing" if fault == "missing" else r"has shape \(3, 3, 3, 4\), not \(3, 3, 3, 8\)"
    with pytest.raises(RunError, match=f"the weight {name} {wanted}: these are the weights of another model"):
        evaluate(run, flowers)


def test_skipped_records_are_counted(run, flowers, tmp_path):
    data = shutil.copytree(flowers, tmp_path / "data")
    shard = sorted((data / "val").iterdir())[0]
    shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(DataError, match=str(shard)):
        evaluate(run, data)
    reporter = Recorder()
    scores, _ = evaluate(run, data, on_bad_record="skip", reporter=reporter)
    assert (scores.n, scores.skipped_records, len(reporter.warnings)) == (25, 1, 1)
