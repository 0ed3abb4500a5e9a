"""Soft labels and pseudo-labels: what files of predictions become, what is refused, and what a training learns."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corolla import soft
from corolla.config import Augmentation
from corolla.cross import cross
from corolla.errors import CorollaError, DataError, RunError, WishError
from corolla.losses import Objective, soft_targets
from corolla.mesh import make_mesh
from corolla.network import build, learner_of
from corolla.order import Lanes, epoch_order
from corolla.resident import ResidentFeed, StreamFeed
from corolla.run import Predictions, RunFolder, fingerprint, hashes
from corolla.share import digests
from corolla.step import gather, train_steps
from corolla.train import train
from corolla.types import Photos
from flow import (
    CLASSES,
    PROBE,
    SETTINGS,
    SIDE,
    Recorder,
    assert_equal_trees,
    assert_same_run,
    photos,
    small_learner,
    softened,
    start,
    without_seconds,
)

pytestmark = pytest.mark.xdist_group("soft")
MESH = make_mesh()


def predictions(ids: list[str], classes: int = CLASSES, seed: int = 0) -> Predictions:
    """What somebody says of photos: any probabilities, and labels."""
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(classes), len(ids)).astype(np.float32)
    return Predictions(ids, random.integers(0, classes, len(ids)).astype(np.int32), probabilities)


def written(path: Path, told: Predictions) -> str:
    told.write(path)
    return str(path)


# ------------------------------------------------------------------------------------------------------------ targets


@given(st.integers(1, 12), st.integers(0, 12), st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 99))
def test_targets_are_shares_of_label_and_probabilities(n, strangers, share, seed):
    """Of photos that the file knows; the others teach their label; photos without a name are nobody's."""
    given = photos(n, seed=seed)
    given.ids[0] = ""
    known = np.random.default_rng(seed).permutation(n)[: n // 2 + 1]
    told = predictions([given.ids[i] for i in known] + [f"x{i}" for i in range(strangers)], seed=seed)
    if not any(told.ids[: len(known)]):
        with pytest.raises(WishError, match="holds no id of the"):
            soft.with_targets(given, told, share, "f.npz")
        return
    found, count = soft.with_targets(given, told, share, "f.npz")
    assert count == sum(bool(given.ids[i]) for i in known) and found.targets.dtype == np.float32
    np.testing.assert_allclose(found.targets.sum(axis=1), 1, rtol=1e-5)
    for i, name in enumerate(given.ids):
        own = np.eye(CLASSES)[given.labels[i]]
        if name and name in told.ids:
            own = (1 - share) * own + share * told.probabilities[told.ids.index(name)]
        np.testing.assert_allclose(found.targets[i], own, atol=1e-6)
    assert found.images is given.images and found.labels is given.labels


def test_smoothing_keeps_the_mass_of_targets():
    targets = softened(photos(9)).targets
    found = np.asarray(soft_targets(targets, CLASSES, 0.1))
    np.testing.assert_allclose(found, 0.9 * targets + 0.1 / CLASSES, rtol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)


def test_other_targets_are_other_data():
    given = photos(5)
    prints = [
        fingerprint(one, digests(one, MESH, 2))["sha256"] for one in (given, softened(given), softened(given, seed=1))
    ]
    assert len(set(prints)) == 3


# -------------------------------------------------------------------------------------------------------------- feeds


@pytest.mark.parametrize("mixes", [False, True])
def test_a_stream_hands_out_the_same_targets(mixes):
    data, lanes = softened(photos(23)), Lanes(23, 5)
    feeds = [ResidentFeed(MESH, lanes, data), StreamFeed(MESH, lanes, data, 2 * 5 * SIDE * SIDE * 3, mixes)]
    read, seen = jax.jit(gather, static_argnums=3), []
    for feed in feeds:
        feed.start(epoch_order(lanes, 3, 1))
        parts = [feed.take(step, step + 1) for step in range(lanes.steps)]
        seen.append([jax.device_get(read(part.pixels, part.steps, part.first, mixes)) for part in parts])
    rows = lanes.place(np.arange(23) + 1)
    for step, (one, other) in enumerate(zip(*seen, strict=True)):
        real = one.weights > 0
        np.testing.assert_array_equal(one.labels[real], other.labels[real])
        own = np.take_along_axis(rows, epoch_order(lanes, 3, 1).picks, axis=1)[:, step] - 1
        np.testing.assert_array_equal(one.labels[:5][real[:5]], data.targets[own[real[:5]]])
        if mixes:
            for first, second in zip(one.others, other.others, strict=True):
                np.testing.assert_array_equal(first[real], second[real])


HOWS = {
    "plain": Augmentation(crop_area=0.5, flip=True),
    "mixed": Augmentation(mixup=0.4, cutmix=1.0),
}


def epoch_of(data: Photos, how: Augmentation, **changes):
    """State and sums after an epoch of five steps, the last of them padded."""
    lanes, learner = Lanes(len(data), 5), small_learner(augmentation=how, **changes)
    feed = ResidentFeed(MESH, lanes, data)
    feed.start(epoch_order(lanes, 0, 1))
    return jax.device_get(train_steps(learner, MESH)(*start(learner), *feed.take(0, lanes.steps)))


@pytest.mark.parametrize("how", HOWS)
def test_targets_that_are_labels_teach_what_labels_teach(how):
    """A share of 0; with logits moved in the loss too, and confusion counted by the largest target."""
    data, told = photos(23), predictions([f"photo{i}" for i in range(23)])
    same, _ = soft.with_targets(data, told, 0.0, "f.npz")
    offset = (0.3, 0.0, -0.2, 0.1, 0.0)
    one, other = (epoch_of(each, HOWS[how], objective=Objective(0.1, offset)) for each in (data, same))
    assert_equal_trees(one, other, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(one[1].confusion, other[1].confusion)
    moved = epoch_of(soft.with_targets(data, told, 1.0, "f.npz")[0], HOWS[how], objective=Objective(0.1, offset))
    assert abs(float(moved[1].loss - one[1].loss)) > 0.1 and float(moved[1].weight) == 23


# ------------------------------------------------------------------------------------------------------------ refusals


def broken(told: Predictions, fault: str) -> Predictions:
    probabilities = told.probabilities.copy()
    if fault == "not finite":
        probabilities[1, 2] = np.nan
    elif fault == "negative":
        probabilities[1] = [-0.5, 1.5, 0, 0, 0]
    elif fault == "a sum":
        probabilities[1] *= 0.9
    changes = {
        "twice": {"ids": [told.ids[0], *told.ids[:-1]]},
        "a label": {"labels": told.labels + CLASSES},
        "no label": {"labels": told.labels - CLASSES},
        "floats": {"labels": told.labels + 0.5},
        "rows": {"ids": told.ids[:-1]},
        "none": {"probabilities": np.zeros((len(told.ids), CLASSES), np.float32)},
    }
    return told._replace(**changes.get(fault, {"probabilities": probabilities}))


@pytest.mark.parametrize(
    ("fault", "wanted"),
    [
        ("not finite", "holds probabilities that are negative or do not sum to 1"),
        ("negative", "holds probabilities that are negative or do not sum to 1"),
        ("a sum", "holds probabilities that are negative or do not sum to 1"),
        ("none", "holds probabilities that are negative or do not sum to 1"),
        ("twice", "holds 1 ids twice"),
        ("a label", "holds labels that do not lie between 0 and 4"),
        ("no label", "holds labels that do not lie between 0 and 4"),
        ("floats", "holds labels that do not lie between 0 and 4"),
        ("rows", "ids, labels and probabilities are not of the same records"),
    ],
)
def test_what_is_no_prediction(tmp_path, fault, wanted):
    path = written(tmp_path / "f.npz", broken(predictions(list("abcd")), fault))
    with pytest.raises(DataError) as raised:
        soft.read(path, CLASSES)
    assert wanted in str(raised.value) and str(raised.value).startswith(path) and "\n" not in str(raised.value)


def test_another_number_of_classes(tmp_path):
    with pytest.raises(WishError, match=r"f\.npz tells 5 classes apart, not 104: give a predictions\.npz, or what"):
        soft.read(written(tmp_path / "f.npz", predictions(["a"])), 104)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04", b"id,label\na,0\n", "array", "others"])
def test_what_is_no_such_file(tmp_path, content):
    path = tmp_path / "f.npz"
    if content == "array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif content == "others":
        np.savez(path, hashes=np.zeros(3))
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(RunError, match=r"f\.npz is missing or damaged: give a predictions\.npz"):
        soft.read(str(path), CLASSES)


def test_what_is_read_is_what_was_written(tmp_path):
    told = predictions(["ä", "b", ""])
    found = soft.read(written(tmp_path / "f.npz", told), CLASSES)
    assert found.ids == told.ids and found.labels.dtype == np.int32
    np.testing.assert_array_equal(found.labels, told.labels)
    np.testing.assert_allclose(found.probabilities, told.probabilities, rtol=1e-6)


# -------------------------------------------------------------------------------------------------------- whole runs


TRAIN, VAL, TEST = ([f"{name}{i:03d}" for i in range(n)] for name, n in (("train", 30), ("val", 26), ("test", 9)))


def teacher(ids: list[str], seed: int = 0) -> Predictions:
    """Probabilities over all 104 kinds, most of them on the label that the data have too."""
    told = predictions(ids, 104, seed)
    labels = np.array([int(name[-3:]) % 6 for name in ids], np.int32)
    even = 0.6 * np.eye(104, dtype=np.float32)[labels] + 0.4 * told.probabilities
    return Predictions(ids, labels, even)


@pytest.fixture(scope="module")
def taught(flowers, tmp_path_factory):
    """Settings of runs that learn from soft labels of most records and from pseudo-labels, and one such run."""
    folder = tmp_path_factory.mktemp("taught")
    soft_labels = written(folder / "soft.npz", teacher([*TRAIN[4:], *VAL, TEST[2]]))
    pseudo = written(folder / "pseudo.npz", teacher([TEST[5], TEST[2]], seed=1))
    settings = dataclasses.replace(SETTINGS, soft_labels=soft_labels, soft_share=0.7, pseudo=pseudo)
    reporter = Recorder()
    train(flowers, folder / "run", settings, reporter)
    return settings, folder / "run", reporter


def test_a_run_says_what_it_learns_from(taught, finished):
    settings, run, reporter = taught
    assert f"{settings.pseudo}: 2 of 9 photos of test teach too" in reporter.notes
    assert f"{settings.soft_labels}: soft labels for 27 of 32 records that teach" in reporter.notes
    assert "reading test" in reporter.stages
    stored = json.loads((run / "config.json").read_text())["data"]
    assert (stored["train"]["records"], stored["val"]["records"]) == (32, 26)
    assert stored["val"] == json.loads((finished / "config.json").read_text())["data"]["val"]
    assert set(RunFolder(run).learned()) == set(hashes([*TRAIN, TEST[2], TEST[5]]))
    assert RunFolder(run).predictions("predictions").ids == VAL


def test_streaming_gives_the_same_run(flowers, taught, tmp_path):
    settings, run, _ = taught
    train(flowers, tmp_path / "run", dataclasses.replace(settings, resident="no"))
    assert_same_run(tmp_path / "run", run)


def test_both_loops_end_with_the_same_variables(flowers, taught, tmp_path):
    settings, run, _ = taught
    train(flowers, tmp_path / "run", dataclasses.replace(settings, loop="keras"))
    one, other = (RunFolder(folder).newest_checkpoint()[0] for folder in (run, tmp_path / "run"))
    assert one.number == other.number == 6 and one.arrays.keys() == other.arrays.keys()
    for name, value in one.arrays.items():
        assert np.linalg.norm(other.arrays[name] - value) <= 2e-5 * np.linalg.norm(value) + 1e-7, name
    lines = (without_seconds(RunFolder(folder).metrics()) for folder in (run, tmp_path / "run"))
    for line, same in zip(*lines, strict=True):
        for one in (line, same):  # one of the 96 images may be told apart by nothing but rounding
            one["train_macro_f1"] = round(one["train_macro_f1"], 1)
        assert line == pytest.approx(same, rel=1e-4)


def test_a_share_of_nothing_is_the_run_without(flowers, finished, taught, tmp_path):
    settings = dataclasses.replace(taught[0], soft_share=0.0, pseudo=None)
    train(flowers, tmp_path / "run", settings)
    one, other = (RunFolder(folder).newest_checkpoint()[0] for folder in (finished, tmp_path / "run"))
    for name, value in one.arrays.items():
        np.testing.assert_allclose(other.arrays[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("which", ["soft_labels", "pseudo"])
def test_another_file_under_the_same_name_is_another_run(flowers, taught, tmp_path, which):
    settings = dataclasses.replace(PROBE, **{which: getattr(taught[0], which)})
    moved = tmp_path / "f.npz"
    moved.write_bytes(Path(getattr(settings, which)).read_bytes())
    settings = dataclasses.replace(settings, **{which: str(moved)})
    train(flowers, tmp_path / "run", settings)
    told = soft.read(str(moved), 104)
    written(moved, told._replace(labels=told.labels[::-1], probabilities=told.probabilities[::-1]))
    with pytest.raises(WishError, match="holds a run on other data: choose another --out"):
        train(flowers, tmp_path / "run", settings)


def test_pseudo_labels_teach_in_every_fold_and_judge_in_none(flowers, taught, tmp_path):
    settings = dataclasses.replace(PROBE, pseudo=taught[0].pseudo)
    cross(flowers, tmp_path / "cross", settings, folds=2)
    known = set(hashes([TEST[2], TEST[5]]).tolist())
    for fold in range(2):
        run = RunFolder(tmp_path / "cross" / f"fold-{fold}")
        assert known <= set(run.learned().tolist())
        assert not set(run.predictions("predictions").ids) & set(TEST)
    assert sorted(RunFolder(tmp_path / "cross").predictions("predictions").ids) == sorted([*TRAIN, *VAL])


@pytest.mark.parametrize(
    ("which", "ids", "error", "wanted"),
    [
        ("soft_labels", VAL, WishError, "holds no id of the 30 records that teach: was it made on other data?"),
        ("pseudo", [TEST[0], "test999"], WishError, "names 1 photos that are not in test, such as 'test999'"),
        ("pseudo", [TEST[0], ""], WishError, "names 1 photos that are not in test, such as ''"),
        ("pseudo", [TEST[0], TRAIN[3]], WishError, "names 1 photos of train, such as 'train003': pseudo-labels are"),
        ("pseudo", [TEST[0], VAL[3], VAL[4]], WishError, "names 2 photos of val, such as 'val003': pseudo-labels are"),
        ("pseudo", [], WishError, "names no photo"),
    ],
)
def test_files_that_do_not_belong_to_the_data(flowers, tmp_path, which, ids, error, wanted):
    ids = [name or "" for name in ids]
    told = predictions(ids, 104)
    settings = dataclasses.replace(PROBE, **{which: written(tmp_path / "f.npz", told)})
    with pytest.raises(error) as raised:
        train(flowers, tmp_path / "run", settings)
    assert str(raised.value).startswith(str(tmp_path / "f.npz")) and wanted in str(raised.value)
    assert isinstance(raised.value, CorollaError) and not (tmp_path / "run").exists()


def test_a_file_that_is_none_is_refused_before_any_photo_is_read(flowers, tmp_path):
    reporter = Recorder()
    for which in ("soft_labels", "pseudo"):
        with pytest.raises(RunError, match=r"none\.npz is missing or damaged"):
            train(
                flowers, tmp_path / "run", dataclasses.replace(PROBE, **{which: str(tmp_path / "none.npz")}), reporter
            )
    assert reporter.stages == [] and not (tmp_path / "run").exists()


# --------------------------------------------------------------------------------------------- learning from a teacher


def test_a_model_learns_from_soft_labels_alone():
    """`micro`, told nothing but a teacher's probabilities: the labels are noise, their share is 0."""
    data = photos(40, side=32)
    noise = dataclasses.replace(data, labels=np.random.default_rng(5).integers(0, CLASSES, 40).astype(np.int32))
    sure = 0.8 * np.eye(CLASSES, dtype=np.float32)[data.labels] + 0.2 / CLASSES
    given, known = soft.with_targets(noise, Predictions(data.ids, noise.labels, sure), 1.0, "f.npz")
    assert known == 40
    changes = {"batch_size": 8, "train_blocks": -1, "batch_norm": "batch", "dropout": 0.0, "label_smoothing": 0.0}
    model, settings = build(dataclasses.replace(SETTINGS, learning_rate=0.01, **changes), CLASSES, MESH)
    learner = learner_of(settings, model, given.labels)
    learner.optimizer.total_steps.assign(100)
    feed, program = ResidentFeed(MESH, Lanes(40, 8), given), train_steps(learner, MESH)
    state, loss = start(learner)[0], []
    for epoch in range(20):
        feed.start(epoch_order(feed.lanes, 0, epoch))
        state, sums = program(state, start(learner)[1], *feed.take(0, 5))
        loss.append(float(sums.loss) / 40)
    right = int(np.trace(np.asarray(sums.confusion)))  # counted against the teacher's labels
    assert loss[-1] < loss[0] - 0.3 and right >= 32
