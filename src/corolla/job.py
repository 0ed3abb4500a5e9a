"""What surrounds the steps of a training, whichever loop runs them: plan, clock, progress, evaluation, stopping.

Takes: settings, feeds, learner, predictor, journal: a `Job`.
Gives: `planned_steps`, `Watch` (called after every dispatch of steps) and `close_epoch`.

The order in a loop is a contract, because exact resumption depends on it:
    steps -> evaluate -> keep if best -> metrics line -> checkpoint.
A checkpoint therefore never stands between an epoch's last step and its evaluation.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from corolla import hosts, metrics
from corolla.clock import process_seconds
from corolla.config import TrainSettings
from corolla.errors import RunError
from corolla.inference import KerasPredictor, Predictor, Values
from corolla.interrupt import InterruptedRunError
from corolla.journal import Journal
from corolla.mesh import copy_to_all
from corolla.order import EpochOrder, epoch_order
from corolla.pace import Pace
from corolla.resident import Feed
from corolla.step import Learner, State, Sums, empty_sums

TIME_RESERVE = 0.05
"""Part of the time that a plan leaves free, so that small delays change nothing."""

GROWS_UNTIL = 0.5
"""Part of a plan after which it does not grow any more."""

Snapshot = Callable[[], tuple[State, Sums]]
"""Gives the state and the sums of the epoch as they stand: asked for only where they are written."""


@dataclass(frozen=True)
class Job:
    """What a training consists of; nothing in it changes but the journal's position."""

    settings: TrainSettings
    mesh: Mesh
    learner: Learner
    train: Feed
    val: Feed
    predictor: Predictor | KerasPredictor
    journal: Journal
    shares: NDArray | None = None
    """How often each record comes (`imbalance.shares`); None: once an epoch."""

    def order(self, epoch: int) -> EpochOrder:
        """What the steps of an epoch read."""
        return epoch_order(self.train.lanes, self.settings.seed, epoch, self.shares)

    def put(self, values: Any) -> Any:
        """Give every device a copy."""
        return copy_to_all(self.mesh, values)

    def no_sums(self) -> Sums:
        """Sums of no step, on the devices."""
        return self.put(empty_sums(self.learner.classes))

    def steps_before(self) -> int:
        """Steps of the epochs before the one under way."""
        return (self.journal.position.epoch - 1) * self.train.lanes.steps

    def epoch_end(self) -> int:
        """The step of the epoch under way at which it, or the whole plan, ends."""
        return min(self.train.lanes.steps, self.journal.position.total_steps - self.steps_before())

    def epochs_left(self) -> bool:
        """Whether an epoch is still to run, or to be finished."""
        position = self.journal.position
        return position.epoch <= math.ceil(position.total_steps / self.train.lanes.steps)


# --------------------------------------------------------------------------------------------------------- the plan


def planned_steps(job: Job, pace: Pace, state: State, sums: Sums, run_steps: Callable[[], int]) -> int:
    """Epochs as wished, or what fits the minutes that are left.

    run_steps: runs a few steps on copies (training itself has not begun) and returns how many.
    """
    settings, steps = job.settings, job.train.lanes.steps
    if settings.minutes is None:
        return settings.epochs * steps
    _measure(job, pace, state, sums, run_steps)
    left = _seconds_left(settings.minutes)
    planned = int(min(pace.total_within(left * (1 - TIME_RESERVE), done=0), _most_steps(job)))
    if planned < 1:
        job.journal.reporter.warn(
            f"--minutes {settings.minutes:g}: the probe left {max(left, 0):.0f} s, and a step with its evaluation "
            f"takes {pace.step_seconds + pace.closing_seconds:.0f} s: the probe is the result; give more minutes to "
            "fine-tune"
        )
        return 0
    whole = "the most that are wished" if planned == _most_steps(job) else "fit"
    job.journal.reporter.note(
        f"{planned} steps ({planned / steps:.1f} epochs) {whole}: {pace.step_seconds:.2f} s a step, "
        f"{pace.closing_seconds:.0f} s an evaluation, {left:.0f} s left"
    )
    return planned


def _most_steps(job: Job) -> float:
    """The steps of `max_epochs`."""
    most = job.settings.max_epochs
    return math.inf if most is None else most * job.train.lanes.steps


def _seconds_left(minutes: float) -> float:
    return minutes * 60 - hosts.agreed(process_seconds())


def _measure(job: Job, pace: Pace, state: State, sums: Sums, run_steps: Callable[[], int]) -> None:
    """Time a step, and what closes an epoch."""
    with job.journal.clock.section("train"):
        run_steps()  # warms up
        begin = time.perf_counter()
        steps = run_steps()
        pace.note_steps(steps, hosts.agreed(time.perf_counter() - begin))
    evaluate(job, state)  # compiles
    begin = time.perf_counter()
    job.journal.score(evaluate(job, state))
    job.journal.save(state, sums, 0)  # a fast device closes an epoch more slowly than it trains one
    pace.closing_seconds = hosts.agreed(time.perf_counter() - begin)


# ------------------------------------------------------------------------------------------- after every dispatch


@dataclass
class Watch:
    """What is done after every dispatch of steps: the position, the clock, a loss that is no number, signals."""

    job: Job
    pace: Pace
    stopping: Callable[[], bool]
    saved_at: float = field(default_factory=time.perf_counter)
    begun: bool = False

    def passed(self, steps: int, seconds: float, loss: float, macro_f1: float) -> bool:
        """Note that some steps are done. Returns whether the plan has changed.

        loss, macro_f1: of the epoch so far. Raises RunError for a loss that is no number.
        """
        seconds = hosts.agreed(seconds)  # hosts must not differ in what they do next
        self.job.journal.position.step += steps
        self.job.journal.clock.add("train", seconds)
        self.pace.note_steps(steps, seconds)
        if not self.begun:
            self.job.journal.reporter.note(f"first steps ({steps}) done {process_seconds():.1f} s after the start")
            self.begun = True
        if not math.isfinite(loss):  # before it reaches a checkpoint
            raise _diverged(self.job, f"the loss became {loss}")
        changed = self._keep_time()
        self._show(loss, macro_f1)
        return changed

    def save_where_due(self, snapshot: Snapshot) -> None:
        """Save where a signal came (and raise InterruptedRunError), or where the last checkpoint is long ago."""
        position, settings = self.job.journal.position, self.job.settings
        stop = hosts.any_of(self.stopping())
        due = hosts.agreed(time.perf_counter() - self.saved_at > settings.checkpoint_minutes * 60)
        if stop or (due and position.step < self.job.epoch_end()):
            self.job.journal.save(*snapshot(), self.job.steps_before() + position.step)
            self.saved_at = time.perf_counter()
        if stop:
            raise InterruptedRunError(
                f"stopped at epoch {position.epoch}, step {position.step}; the same command goes on from here"
            )

    def _keep_time(self) -> bool:
        """Plan anew where a time-boxed run would last too long; or, early in it, where it would end too soon.

        Early, because a longer plan raises the learning rate again. Returns whether the plan has changed.
        """
        position, minutes = self.job.journal.position, self.job.settings.minutes
        if minutes is None or not self.pace.closing_seconds:  # a run just resumed knows no end of an epoch yet
            return False
        done, before = self.job.steps_before() + position.step, position.total_steps
        left, wanted = _seconds_left(minutes), self.pace.seconds_to(before, done)
        if wanted > left or (wanted < left * (1 - 2 * TIME_RESERVE) and done < GROWS_UNTIL * before):
            position.total_steps = int(
                min(self.pace.total_within(left * (1 - TIME_RESERVE), done), max(_most_steps(self.job), done))
            )
        if position.total_steps != before:
            pace = f"{self.pace.step_seconds:.2f} s a step"
            self.job.journal.reporter.note(f"planned anew ({pace}): {position.total_steps} steps instead of {before}")
        return position.total_steps != before

    def _show(self, loss: float, macro_f1: float) -> None:
        position, lanes = self.job.journal.position, self.job.train.lanes
        self.job.journal.reporter.progress(
            f"epoch {position.epoch}",
            min(position.step * lanes.batch_size, lanes.n),
            min(self.job.epoch_end() * lanes.batch_size, lanes.n),
            loss=loss,
            macro_f1=macro_f1,
            images_per_second=lanes.n / lanes.steps / self.pace.step_seconds,
            seconds_left=self.pace.seconds_to(position.total_steps, self.job.steps_before() + position.step),
        )


def _diverged(job: Job, what: str) -> RunError:
    """The error, which all processes raise, of a training that has left the numbers."""
    return RunError(
        f"{what} in epoch {job.journal.position.epoch}: lower --learning-rate (now "
        f"{job.settings.learning_rate:g}); the best weights so far are kept in {job.journal.folder.path / 'best'}"
    ).of_all()


# --------------------------------------------------------------------------------------------- the end of an epoch


def close_epoch(job: Job, pace: Pace, state: State, sums: Sums) -> dict[str, Any]:
    """Evaluate, keep the weights if best, write the line (which is returned) and a checkpoint; go to the next epoch.

    Raises RunError where the weights give no numbers: a step's loss is that of the weights before it, so the damage of
    an epoch's last step shows here first.
    """
    begin, position = time.perf_counter(), job.journal.position
    line, logits = _line(job, sums), evaluate(job, state)
    if not np.isfinite(logits).all():
        raise _diverged(job, "the logits of the validation split became no numbers")
    job.journal.close_epoch(state, position.epoch, line, logits)
    position.epoch, position.step = position.epoch + 1, 0
    job.journal.save(state, job.no_sums(), min(job.steps_before(), position.total_steps))
    pace.closing_seconds = hosts.agreed(time.perf_counter() - begin)
    return line


def train_macro_f1(sums: Sums) -> float:
    """Macro F1 of the training steps so far, over the classes present."""
    return float(metrics.macro_f1(np.asarray(sums.confusion, np.int64), present_only=True))


def _line(job: Job, sums: Sums) -> dict[str, Any]:
    """What the training steps of an epoch say of themselves."""
    position = job.journal.position
    return {
        "epoch": position.epoch,
        "step": min(position.epoch * job.train.lanes.steps, position.total_steps),
        "train_loss": float(sums.loss) / float(sums.weight),
        "train_macro_f1": train_macro_f1(sums),
    }


def evaluate(job: Job, state: State) -> NDArray[np.float32]:
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
