"""The lines of metrics.jsonl elsewhere: the same numbers there, the same run here, and no sink stops it."""

import json
import socket
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from corolla import sinks
from corolla.cli import main
from corolla.config import SinksWish
from corolla.errors import WishError
from corolla.interrupt import InterruptedRunError
from corolla.records.framing import read_records
from corolla.run import RunFolder
from corolla.sinks import Sinks, flat, identity, sinks_of
from corolla.storage import any_path
from corolla.train import train
from flow import SETTINGS, Recorder, Stopper, assert_same_run, options, without_seconds

LINE = {"epoch": 1, "step": 2, "train_loss": 0.5, "val_macro_f1": 0.25, "best": True, "seconds": {"train": 1.5}}
NUMBERS = {"epoch": 1.0, "train/loss": 0.5, "val/macro_f1": 0.25, "best": 1.0, "seconds/train": 1.5}


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Kept:
    """A sink that keeps what it is given. fails: at which call, by which error. waits: for what, at each call."""

    name = "kept"

    def __init__(
        self, fails: str = "", error: BaseException | None = None, waits: threading.Event | None = None
    ) -> None:
        self.fails, self.error, self.waits = fails, error or OSError("no room"), waits
        self.lines: list[dict] = []
        self.calls: list[str] = []
        self.threads: set[str] = set()

    def _called(self, name: str) -> None:
        self.calls.append(name)
        self.threads.add(threading.current_thread().name)
        if self.waits:
            self.waits.wait(60)
        if name == self.fails:
            raise self.error

    def open(self) -> None:
        self._called("open")

    def write(self, line: dict) -> None:
        self._called("write")
        self.lines.append(line)

    def close(self) -> None:
        self._called("close")


def events(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """(step, numbers) of TensorBoard's files, by Corolla's own reader of TFRecords."""
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed (pip install corolla[tensorboard])")
    from tensorboardX.proto.event_pb2 import Event

    (file,) = folder.iterdir()
    first, *found = (Event.FromString(record.data) for record in read_records(file))
    assert first.file_version == "brain.Event:2"
    return [(each.step, {value.tag: value.simple_value for value in each.summary.value}) for each in found]


def assert_told(found: list[tuple[int, dict[str, float]]], run: Path) -> None:
    """Each line of metrics.jsonl, once."""
    lines = RunFolder(run).metrics()
    assert [step for step, _ in found] == [line["step"] for line in lines]
    for (_, numbers), line in zip(found, lines, strict=True):
        assert numbers == pytest.approx(flat(line), rel=1e-6)


# Handing on -------------------------------------------------------------------------------------------------------


def test_the_numbers_of_a_line():
    assert flat(LINE) == NUMBERS


def test_lines_and_all_else_are_handed_on_by_a_thread_of_its_own():
    sink, reporter = Kept(), Recorder()
    with Sinks(reporter, [sink]) as told:
        told.note("a note")
        told.warn("a warning")
        told.progress("epoch 1", 1, 2, loss=0.5)
        assert sink.calls == []
        told.resumed([LINE | {"epoch": 0}])
        told.epoch(LINE)
    assert sink.calls == ["open", "write", "write", "close"] and sink.threads == {"corolla-sink-kept"}
    assert sink.lines == [LINE | {"epoch": 0}, LINE] and reporter.epochs == [LINE]
    assert (reporter.notes, reporter.warnings, reporter.stages) == (["a note"], ["a warning"], ["epoch 1"])


def test_a_sink_without_a_line_is_never_opened():
    sink = Kept()
    with Sinks(Recorder(), [sink]):
        pass
    assert sink.calls == []


@pytest.mark.parametrize("error", [OSError("no room\nat all"), ValueError(), SystemExit(3)])
@pytest.mark.parametrize("fails", ["open", "write", "close"])
def test_one_that_fails_is_told_of_once_and_the_others_go_on(fails, error):
    bad, good, reporter = Kept(fails, error), Kept(), Recorder()
    with Sinks(reporter, [bad, good]) as told:
        for _ in range(3):
            told.epoch(LINE)
            told.progress("epoch 1", 1, 2)
            time.sleep(0.02)
    why = {OSError: "no room", ValueError: "ValueError", SystemExit: "3"}[type(error)]
    assert reporter.warnings == [f"kept: {why}: nothing more goes there; the run itself is whole"]
    assert good.lines == [LINE] * 3 and bad.calls.count(fails) == 1


def test_one_that_hangs_stalls_nothing_and_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(sinks, "WAITING", 3)
    free = threading.Event()
    stuck, good, reporter, begin = Kept(waits=free), Kept(), Recorder(), time.monotonic()
    with Sinks(reporter, [stuck, good], patience_seconds=0.1) as told:
        for _ in range(2):
            told.epoch(LINE)
    assert reporter.warnings == [
        "kept: it has not taken the last lines in time: nothing more goes there; the run itself is whole"
    ]
    with Sinks(reporter, [Kept(waits=free)], patience_seconds=0.1) as told:
        for _ in range(10):
            told.epoch(LINE)
        assert "it has not taken the last 3 lines" in reporter.warnings[-1]
    assert good.lines == [LINE] * 2 and len(reporter.warnings) == 2 and time.monotonic() - begin < 30
    left = [thread for thread in threading.enumerate() if thread.name == "corolla-sink-kept"]
    assert len(left) == 2 and all(thread.daemon for thread in left)  # for which `cli` does not wait
    free.set()
    for thread in left:
        thread.join(60)
        assert not thread.is_alive()


# Runs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loop", ["jax", "keras"])
def test_the_events_are_the_lines_and_the_run_is_the_same(loop, flowers, finished, tmp_path):
    """Trained with them, interrupted, gone on with; another one that is finished gets them afterwards."""
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed (pip install corolla[tensorboard])")
    run, wish = tmp_path / "run", SinksWish(tensorboard=True)
    settings = SETTINGS if loop == "jax" else SETTINGS.__class__(**{**SETTINGS.__dict__, "loop": "keras"})

    def trained(inner: Recorder) -> None:
        with Sinks(inner, sinks_of(wish, run, {})) as reporter:
            train(flowers, run, settings, reporter)

    with pytest.raises(InterruptedRunError):
        trained(Stopper())
    assert [step for step, _ in events(run / "tensorboard")] == [0]
    trained(Recorder())
    assert_told(events(run / "tensorboard"), run)
    if loop == "keras":
        return
    assert_same_run(run, finished)
    before = events(run / "tensorboard")
    for file in (run / "tensorboard").iterdir():
        file.unlink()
    trained(Recorder())  # it is finished
    assert events(run / "tensorboard") == before


def test_a_folder_that_cannot_be_written_and_a_closed_port(flowers, finished, tmp_path, capsys, monkeypatch):
    """From the command line: two warnings, and the run that others have."""
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed (pip install corolla[tensorboard])")
    stand_in_mlflow(monkeypatch)
    monkeypatch.setattr(sinks, "FOLDER", "learned.npz")  # is there, and no folder
    run, uri = tmp_path / "run", f"http://127.0.0.1:{closed_port()}"
    with pytest.raises(SystemExit) as end:
        main(["train", str(flowers), "--out", str(run), *options(SETTINGS), "--tensorboard", "--mlflow", uri])
    assert not end.value.code
    told = [line for line in capsys.readouterr().err.splitlines() if "nothing more goes there" in line]
    assert len(told) == 2 and "TensorBoard: [Errno 17] File exists" in "".join(told)
    assert "MLflow: <urlopen error [Errno 111] Connection refused>" in "".join(told)
    assert_same_run(run, finished)


# W&B and MLflow by stand-ins --------------------------------------------------------------------------------------


class MlflowStandIn:
    """As much of `mlflow.MlflowClient` as is used; its store is a dictionary."""

    store: dict[str, Any]

    def __init__(self, tracking_uri: str) -> None:
        if tracking_uri.startswith("http"):
            urlopen(tracking_uri)

    def get_experiment_by_name(self, name):
        return types.SimpleNamespace(experiment_id=name) if name in self.store["experiments"] else None

    def create_experiment(self, name):
        self.store["experiments"].append(name)
        return name

    def search_runs(self, experiments, wanted, max_results):
        return [
            types.SimpleNamespace(info=types.SimpleNamespace(run_id=one))
            for one in self.store["runs"]
            if f"`corolla.run` = '{one}'" in wanted
        ]

    def create_run(self, experiment, tags, run_name):
        self.store["runs"][tags["corolla.run"]] = {"name": run_name, "params": {}, "metrics": []}
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id=tags["corolla.run"]))

    def log_batch(self, run, metrics=(), params=()):
        self.store["runs"][run]["params"].update(params)
        self.store["runs"][run]["metrics"] += metrics

    def get_metric_history(self, run, name):
        return [
            types.SimpleNamespace(step=step) for key, _, _, step in self.store["runs"][run]["metrics"] if key == name
        ]

    def update_run(self, run, status):
        self.store["runs"][run]["status"] = status

    def set_terminated(self, run):
        self.store["runs"][run]["status"] = "FINISHED"


def stand_in_mlflow(monkeypatch) -> dict:
    """A module `mlflow` whose store is a dictionary; of http:// it asks the port, as the real one does."""
    store: dict = {"runs": {}, "experiments": []}
    entities = types.ModuleType("mlflow.entities")
    entities.Metric = lambda *all: all
    entities.Param = lambda name, value: (name, value)
    module = types.ModuleType("mlflow")
    module.MlflowClient = type("MlflowClient", (MlflowStandIn,), {"store": store})
    module.__spec__ = types.SimpleNamespace(name="mlflow")
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    return store


def test_mlflow_gets_each_line_once(tmp_path, monkeypatch):
    store, run = stand_in_mlflow(monkeypatch), tmp_path / "run"
    lines = [LINE | {"epoch": epoch, "step": 2 * epoch} for epoch in range(3)]
    for known, new in (([], lines[:2]), (lines[:2], lines[2:])):
        with Sinks(Recorder(), sinks_of(SinksWish(mlflow="kept"), run, {"epochs": 3})) as told:
            told.resumed(known)
            for line in new:
                told.epoch(line)
    ((name, one),) = store["runs"].items()
    assert name == identity(run) and one["name"] == "run" and one["params"] == {"epochs": "3"}
    assert [(value, step) for key, value, _, step in one["metrics"] if key == "epoch"] == [(0, 0), (1, 2), (2, 4)]
    assert len(one["metrics"]) == 3 * len(NUMBERS) and one["status"] == "FINISHED"


def test_wandb_gets_each_line_once(tmp_path, monkeypatch):
    runs: dict[str, dict] = {}

    class Run:
        def __init__(self, id: str) -> None:
            self.kept = runs.setdefault(id, {"lines": [], "ends": 0})
            self.step = max((step for _, step in self.kept["lines"]), default=-1) + 1

        def log(self, numbers, step):
            self.kept["lines"].append((numbers, step))

        def finish(self):
            self.kept["ends"] += 1

    module = types.ModuleType("wandb")
    module.Settings = dict
    module.init = lambda **words: runs.setdefault("words", words) and Run(words["id"])
    module.__spec__ = types.SimpleNamespace(name="wandb")
    monkeypatch.setitem(sys.modules, "wandb", module)
    run = tmp_path / "run"
    lines = [LINE | {"epoch": epoch, "step": 2 * epoch} for epoch in range(3)]
    for known, new in (([], lines[:2]), (lines[:2], lines[2:])):
        with Sinks(Recorder(), sinks_of(SinksWish(wandb="flowers"), run, {"epochs": 3})) as told:
            told.resumed(known)
            for line in new:
                told.epoch(line)
    words = runs.pop("words")
    assert (words["project"], words["name"], words["config"], words["dir"]) == ("flowers", "run", {"epochs": 3}, run)
    assert runs == {identity(run): {"lines": [(flat(line), line["step"]) for line in lines], "ends": 2}}


def test_a_run_is_known_again_wherever_its_folder_lies(tmp_path):
    one = identity(tmp_path / "one")
    assert one == identity(tmp_path / "one") != identity(tmp_path / "two") and len(one) == 16
    assert json.loads((tmp_path / "one" / "sinks.json").read_text()) == {"id": one}
    (tmp_path / "one").rename(tmp_path / "moved")
    assert identity(tmp_path / "moved") == one


# Wishes -----------------------------------------------------------------------------------------------------------


def test_nothing_is_wished_by_default(tmp_path):
    assert sinks_of(SinksWish(), tmp_path, {}) == []


@pytest.mark.parametrize(
    ("extra", "package", "words"),
    [
        ("tensorboard", "tensorboardX", ["--tensorboard"]),
        ("wandb", "wandb", ["--wandb", "flowers"]),
        ("mlflow", "mlflow", ["--mlflow", "runs.db"]),
    ],
)
def test_an_extra_that_is_missing_is_told_before_anything_is_read(extra, package, words, monkeypatch, capsys):
    monkeypatch.setattr(sinks, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as end:
        main(["train", "nowhere", "--out", "runs/none", *words])
    line = f"corolla: --{extra} wants {package}, which is not installed: pip install 'corolla[{extra}]'\n"
    assert (end.value.code, capsys.readouterr().err) == (2, line)


def test_tensorboard_wants_a_disk(monkeypatch):
    monkeypatch.setattr(sinks, "find_spec", lambda name: True)
    with pytest.raises(WishError, match=r"^--tensorboard writes into the run folder, on a disk, not gs://b/run: leave"):
        sinks_of(SinksWish(tensorboard=True), any_path("gs://b/run"), {})


def test_lines_without_seconds_are_of_the_same_run(finished):
    """What is handed on is what stands in the folder; only the clock differs from run to run."""
    assert all(flat(line) for line in without_seconds(RunFolder(finished).metrics()))
