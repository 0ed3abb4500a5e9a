"""Names for photos: as the run's own predictions, without JAX, from files and folders."""

import json
import subprocess
import sys

import numpy as np
import pytest

from corolla import classes
from corolla.errors import DataError, RunError, WishError
from corolla.identify import identify
from corolla.judge import judge
from corolla.records.shards import find_split, read_split
from corolla.reporter import SILENT
from corolla.run import RunFolder


@pytest.fixture(scope="module")
def photos(flowers, tmp_path_factory):
    """The validation photos as files, in the order of the records."""
    folder = tmp_path_factory.mktemp("photos")
    for number, found in enumerate(read_split(find_split(flowers, "val"), labels="need")):
        (folder / f"{number:03}.jpg").write_bytes(found.example.image)
    return folder


def test_a_run_says_of_photos_what_it_says_of_records(flowers, finished, photos):
    judged = judge(finished, flowers, "val", "none", "fail", labels=True, reporter=SILENT)
    answers = list(identify(finished, [photos], top=104))
    assert [answer.path.name for answer in answers] == sorted(path.name for path in photos.iterdir())
    for answer, wanted in zip(answers, judged.probabilities, strict=True):
        found = np.zeros(104)
        for guess in answer.top:
            found[guess.label] = guess.probability
            assert guess.name == classes.NAMES[guess.label]
        np.testing.assert_allclose(found, wanted, atol=2e-3)
        assert [guess.probability for guess in answer.top] == sorted(found, reverse=True)


def test_the_command_needs_neither_jax_nor_keras(finished, photos):
    program = f"""
import sys
from corolla.cli import main
try:
    main(["identify", {str(photos / "000.jpg")!r}, "--run", {str(finished)!r}, "--top", "2", "--json"])
except SystemExit as end:
    assert not end.code
assert not {{"jax", "keras", "scipy"}} & set(sys.modules), "too much was imported"
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)
    assert answer["path"] == str(photos / "000.jpg") and len(answer["top"]) == 2
    assert set(answer["top"][0]) == {"label", "name", "probability"}


def test_a_model_without_a_graph_answers_through_jax(finished, photos, monkeypatch):
    with_graph = list(identify(finished, [photos / "000.jpg"]))
    monkeypatch.setattr(RunFolder, "graph", lambda self: None)
    (without,) = identify(finished, [photos / "000.jpg"])
    assert [guess.label for guess in without.top] == [guess.label for guess in with_graph[0].top]
    assert without.top[0].probability == pytest.approx(with_graph[0].top[0].probability, abs=1e-4)


def test_what_makes_no_sense(finished, photos, tmp_path):
    for words, kind, line in (
        ([tmp_path / "none.jpg"], WishError, "none.jpg: there is no such photo$"),
        ([tmp_path], WishError, "holds no photos"),
        ([finished / "labels.json"], DataError, "labels.json: no JPEG, PNG or WebP"),
    ):
        with pytest.raises(kind, match=line):
            list(identify(finished, words))
    with pytest.raises(WishError, match=r"^--top 0: at least one guess a photo$"):
        list(identify(finished, [photos], top=0))
    with pytest.raises(RunError, match=r"is no run folder|cannot be read"):
        list(identify(tmp_path, [photos]))
