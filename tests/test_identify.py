"""Names for photos: as the run's own predictions or the shipped model's, without JAX, from files and folders."""

import json
import subprocess
import sys

import numpy as np
import pytest

from corolla import classes, shipped
from corolla.cli import main
from corolla.errors import RunError, WishError
from corolla.identify import identify
from corolla.judge import judge
from corolla.open_set import Known, OpenSet
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
    ):
        with pytest.raises(kind, match=line):
            list(identify(finished, words))
    with pytest.raises(WishError, match=r"^--top 0: at least one guess a photo$"):
        list(identify(finished, [photos], top=0))
    with pytest.raises(RunError, match=r"is no run folder|cannot be read"):
        list(identify(tmp_path, [photos]))


# The shipped model ------------------------------------------------------------------------------------------------


@pytest.fixture
def own(monkeypatch, tmp_path):
    """An empty folder in the place of the package's model; called with a run and more, it is filled."""
    folder = tmp_path / "own"
    monkeypatch.setattr(shipped, "folder", lambda: folder)
    return lambda run, **more: shipped.pack(run, folder, **more)


def told(capsys, *words):
    """What a command prints, its errors and its exit code."""
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return *capsys.readouterr(), end.value.code


def open_set(limit):
    """Of a score that lies between 1 / 104 and 1."""
    features = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    return OpenSet("largest probability", limit, Known.of(features, np.arange(20) % 4))


def test_without_a_run_the_shipped_model_answers(finished, photos, own):
    own(finished)
    for found, wanted in zip(identify(None, [photos]), identify(finished, [photos]), strict=True):
        assert found.top[0].label == wanted.top[0].label and found.unknown is None
        assert found.top[0].probability == pytest.approx(wanted.top[0].probability, abs=5e-3)


def test_a_temperature_makes_it_surer_and_changes_no_order(finished, photos, own):
    own(finished, temperature=0.5)
    (found,), (plain,) = (list(identify(run, [photos / "000.jpg"], top=104)) for run in (None, finished))
    assert [one.label for one in found.top[:3]] == [one.label for one in plain.top[:3]]
    squares = np.array([one.probability for one in plain.top]) ** 2
    assert found.top[0].probability == pytest.approx(squares[0] / squares.sum(), abs=0.02)


@pytest.mark.parametrize(("limit", "unknown"), [(1.1, True), (0.0, False)])
def test_what_is_none_of_the_kinds_is_said(finished, photos, own, capsys, limit, unknown):
    own(finished, open_set=open_set(limit))
    out, _, code = told(capsys, "identify", photos / "000.jpg", "--top", 2)
    lines = out.splitlines()
    assert code == 0 and lines[0] == str(photos / "000.jpg") and len(lines) == 3 + unknown
    assert lines[1].startswith("  not one of mine (looks like one: 0.") == unknown
    (answer,) = json.loads(told(capsys, "identify", photos / "000.jpg", "--json")[0])
    assert set(answer) == {"path", "top", "unknown"} and answer["unknown"] is unknown and len(answer["top"]) == 5
    (of_run,) = json.loads(told(capsys, "identify", photos / "000.jpg", "--run", finished, "--json")[0])
    assert of_run["unknown"] is None


def test_a_package_without_a_model_says_so(photos, own, capsys):
    out, error, code = told(capsys, "identify", photos / "000.jpg")
    assert (out, code) == ("", 1)
    assert error == "corolla: this installation of Corolla holds no model of its own: name a run with --run RUN\n"


def test_what_is_no_photo_keeps_no_other_from_its_answer(finished, photos, tmp_path, capsys):
    broken, empty, good = tmp_path / "broken.jpg", tmp_path / "empty.jpg", photos / "000.jpg"
    broken.write_bytes(good.read_bytes()[:300])
    empty.write_bytes(b"")
    out, error, code = told(capsys, "identify", broken, good, empty, "--run", finished, "--top", 1)
    assert code == 1 and out.splitlines()[0] == str(good) and len(out.splitlines()) == 2
    assert [line.split(": ")[:2] for line in error.splitlines()] == [["corolla", str(broken)], ["corolla", str(empty)]]
    out, error, code = told(capsys, "identify", broken, good, empty, "--run", finished, "--json")
    first, second, third = json.loads(out)
    assert code == 1 and not error and "error" not in second and len(second["top"]) == 5
    assert first["top"] == [] and first["unknown"] is None and first["error"].startswith(f"{broken}: damaged")
    assert third["error"] == f"{empty}: no JPEG, PNG or WebP: convert it to one of these"
