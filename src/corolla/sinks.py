"""Other places for the lines of metrics.jsonl: TensorBoard, Weights & Biases, MLflow.

Takes: what a training tells its reporter. Gives: `Sinks`, a reporter that hands it on to another and every line to the
sinks; `sinks_of`, those that were wished.

Each sink has a thread of its own and a queue that does not grow for ever, so that none can stall a step; one that
fails, or takes nothing any more, is told of in one warning and then left alone. When a run goes on, its lines so far
are given again: a sink that has them already leaves them out.
"""

import queue
import secrets
import threading
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from corolla.checkpoint import read_json, write_json
from corolla.config import SinksWish
from corolla.errors import WishError
from corolla.reporter import Reporter
from corolla.storage import AnyPath

WAITING = 1_000
"""Lines that a sink may be behind."""

PATIENCE_SECONDS = 10.0
"""For all sinks together, at the end of a run."""

FOLDER, IDENTITY = "tensorboard", "sinks.json"

EXPERIMENT = "corolla"
"""Under which MLflow keeps the runs."""


class Sink(Protocol):
    """A place for lines. All of it is called by one thread, and may raise anything."""

    name: str

    def open(self) -> None:
        """Before the first line."""

    def write(self, line: dict[str, Any]) -> None:
        """A line of metrics.jsonl."""

    def close(self) -> None:
        """After the last line."""


def flat(line: dict[str, Any]) -> dict[str, float]:
    """The numbers of a line by names in groups: train/loss, val/macro_f1, seconds/train."""
    found: dict[str, float] = {}
    for name, value in line.items():
        if isinstance(value, dict):
            found |= {f"{name}/{part}": float(number) for part, number in value.items()}
        elif name != "step":
            group, _, rest = name.partition("_")
            found[f"{group}/{rest}" if rest else name] = float(value)
    return found


# Handing on -------------------------------------------------------------------------------------------------------


class Sinks(Reporter):
    """A reporter that also gives every line to sinks. Its context ends by waiting for them, but not for long."""

    def __init__(self, reporter: Reporter, sinks: Sequence[Sink], patience_seconds: float = PATIENCE_SECONDS) -> None:
        self.reporter, self.patience_seconds = reporter, patience_seconds
        self._couriers = [_Courier(sink) for sink in sinks]

    def __enter__(self) -> "Sinks":
        return self

    def __exit__(self, *_: object) -> None:
        deadline = time.monotonic() + self.patience_seconds
        for courier in self._couriers:
            courier.finish()
        for courier in self._couriers:
            courier.wait(deadline - time.monotonic())
        self._tell()

    def note(self, text: str) -> None:
        self.reporter.note(text)

    def warn(self, text: str) -> None:
        self.reporter.warn(text)

    def progress(self, stage: str, done: int, total: int, **figures: float) -> None:
        self.reporter.progress(stage, done, total, **figures)
        self._tell()

    def epoch(self, line: dict[str, Any]) -> None:
        self.reporter.epoch(line)
        self._take([line])

    def resumed(self, lines: list[dict[str, Any]]) -> None:
        self.reporter.resumed(lines)
        self._take(lines)

    def _take(self, lines: list[dict[str, Any]]) -> None:
        for courier in self._couriers:
            for line in lines:
                courier.take(dict(line))
        self._tell()

    def _tell(self) -> None:
        """Of sinks that have failed, here and not in their threads, once each."""
        for courier in self._couriers:
            if courier.fault and not courier.told:
                courier.told = True
                self.reporter.warn(
                    f"{courier.sink.name}: {courier.fault}: nothing more goes there; the run itself is whole"
                )


class _Courier:
    """Brings lines to one sink. fault: why it does so no more."""

    def __init__(self, sink: Sink) -> None:
        self.sink, self.fault, self.told = sink, "", False
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue(WAITING)
        # A process that ends does not wait for threads of this name (`cli`).
        self._thread = threading.Thread(target=self._work, name=f"corolla-sink-{sink.name}", daemon=True)

    def take(self, line: dict[str, Any] | None) -> None:
        """Put a line down for the sink; None is the end."""
        if self.fault:
            return
        if self._thread.ident is None:
            self._thread.start()
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self.fault = f"it has not taken the last {WAITING:,} lines"

    def finish(self) -> None:
        """Let it end after the last line, if it has begun."""
        if self._thread.ident is not None:
            self.take(None)

    def wait(self, seconds: float) -> None:
        """Until it has ended, or for so long."""
        if self._thread.ident is None or self.fault:
            return
        self._thread.join(max(seconds, 0))
        if self._thread.is_alive():
            self.fault = "it has not taken the last lines in time"

    def _work(self) -> None:
        try:
            self.sink.open()
            while not self.fault and (line := self._lines.get()) is not None:
                self.sink.write(line)
            self.sink.close()
        except BaseException as error:  # also what calls sys.exit: the training is not its business
            self.fault = (str(error).strip() or type(error).__name__).splitlines()[0]


# The sinks --------------------------------------------------------------------------------------------------------


def sinks_of(wish: SinksWish, run: AnyPath, settings: dict[str, Any]) -> list[Sink]:
    """The sinks that were wished for a run folder, not yet opened. settings: of the run, to show beside its curves.

    Raises WishError where an extra is missing, or a place is impossible.
    """
    found: list[Sink] = []
    if wish.tensorboard:
        _want("tensorboard", "tensorboardX")
        if not isinstance(run, Path):
            raise WishError(f"--tensorboard writes into the run folder, on a disk, not {run}: leave it out")
        found.append(TensorBoard(run / FOLDER))
    if wish.wandb is not None:
        _want("wandb", "wandb")
        found.append(WeightsAndBiases(wish.wandb, run, settings))
    if wish.mlflow is not None:
        _want("mlflow", "mlflow")
        found.append(MLflow(wish.mlflow, run, settings))
    return found


def _want(extra: str, package: str) -> None:
    if find_spec(package) is None:
        raise WishError(f"--{extra} wants {package}, which is not installed: pip install 'corolla[{extra}]'")


_IDENTIFYING = threading.Lock()


def identity(run: AnyPath) -> str:
    """The name by which a run is known again elsewhere: drawn once, kept in the run folder."""
    path = run / IDENTITY
    with _IDENTIFYING:
        if not path.is_file():
            write_json(path, {"id": secrets.token_hex(8)})
        return str(read_json(path)["id"])


class TensorBoard:
    """Events in a folder: one file, which holds each line once."""

    name = "TensorBoard"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: Any = None

    def open(self) -> None:
        """Begin a new file in the place of older ones of this run, whose lines come again."""
        from tensorboardX.proto.event_pb2 import Event  # pyright: ignore
        from tensorboardX.record_writer import RecordWriter

        self.folder.mkdir(parents=True, exist_ok=True)
        for older in self.folder.glob("events.out.tfevents.*.corolla"):
            older.unlink()
        now = time.time()
        self._file = RecordWriter(str(self.folder / f"events.out.tfevents.{now:.6f}.corolla"))
        self._write(Event(wall_time=now, file_version="brain.Event:2"))

    def write(self, line: dict[str, Any]) -> None:
        """One event, at the line's step."""
        from tensorboardX.proto.event_pb2 import Event  # pyright: ignore
        from tensorboardX.proto.summary_pb2 import Summary  # pyright: ignore

        values = [Summary.Value(tag=name, simple_value=value) for name, value in flat(line).items()]
        self._write(Event(wall_time=time.time(), step=line["step"], summary=Summary(value=values)))

    def _write(self, event: Any) -> None:
        self._file.write(event.SerializeToString())
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class WeightsAndBiases:
    """A run of a project of W&B; what it keeps on the disk lies in the run folder, if that is on one."""

    name = "W&B"

    def __init__(self, project: str, run: AnyPath, settings: dict[str, Any]) -> None:
        self.project, self.run, self.settings = project, run, settings
        self._run: Any = None

    def open(self) -> None:
        """Begin the run there, or go on with it."""
        import wandb  # pyright: ignore

        self._run = wandb.init(
            project=self.project,
            id=identity(self.run),
            name=self.run.name,
            config=self.settings,
            resume="allow",
            dir=self.run if isinstance(self.run, Path) else None,
            settings=wandb.Settings(silent=True, console="off", save_code=False, disable_git=True),
        )

    def write(self, line: dict[str, Any]) -> None:
        """One line, if it is not there yet."""
        if line["step"] >= self._run.step:
            self._run.log(flat(line), step=line["step"])

    def close(self) -> None:
        """Send the rest."""
        self._run.finish()


class MLflow:
    """A run in a store of MLflow."""

    name = "MLflow"

    def __init__(self, uri: str, run: AnyPath, settings: dict[str, Any]) -> None:
        self.uri, self.run, self.settings = uri, run, settings
        self._client: Any = None
        self._id, self._last = "", -1

    def open(self) -> None:
        """Begin the run there, or go on with it after its last step."""
        from mlflow import MlflowClient  # pyright: ignore
        from mlflow.entities import Param  # pyright: ignore

        self._client, known = MlflowClient(tracking_uri=self.uri), identity(self.run)
        kept = self._client.get_experiment_by_name(EXPERIMENT)
        experiment = kept.experiment_id if kept else self._client.create_experiment(EXPERIMENT)
        before = self._client.search_runs([experiment], f"tags.`corolla.run` = '{known}'", max_results=1)
        if before:
            self._id = before[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
            self._last = max((each.step for each in self._client.get_metric_history(self._id, "epoch")), default=-1)
            return
        begun = self._client.create_run(experiment, tags={"corolla.run": known}, run_name=self.run.name)
        self._id = begun.info.run_id
        self._client.log_batch(self._id, params=[Param(name, str(each)) for name, each in self.settings.items()])

    def write(self, line: dict[str, Any]) -> None:
        """One line, if it is not there yet."""
        from mlflow.entities import Metric  # pyright: ignore

        if line["step"] > self._last:
            now = int(time.time() * 1000)
            metrics = [Metric(name, value, now, line["step"]) for name, value in flat(line).items()]
            self._client.log_batch(self._id, metrics=metrics)

    def close(self) -> None:
        """Mark the run as ended."""
        self._client.set_terminated(self._id)
