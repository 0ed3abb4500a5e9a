"""The custom loop (`--loop jax`): many steps a dispatch, all inside one compiled program.

Takes: a `Job` and the state to start from. Gives: nothing but what the journal writes.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from corolla.job import Job, Watch, close_epoch, planned_steps, train_macro_f1
from corolla.order import epoch_order
from corolla.pace import Pace
from corolla.step import State, Sums, TrainSteps, train_steps

MEASURED_STEPS = 4
"""Steps in the dispatch that a time-boxed run measures."""


def fine_tune(job: Job, state: State, sums: Sums, stopping: Callable[[], bool]) -> None:
    """Train from where the journal stands to the planned end.

    Raises RunError (a loss that is no number; no room) and InterruptedRunError (a signal came; everything is saved).
    """
    position, pace = job.journal.position, Pace(job.train.lanes.steps)
    program = _compiled(job, state, sums)

    def run_steps() -> int:
        part = job.train.take(0, min(MEASURED_STEPS, job.train.lanes.steps))
        copies = jax.tree.map(lambda leaf: leaf.copy(), (state, sums))
        jax.block_until_ready(program(*copies, *part))
        return part.last - part.first

    position.total_steps = position.total_steps or planned_steps(job, pace, state, sums, run_steps)
    state, watch = _with_total_steps(job, state), Watch(job, pace, stopping)
    while job.epochs_left():
        state, sums = _epoch(job, program, watch, state, sums)
        close_epoch(job, pace, state, sums)
        sums = job.no_sums()


def _compiled(job: Job, state: State, sums: Sums) -> TrainSteps:
    """Compile the train step ahead of its first use, so that compiling is timed apart."""
    job.journal.reporter.note("compiling the train step")
    with job.journal.clock.section("compile"):
        job.train.start(epoch_order(job.train.lanes, job.settings.seed, 1))
        program: Any = train_steps(job.learner, job.mesh)
        return program.lower(state, sums, *job.train.take(0, 1)).compile()


def _with_total_steps(job: Job, state: State) -> State:
    """Write the schedule's length into its optimizer variable."""
    optimizer = job.learner.optimizer
    place = next(i for i, variable in enumerate(optimizer.variables) if variable is optimizer.total_steps)
    values = list(state.optimizer)
    values[place] = job.put(np.int32(job.journal.position.total_steps))
    return state._replace(optimizer=values)


def _epoch(job: Job, program: TrainSteps, watch: Watch, state: State, sums: Sums) -> tuple[State, Sums]:
    """Run an epoch's remaining steps, saving on the way, stopping between dispatches if asked."""
    position, clock = job.journal.position, job.journal.clock
    with clock.section("input"):
        job.train.start(epoch_order(job.train.lanes, job.settings.seed, position.epoch))
    while position.step < (end := job.epoch_end()):
        with clock.section("input"):
            part = job.train.take(position.step, min(position.step + watch.pace.steps_a_dispatch(), end))
        begin = time.perf_counter()
        state, sums = jax.block_until_ready(program(state, sums, *part))
        loss = float(sums.loss) / max(float(sums.weight), 1.0)
        if watch.passed(part.last - part.first, time.perf_counter() - begin, loss, train_macro_f1(sums)):
            state = _with_total_steps(job, state)
        now = state, sums
        watch.save_where_due(lambda now=now: now)
    return state, sums
