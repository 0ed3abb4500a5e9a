"""`corolla blend` and what `predict` makes of it: only records that nobody learned from, known runs, honest figures."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from corolla import ensemble
from corolla.blend import CALIBRATED, DECIDED, EQUAL, FITTED, blend
from corolla.cross import cross
from corolla.errors import DataError, RunError, WishError
from corolla.judge import judge
from corolla.predict import predict
from corolla.reporter import SILENT
from corolla.run import RunFolder, runs_of
from flow import PROBE, Recorder

pytestmark = pytest.mark.xdist_group("runs")


@pytest.fixture(scope="module")
def crossed(flowers, tmp_path_factory) -> Path:
    """A cross-validation of two probes; nobody may change it."""
    folder = tmp_path_factory.mktemp("crossed") / "cross"
    cross(flowers, folder, dataclasses.replace(PROBE, seed=2), 2)
    return folder


@pytest.fixture
def told(probed, tmp_path):
    """Return a function that makes a copy of a run with other predictions."""

    def make(name: str, **changes) -> Path:
        run = shutil.copytree(probed, tmp_path / name)
        known = RunFolder(run).predictions("predictions")._replace(**changes)
        RunFolder(run).write_predictions("predictions", *known)
        return run

    return make


def test_two_runs_are_blended_and_judged_beside_equal_weights(finished, probed, tmp_path):
    made = blend([finished, probed], tmp_path / "blend.json")
    assert ensemble.read(tmp_path / "blend.json") == made.ensemble
    stored = json.loads((tmp_path / "blend.json").read_text())
    assert stored["records"] == made.records == 26
    names = [str(finished), str(probed), EQUAL, CALIBRATED, FITTED]
    assert [way["name"] for way in stored["ways"]] == [*names, DECIDED["equal"]]
    equal = made.ways[2]
    assert (equal.gain, equal.interval) == (0.0, (0.0, 0.0))
    for run, way in zip((finished, probed), made.ways, strict=False):
        scores = RunFolder(run).scores()
        assert (way.macro_f1, way.accuracy) == pytest.approx((scores["macro_f1_present"], scores["accuracy"]))
        assert way.gain == pytest.approx(way.macro_f1 - equal.macro_f1)
    assert [member.weight for member in made.ensemble.members] == [0.5, 0.5]
    fitted = blend([finished, probed], weighing="fitted")
    assert fitted.ways[:5] == made.ways[:5] and fitted.ways[5].name == DECIDED["fitted"]
    assert sum(member.weight for member in fitted.ensemble.members) == pytest.approx(1)
    assert fitted.ensemble.members != made.ensemble.members


def test_one_run_alone_is_calibrated(finished):
    made = blend([finished])
    assert [way.name for way in made.ways][:2] == [str(finished), CALIBRATED] and made.ensemble.members[0].weight == 1
    assert made.ways[1].accuracy == made.ways[0].accuracy


def test_records_that_one_has_not_judged_are_left_out(probed, crossed, told):
    """A cross-validation has judged train too; ids are matched whatever their order."""
    known = RunFolder(probed).predictions("predictions")
    order = np.random.default_rng(0).permutation(26)[:20]
    ids = [known.ids[i] for i in order]
    other = told("other", ids=ids, labels=known.labels[order], probabilities=known.probabilities[order])
    reporter = Recorder()
    made = blend([probed, crossed, other], reporter=reporter)
    assert made.records == 20
    assert reporter.notes == [
        f"{probed}: 6 of 26 records were not judged by all runs",
        f"{crossed}: 36 of 56 records were not judged by all runs",
    ]
    first, _, third = made.ways[:3]
    assert first.loss == pytest.approx(third.loss, rel=1e-6)


# ------------------------------------------------------------------------------------------------------- predicting


def test_a_cross_validation_stands_for_the_mean_of_its_runs(crossed, flowers, tmp_path):
    assert [run.path.name for run in runs_of(crossed)] == ["fold-0", "fold-1"]
    parts = [judge(run.path, flowers, "test", "none", "fail", False, SILENT) for run in runs_of(crossed)]
    mean = np.mean([part.probabilities for part in parts], axis=0)
    made = predict([crossed], flowers, tmp_path / "s.csv")
    assert made.labels.tolist() == mean.argmax(axis=1).tolist()
    assert made.mean_confidence == pytest.approx(mean.max(axis=1).mean(), rel=1e-5)


def test_a_cross_validation_counts_as_one_run(crossed, probed, flowers, tmp_path):
    parts = [
        judge(run, flowers, "test", "none", "fail", False, SILENT).probabilities
        for run in (crossed / "fold-0", crossed / "fold-1", probed)
    ]
    mean = parts[0] / 4 + parts[1] / 4 + parts[2] / 2
    made = predict([crossed, probed], flowers, tmp_path / "s.csv")
    assert made.mean_confidence == pytest.approx(mean.max(axis=1).mean(), rel=1e-5)


def test_predicting_with_a_blend_in_any_order_and_place(finished, probed, flowers, tmp_path):
    made = blend([finished, probed], tmp_path / "blend.json").ensemble
    stack = np.stack(
        [judge(run, flowers, "test", "none", "fail", False, SILENT).probabilities for run in (finished, probed)]
    )
    counting = [i for i, member in enumerate(made.members) if member.weight]
    wanted = made.counting().labels(stack[counting])
    moved = shutil.copytree(probed, tmp_path / "moved")
    for runs in ([finished, probed], [moved, finished]):
        found = predict(runs, flowers, tmp_path / "s.csv", blend=tmp_path / "blend.json")
        assert found.labels.tolist() == wanted.tolist()
        chosen = made.counting().probabilities(stack[counting])[np.arange(9), wanted]
        assert found.mean_confidence == pytest.approx(chosen.mean(), rel=1e-4)


def test_runs_without_weight_cost_no_time(finished, probed, flowers, tmp_path):
    path = tmp_path / "blend.json"
    blend([finished, probed], path)
    stored = json.loads(path.read_text())
    for member, weight in zip(stored["members"], (1.0, 0.0), strict=True):
        member["weight"] = weight
    path.write_text(json.dumps(stored))
    reporter = Recorder()
    predict([finished, probed], flowers, tmp_path / "s.csv", blend=path, reporter=reporter)
    assert reporter.notes == [f"{probed} counts nothing in {path}: left out"]
    assert reporter.stages.count("predicting with run") == 1


# --------------------------------------------------------------------------------------------------------- refusals


def test_wishes_that_make_no_sense(finished, probed, flowers, tmp_path, told):
    for runs, wanted in (
        ([], "blend needs at least one run folder"),
        ([probed, probed], "blend was given the same run twice"),
        ([probed, told("other", ids=[f"x{i}" for i in range(26)])], "no record was judged by all of "),
    ):
        with pytest.raises(WishError, match=wanted):
            blend(runs)
    with pytest.raises(WishError, match=r"is a folder: name a file, such as .*blend\.json"):
        blend([probed], tmp_path)
    blend([probed], tmp_path / "blend.json")
    with pytest.raises(WishError, match=r"is none of the runs of the blend"):
        predict([finished], flowers, tmp_path / "s.csv", blend=tmp_path / "blend.json")


def test_a_run_that_learned_what_it_judged(told):
    run = told("all")
    stored = json.loads((run / "config.json").read_text())
    stored["settings"]["folds"] = 1
    (run / "config.json").write_text(json.dumps(stored))
    with pytest.raises(WishError, match=r"all has learned the records that it judged \(--folds 1\)"):
        blend([run])


def test_other_names_other_labels_too_few_records(probed, told):
    known = RunFolder(probed).predictions("predictions")
    names = told("names")
    (names / "labels.json").write_text(json.dumps(RunFolder(probed).names()[::-1]))
    with pytest.raises(WishError, match="were trained with other label names: they cannot be blended"):
        blend([probed, names])
    labels = known.labels.copy()
    labels[3] = 5
    with pytest.raises(DataError, match=f"know other labels of record '{known.ids[3]}'"):
        blend([probed, told("labels", labels=labels)])
    few = told("few", ids=known.ids[:9], labels=known.labels[:9], probabilities=known.probabilities[:9])
    with pytest.raises(DataError, match="9 records are too few to be judged in 5 folds"):
        blend([few])


def test_runs_that_are_not_finished_or_none(crossed, flowers, tmp_path):
    with pytest.raises(RunError, match="is no run folder"):
        blend([tmp_path])
    partly = shutil.copytree(crossed, tmp_path / "partly")
    (partly / "fold-1" / "scores.json").unlink()
    for use in (lambda: blend([partly]), lambda: predict([partly], flowers, tmp_path / "s.csv")):
        with pytest.raises(RunError, match=r"fold-1 is not finished: let `corolla cross` finish first"):
            use()
