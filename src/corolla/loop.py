"""The custom loop (`--loop jax`): many steps a dispatch, evaluation, checkpoints, exact resumption.

Takes: a `Job` and the state to start from. Gives: nothing but what the journal writes.

The loop's order is a contract, because exact resumption depends on it:
    steps -> evaluate -> keep if best -> metrics line -> checkpoint.
A checkpoint therefore never stands between an epoch's last step and its evaluation.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from corolla import metrics
from corolla.clock import process_seconds
from corolla.config import TrainSettings
from corolla.errors import RunError
from corolla.inference import Predictor, Values
from corolla.interrupt import InterruptedRunError
from corolla.journal import Journal
from corolla.mesh import copied
from corolla.order import epoch_order
from corolla.resident import Feed
from corolla.step import Learner, State, Sums, TrainSteps, empty_sums, train_steps

SECONDS_A_DISPATCH = 3.0
"""How long one dispatch of many steps should take: short enough to show progress and to stop soon."""

TIME_RESERVE = 0.05
"""Part of a time-boxed run kept free for what could not be measured beforehand."""

MEASURED_STEPS = 4
"""Steps in the dispatch that a time-boxed run measures."""


@dataclass(frozen=True)
class Job:
    """What a training consists of; nothing in it changes but the journal's position."""

    settings: TrainSettings
    mesh: Mesh
    learner: Learner
    train: Feed
    val: Feed
    predictor: Predictor
    journal: Journal

    def put(self, values: Any) -> Any:
        """Give every device a copy."""
        return jax.device_put(values, copied(self.mesh))

    def no_sums(self) -> Sums:
        """Sums of no step, on the devices."""
        return self.put(empty_sums(self.learner.classes))


def fine_tune(job: Job, state: State, sums: Sums, stopping: Callable[[], bool]) -> None:
    """Train from where the journal stands to the planned end.

    Raises RunError (a loss that is no number; no room) and InterruptedRunError (a signal came; everything is saved).
    """
    position, steps = job.journal.position, job.train.lanes.steps
    program = _compiled(job, state, sums)
    position.total_steps = position.total_steps or _planned_steps(job, program, state, sums)
    state = _with_total_steps(job, state, position.total_steps)
    while position.epoch <= math.ceil(position.total_steps / steps):
        state, sums = _epoch(job, program, state, sums, stopping)
        line = _line(job, sums)
        job.journal.close_epoch(state, position.epoch, line, _evaluate(job, state))
        position.epoch, position.step = position.epoch + 1, 0
        sums = job.no_sums()
        job.journal.save(state, sums, (position.epoch - 1) * steps)


def _compiled(job: Job, state: State, sums: Sums) -> TrainSteps:
    """Compile the train step ahead of its first use, so that compiling is timed apart."""
    job.journal.reporter.note("compiling the train step")
    with job.journal.clock.section("compile"):
        job.train.start(epoch_order(job.train.lanes, job.settings.seed, 1))
        program: Any = train_steps(job.learner, job.mesh)
        return program.lower(state, sums, *job.train.take(0, 1)).compile()


def _with_total_steps(job: Job, state: State, total_steps: int) -> State:
    """Write the schedule's length into its optimizer variable."""
    optimizer = job.learner.optimizer
    place = next(i for i, variable in enumerate(optimizer.variables) if variable is optimizer.total_steps)
    values = list(state.optimizer)
    values[place] = job.put(np.int32(total_steps))
    return state._replace(optimizer=values)


# --------------------------------------------------------------------------------------------------- how many steps


def _planned_steps(job: Job, program: TrainSteps, state: State, sums: Sums) -> int:
    """Epochs as wished, or what fits the minutes that are left."""
    settings, steps = job.settings, job.train.lanes.steps
    if settings.minutes is None:
        return settings.epochs * steps
    step_seconds, evaluation_seconds = _measured(job, program, state, sums)
    left = (settings.minutes * 60 - process_seconds()) * (1 - TIME_RESERVE)
    planned = steps_within(left, step_seconds, evaluation_seconds, steps)
    if planned < 1:
        job.journal.reporter.warn(
            f"--minutes {settings.minutes:g}: the probe left {max(left, 0):.0f} s, and a step with its evaluation "
            f"takes {step_seconds + evaluation_seconds:.0f} s: the probe is the result; give more minutes to fine-tune"
        )
        return 0
    job.journal.reporter.note(
        f"{planned} steps ({planned / steps:.1f} epochs) fit: {step_seconds:.2f} s a step, "
        f"{evaluation_seconds:.0f} s an evaluation, {left:.0f} s left"
    )
    return planned


def steps_within(seconds: float, step_seconds: float, evaluation_seconds: float, epoch_steps: int) -> int:
    """The most steps, with an evaluation after each begun epoch, that fit into the seconds (0 where none does)."""
    seconds = max(seconds, 0.0)
    epoch_seconds = epoch_steps * step_seconds + evaluation_seconds
    whole = int(seconds // epoch_seconds)
    rest = seconds - whole * epoch_seconds - evaluation_seconds
    return whole * epoch_steps + int(max(rest, 0.0) // step_seconds)


def _measured(job: Job, program: TrainSteps, state: State, sums: Sums) -> tuple[float, float]:
    """Seconds of a step, and of what ends an epoch. The steps run on copies: training itself has not begun."""
    seconds = 0.0
    with job.journal.clock.section("train"):
        for _ in range(2):  # the first dispatch warms up
            part = job.train.take(0, min(MEASURED_STEPS, job.train.lanes.steps))
            copies = jax.tree.map(lambda leaf: leaf.copy(), (state, sums))
            begin = time.perf_counter()
            jax.block_until_ready(program(*copies, *part))
            seconds = (time.perf_counter() - begin) / (part.last - part.first)
    _evaluate(job, state)  # compiles
    begin = time.perf_counter()
    job.journal.score(_evaluate(job, state))
    job.journal.save(state, sums, 0)  # a fast device closes an epoch more slowly than it trains one
    return seconds, time.perf_counter() - begin


# --------------------------------------------------------------------------------------------------------- an epoch


def _epoch(job: Job, program: TrainSteps, state: State, sums: Sums, stopping: Callable[[], bool]) -> tuple[State, Sums]:
    """Run an epoch's remaining steps, saving on the way, stopping between dispatches if asked."""
    position, lanes, clock = job.journal.position, job.train.lanes, job.journal.clock
    before = (position.epoch - 1) * lanes.steps
    end = min(lanes.steps, position.total_steps - before)
    with clock.section("input"):
        job.train.start(epoch_order(lanes, job.settings.seed, position.epoch))
    pace, saved_at = _Pace(), time.perf_counter()
    while position.step < end:
        with clock.section("input"):
            part = job.train.take(position.step, min(position.step + pace.steps(), end))
        with clock.section("train"):
            begin = time.perf_counter()
            state, sums = jax.block_until_ready(program(state, sums, *part))
            pace.note(part.last - part.first, time.perf_counter() - begin)
        position.step += part.last - part.first
        _refuse_nan(job, sums)
        _show(job, sums, end, pace)
        if stopping():
            job.journal.save(state, sums, before + position.step)
            raise InterruptedRunError(
                f"stopped at epoch {position.epoch}, step {position.step}; the same command goes on from here"
            )
        if position.step < end and time.perf_counter() - saved_at > job.settings.checkpoint_minutes * 60:
            job.journal.save(state, sums, before + position.step)
            saved_at = time.perf_counter()
    return state, sums


class _Pace:
    """How many steps to dispatch at once, from how long the last ones took. It moves no number of the result."""

    def __init__(self) -> None:
        self.step_seconds = 0.0

    def steps(self) -> int:
        if not self.step_seconds:
            return 1
        return max(int(SECONDS_A_DISPATCH / self.step_seconds), 1)

    def note(self, steps: int, seconds: float) -> None:
        self.step_seconds = seconds / steps


def _refuse_nan(job: Job, sums: Sums) -> None:
    """Stop at a loss that is no number, before it reaches a checkpoint."""
    if not math.isfinite(float(sums.loss)):
        raise RunError(
            f"the loss became {float(sums.loss)} in epoch {job.journal.position.epoch}: lower --learning-rate (now "
            f"{job.settings.learning_rate:g}); the best weights so far are kept in {job.journal.folder.path / 'best'}"
        )


def _show(job: Job, sums: Sums, end: int, pace: _Pace) -> None:
    position, lanes = job.journal.position, job.train.lanes
    done = (position.epoch - 1) * lanes.steps + position.step
    job.journal.reporter.progress(
        f"epoch {position.epoch}",
        min(position.step * lanes.batch_size, lanes.n),
        min(end * lanes.batch_size, lanes.n),
        loss=float(sums.loss) / max(float(sums.weight), 1.0),
        macro_f1=_train_macro_f1(sums),
        images_per_second=lanes.n / lanes.steps / pace.step_seconds,
        seconds_left=(position.total_steps - done) * pace.step_seconds,
    )


def _train_macro_f1(sums: Sums) -> float:
    return float(metrics.macro_f1(np.asarray(sums.confusion, np.int64), present_only=True))


def _line(job: Job, sums: Sums) -> dict[str, Any]:
    """What the training steps of an epoch say of themselves."""
    position = job.journal.position
    return {
        "epoch": position.epoch,
        "step": min(position.epoch * job.train.lanes.steps, position.total_steps),
        "train_loss": float(sums.loss) / float(sums.weight),
        "train_macro_f1": _train_macro_f1(sums),
    }


def _evaluate(job: Job, state: State) -> NDArray[np.float32]:
    """Logits of the validation split by the averaged weights: float32[n, classes]."""
    clock, predictor = job.journal.clock, job.predictor
    before, begin = predictor.compile_seconds, time.perf_counter()

    def progress(done: int, total: int) -> None:
        job.journal.reporter.progress("evaluating", done, total)

    logits = predictor(Values(job.learner.averaged(state), state.non_trainable), job.val, progress)[:, 0]
    compiled = predictor.compile_seconds - before
    clock.add("compile", compiled)
    clock.add("evaluate", time.perf_counter() - begin - compiled)
    return logits
