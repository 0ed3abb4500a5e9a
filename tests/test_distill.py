"""What a teacher says: of each photo those runs that have not learned from it, in a file that a student takes."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corolla import soft
from corolla.calibrate import scaled
from corolla.cross import cross
from corolla.distill import distill, speakers
from corolla.errors import DataError, RunError, WishError
from corolla.judge import judge
from corolla.reporter import SILENT
from corolla.run import LEARNED, Predictions, RunFolder
from corolla.train import train
from flow import PROBE, Recorder, write_flowers
from tiny import example, write_shard

pytestmark = pytest.mark.xdist_group("soft")
IDS = [f"{split}{i:03d}" for split, n in (("train", 30), ("val", 26)) for i in range(n)]
LABELS = [int(name[-3:]) % 6 for name in IDS]


@pytest.fixture(scope="module")
def crossed(flowers, tmp_path_factory) -> Path:
    """A cross-validation of two probes; nobody may change it."""
    folder = tmp_path_factory.mktemp("crossed") / "cross"
    cross(flowers, folder, dataclasses.replace(PROBE, seed=2), 2)
    return folder


def said(run: Path, data: Path, tta: str = "none") -> dict[str, np.ndarray]:
    """What a run says of every labelled photo, by id."""
    parts = [judge(run, data, split, tta, "fail", True, SILENT) for split in ("train", "val")]
    return {name: row for part in parts for name, row in zip(part.ids, part.probabilities, strict=True)}


@given(st.integers(1, 5), st.integers(1, 9), st.integers(0, 99))
def test_who_speaks(runs, n, seed):
    learned = np.random.default_rng(seed).random((runs, n)) < 0.6
    speak, alone = speakers(learned)
    for photo in range(n):
        assert alone[photo] == learned[:, photo].all()
        wanted = [True] * runs if alone[photo] else (~learned[:, photo]).tolist()
        assert speak[:, photo].tolist() == wanted


def test_a_photo_is_told_by_the_runs_that_have_not_learned_it(crossed, probed, flowers, tmp_path):
    """Two folds and a run that has learned train: photos of val are told by two runs, those of train by one fold."""
    reporter = Recorder()
    made = distill([crossed, probed], flowers, tmp_path / "teacher.npz", reporter=reporter)
    assert (made.records, made.learned_records, reporter.warnings) == (56, 0, [])
    told = soft.read(str(tmp_path / "teacher.npz"), 104)
    assert told.ids == IDS and told.labels.tolist() == LABELS
    own, outside = said(probed, flowers), RunFolder(crossed).predictions("predictions")
    held = dict(zip(outside.ids, outside.probabilities, strict=True))
    for name, row in zip(told.ids, told.probabilities, strict=True):
        wanted = held[name] if name.startswith("train") else (held[name] + own[name]) / 2
        np.testing.assert_allclose(row, wanted, rtol=1e-3, atol=1e-6)
    assert made.accuracy == pytest.approx((told.probabilities.argmax(axis=1) == LABELS).mean())


def test_what_all_have_learned_is_told_by_all_with_a_warning(finished, probed, flowers, tmp_path):
    reporter = Recorder()
    made = distill([finished, probed], flowers, tmp_path / "t.npz", tta="flip", temperature=2.0, reporter=reporter)
    assert made.learned_records == 30
    (warning,) = reporter.warnings
    assert warning.startswith("30 of 56 photos were learned by all of these runs: what they say of them is little more")
    told = soft.read(str(tmp_path / "t.npz"), 104)
    both = [said(run, flowers, "flip") for run in (finished, probed)]
    mean = np.array([(both[0][name] + both[1][name]) / 2 for name in told.ids])
    np.testing.assert_allclose(told.probabilities, scaled(mean, 2.0), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(told.probabilities.sum(axis=1), 1, rtol=1e-5)
    assert not np.allclose(told.probabilities, mean, atol=0.01)


def test_a_run_that_does_not_say_what_it_learned_has_learned_all(probed, flowers, tmp_path):
    old = shutil.copytree(probed, tmp_path / "old")
    (old / LEARNED).unlink()
    reporter = Recorder()
    assert distill([old], flowers, tmp_path / "t.npz", reporter=reporter).learned_records == 56
    assert reporter.warnings[0] == f"{old} does not say what it has learned from: taken for all of the photos"


def test_runs_of_other_image_sizes_teach_together(probed, flowers, tmp_path):
    """Photos of two sizes: each run sees its own, and is heard of the same photos."""
    parent = tmp_path / "data"
    shutil.copytree(flowers, parent / "tfrecords-jpeg-32x32")
    write_flowers(parent / "tfrecords-jpeg-48x48", 48)
    large = tmp_path / "large"
    train(parent, large, dataclasses.replace(PROBE, image_size=48))
    distill([large, probed], parent, tmp_path / "t.npz")
    told = soft.read(str(tmp_path / "t.npz"), 104)
    both = [said(run, parent) for run in (large, probed)]
    mean = [(both[0][name] + both[1][name]) / 2 for name in told.ids]
    np.testing.assert_allclose(told.probabilities, mean, rtol=1e-3, atol=1e-6)


def test_a_student_learns_from_the_file(crossed, flowers, tmp_path):
    distill([crossed], flowers, tmp_path / "t.npz")
    reporter = Recorder()
    settings = dataclasses.replace(PROBE, epochs=1, soft_labels=str(tmp_path / "t.npz"))
    train(flowers, tmp_path / "student", settings, reporter)
    assert f"{tmp_path / 't.npz'}: soft labels for 30 of 30 records that teach" in reporter.notes


# ----------------------------------------------------------------------------------------------------------- refusals


def test_wishes_that_make_no_sense(crossed, probed, flowers, tmp_path):
    for runs, how, wanted in (
        ([], {}, "distill needs at least one run folder"),
        ([probed, probed], {}, "distill was given the same run twice"),
        ([crossed, crossed / "fold-1"], {}, "distill was given the same run twice"),
        ([probed], {"temperature": 0.0}, r"--temperature is 0\.0; it must lie between 0\.05 and 100"),
        ([probed], {"temperature": float("nan")}, "--temperature is nan; it must lie between"),
    ):
        with pytest.raises(WishError, match=wanted):
            distill(runs, flowers, tmp_path / "t.npz", **how)
    with pytest.raises(WishError, match=r"is a folder: name a file, such as .*teacher\.npz"):
        distill([probed], flowers, tmp_path)
    with pytest.raises(RunError, match="is no run folder"):
        distill([tmp_path], flowers, tmp_path / "t.npz")
    assert not (tmp_path / "t.npz").exists()


def test_data_that_nobody_can_be_told_of(probed, flowers, tmp_path):
    data = shutil.copytree(flowers, tmp_path / "data")
    shard = write_shard(data / "val", 2, [dataclasses.replace(example(0), id="train003")])
    with pytest.raises(DataError, match="id 'train003' stands in train and in val"):
        distill([probed], data, tmp_path / "t.npz")
    shard.unlink()
    write_shard(data / "val", 2, [dataclasses.replace(example(0), id="")])
    with pytest.raises(DataError, match="record 26 has no id"):
        distill([probed], data, tmp_path / "t.npz")
    assert not (tmp_path / "t.npz").exists()


def test_the_file_is_of_the_form_of_a_runs_own(probed, flowers, tmp_path):
    distill([probed], flowers, tmp_path / "t.npz")
    with np.load(tmp_path / "t.npz", allow_pickle=False) as one, np.load(probed / "predictions.npz") as other:
        assert set(one.files) == set(other.files) == set(Predictions._fields)
        assert all(one[name].dtype.kind == other[name].dtype.kind for name in one.files)
