"""The custom loop (`--loop jax`): many steps a dispatch, all inside one compiled program.

Takes: a `Job` and the state to start from. Gives: nothing but what the journal writes; and `Ahead`, the step's program,
compiled while the probe runs.
"""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from corolla import hosts
from corolla.job import Job, Watch, close_epoch, planned_steps, train_macro_f1
from corolla.mesh import copied
from corolla.pace import Pace
from corolla.step import State, Sums, TrainSteps, empty_sums, train_steps

MEASURED_STEPS = 4
"""Steps in the dispatch that a time-boxed run measures."""


class Ahead:
    """The train step, compiled by a thread of its own while the devices do something else.

    Over several hosts it is compiled when it is asked for: compiling may speak with the others, and in their order.
    """

    def __init__(self, job: Job) -> None:
        """Start to compile. What the feed is asked for here is only looked at for its shape."""
        job.train.start(job.order(1))
        shapes = jax.tree.map(_shape, job.train.take(0, 1))
        values = job.learner.initial_state(), empty_sums(job.learner.classes)
        whole = copied(job.mesh)
        state, sums = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole), values)
        self._program: Any = None
        self._error: BaseException | None = None
        work = partial(self._compile, job, state, sums, shapes)
        self._thread = threading.Thread(target=work, name="corolla-compile", daemon=True)  # a stop must not wait for it
        if not hosts.several():
            self._thread.start()

    def _compile(self, job: Job, state: State, sums: Sums, shapes: Any) -> None:
        try:
            program: Any = train_steps(job.learner, job.mesh)
            self._program = program.lower(state, sums, *shapes).compile()
        except BaseException as error:
            self._error = error

    def program(self) -> TrainSteps:
        """Wait for it. Raises what compiling raised."""
        if self._thread.ident is None:
            self._thread.start()
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._program


def _shape(leaf: Any) -> Any:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding) if isinstance(leaf, jax.Array) else leaf


def fine_tune(job: Job, ahead: Ahead, state: State, sums: Sums, stopping: Callable[[], bool]) -> None:
    """Train from where the journal stands to the planned end. ahead: begun for this job.

    Raises RunError (a loss that is no number; no room) and InterruptedRunError (a signal came; everything is saved).
    """
    position, pace = job.journal.position, Pace(job.train.lanes.steps)
    program = _waited_for(job, ahead)

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


def _waited_for(job: Job, ahead: Ahead) -> TrainSteps:
    """The compiled step; what is left of compiling it is timed apart."""
    job.journal.reporter.note("compiling the train step")
    with job.journal.clock.section("compile"):
        job.train.start(job.order(1))
        return ahead.program()


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
        job.train.start(job.order(position.epoch))
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
