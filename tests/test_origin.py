"""A run that starts from another: its backbone to the bit, at any size, known by its weights, not needed later."""

import dataclasses
import shutil

import numpy as np
import pytest

from corolla.backend import keras
from corolla.config import TrainSettings
from corolla.errors import RunError, WishError
from corolla.evaluate import evaluate
from corolla.interrupt import InterruptedRunError
from corolla.mesh import make_mesh
from corolla.origin import Origin, build_from, origin_of
from corolla.run import RunFolder, count_learned, hashes
from corolla.storage import any_path
from corolla.train import train
from fake_store import upload
from flow import PROBE, SETTINGS, Recorder, Stopper, assert_same_run

pytestmark = pytest.mark.xdist_group("runs")


def backbone_of(run) -> dict[str, np.ndarray]:
    """A run's best weights but for the head."""
    return {name: value for name, value in RunFolder(run).best().arrays.items() if name[:5] not in ("head/", "val_l")}


def from_run(run, settings: TrainSettings = PROBE, **changes) -> TrainSettings:
    return dataclasses.replace(settings, weights=str(run), **changes)


def assert_same_backbone(one, other) -> None:
    first, second = backbone_of(one), backbone_of(other)
    assert first.keys() == second.keys() and len(first) > 20
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


@pytest.fixture(scope="module")
def begun(flowers, finished, tmp_path_factory):
    """A probe that started from a copy of the finished run, which is gone since; and what was told."""
    parent, told = tmp_path_factory.mktemp("begun"), Recorder()
    first = shutil.copytree(finished, parent / "first")
    train(flowers, parent / "run", from_run(first), told)
    shutil.rmtree(first)
    return parent / "run", told


def test_the_backbone_is_taken_over_to_the_bit(begun, finished, probed):
    run, told = begun
    assert_same_backbone(run, finished)
    assert any((value != backbone_of(probed)[name]).any() for name, value in backbone_of(run).items())
    assert told.warnings == []  # the validation split has taught neither


def test_the_head_is_that_of_a_probe_on_its_features(flowers, begun, finished):
    """As if the backbone had been given as a file of Keras."""
    run, _ = begun
    kernel = RunFolder(run).best().arrays["head/kernel"]
    assert np.abs(kernel).sum() > 1 and (kernel != RunFolder(finished).best().arrays["head/kernel"]).any()
    file = run.parent / "backbone.weights.h5"
    model, _ = build_from(origin_of(from_run(finished)), from_run(finished), 104, make_mesh())
    keras.Model(model.inputs, model.get_layer("head").input).save_weights(file)
    train(flowers, run.parent / "by file", dataclasses.replace(PROBE, weights=str(file)))
    one, other = (RunFolder(folder).predictions("predictions") for folder in (run, run.parent / "by file"))
    np.testing.assert_array_equal(one.probabilities, other.probabilities)


def test_the_run_stands_alone(flowers, begun):
    """What it started from is gone."""
    scores, _ = evaluate(begun[0], flowers)
    assert scores.loss == pytest.approx(RunFolder(begun[0]).scores()["loss"], rel=1e-5)


def test_another_size(flowers, finished, tmp_path):
    train(flowers, tmp_path / "run", from_run(finished, image_size=48))
    assert_same_backbone(tmp_path / "run", finished)
    assert RunFolder(tmp_path / "run").settings().image_size == 48


def test_a_run_in_a_store(fake_store, finished):
    upload(finished, "fake://bucket/runs/a")
    near, far = (origin_of(from_run(path)) for path in (finished, any_path("fake://bucket/runs/a")))
    assert near and far and near.fingerprint() == far.fingerprint() and far.path == "fake://bucket/runs/a"


@pytest.mark.parametrize("loop", ["jax", "keras"])
def test_the_same_weights_elsewhere_take_it_up_and_others_are_refused(flowers, finished, probed, tmp_path, loop):
    settings = dataclasses.replace(SETTINGS, epochs=1, loop=loop)
    first = shutil.copytree(finished, tmp_path / "first")
    train(flowers, tmp_path / "whole", from_run(first, settings))
    with pytest.raises(InterruptedRunError, match=r"stopped at epoch 1, step 1"):
        train(flowers, tmp_path / "run", from_run(first, settings), Stopper())
    shutil.move(first, tmp_path / "moved")
    shutil.copytree(probed, first)
    with pytest.raises(WishError, match=rf"began with other weights than those of {first}: choose another --out, or"):
        train(flowers, tmp_path / "run", from_run(first, settings))
    with pytest.raises(WishError, match=r"other settings \(weights was .*, is none\): choose another --out"):
        train(flowers, tmp_path / "run", settings)
    train(flowers, tmp_path / "run", from_run(tmp_path / "moved", settings))
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_a_run_without_another_is_not_taken_up_with_its_weights(flowers, finished, probed):
    with pytest.raises(WishError, match=r"other settings \(weights was none, is .*\): choose another --out"):
        train(flowers, finished, from_run(probed, SETTINGS))


# ---------------------------------------------------------------------------------------------- what it has seen


def test_what_the_first_run_learned_from_is_known_of_the_second(flowers, finished, tmp_path):
    """And warned of where it judges: here train and val have changed places; a fold that judges is one too."""
    turned = tmp_path / "data"
    for split, other in (("train", "val"), ("val", "train")):
        shutil.copytree(flowers / split, turned / other)
    told = Recorder()
    train(turned, tmp_path / "run", from_run(finished), told)
    line = f"{finished}, whose weights this run starts from, has learned from 30 of the 30 records that judge"
    assert told.warnings == [f"{line}: scores will be too good"]
    ids = [f"{split}{i:03d}" for split, n in (("train", 30), ("val", 26)) for i in range(n)]
    assert count_learned(RunFolder(tmp_path / "run").learned(), ids) == 56


@pytest.mark.parametrize(("folds", "warnings"), [(2, 1), (1, 0)])
def test_folds_that_the_first_run_has_seen(flowers, finished, tmp_path, folds, warnings):
    told = Recorder()
    train(flowers, tmp_path / "run", from_run(finished, folds=folds), told)
    judged = RunFolder(tmp_path / "run").predictions("predictions").ids
    of = f"has learned from {sum(name.startswith('train') for name in judged)} of the {len(judged)} records that judge"
    assert sum(of in line for line in told.warnings) == warnings == sum("that judge" in line for line in told.warnings)


# --------------------------------------------------------------------------------------------------- bad wishes


def test_no_run_unfinished_damaged_or_of_another_model(flowers, finished, tmp_path):
    unfinished, damaged = (shutil.copytree(finished, tmp_path / name) for name in ("unfinished", "damaged"))
    (unfinished / "scores.json").unlink()
    arrays = next((damaged / "best").iterdir()) / "arrays.npz"
    arrays.write_bytes(arrays.read_bytes()[:-1])
    (tmp_path / "empty").mkdir()
    other = from_run(finished, model="efficientnet_lite0")
    for settings, kind, line in (
        (from_run(tmp_path / "empty"), RunError, r"empty is no run folder \(it holds no config.json\)"),
        (
            from_run(tmp_path / "nowhere"),
            WishError,
            "weights must be 'imagenet', 'none', a file or a run folder, not",
        ),
        (from_run(unfinished), RunError, r"unfinished is not finished: let `corolla train` finish it first"),
        (from_run(damaged), RunError, r"arrays.npz is damaged: "),
        (other, WishError, r" is a run of micro, not of efficientnet_lite0: wish --model micro, or other --weights"),
    ):
        with pytest.raises(kind, match=line) as raised:
            train(flowers, tmp_path / "run", settings)
        assert "\n" not in str(raised.value) and not (tmp_path / "run").exists()


def test_weights_that_depend_on_the_size_are_named_so(finished):
    origin = origin_of(from_run(finished))
    assert origin is not None
    name = next(name for name in origin.weights if name.endswith("stem/kernel"))
    broken = dataclasses.replace(origin, weights=origin.weights | {name: np.zeros((1, 2))})
    line = rf"the weight {name} has shape \(1, 2\), not .*: these are the weights of another model"
    with pytest.raises(RunError, match=rf"{line}$"):
        build_from(broken, PROBE, 104, make_mesh())
    with pytest.raises(WishError, match=rf"{line}: it may have others at 48 px, and the run has 32 px: try its own"):
        build_from(broken, dataclasses.replace(PROBE, image_size=48), 104, make_mesh())


def test_a_fingerprint_is_of_every_value():
    arrays = {"a/kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "b/bias": np.zeros(3, np.float32)}
    known = Origin("here", 32, arrays, hashes([])).fingerprint()
    assert Origin("there", 48, dict(reversed(arrays.items())), hashes(["x"])).fingerprint() == known
    changed = [
        {**arrays, "b/bias": np.float32([0, 0, 1e-30])},
        {**arrays, "a/kernel": arrays["a/kernel"].reshape(3, 2)},
        {"a/kernel": arrays["a/kernel"], "c/bias": arrays["b/bias"]},
        {**arrays, "b/bias": np.zeros(3, np.int32)},
    ]
    assert all(Origin("here", 32, other, hashes([])).fingerprint() != known for other in changed)
