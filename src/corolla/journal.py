"""What a training in progress writes down: the end of every epoch, checkpoints, and the final scores.

Takes: states, sums and logits from the loops. Gives: the run folder's metrics, best weights, checkpoints and scores;
and, after a kill, the state and the position to go on from.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from numpy.typing import NDArray

from corolla import classes, hosts, metrics
from corolla.clock import Clock
from corolla.inference import softmax
from corolla.metrics import Scores
from corolla.network import scored_weights
from corolla.reporter import Reporter
from corolla.run import RunFolder
from corolla.step import Learner, State, Sums
from corolla.types import Photos


@dataclass
class Position:
    """Where training stands: what a checkpoint holds besides arrays."""

    epoch: int = 1
    """The epoch under way, from 1."""
    step: int = 0
    """Steps done in this epoch."""
    total_steps: int = 0
    """Steps of the whole fine-tuning; 0 before it is planned."""
    best_epoch: int = 0
    best_macro_f1: float = -1.0
    lines: list[dict[str, Any]] = field(default_factory=list)
    """The lines of metrics.jsonl so far."""


class Journal:
    """The one writer of a run folder during training. Of several hosts, process 0 writes; what it reads, all hear."""

    def __init__(
        self,
        folder: RunFolder,
        learner: Learner,
        val: Photos,
        clock: Clock,
        reporter: Reporter,
        keeps_last: bool = False,
    ) -> None:
        """keeps_last: keep the last epoch's weights, not those of the best: where the judges have taught."""
        assert val.labels is not None
        self.keeps_last = keeps_last
        self.folder, self.learner, self.clock, self.reporter = folder, learner, clock, reporter
        self.ids, self.labels, self.skipped = val.ids, val.labels, len(val.bad)
        self.position = Position()

    def close_epoch(self, state: State, epoch: int, line: dict[str, Any], logits: NDArray) -> None:
        """Score an epoch by its validation logits float32[n, classes], keep its weights if best, write its line.

        An epoch must be better to replace the best one, so of equals the earliest stays; epoch 0 is the probe.
        """
        scores = self.score(logits)
        if epoch == 0:
            self._write(
                lambda: self.folder.write_predictions("predictions-probe", self.ids, self.labels, softmax(logits))
            )
        best = self.keeps_last or hosts.agreed(scores.macro_f1 > self.position.best_macro_f1)
        if best:
            self._keep(state, epoch, scores.macro_f1, logits)
        line |= {
            "val_loss": scores.loss,
            "val_macro_f1": scores.macro_f1,
            "val_macro_f1_present": scores.macro_f1_present,
            "val_accuracy": scores.accuracy,
            "best": best,
            "seconds": self.clock.rounded(),
        }
        self.position.lines.append(line)
        self._write(lambda: self.folder.write_metrics(self.position.lines))
        self.reporter.epoch(line)

    def score(self, logits: NDArray) -> Scores:
        """Scores of the validation split by its logits float32[n, classes]."""
        return metrics.score("val", self.labels, softmax(logits), classes.NAMES, self.skipped)

    def _keep(self, state: State, epoch: int, macro_f1: float, logits: NDArray) -> None:
        self.position.best_epoch, self.position.best_macro_f1 = epoch, macro_f1
        with self.clock.section("save"):
            arrays = {**scored_weights(self.learner, state), "val_logits": logits}
            self._write(lambda: self.folder.save_best(epoch, arrays, {"epoch": epoch, "macro_f1": macro_f1}))

    def _write(self, write: Callable[[], Any]) -> None:
        """Write on process 0; where that fails, all fail."""
        hosts.from_first(lambda: write() and None)

    # ------------------------------------------------------------------------------------------------ checkpoints

    def save(self, state: State, sums: Sums, steps_done: int) -> None:
        """Write a checkpoint; `steps_done` counts from the first step of the first epoch."""
        with self.clock.section("save"):
            groups = {**state._asdict(), "sums": list(sums)}
            arrays = {f"{group}/{i}": leaf for group, leaves in groups.items() for i, leaf in enumerate(leaves)}
            meta = {"position": asdict(self.position), "seconds": self.clock.rounded()}
            self._write(lambda: self.folder.save_checkpoint(steps_done, arrays, meta))

    def restore(self) -> tuple[State, Sums] | None:
        """State and sums of the newest whole checkpoint, or None where there is none; sets the position."""
        arrays, meta = self._newest()
        if meta is None:
            return None
        self.position = Position(**meta["position"])
        self.clock.seconds = dict(meta["seconds"])
        self.reporter.resumed(self.position.lines)
        self.reporter.note(f"resuming at epoch {self.position.epoch}, step {self.position.step}")
        blank = self.learner.initial_state()
        state = State(*(_leaves(arrays, name, len(getattr(blank, name))) for name in State._fields))
        return state, Sums(*_leaves(arrays, "sums", len(Sums._fields)))

    def _newest(self) -> tuple[dict[str, NDArray], dict[str, Any] | None]:
        """Arrays and description of the newest whole checkpoint; no description where there is none."""
        arrays: dict[str, NDArray] = {}

        def read() -> dict[str, Any] | None:
            saved, damaged = self.folder.newest_checkpoint()
            for line in damaged:
                self.reporter.warn(f"{line}; trying the checkpoint before it")
            arrays.update(saved.arrays if saved else {})
            return saved and saved.meta

        meta = hosts.from_first(read)
        return hosts.arrays_from_first(arrays), meta

    # ---------------------------------------------------------------------------------------------------- the end

    def finish(self) -> Scores:
        """Write predictions.npz and, last of all, scores.json."""
        return metrics.from_json(hosts.from_first(self._finish))

    def _finish(self) -> dict[str, Any]:
        best = self.folder.best()
        scores, probabilities = self.score(best.arrays["val_logits"]), softmax(best.arrays["val_logits"])
        self.folder.write_predictions("predictions", self.ids, self.labels, probabilities)
        extra = {"epoch": best.number, "gain_over_probe": self._gain(probabilities), "seconds": self.clock.rounded()}
        self.folder.write_scores({**scores.to_json(), **extra})
        return scores.to_json()

    def _gain(self, probabilities: NDArray) -> dict[str, Any]:
        """Macro F1 over the classes present, against the probe's, on the same records."""
        probe = self.folder.predictions("predictions-probe").probabilities
        predicted = (probe.argmax(axis=1), probabilities.argmax(axis=1))
        gain, interval = metrics.paired_difference(self.labels, *predicted, len(classes.NAMES))
        return {"macro_f1_present": gain, "interval": interval}


def _leaves(arrays: dict[str, NDArray], group: str, count: int) -> list[jax.Array]:
    return [jnp.asarray(arrays[f"{group}/{i}"]) for i in range(count)]
