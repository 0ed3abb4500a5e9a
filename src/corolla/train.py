"""Training: decode, probe, fine-tune, keep the best epoch.

Takes: a data folder, an output folder, `TrainSettings`.
Gives: a finished run folder and its `Scores`. Killed at any moment, the same call goes on where the last checkpoint
stands and ends with the same numbers.

The loop's order is a contract, because exact resumption depends on it:
    steps -> evaluate -> keep if best -> metrics line -> checkpoint.
A checkpoint therefore never stands between an epoch's last step and its evaluation.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from corolla import classes, metrics
from corolla.backend import keras
from corolla.checkpoint import Saved
from corolla.clock import Clock, process_seconds
from corolla.config import TrainSettings
from corolla.errors import RunError, WishError
from corolla.images import load_split
from corolla.inference import Predictor, Values, softmax
from corolla.interrupt import InterruptedRunError, stop_requested
from corolla.mesh import copied, describe, make_mesh
from corolla.metrics import Scores
from corolla.network import build, feature_model, weights_by_path
from corolla.optim import AdamW
from corolla.order import Lanes, epoch_order
from corolla.probe import Head, solve
from corolla.records.shards import find_split
from corolla.reporter import SILENT, Reporter
from corolla.resident import Feed, fits, make_feed
from corolla.run import RunFolder, environment, fingerprint
from corolla.step import Learner, State, Sums, empty_sums, train_steps
from corolla.types import Photos

SECONDS_A_DISPATCH = 3.0
"""How long one dispatch of many steps should take: short enough to show progress and to stop soon."""

TIME_RESERVE = 0.05
"""Part of a time-boxed run kept free for what could not be measured beforehand."""


@dataclass
class Setup:
    """What the phases of one training share. Nothing in it changes but the clock."""

    settings: TrainSettings
    folder: RunFolder
    mesh: Mesh
    learner: Learner
    feeds: dict[str, Feed]
    val: Photos
    predictor: Predictor
    clock: Clock
    reporter: Reporter


@dataclass
class Position:
    """Where training stands: what a checkpoint holds besides the state."""

    epoch: int = 1
    step: int = 0
    """Steps done in this epoch."""
    total_steps: int = 0
    best_epoch: int = 0
    best_macro_f1: float = -1.0
    lines: list[dict[str, Any]] = field(default_factory=list)


def train(data: Path, out: Path, settings: TrainSettings, reporter: Reporter = SILENT) -> Scores:
    """Train a classifier on DATA/train, choosing by DATA/val, and leave everything in the run folder `out`.

    Raises DataError (broken data), WishError (settings that make no sense, or a folder that holds another run),
    RunError (no room; a loss that is no number) and InterruptedRunError (a signal came; the state is saved).
    """
    clock = Clock()
    keras.utils.set_random_seed(settings.seed)
    with clock.section("input"):
        photos = {name: read_split(data, name, settings, reporter) for name in ("train", "val")}
    mesh = make_mesh()
    folder = RunFolder(out)
    prints = {name: fingerprint(split) for name, split in photos.items()}
    model = build(settings, len(classes.NAMES), mesh)
    folder.begin(settings, prints, environment(describe(mesh)), list(classes.NAMES))
    if folder.finished():
        reporter.note(f"{out} is finished already; its scores stand in {out / 'scores.json'}")
        return metrics.from_json(folder.scores())
    setup = _set_up(settings, folder, mesh, model, photos, clock, reporter)
    with stop_requested() as stopping:
        _run(setup, photos["train"], stopping)
    return _finish(setup)


def read_split(data: Path, name: str, settings: TrainSettings, reporter: Reporter) -> Photos:
    """Decode one split, with its progress shown."""
    files = find_split(data, name, settings.image_size)

    def progress(done: int, total: int) -> None:
        reporter.progress(f"reading {name}", done, total)

    photos = load_split(files, on_bad_record=settings.on_bad_record, labels="need", progress=progress)
    for bad in photos.bad:
        reporter.warn(f"skipped {bad}")
    return photos


def _set_up(
    settings: TrainSettings,
    folder: RunFolder,
    mesh: Mesh,
    model: keras.Model,
    photos: dict[str, Photos],
    clock: Clock,
    reporter: Reporter,
) -> Setup:
    fit = fits(mesh, sum(split.images.nbytes for split in photos.values()), settings.resident)
    reporter.note(f"{describe(mesh)}; {fit}")
    with clock.section("input"):
        feeds = {
            name: make_feed(mesh, Lanes(len(split), settings.batch_size), split, fit.resident)
            for name, split in photos.items()
        }
    optimizer = AdamW(settings.learning_rate, settings.warmup, settings.weight_decay, settings.ema)
    learner = Learner(
        model, optimizer, settings.image_size, settings.label_smoothing, settings.crop_area, settings.flip
    )
    predictor = Predictor(model, mesh, settings.image_size)
    return Setup(settings, folder, mesh, learner, feeds, photos["val"], predictor, clock, reporter)


def _run(setup: Setup, train_photos: Photos, stopping: Callable[[], bool]) -> None:
    saved, damaged = setup.folder.newest_checkpoint()
    for line in damaged:
        setup.reporter.warn(f"{line}; going on from the checkpoint before it")
    if saved is not None:
        state, sums, position = _restored(setup, saved)
        setup.reporter.note(f"resuming at epoch {position.epoch}, step {position.step}")
    else:
        position = Position()
        state = _probe(setup, train_photos, position)
        sums = empty_sums(setup.learner.classes)
    if setup.settings.epochs > 0 or setup.settings.minutes is not None:
        _fine_tune(setup, state, sums, position, stopping)


# ------------------------------------------------------------------------------------------------ phase one: probe


def _probe(setup: Setup, photos: Photos, position: Position) -> State:
    """Solve the head on frozen features and score it from the features, which saves a pass over the photos."""
    model = setup.learner.model
    features = {
        name: _features(setup, name, ("plain", "mirror") if name == "train" else ("plain",))
        for name in ("train", "val")
    }
    assert photos.labels is not None
    with setup.clock.section("probe"):
        head = solve(setup.mesh, features["train"], photos.labels, setup.learner.classes)
    model.get_layer("head").set_weights([head.kernel, head.bias])
    state = jax.device_put(setup.learner.initial_state(), copied(setup.mesh))
    logits = head.logits(features["val"][:, 0])
    _close_epoch(setup, state, position, 0, _probe_line(setup, head, features["train"], photos), logits)
    return state


def _features(setup: Setup, name: str, views: tuple[Any, ...]) -> NDArray[np.float32]:
    """Features of every photo of a split: float32[n, views, f]."""
    model, feed = feature_model(setup.learner.model), setup.feeds[name]
    predictor = Predictor(model, setup.mesh, setup.settings.image_size, views)
    values = _values(setup, model.trainable_variables, model.non_trainable_variables)
    begin = time.perf_counter()

    def progress(done: int, total: int) -> None:
        seconds = time.perf_counter() - begin - predictor.compile_seconds
        rate = done * len(views) / max(seconds, 1e-9)
        figures = {"images_per_second": rate, "seconds_left": (total - done) * len(views) / rate}
        setup.reporter.progress(f"features of {name}", done, total, **figures)

    found = predictor(values, feed, progress)
    setup.clock.add("compile", predictor.compile_seconds)
    setup.clock.add("probe", time.perf_counter() - begin - predictor.compile_seconds)
    return found


def _values(setup: Setup, trainable: list, non_trainable: list) -> Values:
    put = [[variable.value for variable in group] for group in (trainable, non_trainable)]
    return Values(*jax.device_put(put, copied(setup.mesh)))


def _probe_line(setup: Setup, head: Head, features: NDArray[np.float32], photos: Photos) -> dict[str, Any]:
    assert photos.labels is not None
    scores = metrics.score("train", photos.labels, softmax(head.logits(features[:, 0])), classes.NAMES)
    return {
        "epoch": 0,
        "step": 0,
        "train_loss": scores.loss,
        "train_macro_f1": scores.macro_f1_present,
        "probe_penalty": head.penalty,
        "probe_iterations": head.iterations,
    }


# --------------------------------------------------------------------------------------------- phase two: fine-tune


def _fine_tune(setup: Setup, state: State, sums: Sums, position: Position, stopping: Callable[[], bool]) -> None:
    feed = setup.feeds["train"]
    program = _compiled(setup, state, sums)
    if not position.total_steps:
        position.total_steps = _plan(setup, program, state, sums)
    state = _with_total_steps(setup, state, position.total_steps)
    epochs = math.ceil(position.total_steps / feed.lanes.steps)
    while position.epoch <= epochs:
        state, sums = _epoch(setup, program, state, sums, position, stopping)
        line = _epoch_line(setup, state, sums, position)
        logits = _evaluate(setup, state)
        _close_epoch(setup, state, position, position.epoch, line, logits)
        position.epoch, position.step = position.epoch + 1, 0
        sums = jax.device_put(empty_sums(setup.learner.classes), copied(setup.mesh))
        _save(setup, state, sums, position)


def _compiled(setup: Setup, state: State, sums: Sums) -> Any:
    feed = setup.feeds["train"]
    with setup.clock.section("compile"):
        feed.start(epoch_order(feed.lanes, setup.settings.seed, 1))
        arguments = (state, jax.device_put(sums, copied(setup.mesh)), *feed.take(0, 1))
        setup.reporter.note("compiling the train step")
        return train_steps(setup.learner, setup.mesh).lower(*arguments).compile()  # pyright: ignore


def _plan(setup: Setup, program: Any, state: State, sums: Sums) -> int:
    """How many steps to run: epochs as wished, or what fits the minutes that are left."""
    settings, steps = setup.settings, setup.feeds["train"].lanes.steps
    if settings.minutes is None:
        return settings.epochs * steps
    step_seconds, evaluation_seconds = _measure(setup, program, state, sums)
    left = (settings.minutes * 60 - process_seconds()) * (1 - TIME_RESERVE)
    planned = steps_within(left, step_seconds, evaluation_seconds, steps)
    if planned < 1:
        raise WishError(
            f"--minutes {settings.minutes:g}: the probe left {max(left, 0):.0f} s, and a step with its evaluation "
            f"takes {step_seconds + evaluation_seconds:.0f} s; give more minutes, or --epochs 0 for the probe alone"
        )
    setup.reporter.note(
        f"{planned} steps ({planned / steps:.1f} epochs) fit: {step_seconds:.2f} s a step, "
        f"{evaluation_seconds:.0f} s an evaluation, {left:.0f} s left"
    )
    return planned


def steps_within(seconds: float, step_seconds: float, evaluation_seconds: float, epoch_steps: int) -> int:
    """The most steps, with an evaluation after each begun epoch, that fit into the seconds (0 where none does)."""
    epoch_seconds = epoch_steps * step_seconds + evaluation_seconds
    whole = int(max(seconds, 0) // epoch_seconds)
    rest = max(seconds, 0) - whole * epoch_seconds - evaluation_seconds
    return whole * epoch_steps + int(max(rest, 0) // step_seconds)


def _measure(setup: Setup, program: Any, state: State, sums: Sums) -> tuple[float, float]:
    """Seconds of a step and of an evaluation, measured on copies: the state stays where it is."""
    feed = setup.feeds["train"]
    last = min(4, feed.lanes.steps)
    with setup.clock.section("train"):
        seconds = 0.0
        for _ in range(2):  # the first dispatch warms up
            copies = jax.tree.map(lambda leaf: leaf.copy(), (state, jax.device_put(sums, copied(setup.mesh))))
            part = feed.take(0, last)
            begin = time.perf_counter()
            jax.block_until_ready(program(*copies, *part))
            seconds = (time.perf_counter() - begin) / (part.last - part.first)
    begin = time.perf_counter()
    _evaluate(setup, state)
    return seconds, time.perf_counter() - begin


def _with_total_steps(setup: Setup, state: State, total_steps: int) -> State:
    """Write the schedule's length into its optimizer variable."""
    optimizer = setup.learner.optimizer
    place = next(i for i, variable in enumerate(optimizer.variables) if variable is optimizer.total_steps)
    values = list(state.optimizer)
    values[place] = jax.device_put(np.int32(total_steps), copied(setup.mesh))
    return state._replace(optimizer=values)


def _epoch(
    setup: Setup, program: Any, state: State, sums: Sums, position: Position, stopping: Callable[[], bool]
) -> tuple[State, Sums]:
    """Run an epoch's remaining steps, saving on the way and stopping between dispatches if asked."""
    feed = setup.feeds["train"]
    end = min(feed.lanes.steps, position.total_steps - (position.epoch - 1) * feed.lanes.steps)
    with setup.clock.section("input"):
        feed.start(epoch_order(feed.lanes, setup.settings.seed, position.epoch))
    pace, saved_at = _Pace(), time.perf_counter()
    sums = jax.device_put(sums, copied(setup.mesh))
    while position.step < end:
        part = feed.take(position.step, min(position.step + pace.steps(), end))
        with setup.clock.section("train"):
            begin = time.perf_counter()
            state, sums = jax.block_until_ready(program(state, sums, *part))
            pace.note(part.last - part.first, time.perf_counter() - begin)
        position.step += part.last - part.first
        _show(setup, sums, position, end, pace)
        if stopping():
            _save(setup, state, sums, position)
            raise InterruptedRunError(
                f"stopped at epoch {position.epoch}, step {position.step}: run the same command to go on"
            )
        if position.step < end and time.perf_counter() - saved_at > setup.settings.checkpoint_minutes * 60:
            _save(setup, state, sums, position)
            saved_at = time.perf_counter()
    return state, sums


class _Pace:
    """How many steps to dispatch at once, from how long the last ones took."""

    def __init__(self) -> None:
        self.step_seconds = 0.0

    def steps(self) -> int:
        if not self.step_seconds:
            return 1
        return max(int(SECONDS_A_DISPATCH / self.step_seconds), 1)

    def note(self, steps: int, seconds: float) -> None:
        self.step_seconds = seconds / steps


def _show(setup: Setup, sums: Sums, position: Position, end: int, pace: _Pace) -> None:
    """Tell how it goes; refuse to go on with a loss that is no number."""
    lanes = setup.feeds["train"].lanes
    loss = float(sums.loss) / max(float(sums.weight), 1.0)
    if not math.isfinite(loss):
        raise RunError(
            f"the loss became {loss} in epoch {position.epoch}: lower --learning-rate (now "
            f"{setup.settings.learning_rate:g}); the best weights so far are kept in {setup.folder.path / 'best'}"
        )
    done = (position.epoch - 1) * lanes.steps + position.step
    setup.reporter.progress(
        f"epoch {position.epoch}",
        min(position.step * lanes.batch_size, lanes.n),
        min(end * lanes.batch_size, lanes.n),
        loss=loss,
        macro_f1=_train_macro_f1(sums),
        images_per_second=lanes.n / lanes.steps / pace.step_seconds,
        seconds_left=(position.total_steps - done) * pace.step_seconds,
    )


def _train_macro_f1(sums: Sums) -> float:
    return float(metrics.macro_f1(np.asarray(sums.confusion, np.int64), present_only=True))


def _evaluate(setup: Setup, state: State) -> NDArray[np.float32]:
    """Logits of the validation split by the averaged weights: float32[n, classes]."""
    values = Values(setup.learner.averaged(state), state.non_trainable)
    before, begin = setup.predictor.compile_seconds, time.perf_counter()

    def progress(done: int, total: int) -> None:
        setup.reporter.progress("evaluating", done, total)

    logits = setup.predictor(values, setup.feeds["val"], progress)[:, 0]
    compiled = setup.predictor.compile_seconds - before
    setup.clock.add("compile", compiled)
    setup.clock.add("evaluate", time.perf_counter() - begin - compiled)
    return logits


# ------------------------------------------------------------------------------------- what every epoch ends with


def _epoch_line(setup: Setup, state: State, sums: Sums, position: Position) -> dict[str, Any]:
    lanes = setup.feeds["train"].lanes
    return {
        "epoch": position.epoch,
        "step": min(position.epoch * lanes.steps, position.total_steps),
        "train_loss": float(sums.loss) / float(sums.weight),
        "train_macro_f1": _train_macro_f1(sums),
    }


def _close_epoch(
    setup: Setup, state: State, position: Position, epoch: int, line: dict[str, Any], logits: NDArray
) -> None:
    """Score an epoch, keep its weights if they are the best so far, add its line."""
    assert setup.val.labels is not None
    scores = metrics.score("val", setup.val.labels, softmax(logits), classes.NAMES, len(setup.val.bad))
    best = scores.macro_f1 > position.best_macro_f1
    if epoch == 0:
        setup.folder.write_predictions("predictions-probe", setup.val.ids, setup.val.labels, softmax(logits))
    if best:
        position.best_epoch, position.best_macro_f1 = epoch, scores.macro_f1
        with setup.clock.section("save"):
            arrays = weights_by_path(setup.learner, state) | {"val_logits": logits}
            setup.folder.save_best(epoch, arrays, {"epoch": epoch, "macro_f1": scores.macro_f1})
    line |= {
        "val_loss": scores.loss,
        "val_macro_f1": scores.macro_f1,
        "val_macro_f1_present": scores.macro_f1_present,
        "val_accuracy": scores.accuracy,
        "best": best,
        "seconds": setup.clock.rounded(),
    }
    position.lines.append(line)
    setup.folder.write_metrics(position.lines)
    setup.reporter.epoch(line)


def _save(setup: Setup, state: State, sums: Sums, position: Position) -> None:
    with setup.clock.section("save"):
        groups = {**state._asdict(), "sums": list(sums)}
        arrays = {f"{group}/{i}": leaf for group, leaves in groups.items() for i, leaf in enumerate(leaves)}
        meta = {"position": position.__dict__, "seconds": setup.clock.rounded()}
        steps = setup.feeds["train"].lanes.steps
        setup.folder.save_checkpoint((position.epoch - 1) * steps + position.step, arrays, meta)


def _restored(setup: Setup, saved: Saved) -> tuple[State, Sums, Position]:
    position = Position(**saved.meta["position"])
    setup.clock.seconds = dict(saved.meta["seconds"])
    blank = setup.learner.initial_state()
    state = State(*(_leaves(saved, name, len(getattr(blank, name))) for name in State._fields))
    sums = Sums(*_leaves(saved, "sums", len(Sums._fields)))
    return *jax.device_put((state, sums), copied(setup.mesh)), position


def _leaves(saved: Saved, group: str, count: int) -> list[jax.Array]:
    return [jax.numpy.asarray(saved.arrays[f"{group}/{i}"]) for i in range(count)]


def _finish(setup: Setup) -> Scores:
    """Write predictions.npz and, last of all, scores.json."""
    best, labels = setup.folder.best(), setup.val.labels
    assert labels is not None
    probabilities = softmax(best.arrays["val_logits"])
    scores = metrics.score("val", labels, probabilities, classes.NAMES, len(setup.val.bad))
    setup.folder.write_predictions("predictions", setup.val.ids, labels, probabilities)
    gain = _gain_over_probe(setup, labels, probabilities)
    extra = {"epoch": best.number, "gain_over_probe": gain, "seconds": setup.clock.rounded()}
    setup.folder.write_scores({**scores.to_json(), **extra})
    return scores


def _gain_over_probe(setup: Setup, labels: NDArray, probabilities: NDArray) -> dict[str, Any]:
    """Macro F1 over the classes present, against the probe's, on the same records."""
    probe = setup.folder.probabilities("predictions-probe")
    predicted = (probe.argmax(axis=1), probabilities.argmax(axis=1))
    gain, interval = metrics.paired_difference(labels, *predicted, setup.learner.classes)
    return {"macro_f1_present": gain, "interval": interval}
