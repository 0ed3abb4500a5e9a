"""The command line: `corolla VERB ...`.

Takes: the arguments. Gives: an exit code: 0, 1 for broken data or a failed run, 2 for wishes that make no sense.
Each verb is a dataclass whose fields are its options and whose `run` calls the library function of the same name.
Heavy modules are imported inside `run`, so `corolla --help` costs no import of JAX.
"""

import io
import json
import os
import sys
import threading
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console

import corolla
from corolla.config import DoctorWish, HostsWish, OnBadRecord, PlanWish, TrainSettings
from corolla.errors import CorollaError, WishError
from corolla.storage import AnyPath, any_path

Positional = tyro.conf.Positional
Flat = tyro.conf.OmitArgPrefixes


def _local(written: str) -> Path:
    path = any_path(written)
    if not isinstance(path, Path):
        raise WishError(f"{path}: this is written to a folder on the disk, and copied from there")
    return path


def _words(parse: Any) -> Any:
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=lambda words: parse(words[0]),
        is_instance=lambda value: isinstance(value, AnyPath),
        str_from_instance=lambda value: [str(value)],
    )


Anywhere = Annotated[AnyPath, _words(any_path)]
"""A path on the disk, or gs://, s3://, hf://, https://."""
OnDisk = Annotated[Path, _words(_local)]


def _console() -> Console:
    return Console(stderr=True)


def _emit(data: Any) -> None:
    """A machine's answer, on standard output."""
    print(json.dumps(data, ensure_ascii=False, indent=1))


@dataclass(frozen=True)
class Sample:
    """Render a small data set of 104 kinds of flowers, for trying everything without any data."""

    out: Positional[OnDisk]
    """Folder to write; must not hold anything yet."""
    image_size: int = 224
    """Side of the images [px]."""
    seed: int = 0
    """Same seed, same bytes."""

    def run(self) -> int:
        from corolla.console import ConsoleReporter
        from corolla.sample import write_sample

        with ConsoleReporter(_console()) as reporter:

            def rendering(done: int, total: int) -> None:
                reporter.progress("rendering", done, total)

            write_sample(self.out, image_size=self.image_size, seed=self.seed, progress=rendering)
        print(self.out)
        return 0


@dataclass(frozen=True)
class Fetch:
    """Fetch the competition's data from Kaggle, for which Kaggle wants credentials and its rules accepted."""

    out: Positional[OnDisk | None] = None
    """Folder to write, which must not hold anything yet; by default kagglehub's cache, where broken downloads go on."""
    competition: Literal["tpu-getting-started", "flower-classification-with-tpus"] = "tpu-getting-started"
    """The competition by its name in Kaggle's addresses; both have the same photos."""

    def run(self) -> int:
        from corolla.console import ConsoleReporter
        from corolla.fetch import fetch

        with ConsoleReporter(_console()) as reporter:
            found = fetch(self.out, self.competition, reporter)
        print(found)
        return 0


@dataclass(frozen=True)
class Check:
    """Read every record of a data set and report what is wrong, and where."""

    data: Positional[Anywhere]
    """Folder with train/ val/ test/, or with tfrecords-jpeg-SxS folders; also gs://, s3://, hf://, https://."""
    image_size: int | None = None
    """Side of the images [px], where the data come in several sizes."""
    json: bool = False
    """Print the report as JSON."""

    def run(self) -> int:
        from corolla.check import check, print_report
        from corolla.console import ConsoleReporter

        with ConsoleReporter(_console()) as reporter:

            def checking(done: int, total: int) -> None:
                reporter.progress("checking", done, total)

            report = check(self.data, self.image_size, checking)
        if self.json:
            _emit(report.to_json())
        else:
            print_report(report, Console())
        return 0 if report.ok else 1


@dataclass(frozen=True)
class Train:
    """Train a classifier: probe, then fine-tune. The same command resumes a run that was stopped."""

    data: Positional[Anywhere]
    """Folder with train/ and val/, or with tfrecords-jpeg-SxS folders; also gs://, s3://, hf://, https://."""
    out: Anywhere | None = None
    """Run folder, also gs:// or s3://; by default runs/ and a name made from data and settings, so that the same
    command finds it again."""
    settings: Flat[TrainSettings] = field(default_factory=TrainSettings)
    json: bool = False
    """Print the scores as JSON."""
    hosts: Flat[HostsWish] = field(default_factory=HostsWish)

    def run(self) -> int:
        from corolla.compiled import keep
        from corolla.console import ConsoleReporter, print_scores
        from corolla.hosts import connect, first
        from corolla.run import default_path
        from corolla.train import train

        console = _console()
        out = self.out or default_path(self.data, self.settings)
        with ConsoleReporter(console) as reporter:
            connect(self.hosts, reporter)
            keep(reporter)
            scores = train(self.data, out, self.settings, reporter)
        if not first():
            return 0
        if self.json:
            _emit(scores.to_json())
        else:
            print_scores(console, scores, table=False)
            print(out)
        return 0


@dataclass(frozen=True)
class Evaluate:
    """Score a run on a labelled split."""

    run_folder: Annotated[Positional[Anywhere], tyro.conf.arg(name="run", metavar="RUN")]
    """Run folder."""
    data: Anywhere
    """Folder with the split."""
    split: Literal["train", "val", "test"] = "val"
    """Which split; it must have labels."""
    tta: Literal["none", "flip"] = "none"
    """Views averaged a photo: flip adds its mirror image and takes twice the time."""
    on_bad_record: OnBadRecord = "fail"
    """What a damaged record does: stop (fail), or be left out and counted (skip)."""
    json: bool = False
    """Print the scores as JSON instead of a table."""
    hosts: Flat[HostsWish] = field(default_factory=HostsWish)

    def run(self) -> int:
        from corolla.compiled import keep
        from corolla.console import ConsoleReporter, print_scores
        from corolla.evaluate import evaluate
        from corolla.hosts import connect, first

        with ConsoleReporter(_console()) as reporter:
            connect(self.hosts, reporter)
            keep(reporter)
            scores, path = evaluate(self.run_folder, self.data, self.split, self.tta, self.on_bad_record, reporter)
        if not first():
            return 0
        if self.json:
            _emit(scores.to_json())
        else:
            print_scores(Console(), scores, table=True)
            print(path)
        return 0


@dataclass(frozen=True)
class Predict:
    """Write submission.csv: a label for every photo of the test split, by one run or the mean of several."""

    runs: Annotated[Positional[tuple[Anywhere, ...]], tyro.conf.arg(metavar="RUN...")]
    """Run folders; several are averaged."""
    data: Anywhere
    """Folder with the split."""
    out: Anywhere = Path("submission.csv")
    """File to write."""
    split: Literal["train", "val", "test"] = "test"
    """Which split."""
    tta: Literal["none", "flip"] = "none"
    """Views averaged a photo: flip adds its mirror image and takes twice the time."""
    on_bad_record: OnBadRecord = "fail"
    """What a damaged record does: stop (fail), or be left out and counted (skip)."""
    json: bool = False
    """Print a summary as JSON."""
    hosts: Flat[HostsWish] = field(default_factory=HostsWish)

    def run(self) -> int:
        from corolla.compiled import keep
        from corolla.console import ConsoleReporter
        from corolla.hosts import connect, first
        from corolla.predict import predict

        console = _console()
        with ConsoleReporter(console) as reporter:
            connect(self.hosts, reporter)
            keep(reporter)
            made = predict(self.runs, self.data, self.out, self.split, self.tta, self.on_bad_record, reporter)
        if not first():
            return 0
        checked = None if made.checked_against is None else str(made.checked_against)
        summary = {"path": str(made.path), "rows": len(made.ids), "mean_confidence": made.mean_confidence}
        if self.json:
            _emit({**summary, "checked_against": checked, "skipped_records": made.skipped_records})
            return 0
        beside = f", ids as in {checked}" if checked else ""
        line = f"{len(made.ids)} photos, mean confidence {made.mean_confidence:.3f}{beside}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
        print(made.path)
        return 0


@dataclass(frozen=True)
class Identify:
    """Name the flowers in photos, by a run. The first answer comes within a second."""

    photos: Annotated[Positional[tuple[OnDisk, ...]], tyro.conf.arg(metavar="PHOTO...")]
    """JPEG, PNG or WebP files of any size, or folders of them."""
    run_folder: Annotated[Anywhere, tyro.conf.arg(name="run", metavar="RUN")]
    """Run folder."""
    top: int = 5
    """Labels to tell for each photo, the likeliest first."""
    json: bool = False
    """Print a list as JSON: path, and top with label, name and probability."""

    def run(self) -> int:
        from corolla.identify import identify

        if not self.photos:
            raise WishError("identify needs at least one photo, or a folder of them")
        answers = identify(self.run_folder, self.photos, self.top)
        if self.json:
            _emit([answer.to_json() for answer in answers])
            return 0
        for answer in answers:
            print(answer.path)
            for guess in answer.top:
                print(f"  {guess.probability:6.1%}  {guess.name}")
        return 0


@dataclass(frozen=True)
class Models:
    """List the backbones: parameters, work for one image, its size, and whether their weights are at hand."""

    json: bool = False
    """Print the list as JSON."""

    def run(self) -> int:
        from dataclasses import asdict

        from corolla.console import print_models
        from corolla.models.registry import listing

        found = listing()
        if self.json:
            _emit([asdict(one) for one in found])
        else:
            print_models(Console(), found)
        return 0


@dataclass(frozen=True)
class Plan:
    """Say what a run needs and how fast it can be: on TPUs that are not there, or, measured, on the devices at hand."""

    wish: Flat[PlanWish] = field(default_factory=PlanWish)
    out: Anywhere | None = None
    """File to write the plan to as JSON."""
    fresh: bool = False
    """Plan anew, though a plan of the same wish was kept."""
    json: bool = False
    """Print the plan as JSON."""

    def run(self) -> int:
        from corolla.checkpoint import write_json
        from corolla.compiled import cache_folder
        from corolla.console import ConsoleReporter, print_plan
        from corolla.plan import plan

        with ConsoleReporter(_console()) as reporter:
            made = plan(self.wish, reporter, cache_folder() / "plans", self.fresh)
        if self.out:
            write_json(self.out, made.to_json())
        if self.json:
            _emit(made.to_json())
        else:
            print_plan(Console(), made.to_json())
        return 0


@dataclass(frozen=True)
class Doctor:
    """Measure what this machine can do for a run, name what slows it down and what to change; in about a minute."""

    data: Annotated[Positional[Anywhere | None], tyro.conf.arg(metavar="[DATA]")] = None
    """Folder with train/ and val/, or with tfrecords-jpeg-SxS folders; without, photos are painted to be read."""
    wish: Flat[DoctorWish] = field(default_factory=DoctorWish)
    out: Path | None = None
    """File to write the diagnosis to as JSON."""
    json: bool = False
    """Print the diagnosis as JSON."""

    def run(self) -> int:
        from corolla.checkpoint import write_json
        from corolla.console import ConsoleReporter, print_diagnosis
        from corolla.doctor import doctor

        with ConsoleReporter(_console()) as reporter:
            found = doctor(self.data, self.wish, reporter).to_json()
        if self.out:
            write_json(self.out, found)
        if self.json:
            _emit(found)
        else:
            print_diagnosis(Console(), found)
        return 0 if found["usable"] else 1


@dataclass(frozen=True)
class Export:
    """Write a run's classifier as one file that plain Keras loads, without Corolla."""

    run_folder: Annotated[Positional[Anywhere], tyro.conf.arg(name="run", metavar="RUN")]
    """Run folder."""
    format: Literal["keras"] = "keras"
    """Kind of file."""
    out: Anywhere | None = None
    """File to write; by default model.keras in the run folder."""
    json: bool = False
    """Print a summary as JSON."""

    def run(self) -> int:
        from corolla.export import export

        made = export(self.run_folder, self.out, self.format)
        if self.json:
            _emit({"path": str(made.path), "classes": made.classes, "largest_difference": made.difference})
            return 0
        line = f"{made.classes} classes; logits within {made.difference:.1g} of the run's"
        _console().print(line, highlight=False, markup=False, soft_wrap=True)
        print(made.path)
        return 0


Command = Sample | Fetch | Check | Train | Evaluate | Predict | Identify | Models | Plan | Doctor | Export


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit; what goes wrong on purpose is one line on standard error, never a traceback."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's own log lines say nothing to a user
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a path or name that a terminal cannot show ends no command
    try:
        _exit(_run(arguments), everywhere=True)
    except CorollaError as error:
        _fail(str(error), error.exit_code, error.everywhere)
    except KeyboardInterrupt:
        _fail("interrupted; the same command goes on from the last checkpoint", 130)
    except BrokenPipeError:  # `corolla ... | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        _fail(f"{error.filename or 'the machine'}: {error.strerror or error}", 1)
    except Exception as error:
        _fail_unexpected(error)


def _run(arguments: list[str] | None) -> int:
    description = (corolla.__doc__ or "").splitlines()[0]
    try:
        return tyro.cli(Command, prog="corolla", description=description, args=arguments, config=_STYLE).run()
    finally:
        sys.stdout.flush()  # here a closed pipe can still be caught


_STYLE = (tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff)


def _fail(line: str, code: int, everywhere: bool = False) -> None:
    print(f"corolla: {line}", file=sys.stderr)
    _exit(code, everywhere)


def _fail_unexpected(error: Exception) -> None:
    """A fault of Corolla's own keeps its traceback; of several hosts, this one must not wait for the others."""
    hosts = sys.modules.get("corolla.hosts")
    if hosts is None or not hosts.several():
        raise error
    if hosts.is_loss(error):
        _fail("another process of the run is gone: start all again, and the run goes on from its last checkpoint", 1)
    traceback.print_exception(error)
    _exit(1, everywhere=False)


def _exit(code: int, everywhere: bool) -> None:
    """Exit; as one of several processes, in order with the others where all of them do."""
    hosts = sys.modules.get("corolla.hosts")
    if hosts and hosts.several():
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        hosts.leave() if everywhere else os._exit(code)
    if any(thread.daemon and thread.name.startswith("corolla") for thread in threading.enumerate()):
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)  # a thread still compiles what nobody waits for; Python's end would fall under its feet
    sys.exit(code)


if __name__ == "__main__":
    main()
