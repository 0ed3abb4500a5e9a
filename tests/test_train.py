"""Training from end to end: what it leaves, and that stopping it anywhere changes nothing."""

import dataclasses
import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from sklearn import metrics as sklearn

from corolla import checkpoint, job, loop, run
from corolla.backend import keras
from corolla.errors import CorollaError, DataError, RunError, WishError
from corolla.evaluate import evaluate
from corolla.images import load_split
from corolla.interrupt import InterruptedRunError
from corolla.mesh import copied, make_mesh
from corolla.network import build, learner_of
from corolla.order import Lanes, epoch_order
from corolla.records.shards import find_split
from corolla.resident import ResidentFeed
from corolla.run import RunFolder
from corolla.step import State, empty_sums, train_steps
from corolla.train import train
from flow import (
    PROBE,
    SETTINGS,
    SIZES,
    Recorder,
    Stopper,
    assert_ended_at,
    assert_same_run,
    options,
    told_steps,
)

pytestmark = pytest.mark.xdist_group("runs")

STEPS = -(-SIZES["train"] // SETTINGS.batch_size)
LAST_STEP = SETTINGS.epochs * STEPS


# ------------------------------------------------------------------------------------------------- what a run leaves


def test_the_run_folder_holds_what_its_description_names(finished):
    named = set(re.findall(r"[a-z-]+\.(?:jsonl?|npz)|[a-z]+/", run.__doc__ or ""))
    found = {path.name + "/" * path.is_dir() for path in finished.iterdir()}
    seldom = {"preset/", "tensorboard/", "sinks.json"}  # of KerasHub's models; where curves go elsewhere, too
    assert found | seldom == named and len(found) == 11


def test_config_names_settings_and_data(finished):
    stored = json.loads((finished / "config.json").read_text())
    settled = stored["settings"]["train_blocks"]  # by default it depends on the device
    assert stored["settings"] == dataclasses.asdict(dataclasses.replace(SETTINGS, train_blocks=settled))
    assert settled is not None
    assert {name: data["records"] for name, data in stored["data"].items()} == {"train": 30, "val": 26}


def test_scores_are_scikit_learns_of_the_predictions(finished):
    scores = json.loads((finished / "scores.json").read_text())
    with np.load(finished / "predictions.npz") as stored:
        ids, labels, probabilities = (stored[name] for name in ("ids", "labels", "probabilities"))
    predicted = probabilities.argmax(axis=1)
    assert ids.tolist() == [f"val{i:03d}" for i in range(26)] and labels.tolist() == [i % 6 for i in range(26)]
    assert (scores["split"], scores["n"], scores["skipped_records"], scores["classes_present"]) == ("val", 26, 0, 6)
    wanted = {
        "macro_f1": sklearn.f1_score(labels, predicted, labels=range(104), average="macro", zero_division=0),
        "macro_f1_present": sklearn.f1_score(labels, predicted, labels=range(6), average="macro", zero_division=0),
        "accuracy": sklearn.accuracy_score(labels, predicted),
        "loss": sklearn.log_loss(labels, probabilities / probabilities.sum(axis=1, keepdims=True), labels=range(104)),
    }
    assert {name: scores[name] for name in wanted} == pytest.approx(wanted, rel=1e-6)
    low, high = scores["macro_f1_interval"]
    assert low <= scores["macro_f1"] <= high
    assert len(scores["per_class"]) == 104 and sum(row["support"] for row in scores["per_class"]) == 26


def test_one_line_an_epoch_and_the_best_one_is_scored(finished):
    lines = RunFolder(finished).metrics()
    assert [line["epoch"] for line in lines] == [0, 1, 2, 3]
    assert [line["step"] for line in lines] == [0, 2, 4, 6]
    reached = [line["val_macro_f1"] for line in lines]
    assert [line["best"] for line in lines] == [value > max(reached[:i], default=-1) for i, value in enumerate(reached)]
    scores, best = RunFolder(finished).scores(), max(lines, key=lambda line: line["val_macro_f1"])
    assert scores["epoch"] == best["epoch"] == RunFolder(finished).best().number
    for name in ("loss", "macro_f1", "macro_f1_present", "accuracy"):
        assert scores[name] == best["val_" + name]
    assert all(np.isfinite(line["train_loss"]) and 0 <= line["train_macro_f1"] <= 1 for line in lines)
    gain = scores["gain_over_probe"]
    assert gain["macro_f1_present"] == pytest.approx(scores["macro_f1_present"] - lines[0]["val_macro_f1_present"])


def test_the_weights_moved(finished, probed):
    first, second = (RunFolder(finished).newest_checkpoint()[0], RunFolder(finished).best())
    assert first.number == LAST_STEP
    kernel = next(name for name in second.arrays if name.endswith("stem/kernel"))
    other = RunFolder(probed).best().arrays[kernel]
    assert not np.array_equal(second.arrays[kernel], other)  # another seed, other weights


def test_seconds_are_told_by_purpose(finished):
    seconds = RunFolder(finished).scores()["seconds"]
    assert set(seconds) == {"input", "compile", "probe", "train", "evaluate", "save"}
    assert all(value > 0 for value in seconds.values())


def test_the_probe_alone(probed):
    folder = RunFolder(probed)
    assert folder.finished() and folder.best().number == 0 and [line["epoch"] for line in folder.metrics()] == [0]
    assert folder.scores()["gain_over_probe"] == {"macro_f1_present": 0.0, "interval": [0.0, 0.0]}


def test_streaming_gives_the_same_run(flowers, finished, tmp_path):
    reporter = Recorder()
    train(flowers, tmp_path / "run", dataclasses.replace(SETTINGS, resident="no"), reporter)
    assert any("; streaming from host memory: " in note for note in reporter.notes)
    assert [line["epoch"] for line in reporter.epochs] == [0, 1, 2, 3]
    assert_same_run(tmp_path / "run", finished)


# ------------------------------------------------------------------------------------------------------------- resume


@pytest.fixture(scope="session")
def stopped(flowers, tmp_path_factory) -> dict[int, Path]:
    """The folders of a run that was stopped after every single step, by the number of steps done."""
    parent, handler = tmp_path_factory.mktemp("stopped"), signal.getsignal(signal.SIGTERM)
    folder = parent / "run"
    for step in range(1, LAST_STEP + 1):
        wanted = f"stopped at epoch {(step - 1) // STEPS + 1}, step {(step - 1) % STEPS + 1}; the same command goes on"
        with pytest.raises(InterruptedRunError, match=wanted):
            train(flowers, folder, SETTINGS, Stopper())
        assert signal.getsignal(signal.SIGTERM) is handler
        assert not RunFolder(folder).finished()
        shutil.copytree(folder, parent / str(step))
    return {step: parent / str(step) for step in range(1, LAST_STEP + 1)}


@pytest.fixture
def resumed_at(stopped, tmp_path):
    """Return a function that copies the run as it stood after a step."""
    return lambda step: shutil.copytree(stopped[step], tmp_path / "run")


def test_stopped_after_every_step_it_ends_the_same(flowers, finished, resumed_at):
    folder, reporter = resumed_at(LAST_STEP), Recorder()
    train(flowers, folder, SETTINGS, reporter)
    assert reporter.notes[-2].startswith("resuming at epoch ")
    assert "features of train" not in reporter.stages  # the probe is not made twice
    assert_same_run(folder, finished)


def test_the_loop_does_what_its_parts_say(flowers, finished, stopped):
    """From the first checkpoint: every epoch in its own order, one dispatch each, ends at the run's last checkpoint."""
    data = load_split(find_split(flowers, "train"), labels="need")
    mesh, lanes = make_mesh(), Lanes(len(data), SETTINGS.batch_size)
    keras.utils.set_random_seed(SETTINGS.seed)
    model, _ = build(SETTINGS, 104, mesh)
    learner = learner_of(SETTINGS, model)
    optimizer = learner.optimizer
    blank = learner.initial_state()
    optimizer.total_steps.assign(LAST_STEP)
    groups = checkpoint.load(stopped[1] / "checkpoints" / "step-00000000").arrays
    state = State(*([groups[f"{name}/{i}"] for i in range(len(getattr(blank, name)))] for name in State._fields))
    place = [variable is optimizer.total_steps for variable in optimizer.variables].index(True)
    state.optimizer[place] = np.int32(LAST_STEP)
    program, feed = train_steps(learner, mesh), ResidentFeed(mesh, lanes, data)
    for number, line in enumerate(RunFolder(finished).metrics()[1:], 1):
        feed.start(epoch_order(lanes, SETTINGS.seed, number))
        given = jax.device_put((state, empty_sums(104)), copied(mesh))
        state, sums = jax.device_get(program(*given, *feed.take(0, STEPS)))
        assert line["train_loss"] == float(sums.loss) / 30
    last = RunFolder(finished).newest_checkpoint()[0].arrays
    for name in State._fields:
        for i, value in enumerate(getattr(state, name)):
            np.testing.assert_array_equal(value, last[f"{name}/{i}"], err_msg=f"{name}/{i}")


def test_a_damaged_checkpoint_costs_a_step_and_nothing_else(flowers, finished, resumed_at):
    folder, reporter = resumed_at(4), Recorder()
    newest = checkpoint.numbered(folder / "checkpoints", "step")[-1]
    content = bytearray((newest / "arrays.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (newest / "arrays.npz").write_bytes(content)
    train(flowers, folder, SETTINGS, reporter)
    (warning,) = reporter.warnings
    assert warning.startswith(f"{newest / 'arrays.npz'} is damaged: ")
    assert warning.endswith("; trying the checkpoint before it")
    assert_same_run(folder, finished)


class Killed(BaseException):
    """Nothing of Corolla catches this; no cleaning up, as with kill -9."""


def test_killed_at_any_file_it_ends_the_same(flowers, finished, tmp_path, monkeypatch):
    """Lives that end at a random flush to the disk, by a kill or by a full disk, until one comes through."""
    chance, flush, left = random.Random(7), os.fsync, 0

    def fsync(handle: int) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed if chance.random() < 0.5 else OSError(errno.ENOSPC, "No space left on device")
        flush(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    ends = []
    for _ in range(40):
        left = chance.randint(3, 35)
        try:
            train(flowers, tmp_path / "run", SETTINGS)
            break
        except Killed:
            ends.append("killed")
        except RunError as error:
            assert re.fullmatch(r"[^\n]* cannot be written \(No space left on device\): make room [^\n]*", str(error))
            ends.append("full")
    assert {"killed", "full"} == set(ends), ends
    assert_same_run(tmp_path / "run", finished)


def started(flowers: Path, folder: Path) -> subprocess.Popen:
    """Start the command in a process of its own, and wait for its probe."""
    words = [sys.executable, "-m", "corolla.cli", "train", str(flowers), "--out", str(folder), *options(SETTINGS)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("probe "):
            return process
    raise AssertionError(f"no probe; exit code {process.wait()}")


def test_sigterm_exits_with_75_and_one_line_and_the_run_goes_on(flowers, finished, tmp_path):
    process = started(flowers, tmp_path / "run")
    process.send_signal(signal.SIGTERM)
    printed, errors = process.communicate()
    assert process.returncode == 75 and printed == ""
    last = errors.splitlines()[-1]
    assert re.fullmatch(r"corolla: stopped at epoch \d, step \d; the same command goes on from here", last)
    assert "Traceback" not in errors
    train(flowers, tmp_path / "run", SETTINGS)
    assert_same_run(tmp_path / "run", finished)


def test_what_compiling_beside_the_probe_raises_is_raised(flowers, tmp_path, monkeypatch):
    def refuses(learner, mesh):
        raise RuntimeError("no such layout")

    monkeypatch.setattr(loop, "train_steps", refuses)
    with pytest.raises(RuntimeError, match="no such layout"):
        train(flowers, tmp_path / "run", SETTINGS)
    assert (tmp_path / "run" / "metrics.jsonl").read_text().count("\n") == 1  # the probe had its result


def test_sigkill_at_a_random_moment_and_the_run_goes_on(flowers, finished, tmp_path):
    process, moment = started(flowers, tmp_path / "run"), random.random() * 2.5
    time.sleep(moment)
    process.kill()
    process.communicate()
    print(f"killed {moment:.3f} s after the probe; left: {sorted(map(str, (tmp_path / 'run').rglob('*')))}")
    train(flowers, tmp_path / "run", SETTINGS)
    assert_same_run(tmp_path / "run", finished)


def test_a_signal_in_the_probe_stops_before_anything_is_saved(flowers, finished, tmp_path):
    class Hurried(Recorder):
        def progress(self, stage, done, total, **figures):
            if stage == "features of val":
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(InterruptedRunError, match="stopped in the probe, with nothing to save yet; the same command"):
        train(flowers, tmp_path / "run", SETTINGS, Hurried())
    assert not (tmp_path / "run" / "checkpoints").exists()
    train(flowers, tmp_path / "run", SETTINGS)
    assert_same_run(tmp_path / "run", finished)


def test_a_second_signal_stops_at_once(flowers, tmp_path):
    class Impatient(Recorder):
        def progress(self, stage, done, total, **figures):
            if stage == "features of train":
                for _ in range(2):
                    os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(flowers, tmp_path / "run", SETTINGS, Impatient())
    assert signal.getsignal(signal.SIGINT) is before


def test_a_finished_run_returns_its_scores_at_once(flowers, finished):
    before, reporter = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}, Recorder()
    scores = train(flowers, finished, SETTINGS, reporter)
    assert scores.to_json() == {name: RunFolder(finished).scores()[name] for name in scores.to_json()} | {
        "macro_f1_interval": scores.macro_f1_interval,
        "macro_f1_present_interval": scores.macro_f1_present_interval,
    }
    assert set(reporter.stages) == {"reading train", "reading val"}
    assert reporter.notes[-1].startswith("this run is finished")
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_other_settings_are_refused(flowers, resumed_at):
    with pytest.raises(WishError, match=r"other settings \(batch_size was 16, is 8\): choose another --out"):
        train(flowers, resumed_at(1), dataclasses.replace(SETTINGS, batch_size=8))


def test_other_data_are_refused(tiny_data, resumed_at):
    with pytest.raises(WishError, match=r"holds a run on other data"):
        train(tiny_data, resumed_at(1), SETTINGS)


# ---------------------------------------------------------------------------------------------------- faults on the way


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_probe(flowers, tmp_path):
    wild = dataclasses.replace(SETTINGS, learning_rate=1e9)
    for _ in range(2):  # and again on resuming
        with pytest.raises(RunError) as raised:
            train(flowers, tmp_path / "run", wild)
        text = str(raised.value)
        assert re.fullmatch(
            r"the loss became (nan|inf) in epoch \d: lower --learning-rate \(now 1e\+09\); the best .*", text
        )
        assert str(tmp_path / "run" / "best") in text and "\n" not in text
    best = RunFolder(tmp_path / "run").best()
    assert all(np.isfinite(value).all() for value in best.arrays.values())
    assert not RunFolder(tmp_path / "run").finished()


@pytest.mark.parametrize("kind", ["jax", "keras"])
def test_weights_that_break_in_an_epochs_last_step_are_not_kept(flowers, tmp_path, monkeypatch, kind):
    """The loss of a step is that of the weights before it. With --folds 1 the last epoch would be kept unseen."""
    monkeypatch.setattr(job, "evaluate", lambda *_: np.full((SIZES["val"], 104), np.nan, np.float32))
    wild = dataclasses.replace(SETTINGS, epochs=1, folds=1, loop=kind)
    line = r"^the logits of the validation split became no numbers in epoch 1: lower --learning-rate \(now 0.001\); the"
    with pytest.raises(RunError, match=line):
        train(flowers, tmp_path / "run", wild)
    folder = RunFolder(tmp_path / "run")
    assert folder.best().number == 0 and len(folder.metrics()) == 1 and not folder.finished()
    saved, _ = folder.newest_checkpoint()
    assert saved and saved.number < 4  # of the four steps of both splits
    assert evaluate(tmp_path / "run", flowers)[0].loss == pytest.approx(folder.metrics()[0]["val_loss"], rel=1e-5)


def test_a_damaged_record_stops_the_run_before_it_begins(flowers, tmp_path):
    data, shard = damaged(flowers, tmp_path)
    with pytest.raises(DataError, match=re.escape(f"{shard}: record 0 at byte 0: ")):
        train(data, tmp_path / "run", PROBE)
    assert not (tmp_path / "run").exists()


def test_skipped_records_are_counted(flowers, tmp_path):
    data, shard = damaged(flowers, tmp_path)
    reporter = Recorder()
    scores = train(data, tmp_path / "run", dataclasses.replace(PROBE, on_bad_record="skip"), reporter)
    assert (scores.n, scores.skipped_records) == (25, 1)
    assert RunFolder(tmp_path / "run").scores()["skipped_records"] == 1
    (warning,) = reporter.warnings
    assert warning.startswith(f"skipped {shard}: record 0 at byte 0: ")


def damaged(flowers: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Copy the data with one flipped bit in the first record of val; return the folder and the shard."""
    data = shutil.copytree(flowers, tmp_path / "data")
    shard = sorted((data / "val").iterdir())[0]
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    return data, shard


def test_a_split_is_missing(flowers, tmp_path):
    shutil.copytree(flowers / "train", tmp_path / "data" / "train")
    with pytest.raises(DataError, match="there is no split 'val'"):
        train(tmp_path / "data", tmp_path / "run", PROBE)
    assert not (tmp_path / "run").exists()


def test_batch_statistics_refuse_empty_places(flowers, tmp_path):
    """On one device every batch size is fine; on more it must be divided."""
    from corolla.network import build

    class Three:
        size = 3

    with pytest.raises(WishError, match="--batch-norm batch needs a --batch-size that the 3 devices divide"):
        build(dataclasses.replace(SETTINGS, batch_norm="batch"), 104, Three())


# ---------------------------------------------------------------------------------------------------------- time boxes


def test_minutes_are_filled_and_kept(flowers, tmp_path, monkeypatch):
    """Six seconds, counted from where the steps are planned."""
    began: list[float] = []
    monkeypatch.setattr(job, "process_seconds", lambda: began.append(time.perf_counter()) or began[-1] - began[0])
    reporter = Recorder()
    train(flowers, tmp_path / "run", dataclasses.replace(SETTINGS, minutes=0.1, checkpoint_minutes=2.0), reporter)
    assert 2 < time.perf_counter() - began[0] < 9
    told = told_steps(reporter.notes)
    assert told[-1] > 2
    assert_ended_at(tmp_path / "run", told[-1])


def test_a_machine_that_slows_down_does_fewer_steps(flowers, tmp_path, monkeypatch):
    """The clock jumps after the first epoch: what is left of six seconds is too short for the plan."""
    reporter, plan = Recorder(), job.planned_steps
    monkeypatch.setattr(loop, "planned_steps", lambda *given: max(plan(*given), 90))  # however busy this machine is
    monkeypatch.setattr(job, "process_seconds", lambda: 5.9 if "epoch 2" in reporter.stages else 0.0)
    train(flowers, tmp_path / "run", dataclasses.replace(SETTINGS, minutes=0.1, checkpoint_minutes=2.0), reporter)
    told = told_steps(reporter.notes)
    assert len(told) >= 2 and told[-1] < 45
    assert_ended_at(tmp_path / "run", told[-1])


def test_a_machine_that_gets_faster_does_more_steps(flowers, tmp_path, monkeypatch):
    """As if the plan had been made in a slow moment: it grows while less than half of it is done, and ends in time."""
    plan = job.planned_steps
    monkeypatch.setattr(job, "process_seconds", lambda: 0.0)
    monkeypatch.setattr(loop, "planned_steps", lambda *given: max(plan(*given) // 4, 8))
    reporter = Recorder()
    train(flowers, tmp_path / "run", dataclasses.replace(SETTINGS, minutes=0.1, checkpoint_minutes=2.0), reporter)
    told = told_steps(reporter.notes)
    assert len(told) >= 2 and told[-1] > told[0] // 4
    assert_ended_at(tmp_path / "run", told[-1])


def test_minutes_that_would_hold_more_than_the_most_epochs(flowers, tmp_path, monkeypatch):
    """Ten hours for two epochs; and a plan that would grow while it runs does not either."""
    monkeypatch.setattr(job, "process_seconds", lambda: 0.0)
    reporter = Recorder()
    settings = dataclasses.replace(SETTINGS, minutes=600, max_epochs=2, checkpoint_minutes=2.0)
    train(flowers, tmp_path / "run", settings, reporter)
    assert told_steps(reporter.notes) == [2 * STEPS]
    assert_ended_at(tmp_path / "run", 2 * STEPS)


def test_no_epochs_at_most_are_the_probe_alone(flowers, tmp_path):
    reporter = Recorder()
    train(flowers, tmp_path / "run", dataclasses.replace(SETTINGS, minutes=600, max_epochs=0), reporter)
    assert [line["epoch"] for line in reporter.epochs] == [0] and not reporter.warnings


def test_too_few_minutes_end_with_the_probe(flowers, tmp_path, monkeypatch):
    monkeypatch.setattr(job, "process_seconds", lambda: 100.0)
    reporter = Recorder()
    train(flowers, tmp_path / "run", dataclasses.replace(SETTINGS, minutes=0.1), reporter)
    (warning,) = reporter.warnings
    assert warning.startswith("--minutes 0.1: the probe left 0 s, and a step with its evaluation takes ")
    assert RunFolder(tmp_path / "run").finished() and RunFolder(tmp_path / "run").best().number == 0


def test_errors_are_of_one_family():
    assert issubclass(InterruptedRunError, CorollaError) and InterruptedRunError.exit_code == 75
