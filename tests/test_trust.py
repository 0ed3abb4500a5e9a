"""A temperature and a limit of what folds say of photos they have not seen, and the script that ships a model."""

import dataclasses
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from corolla import trust as module
from corolla.cross import cross
from corolla.errors import RunError
from corolla.identify import identify
from corolla.run import RunFolder
from corolla.shipped import CARD, load
from corolla.train import train
from corolla.trust import labelled, out_of_fold, trust
from flow import PROBE, write_flowers

pytestmark = pytest.mark.xdist_group("trust")


@pytest.fixture(scope="module")
def trained(flowers, tmp_path_factory):
    """A run on everything, and two folds' runs of the same settings."""
    folder = tmp_path_factory.mktemp("trained")
    settings = dataclasses.replace(PROBE, folds=2)
    cross(flowers, folder / "cross", settings, 2)
    train(flowers, folder / "run", dataclasses.replace(PROBE, folds=1))
    return folder


def test_what_folds_see_is_what_they_predicted(flowers, trained):
    folds = out_of_fold(trained / "cross", labelled(flowers, 32))
    wanted = RunFolder(trained / "cross").predictions("predictions")
    logits, labels = (np.concatenate([getattr(one.held, part) for one in folds]) for part in ("logits", "labels"))
    np.testing.assert_array_equal(labels, wanted.labels)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(weights / weights.sum(axis=1, keepdims=True), wanted.probabilities, atol=1e-3)


def test_what_is_believed(flowers, trained):
    found = trust(trained / "run", trained / "cross", flowers)
    assert found.known_refused <= 0.02 and 0.03 < found.calibration.temperature < 33
    assert found.calibration.n == len(RunFolder(trained / "cross").predictions("predictions").ids)
    kinds, features = found.open_set.known.means.shape
    assert kinds == 6 and features == len(found.open_set.known.middle)


def test_runs_of_other_data(trained, tmp_path, monkeypatch):
    other = write_flowers(tmp_path / "other")
    photos = labelled(other, 32)
    photos["val"] = dataclasses.replace(photos["val"], ids=[f"x{one}" for one in photos["val"].ids])
    with pytest.raises(
        RunError, match=r"fold-0 learned from other data: give the folder that the runs were trained on$"
    ):
        out_of_fold(trained / "cross", photos)


def script(name: str):
    """A program of scripts/ as a module."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_the_script_ships_a_model_with_its_card(flowers, trained, tmp_path, monkeypatch, capsys):
    from PIL import Image

    photos = tmp_path / "photos" / "daisy"
    photos.mkdir(parents=True)
    Image.new("RGB", (50, 40), (150, 90, 90)).save(photos / "one.png")
    words = ["ship.py", trained / "run", "--cross", trained / "cross", "--data", flowers, "--out", tmp_path / "out"]
    more = ["--photos", photos.parent, "--others", photos, "--score", "hours=2"]
    monkeypatch.setattr("sys.argv", [str(word) for word in words + more])
    script("ship").main()
    said, card = capsys.readouterr().out, (tmp_path / "out" / CARD).read_text("utf-8")
    assert "flowers104.npz" in said and "| hours | 2 |" in card and "{" not in card
    assert "| 1 full-size photos of known kinds" in card and "| 1 photos of other things |" in card
    for word in ("poisonous", "Apache-2.0", "Oxford 102", "tf_flowers", "wild rose", "Never seen"):
        assert word in card
    (answer,) = identify(None, [photos], place=tmp_path / "out")
    assert answer.unknown is not None and json.dumps(answer.to_json())
    assert load(tmp_path / "out").open_set.score == module.SCORE  # pyright: ignore
