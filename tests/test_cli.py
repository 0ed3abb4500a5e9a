"""The command line: exit codes, one line for what goes wrong, the path on standard output, help that costs nothing."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from corolla import cli, presets
from corolla.cli import main
from corolla.config import GrowSettings
from corolla.run import RunFolder
from corolla.types import SPLITS, Example
from flow import PROBE, SETTINGS, flower, options, write_flowers
from tiny import example, write_shard

pytestmark = pytest.mark.xdist_group("runs")

VERBS = (
    "sample",
    "fetch",
    "check",
    "train",
    "cross",
    "repeat",
    "grow",
    "evaluate",
    "blend",
    "soup",
    "report",
    "predict",
    "distill",
    "pseudo",
    "plan",
    "doctor",
    "audit",
    "submission",
    "data",
)
MICRO = options(PROBE)


@pytest.fixture
def invoke(capsys):
    """Return a function that runs a command in this process: (exit code, standard output, standard error)."""

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run


def child(*words: object, **options) -> subprocess.CompletedProcess:
    """Run a command in a process of its own."""
    command = [sys.executable, "-m", "corolla.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


# --------------------------------------------------------------------------------------------------------------- help


def test_help_of_every_verb_imports_nothing_heavy():
    program = f"""
import sys
from corolla import cli, presets
from corolla.cli import main
for words in ([], *([verb] for verb in {VERBS})):
    try:
        main([*words, "--help"])
    except SystemExit as end:
        assert end.code == 0
    heavy = {{"jax", "keras", "numpy", "scipy", "PIL", "google.protobuf", "simplejpeg"}} & set(sys.modules)
    assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(f"usage: corolla {verb}" in done.stdout for verb in VERBS)
    assert all(f"--{name}" in done.stdout for name in ("on-bad-record", "tta", "minutes", "no-flip", "image-size"))


def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"{sys.executable} -m corolla.cli train --help | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (141, "", "")


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("trian",),
        ("train",),
        ("train", "x", "--epochs", "five"),
        ("train", "x", "--preset", "worst"),
        ("check", "--fast"),
    ],
)
def test_words_that_make_no_sense(invoke, words):
    code, out, err = invoke(*words)
    assert code == 2 and out == "" and "Traceback" not in err


@pytest.mark.parametrize("words", [("--preset", "best"), ("--preset=best",)])
@pytest.mark.parametrize("verb", ["train", "cross", "repeat"])
def test_a_preset_moves_the_defaults_and_options_move_it(verb, words, monkeypatch):
    seen = []
    monkeypatch.setattr(cli.Train, "run", lambda self: seen.append(self.settings) or 0)
    monkeypatch.setattr(cli.Cross, "run", lambda self: seen.append(self.settings) or 0)
    monkeypatch.setattr(cli.Repeat, "run", lambda self: seen.append(self.settings) or 0)
    for more in ((), ("--epochs", "3", "--model", "efficientnet_lite0")):
        with pytest.raises(SystemExit) as end:
            cli.main([verb, "x", "--out", "y", *words, *more])
        assert end.value.code == 0
    preset, changed = seen
    assert preset == presets.settings("best", folds=5 if verb == "cross" else 0)
    assert changed == dataclasses.replace(preset, epochs=3, model="efficientnet_lite0")


# ------------------------------------------------------------------------------------------------------------- faults


def put(data: Path, change) -> Path:
    """Change the first shard of val; return its path."""
    shard = sorted((data / "val").iterdir())[0]
    shard.write_bytes(change(shard.read_bytes()))
    return shard


def flipped(content: bytes) -> bytes:
    return content[:200] + bytes([content[200] ^ 1]) + content[201:]


@pytest.fixture
def data(flowers, tmp_path) -> Path:
    """A copy of the data, to be broken."""
    return shutil.copytree(flowers, tmp_path / "data")


def one_line(err: str) -> str:
    """The one line on standard error, without the command's name."""
    assert err.startswith("corolla: ") and err.count("\n") == 1 and err.endswith("\n"), err
    return err.removeprefix("corolla: ").rstrip("\n")


BROKEN = {
    "truncated": (lambda content: content[:-7], "record 12 at byte "),
    "flipped bit": (flipped, "record 0 at byte 0: damaged data"),
    "a page": (lambda content: b"<!DOCTYPE html><p>404", "the file is not a TFRecord file but an HTML page"),
    "text": (lambda content: b"id,label\n", "record 0 at byte 0: "),
    "empty": (lambda content: b"", "the file is empty"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_shard(invoke, data, tmp_path, fault):
    change, wanted = BROKEN[fault]
    shard = put(data, change)
    code, out, err = invoke("train", data, "--out", tmp_path / "run", *MICRO)
    line = one_line(err)
    assert code == 1 and out == "" and line.startswith(str(shard)) and wanted in line
    assert not (tmp_path / "run").exists()
    code, out, err = invoke("check", data)
    assert code == 1 and err == "" and wanted.split(":")[-1].strip() in " ".join(out.split())


@pytest.mark.parametrize(
    ("bad", "wanted"),
    [
        (Example("high", 104, flower(0, 0)), "id 'high': feature 'class' is 104"),
        (Example("low", -1, flower(0, 0)), "id 'low': feature 'class' is -1"),
        (Example("none", None, flower(0, 0)), "id 'none': feature 'class' (or 'label') is missing"),
        (example(3, "train", side=40), "id 'train0003': the image is 40x40"),
    ],
    ids=["label 104", "label -1", "no label", "another size"],
)
def test_a_record_that_does_not_belong(invoke, data, tmp_path, bad, wanted):
    shard = write_shard(data / "train", 2, [bad])
    code, out, err = invoke("train", data, "--out", tmp_path / "run", *MICRO)
    line = one_line(err)
    assert code == 1 and out == "" and wanted in line and line.startswith(f"{shard}: record 0 at byte 0: ")


def test_no_data(invoke, tmp_path):
    (tmp_path / "empty").mkdir()
    for verb in (["train", "--out", tmp_path / "run", *MICRO], ["check"]):
        for folder, wanted in (
            ("missing", "there is no such folder"),
            ("empty", "holds neither train/, val/ or test/"),
        ):
            code, out, err = invoke(*verb, tmp_path / folder)
            assert code == 1 and out == "" and one_line(err).startswith(f"{tmp_path / folder}: {wanted}")


def test_unknown_names_and_ranges(invoke, flowers, tmp_path):
    out = ("--out", tmp_path / "run")
    for words, wanted in (
        (("--model", "efficientnet_lite9"), "No model is called 'efficientnet_lite9' (did you mean 'efficientnet_lite"),
        (("--model", "micro"), "micro has no trained weights: wish weights 'none' with it."),
        (("--weights", "imagenet21k"), "weights must be 'imagenet', 'none', a file or a run folder, not 'imagenet21k'"),
        (("--epochs", "-1"), "--epochs is -1; it must lie between 0 and 10000"),
        (("--learning-rate", "nan"), "--learning-rate is nan; it must lie between 0 and 1e+12"),
        ((*MICRO, "--train-blocks", "99"), "blocks_trained must be 'all' or 0 to 5 for micro, not 99."),
    ):
        code, printed, err = invoke("train", flowers, *out, *words)
        assert code == 2 and printed == "" and wanted in one_line(err)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("loop", ["jax", "keras"])
def test_a_recipe_that_diverges(invoke, flowers, tmp_path, loop):
    words = options(replace(SETTINGS, learning_rate=1e9, loop=loop))
    code, out, err = invoke("train", flowers, "--out", tmp_path / "run", *words)
    assert code == 1 and out == "" and "Traceback" not in err
    assert re.fullmatch(
        r"corolla: the loss became (nan|inf) in epoch \d: lower --learning-rate .*", err.splitlines()[-1]
    )
    assert invoke("evaluate", tmp_path / "run", "--data", flowers)[0] == 0


def test_growing_prints_the_last_run(invoke, flowers, tmp_path):
    runs, words = tmp_path / "runs", options(GrowSettings("micro", "none", batch_size=16))
    code, out, err = invoke("grow", flowers, "--out", runs, "--sizes", 24, 32, "--epochs", 0, *words)
    assert (code, out) == (0, f"{runs / 'size-32'}\n"), err
    for changed, wanted in (
        (("--sizes", 32, 24), "--sizes 32 24: sizes must ascend, each from the weights of a smaller one"),
        (("--sizes", 24, 32, "--epochs", 1, 2, 3), "--epochs 1 2 3: give one number, or one for each of the 2 --sizes"),
        (("--sizes", 28, 32), f"{runs} holds size-24, which is not among --sizes: choose another --out"),
    ):
        code, out, err = invoke("grow", flowers, "--out", runs, *words, *changed)
        assert (code, out, one_line(err)) == (2, "", wanted)


def test_places_that_cannot_be(invoke, flowers, probed, tmp_path):
    (tmp_path / "file").write_text("")
    taken, under = tmp_path / "file", tmp_path / "file" / "x"
    for words, code, wanted in (
        (("train", flowers, "--out", taken, *MICRO), 2, f"{taken} is there already and is no run folder"),
        (("train", flowers, "--out", under, *MICRO), 1, f"{under / 'labels.json'} cannot be written ("),
        (("predict", probed, "--data", flowers, "--out", under), 1, f"{under} cannot be written ("),
        (("predict", probed, "--data", flowers, "--out", tmp_path), 2, f"--out {tmp_path} is a folder"),
        (("predict", "--data", flowers), 2, "predict needs at least one run folder"),
        (("evaluate", tmp_path, "--data", flowers), 1, f"{tmp_path} is no run folder"),
        (("predict", probed, tmp_path, "--data", flowers), 1, f"{tmp_path} is no run folder"),
    ):
        found, out, err = invoke(*words)
        assert found == code and out == "" and one_line(err).startswith(wanted), err


def test_a_split_without_labels(invoke, probed, flowers):
    code, out, err = invoke("evaluate", probed, "--data", flowers, "--split", "test")
    assert code == 1 and out == "" and "feature 'class' (or 'label') is missing" in one_line(err)


def test_what_the_machine_refuses_is_one_line_too(invoke, flowers, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "/somewhere")

    monkeypatch.setattr("corolla.check.check", refuse)
    assert invoke("check", flowers) == (1, "", "corolla: /somewhere: Permission denied\n")


def test_faults_in_processes_of_their_own(tmp_path):
    """What the shell sees: exit codes 1 and 2, one line, no traceback, nothing that a library logs."""
    missing = child("train", tmp_path / "missing")
    assert (missing.returncode, missing.stdout) == (1, "") and "there is no such folder" in one_line(missing.stderr)
    unknown = child("train", tmp_path, "--model", "resnet5")
    assert (unknown.returncode, unknown.stdout) == (2, "") and "did you mean 'resnet50" in one_line(unknown.stderr)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------------------- what goes right


def test_check(invoke, flowers):
    code, out, err = invoke("check", flowers, "--json")
    report = json.loads(out)
    assert code == 0 and err == "" and [split["records"] for split in report["splits"].values()] == [30, 26, 9]
    code, out, err = invoke("check", flowers)
    assert code == 0 and err == "" and "30" in out


def test_train_without_a_folder_finds_its_own_again(invoke, flowers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = invoke("train", flowers, *MICRO)
    folder = Path(out.strip())
    assert code == 0 and out.count("\n") == 1 and RunFolder(folder).finished()
    assert re.fullmatch(r"runs/data-micro-[0-9a-f]{6}", str(folder))
    assert re.search(
        r"^probe +train loss \d+\.\d{3} +val loss \d+\.\d{3} +macro F1 0\.\d{4} +accuracy 0\.\d{4}", err, re.M
    )
    assert "macro F1, all classes" in err and "macro F1, classes present" in err
    code, out, err = invoke("train", flowers, *MICRO, "--json")
    assert code == 0 and "this run is finished" in err
    assert json.loads(out)["macro_f1"] == RunFolder(folder).scores()["macro_f1"]
    assert len(list(Path("runs").iterdir())) == 1


def test_evaluate(invoke, finished, flowers, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run [x]")
    code, out, err = invoke("evaluate", run, "--data", flowers)
    assert code == 0 and err == "" and out.splitlines()[-1] == str(run / "evaluation-val.json")
    scores = RunFolder(run).scores()
    assert f"macro F1, all classes     {scores['macro_f1']:.4f}  95 % interval" in out
    assert "pink primrose" in out  # the table by class
    code, out, err = invoke("evaluate", run, "--data", flowers, "--json", "--tta", "flip")
    assert code == 0 and json.loads(out)["n"] == 26
    assert err == "--tta flip: 2 views a photo, each as long as one pass\n"


def test_skipped_records_are_warned_of_and_counted(invoke, finished, data, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    shard = put(data, flipped)
    code, out, err = invoke("evaluate", run, "--data", data, "--json", "--on-bad-record", "skip")
    assert code == 0 and json.loads(out)["skipped_records"] == 1
    assert err.startswith(f"warning: skipped {shard}: record 0 at byte 0: ") and err.count("\n") == 1


def test_photos_of_another_size_are_resized_on_the_device(invoke, finished, tmp_path):
    run, data = shutil.copytree(finished, tmp_path / "run"), write_flowers(tmp_path / "data", side=48)
    code, out, err = invoke("evaluate", run, "--data", data, "--json")
    scores = json.loads(out)
    assert code == 0 and err == "" and scores["n"] == 26
    assert scores["accuracy"] > 2 / 6  # the colours are the same


def test_predict(invoke, finished, probed, flowers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = invoke("predict", finished, probed, "--data", flowers)
    assert code == 0 and out == "submission.csv\n"
    assert re.fullmatch(r"9 photos, mean confidence 0\.\d{3}\n", err)
    assert (tmp_path / "submission.csv").read_text().count("\n") == 10
    code, out, err = invoke("predict", finished, "--data", flowers, "--out", "b.csv", "--json", "--split", "val")
    summary = json.loads(out)
    assert code == 0 and err == "" and summary.pop("mean_confidence") > 1 / 104
    assert summary == {"path": "b.csv", "rows": 26, "checked_against": None, "skipped_records": 0}


def test_soup(invoke, finished, flowers, tmp_path):
    copy, made = shutil.copytree(finished, tmp_path / "copy"), tmp_path / "soup"
    code, out, err = invoke("soup", finished, copy, "--data", flowers, "--out", made)
    assert code == 0 and out == f"{made}\n" and RunFolder(made).finished()
    assert "2 of 2 runs are in it; macro F1 +0.0000 (+0.0000, +0.0000) over the best run" in err
    code, out, err = invoke("soup", finished, copy, "--data", flowers, "--out", tmp_path / "other", "--json")
    assert code == 0 and len(json.loads(out)["soup"]["ingredients"]) == 2
    code, out, err = invoke("soup", finished, copy, "--data", flowers, "--out", made)
    assert code == 2 and one_line(err) == f"{made} is there already: choose another --out"


def test_blend(invoke, finished, probed, flowers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = invoke("blend", finished, probed)
    assert code == 0 and err == "" and out.splitlines()[-1] == "blend.json"
    assert "judged on 26" in out and re.search(r"^ *\d+\.\d% +.*run +at temperature \d", out, re.M)
    code, out, err = invoke("blend", finished, "--json", "--out", "one.json")
    assert code == 0 and err == "" and json.loads(out) == json.loads(Path("one.json").read_text())
    code, out, err = invoke("predict", finished, probed, "--data", flowers, "--blend", "blend.json")
    assert code == 0 and out == "submission.csv\n" and "9 photos, mean confidence " in err
    code, out, err = invoke("predict", finished, "--data", flowers, "--blend", finished / "scores.json")
    assert code == 1 and "scores.json is no blend: make one with `corolla blend" in one_line(err)
    code, out, err = invoke("blend")
    assert code == 2 and "blend needs at least one run folder" in one_line(err)


@pytest.mark.parametrize("name", ["with spaces", "größe [x]", "-" * 180, os.fsdecode(b"not \xff UTF-8")])
def test_any_path_will_do(invoke, flowers, probed, tmp_path, name):
    folder = tmp_path / name
    data, run = shutil.copytree(flowers, folder / "data"), shutil.copytree(probed, folder / "run")
    code, out, err = invoke("predict", run, "--data", data, "--out", folder / "submission.csv")
    assert code == 0 and (folder / "submission.csv").is_file(), err
    assert out == f"{folder / 'submission.csv'}\n".replace("\udcff", "\\udcff")
    code, _, err = invoke("check", folder)
    assert code == 1 and name.replace("\udcff", "\\udcff") in one_line(err)


def test_a_terminal_that_knows_only_ascii(flowers, tmp_path):
    """Names of flowers and paths that it cannot show must not end the command."""
    data = shutil.copytree(flowers, tmp_path / "größe")
    done = child("check", data, env=os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"})
    assert (done.returncode, done.stderr) == (0, "") and "classes have no image" in " ".join(done.stdout.split())


def test_a_thread_that_still_compiles_does_not_hold_up_the_end():
    program = (
        "import threading, time\n"
        "from corolla import cli\n"
        "threading.Thread(target=time.sleep, args=(60,), name='corolla-compile', daemon=True).start()\n"
        "cli._fail('stopped', 75, everywhere=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (75, "corolla: stopped\n")


def test_distill_and_pseudo_print_a_line_and_the_path(invoke, flowers, finished, probed, tmp_path):
    code, out, err = invoke("distill", finished, probed, "--data", flowers, "--out", tmp_path / "t.npz")
    assert (code, out) == (0, f"{tmp_path / 't.npz'}\n")
    assert "56 photos; 26 told by runs that have not learned from them, the likeliest label right for " in err
    words = ("--data", flowers, "--out", tmp_path / "p.npz", "--confidence", "0", "--quota", "9", "--json")
    code, out, _ = invoke("pseudo", finished, probed, *words)
    assert code == 0 and json.loads(out)["labelled"] > 0 and json.loads(out)["path"] == str(tmp_path / "p.npz")
    code, out, err = invoke("pseudo", probed, *words)
    assert code == 2 and one_line(err).startswith("pseudo needs at least two runs")


# ------------------------------------------------------------------------------------------- audit, submissions, data


def test_audit(invoke, flowers, tmp_path):
    wish = ("--write-clean", tmp_path / "clean", "--html", tmp_path / "page.html")
    code, out, err = invoke("audit", flowers, *wish)
    assert code == 0 and err == "" and "records with a twin in" in out and "pairs of twins" in out
    assert out.splitlines()[-2:] == [str(tmp_path / "clean"), str(tmp_path / "page.html")]
    assert (tmp_path / "page.html").read_bytes().startswith(b"<!DOCTYPE html>")
    code, out, err = invoke("audit", tmp_path / "clean", "--json")
    told = json.loads(out)
    assert code == 0 and err == "" and told["records"] <= 65 and {each["part"] for each in told["leaks"]} == set(SPLITS)
    for words, code, line in (
        ((), 2, "audit needs at least one DATA folder"),
        ((flowers, *wish), 2, f"{tmp_path / 'clean'} is there already: choose another --write-clean"),
        ((flowers, "--predictions", tmp_path), 1, f"{tmp_path / 'predictions.npz'} is missing or damaged"),
    ):
        found, out, err = invoke("audit", *words)
        assert (found, out) == (code, "") and one_line(err).startswith(line)


def test_submission(invoke, flowers, tmp_path):
    good, bad, page = tmp_path / "good.csv", tmp_path / "bad.csv", tmp_path / "page.html"
    good.write_text("id,label\n" + "".join(f"test{i:03d},{i % 6}\n" for i in range(9)))
    bad.write_text("id,label\n" + "".join(f"test{i:03d},{i * 20}\n" for i in range(9)))
    code, out, err = invoke("submission", "check", good, "--data", flowers)
    assert code == 0 and err == "" and "9 rows, nothing wrong" in out
    code, out, err = invoke("submission", "check", bad, "--data", flowers, "--json")
    assert code == 1 and err == "" and "a label outside 0 to 103" in json.loads(out)["faults"][0]
    other = tmp_path / "other.csv"
    other.write_text(good.read_text().replace(",1", ",2"))
    code, out, err = invoke("submission", "diff", good, other, "--data", flowers, "--html", page)
    assert code == 0 and err == "" and out.splitlines()[-1] == str(page) and "77.78% of 9 ids" in out
    for words, code, line in (
        (("check", tmp_path / "none.csv", "--data", flowers), 1, f"{tmp_path / 'none.csv'}: cannot be read"),
        (("diff", good, bad), 1, f"{bad}: a label outside 0 to 103"),
        (("diff", good, other, "--data", flowers), 2, "--data is for the photos of the page"),
    ):
        found, out, err = invoke("submission", *words)
        assert (found, out) == (code, "") and one_line(err).startswith(line)


def test_data_show(invoke, flowers, tmp_path):
    for name in ("data.html", "sheet.png"):
        assert invoke("data", "show", flowers, "--out", tmp_path / name) == (0, f"{tmp_path / name}\n", "")
    code, out, err = invoke("data", "show", flowers, "--out", tmp_path / "data.txt")
    assert (code, out) == (2, "") and "name it .html" in one_line(err)
    assert invoke("data", "hide", flowers)[0] == 2
