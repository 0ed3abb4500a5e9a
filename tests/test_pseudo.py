"""Pseudo-labels: only where all runs agree and are sure, at most a quota of each class, the surest first."""

import dataclasses
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corolla import soft
from corolla.cross import cross
from corolla.errors import DataError, RunError, WishError
from corolla.judge import judge
from corolla.pseudo import pseudo, quotas, select
from corolla.reporter import SILENT
from corolla.train import train
from flow import PROBE, Recorder
from tiny import example, write_shard

pytestmark = pytest.mark.xdist_group("soft")
IDS = [f"test{i:03d}" for i in range(9)]
EASY = {"confidence": 0.0, "quota": 100.0}


# ---------------------------------------------------------------------------------------------------------- selection


@st.composite
def cases(draw):
    """What two or three runs say of some photos, which agree on most; counts of classes, confidence, quota."""
    runs, photos, classes = draw(st.integers(2, 3)), draw(st.integers(1, 25)), draw(st.integers(2, 5))
    random = np.random.default_rng(draw(st.integers(0, 9999)))
    shared = random.dirichlet(np.full(classes, 0.4), photos)
    stack = np.stack([0.7 * shared + 0.3 * random.dirichlet(np.ones(classes), photos) for _ in range(runs)])
    counts = random.integers(0, 9, classes)
    counts[0] += 1
    return stack, counts, draw(st.sampled_from([0.0, 0.4, 0.7])), draw(st.sampled_from([0.0, 0.3, 1.0, 2.5]))


@given(cases())
def test_what_is_chosen(case):
    stack, counts, confidence, quota = case
    labels, found = select(stack, counts, confidence, quota)
    mean, photos = stack.mean(axis=0), stack.shape[1]
    room = quotas(counts, photos, quota)
    for photo in range(photos):
        said = set(stack[:, photo].argmax(axis=1).tolist())
        if labels[photo] >= 0:
            assert said == {labels[photo]} and mean[photo, labels[photo]] >= confidence
        elif len(said) == 1 and mean[photo].max() >= confidence:  # left out: its class is full of surer ones
            (label,) = said
            kept = mean[labels == label, label]
            assert len(kept) == room[label] and (kept >= mean[photo, label]).all()
    assert (np.bincount(labels[labels >= 0], minlength=len(counts)) <= room).all()
    assert found.labelled == (labels >= 0).sum() and found.classes == len(set(labels[labels >= 0].tolist()))
    assert found.photos == photos == found.labelled + found.disagree + found.unsure + found.over_quota


@given(cases())
def test_the_order_of_runs_does_not_matter(case):
    stack, counts, confidence, quota = case
    np.testing.assert_array_equal(
        select(stack, counts, confidence, quota)[0], select(stack[::-1], counts, confidence, quota)[0]
    )


@given(cases())
def test_more_room_and_less_confidence_lose_nothing(case):
    stack, counts, confidence, quota = case
    labels = select(stack, counts, confidence, quota)[0]
    wider = select(stack, counts, confidence, quota + 1)[0]
    assert (wider[labels >= 0] == labels[labels >= 0]).all()


def test_quotas_are_shares_rounded_up():
    assert quotas(np.array([3, 7, 0]), 10, 1.0).tolist() == [3, 7, 0]
    assert quotas(np.array([3, 7, 0]), 9, 1.0).tolist() == [3, 7, 0]
    assert quotas(np.array([3, 7]), 100, 0.1).tolist() == [3, 7]  # and not one more for rounding
    assert quotas(np.array([1, 2]), 10, 0.5).tolist() == [2, 4]


def test_reasons_are_told_in_order():
    sure, half, torn = [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]
    stack = np.array([[sure, [0.95, 0.05], half, half], [sure, [0.95, 0.05], half, torn]])
    labels, found = select(stack, np.array([1, 3]), 0.8, 1.0)
    assert labels.tolist() == [-1, 0, -1, -1]
    assert str(found) == "1 of 4 photos have a label now, of 1 classes; not: 1 disagree, 1 unsure, 1 over the quota"


# --------------------------------------------------------------------------------------------------------- whole runs


def test_photos_on_which_two_runs_agree(finished, probed, flowers, tmp_path):
    found = pseudo([finished, probed], flowers, tmp_path / "pseudo.npz", **EASY)
    judged = [judge(run, flowers, "test", "none", "fail", False, SILENT) for run in (finished, probed)]
    both = np.stack([one.probabilities for one in judged])
    said = both.argmax(axis=2)
    agreed = np.flatnonzero(said[0] == said[1])
    told = soft.read(str(tmp_path / "pseudo.npz"), 104)
    assert 0 < len(agreed) < 9 and told.ids == [IDS[i] for i in agreed]
    assert told.labels.tolist() == said[0][agreed].tolist()
    np.testing.assert_allclose(told.probabilities, both.mean(axis=0)[agreed], rtol=1e-4, atol=1e-7)
    assert (found.photos, found.labelled, found.disagree, found.over_quota) == (9, len(agreed), 9 - len(agreed), 0)


def test_a_cross_validation_stands_for_its_runs_and_the_next_run_learns(flowers, tmp_path):
    """And who has learned them says so when it is asked for pseudo-labels again."""
    cross(flowers, tmp_path / "cross", dataclasses.replace(PROBE, seed=2), 2)
    reporter, path = Recorder(), tmp_path / "pseudo.npz"
    found = pseudo([tmp_path / "cross"], flowers, path, **EASY, reporter=reporter)
    assert reporter.warnings == [] and "counting train" in reporter.stages
    train(flowers, tmp_path / "next", dataclasses.replace(PROBE, pseudo=str(path)))
    pseudo([tmp_path / "cross", tmp_path / "next"], flowers, tmp_path / "again.npz", **EASY, reporter=reporter)
    line = f"runs have learned from {found.labelled} of the 9 photos of test: they repeat those labels"
    assert reporter.warnings == [line]


# ----------------------------------------------------------------------------------------------------------- refusals


def test_wishes_that_make_no_sense(finished, probed, flowers, tmp_path):
    out = tmp_path / "p.npz"
    for runs, how, wanted in (
        ([], {}, "pseudo needs at least two runs"),
        ([probed], {}, "pseudo needs at least two runs, each named once: one alone agrees with itself"),
        ([probed, probed], {}, "pseudo needs at least two runs"),
        ([probed, finished], {"confidence": 1.1}, r"--confidence is 1\.1; it must lie between 0 and 1"),
        ([probed, finished], {"quota": -1.0}, r"--quota is -1\.0; it must lie between 0 and 1000"),
        ([probed, finished], {"confidence": 1.0}, r"no photo of test gets a label \(0 of 9 .*lower --confidence"),
    ):
        with pytest.raises(WishError, match=wanted):
            pseudo(runs, flowers, out, **how)
    with pytest.raises(WishError, match=r"is a folder: name a file, such as .*pseudo\.npz"):
        pseudo([finished, probed], flowers, tmp_path)
    with pytest.raises(RunError, match="is no run folder"):
        pseudo([finished, tmp_path], flowers, out)
    assert not out.exists()


def test_a_photo_without_a_name_cannot_be_labelled(finished, probed, flowers, tmp_path):
    data = shutil.copytree(flowers, tmp_path / "data")
    write_shard(data / "test", 2, [dataclasses.replace(example(0, "test"), id="")])
    with pytest.raises(DataError, match="record 9 has no id"):
        pseudo([finished, probed], data, tmp_path / "p.npz", **EASY)
    assert not (tmp_path / "p.npz").exists()
