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
from corolla.pace import Pace
from corolla.resident import Feed
from corolla.step import Learner, State, Sums, TrainSteps, empty_sums, train_steps

TIME_RESERVE = 0.05
"""Part of the time that a plan leaves free, so that small delays change nothing."""

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
    program, pace = _compiled(job, state, sums), Pace(steps)
    position.total_steps = position.total_steps or _planned_steps(job, program, pace, state, sums)
    state = _with_total_steps(job, state, position.total_steps)
    while position.epoch <= math.ceil(position.total_steps / steps):
        state, sums = _epoch(job, program, pace, state, sums, stopping)
        begin = time.perf_counter()
        line = _line(job, sums)
        job.journal.close_epoch(state, position.epoch, line, _evaluate(job, state))
        position.epoch, position.step = position.epoch + 1, 0
        sums = job.no_sums()
        job.journal.save(state, sums, (position.epoch - 1) * steps)
        pace.closing_seconds = time.perf_counter() - begin


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


def _planned_steps(job: Job, program: TrainSteps, pace: Pace, state: State, sums: Sums) -> int:
    """Epochs as wished, or what fits the minutes that are left."""
    settings, steps = job.settings, job.train.lanes.steps
    if settings.minutes is None:
        return settings.epochs * steps
    _measure(job, program, pace, state, sums)
    left = _seconds_left(settings.minutes)
    planned = pace.total_within(left * (1 - TIME_RESERVE), done=0)
    if planned < 1:
        job.journal.reporter.warn(
            f"--minutes {settings.minutes:g}: the probe left {max(left, 0):.0f} s, and a step with its evaluation "
            f"takes {pace.step_seconds + pace.closing_seconds:.0f} s: the probe is the result; give more minutes to "
            "fine-tune"
        )
        return 0
    job.journal.reporter.note(
        f"{planned} steps ({planned / steps:.1f} epochs) fit: {pace.step_seconds:.2f} s a step, "
        f"{pace.closing_seconds:.0f} s an evaluation, {left:.0f} s left"
    )
    return planned


def _seconds_left(minutes: float) -> float:
    return minutes * 60 - process_seconds()


def _keep_time(job: Job, pace: Pace, state: State) -> State:
    """Plan fewer steps where the rest of the plan would outlast a time-boxed run: the machine has slowed down.

    Never more steps: a plan that breathes would make the learning rate waver.
    """
    position, minutes = job.journal.position, job.settings.minutes
    if minutes is None or not pace.closing_seconds:  # a run just resumed knows no end of an epoch yet
        return state
    done = (position.epoch - 1) * job.train.lanes.steps + position.step
    left = _seconds_left(minutes)
    if pace.seconds_to(position.total_steps, done) <= left:
        return state
    before, position.total_steps = position.total_steps, pace.total_within(left * (1 - TIME_RESERVE), done)
    job.journal.reporter.note(
        f"slower than planned ({pace.step_seconds:.2f} s a step): {position.total_steps} steps instead of {before}"
    )
    return _with_total_steps(job, state, position.total_steps)


def _measure(job: Job, program: TrainSteps, pace: Pace, state: State, sums: Sums) -> None:
    """Time a step, and what closes an epoch. The steps run on copies: training itself has not begun."""
    with job.journal.clock.section("train"):
        for warm in (False, True):
            part = job.train.take(0, min(MEASURED_STEPS, job.train.lanes.steps))
            copies = jax.tree.map(lambda leaf: leaf.copy(), (state, sums))
            begin = time.perf_counter()
            jax.block_until_ready(program(*copies, *part))
            if warm:
                pace.note_steps(part.last - part.first, time.perf_counter() - begin)
    _evaluate(job, state)  # compiles
    begin = time.perf_counter()
    job.journal.score(_evaluate(job, state))
    job.journal.save(state, sums, 0)  # a fast device closes an epoch more slowly than it trains one
    pace.closing_seconds = time.perf_counter() - begin


# --------------------------------------------------------------------------------------------------------- an epoch


def _epoch(
    job: Job, program: TrainSteps, pace: Pace, state: State, sums: Sums, stopping: Callable[[], bool]
) -> tuple[State, Sums]:
    """Run an epoch's remaining steps, saving on the way, stopping between dispatches if asked."""
    position, lanes, clock = job.journal.position, job.train.lanes, job.journal.clock
    before, saved_at = (position.epoch - 1) * lanes.steps, time.perf_counter()
    with clock.section("input"):
        job.train.start(epoch_order(lanes, job.settings.seed, position.epoch))
    while position.step < (end := min(lanes.steps, position.total_steps - before)):
        with clock.section("input"):
            part = job.train.take(position.step, min(position.step + pace.steps_a_dispatch(), end))
        with clock.section("train"):
            begin = time.perf_counter()
            state, sums = jax.block_until_ready(program(state, sums, *part))
            pace.note_steps(part.last - part.first, time.perf_counter() - begin)
        position.step += part.last - part.first
        _refuse_nan(job, sums)
        state = _keep_time(job, pace, state)
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


def _refuse_nan(job: Job, sums: Sums) -> None:
    """Stop at a loss that is no number, before it reaches a checkpoint."""
    if not math.isfinite(float(sums.loss)):
        raise RunError(
            f"the loss became {float(sums.loss)} in epoch {job.journal.position.epoch}: lower --learning-rate (now "
            f"{job.settings.learning_rate:g}); the best weights so far are kept in {job.journal.folder.path / 'best'}"
        )


def _show(job: Job, sums: Sums, end: int, pace: Pace) -> None:
    position, lanes = job.journal.position, job.train.lanes
    done = (position.epoch - 1) * lanes.steps + position.step
    job.journal.reporter.progress(
        f"epoch {position.epoch}",
        min(position.step * lanes.batch_size, lanes.n),
        min(end * lanes.batch_size, lanes.n),
        loss=float(sums.loss) / max(float(sums.weight), 1.0),
        macro_f1=_train_macro_f1(sums),
        images_per_second=lanes.n / lanes.steps / pace.step_seconds,
        seconds_left=pace.seconds_to(position.total_steps, done),
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
