"""The page tells what the run folders tell, needs nothing else, is the same every time; bad input is one line."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import tyro

from corolla import classes
from corolla.cli import main
from corolla.config import TrainSettings, words
from corolla.errors import DataError, RunError, WishError
from corolla.report import report
from corolla.report.reading import read
from corolla.run import RunFolder
from flow import SETTINGS, Recorder, write_flowers
from tiny import write_tiny

pytestmark = pytest.mark.xdist_group("runs")

EVIL = '<script>alert("1")</script>'
VOID = {"meta", "img", "input", "path", "rect", "circle", "br"}


class Parsed(HTMLParser):
    """Elements of a page, in order, with their attributes; refuses what is not closed."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(page.decode())
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def of(self, tag: str, kind: str | None = None) -> list[dict[str, str | None]]:
        return [more for name, more in self.found if name == tag and (kind is None or more.get("class") == kind)]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def made(finished, flowers, tmp_path_factory):
    """A report with photos, and its page."""
    out = tmp_path_factory.mktemp("report") / "report.html"
    reporter = Recorder()
    return report([finished], flowers, out, reporter=reporter), out.read_bytes(), reporter


def test_it_holds_every_section_with_the_runs_numbers(made, finished):
    _, page, _ = made
    parsed, scores = Parsed(page), RunFolder(finished).scores()
    text = parsed.text
    for number in (f"{scores['macro_f1']:.4f}", f"{scores['macro_f1_present']:.4f}", f"{scores['accuracy']:.2%}"):
        assert number in text
    names = [more["id"] for more in parsed.of("section") if more.get("id")]
    wanted = ["training", "time", "classes", "matrix", "pairs", "reliability", "mistakes", "looks", "repeat"]
    assert names == wanted
    assert [more["href"] for more in parsed.of("a")] == [f"#{name}" for name in wanted]
    assert "corolla train DATA --out RUN --model micro" in text
    assert len(page) < 8_000_000


def test_the_matrix_has_a_square_for_each_kind_of_answer(made, finished):
    _, page, _ = made
    told = RunFolder(finished).predictions("predictions")
    pairs = {*zip(told.labels.tolist(), told.probabilities.argmax(axis=1).tolist(), strict=True)}
    squares = [more for more in Parsed(page).of("rect") if "opacity" in more]
    assert len(squares) == len(pairs)


def test_every_mistake_has_a_card_with_photos_and_neighbours(made, finished):
    result, page, reporter = made
    told = RunFolder(finished).predictions("predictions")
    wrong = told.probabilities.argmax(axis=1) != told.labels
    cards = page.decode().split('class="card"')[1:]
    assert len(cards) == wrong.sum() > 3
    sure = [each["probability"] for each in result.to_json()["runs"][0]["mistakes"]]
    assert sure == sorted(sure, reverse=True)
    for card, each in zip(cards, result.to_json()["runs"][0]["mistakes"], strict=True):
        assert f"record {each['id']}<" in card and classes.NAMES[each["label"]] in card
        assert card.split('<div class="card')[0].count("data:image/jpeg") >= 4  # its photo and three that taught
    assert {"reading val", "reading train", "predicting with run"} <= set(reporter.stages)


def test_the_nearest_are_those_of_the_features(made, finished, flowers):
    """By another way: Keras' own prediction of the same features."""
    from corolla.mesh import make_mesh
    from corolla.network import feature_model, trained
    from corolla.report.looking import nearest
    from corolla.report.photos import Album
    from corolla.reporter import SILENT

    (told,) = read([finished])
    album = Album(flowers, SILENT)
    image = album.judge(told, {0})[0]
    taught = album.taught(told, range(6), 600)
    assert len(taught) == 30 and all(each.id.startswith("train") for each in taught)
    assert len(album.taught(told, range(3), 6)) == 6
    (found,) = nearest(told.runs[0], [image], taught, SILENT)
    model = feature_model(trained(RunFolder(finished), make_mesh()))
    seen = model.predict(np.stack([image, *(each.image for each in taught)]).astype(np.float32), verbose=0)
    seen = seen / np.linalg.norm(seen, axis=1, keepdims=True)
    alike = seen[1:] @ seen[0]
    assert [each.similarity for each in found] == pytest.approx(np.sort(alike)[::-1][:3], abs=1e-3)


def test_it_needs_nothing_else(made):
    """No address but the name of SVG's own words, nothing to be fetched, and images have words beside them."""
    _, page, _ = made
    parsed = Parsed(page)
    assert set(re.findall(rb"https?://[^\"'\s<)]+", page)) == {b"http://www.w3.org/2000/svg"}
    for tag, more in parsed.found:
        for name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            assert (more.get(name) or "#").startswith(("data:image/jpeg;base64,", "#")), (tag, name)
        assert not any(name.startswith("on") for name in more)
    assert not parsed.of("link") and not parsed.of("iframe") and b"url(" not in page and b"@import" not in page
    images = parsed.of("img")
    assert images and all(more.get("alt") for more in images)
    assert all(more.get("aria-label") or more.get("aria-hidden") for more in parsed.of("svg"))
    assert all(more.get("scope") for more in parsed.of("th"))


def test_the_same_run_gives_the_same_bytes(made, finished, flowers, tmp_path):
    _, page, _ = made
    report([finished], flowers, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == page


def test_without_data_it_says_so(finished, tmp_path):
    report([finished], out=tmp_path / "report.html")
    parsed = Parsed((tmp_path / "report.html").read_bytes())
    assert parsed.text.count("Without --data DATA there are no photos here.") == 2 and not parsed.of("img")


def test_without_data_neither_jax_nor_keras_is_imported(finished, tmp_path):
    program = f"""
import sys
from corolla.report import report
report([{str(finished)!r}], out={str(tmp_path / "r.html")!r})
assert not {{"jax", "keras"}} & set(sys.modules), "too much was imported"
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the finished run, to be changed."""
    return shutil.copytree(finished, tmp_path / "changed")


def test_names_that_would_be_markup_are_text(run, flowers, tmp_path):
    names = [EVIL, *json.loads((run / "labels.json").read_text())[1:]]
    (run / "labels.json").write_text(json.dumps(names))
    scores = json.loads((run / "scores.json").read_text())
    for row in scores["per_class"]:
        row["name"] = names[row["label"]]
    (run / "scores.json").write_text(json.dumps(scores))
    report([run], flowers, tmp_path / "r.html", compared=0)
    page = (tmp_path / "r.html").read_bytes()
    assert EVIL.encode() not in page and b"&lt;script&gt;alert(&quot;1&quot;)" in page
    assert page.count(b"<script>") == 1 and EVIL in Parsed(page).text


# Several runs -----------------------------------------------------------------------------------------------------


def test_runs_are_compared_on_the_same_records(finished, probed, tmp_path):
    from corolla import metrics

    made = report([finished, probed], out=tmp_path / "r.html")
    (found,) = made.differences
    one, two = (RunFolder(path).predictions("predictions") for path in (finished, probed))
    predicted = [told.probabilities.argmax(axis=1) for told in (one, two)]
    gain, between = metrics.paired_difference(one.labels, *predicted, 104)
    assert found is not None and (found.macro_f1_present, found.interval) == (gain, between)
    right = [each == one.labels for each in predicted]
    assert found.only_this_right == (right[1] & ~right[0]).sum()
    parsed = Parsed((tmp_path / "r.html").read_bytes())
    assert f"{gain:+.4f}" in parsed.text and len({more["id"] for _, more in parsed.found if more.get("id")}) == len(
        [more["id"] for _, more in parsed.found if more.get("id")]
    )


def test_runs_that_judged_other_records_are_only_put_side_by_side(finished, run, tmp_path):
    told = RunFolder(run).predictions("predictions")
    RunFolder(run).write_predictions("predictions", [f"x{i}" for i in told.ids], told.labels, told.probabilities)
    assert report([finished, run], out=tmp_path / "r.html").differences == [None]
    assert "judged by other records" in Parsed((tmp_path / "r.html").read_bytes()).text


def test_records_may_stand_in_another_order(finished, run, tmp_path):
    told, turned = RunFolder(run).predictions("predictions"), slice(None, None, -1)
    RunFolder(run).write_predictions("predictions", told.ids[turned], told.labels[turned], told.probabilities[turned])
    (found,) = report([finished, run], out=tmp_path / "r.html").differences
    assert found is not None and found.macro_f1_present == found.only_this_right == found.only_other_right == 0


def test_names_of_runs_of_one_name_are_their_paths(finished, probed, tmp_path):
    report([finished, probed], out=tmp_path / "r.html")
    text = Parsed((tmp_path / "r.html").read_bytes()).text
    assert str(finished) in text and str(probed) in text


def test_a_cross_validation_is_one_run_with_several_histories(flowers, tmp_path):
    from corolla.cross import cross

    cross(flowers, tmp_path / "cv", replace(SETTINGS, epochs=1), 2)
    made = report([tmp_path / "cv"], flowers, tmp_path / "r.html")
    (told,) = made.runs
    parsed = Parsed((tmp_path / "r.html").read_bytes())
    assert told.scores.n == 56 and [history.name for history in told.histories] == ["cv/fold-0", "cv/fold-1"]
    assert "corolla cross DATA --out RUN --folds 2" in parsed.text and "different folds' models" in parsed.text
    assert len(parsed.of("img")) >= len(told.wrong)
    fold = report([tmp_path / "cv" / "fold-1"], flowers, tmp_path / "fold.html", compared=12)
    assert "--folds 2 --fold 1" in " ".join(fold.runs[0].command)
    with pytest.raises(DataError, match=r"is not the data of .*fold-1: train and val of .* hold 0 of"):
        report([tmp_path / "cv" / "fold-1"], other(tmp_path), tmp_path / "r.html")


# What is refused --------------------------------------------------------------------------------------------------


def other(tmp_path: Path) -> Path:
    """Data of fewer records."""
    return write_tiny(tmp_path / "other")


def test_other_data_than_the_runs(finished, tmp_path):
    line = r"other is not the data of .*run: val of .*other has 12 records, the run was judged by 26: give --data the"
    with pytest.raises(DataError, match=line):
        report([finished], other(tmp_path), tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_data_of_the_same_ids_but_other_photos(finished, tmp_path, monkeypatch):
    import flow

    plain = flow.flower
    monkeypatch.setattr(flow, "flower", lambda label, seed, side=32: plain(label, seed + 5, side))
    data = write_flowers(tmp_path / "changed")
    with pytest.raises(DataError, match=r"val of .* has 26 records, but others: give"):
        report([finished], data, tmp_path / "r.html")


@pytest.mark.parametrize(
    ("harm", "kind", "line"),
    [
        (
            lambda run: (run / "scores.json").unlink(),
            RunError,
            "is not finished: the same `corolla train` command goes",
        ),
        (lambda run: (run / "predictions.npz").unlink(), RunError, r"predictions.npz is missing or damaged"),
        (lambda run: (run / "scores.json").write_text("{}"), RunError, r"scores.json is missing or damaged \(KeyError"),
        (lambda run: (run / "metrics.jsonl").write_text("{"), RunError, r"metrics.jsonl is missing or damaged"),
        (lambda run: (run / "environment.json").unlink(), RunError, r"environment.json"),
        (lambda run: (run / "labels.json").unlink(), RunError, r"labels.json"),
        (shutil.rmtree, RunError, r"is no run folder \(it holds no config.json\): train one"),
    ],
)
def test_runs_that_are_none(run, tmp_path, harm, kind, line):
    harm(run)
    with pytest.raises(kind, match=line) as caught:
        report([run], out=tmp_path / "r.html")
    assert "\n" not in str(caught.value) and not (tmp_path / "r.html").exists()


def test_predictions_of_another_run(run, tmp_path):
    told = RunFolder(run).predictions("predictions")
    RunFolder(run).write_predictions("predictions", told.ids[1:], told.labels[1:], told.probabilities[1:])
    with pytest.raises(RunError, match=r"predictions.npz holds 25 records of 104 classes, scores.json 26 of 104: copy"):
        report([run], out=tmp_path / "r.html")


def test_wishes_that_make_no_sense(finished, run, tmp_path):
    out = tmp_path / "r.html"
    names = json.loads((run / "labels.json").read_text())
    (run / "labels.json").write_text(json.dumps([names[1], names[0], *names[2:]]))
    for asked, line in (
        (
            ([finished, run], None, out),
            r"changed tells other labels apart than .*run: make a report of each by itself$",
        ),
        (([finished, finished], None, out), r"run is named twice: once is enough$"),
        (([], None, out), r"^report: name at least one run$"),
        (([finished], None, tmp_path / "r.txt"), r"r.txt: a report is a page: name it .html$"),
        (([finished], None, out, -1), r"^--compared is -1; it must lie between 0 and"),
    ):
        with pytest.raises(WishError, match=line):
            report(*asked)


def test_a_place_that_cannot_be_written_is_refused_before_the_work(finished, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.html").mkdir()
    monkeypatch.setattr("corolla.report.read", lambda runs: pytest.fail("it began to work"))
    with pytest.raises(RunError, match=r"^--out .*r.html cannot be written: .*file is a file: choose another place$"):
        report([finished], out=tmp_path / "file" / "more" / "r.html")
    with pytest.raises(WishError, match=r"folder.html is a folder: name a file, such as .*report.html$"):
        report([finished], out=tmp_path / "folder.html")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(RunError, match=r"may not be written to: choose another place$"):
        report([finished], out=tmp_path / "r.html")


# The command ------------------------------------------------------------------------------------------------------


def test_the_command_prints_its_path_or_json(finished, tmp_path, capsys):
    out = tmp_path / "r.html"
    for more in ([], ["--json"]):
        with pytest.raises(SystemExit) as end:
            main(["report", str(finished), "--out", str(out), *more])
        assert not end.value.code
        told = capsys.readouterr().out
        if not more:
            assert told == f"{out}\n"
            continue
        stored = json.loads(told)
        assert stored["path"] == str(out) and stored["differences"] == []
        assert stored["runs"][0]["scores"]["n"] == 26 and stored["runs"][0]["mistakes"]
    with pytest.raises(SystemExit) as end:
        main(["report", str(tmp_path / "nothing"), "--out", str(out)])
    assert end.value.code == 1 and "nothing is no run folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        TrainSettings(),
        TrainSettings(minutes=3, flip=False, train_blocks=2, soft_labels="a b.npz", crop_area=1.0, folds=5, fold=2),
    ],
)
def test_the_words_of_a_command_say_the_settings(settings):
    assert tyro.cli(TrainSettings, args=words(settings)) == settings
