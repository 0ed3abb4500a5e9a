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
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args

import tyro
from rich.console import Console

import corolla
from corolla.config import (
    CROP_AND_FLIP,
    Augmentation,
    BuildWish,
    DoctorWish,
    GrowSettings,
    HostsWish,
    OnBadRecord,
    PlanWish,
    ServeLimits,
    SinksWish,
    TrainSettings,
)
from corolla.errors import CorollaError, WishError
from corolla.storage import AnyPath, any_path
from corolla.types import Preset, Tta, Weighing

if TYPE_CHECKING:
    from corolla.identify import Answer

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
class Build:
    """Build a data set in the competition's layout from public sources or photos of your own. The same command goes on
    with one that was stopped."""

    sources: Annotated[Positional[tuple[OnDisk, ...]], tyro.conf.arg(metavar="SOURCE...")]
    """Folders of Oxford 102, tf_flowers, iNaturalist 2021, Open Images, ImageNet or the competition's external pack, in
    the layout that each publishes; data sets in the competition's layout, to be joined; CLASS/*.jpg or
    train/CLASS/*.jpg; or a CSV of path,label or path,name."""
    out: OnDisk
    """Folder to write; must not hold anything else."""
    wish: Flat[BuildWish] = field(default_factory=BuildWish)
    json: bool = False
    """Print a summary as JSON."""

    def run(self) -> int:
        from corolla.build import build
        from corolla.console import ConsoleReporter, print_built

        with ConsoleReporter(_console()) as reporter:
            built = build(self.sources, self.out, self.wish, reporter)
        if self.json:
            _emit(built.to_json())
            return 0
        print_built(_console(), built.to_json())
        print(self.out)
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
    preset: Preset | None = None
    """Recipe to start from: quick is the probe alone, balanced the best for the time of a lunch, best the best; other
    options change it, and with --minutes it takes no longer than that."""
    settings: Flat[TrainSettings] = field(default_factory=TrainSettings)
    json: bool = False
    """Print the scores as JSON."""
    hosts: Flat[HostsWish] = field(default_factory=HostsWish)
    sinks: Flat[SinksWish] = field(default_factory=SinksWish)

    def run(self) -> int:
        from dataclasses import asdict

        from corolla.compiled import keep
        from corolla.console import ConsoleReporter, print_scores
        from corolla.hosts import connect, first
        from corolla.run import default_path
        from corolla.sinks import Sinks, sinks_of
        from corolla.train import train

        console = _console()
        out = self.out or default_path(self.data, self.settings)
        wished = sinks_of(self.sinks, out, asdict(self.settings))
        with ConsoleReporter(console) as shown, Sinks(shown, wished) as reporter:
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
class Augment:
    """Write a contact sheet: what training makes of a few photos."""

    data: Positional[Anywhere]
    """Folder with train/, or with tfrecords-jpeg-SxS folders; also gs://, s3://, hf://, https://."""
    how: Flat[Augmentation] = CROP_AND_FLIP
    out: Anywhere = Path("sheet.png")
    """Image to write (.png, .jpg, .webp)."""
    image_size: int = 224
    """Side of the images [px]; picks the nearest folder of the data."""
    photos: int = 6
    """Rows of the sheet."""
    views: int = 8
    """Images a row, beside the photo itself."""
    seed: int = 0
    """Seed of the chance."""

    def run(self) -> int:
        from corolla.sheet import sheet

        print(sheet(self.data, self.out, self.how, self.image_size, self.photos, self.views, self.seed))
        return 0


@dataclass(frozen=True)
class Cross:
    """Cross-validate: train a run for each fold of train and val, and score every record by the run that has not seen
    it. The same command resumes one that was stopped."""

    data: Positional[Anywhere]
    """Folder with train/ and val/, or with tfrecords-jpeg-SxS folders; also gs://, s3://, hf://, https://."""
    out: Anywhere
    """Folder for the runs, one a fold, and for the out-of-fold predictions."""
    preset: Preset | None = None
    """Recipe to start from, as of `corolla train`."""
    settings: Flat[TrainSettings] = field(default_factory=lambda: TrainSettings(folds=5))
    json: bool = False
    """Print the scores as JSON."""

    def run(self) -> int:
        from dataclasses import replace

        from corolla.compiled import keep
        from corolla.console import ConsoleReporter, print_scores
        from corolla.cross import cross

        console = _console()
        with ConsoleReporter(console) as reporter:
            keep(reporter)
            scores = cross(self.data, self.out, replace(self.settings, fold=0), self.settings.folds, reporter)
        if self.json:
            _emit(scores.to_json())
        else:
            print_scores(console, scores, table=False)
            print(self.out)
        return 0


@dataclass(frozen=True)
class Repeat:
    """Train several times with other seeds, and average the weights: one network, better than each of the runs, and how
    far their scores lie apart. The same command resumes one that was stopped."""

    data: Positional[Anywhere]
    """Folder with train/ and val/, or with tfrecords-jpeg-SxS folders; also gs://, s3://, hf://, https://."""
    out: Anywhere
    """Folder for the runs, one a seed (seed-0, seed-1, ...), and for the mean of their weights (soup-3)."""
    times: int = 3
    """Runs, with the seeds from --seed on. --minutes are for all of them together."""
    preset: Preset | None = None
    """Recipe to start from, as of `corolla train`."""
    settings: Flat[TrainSettings] = field(default_factory=TrainSettings)
    json: bool = False
    """Print the scores of the mean and of the seeds as JSON."""

    def run(self) -> int:
        from corolla.compiled import keep
        from corolla.console import ConsoleReporter
        from corolla.repeat import repeat

        console = _console()
        with ConsoleReporter(console) as reporter:
            keep(reporter)
            made = repeat(self.data, self.out, self.settings, self.times, reporter)
        if self.json:
            _emit(made.to_json())
            return 0
        told = "  ".join(f"{seed}: {one.macro_f1_present:.4f}" for seed, one in made.scores.items())
        line = f"macro F1 by seed  {told}  mean {made.mean:.4f}, deviation {made.deviation:.4f}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
        _print_soup(console, made.soup, made.folder)
        return 0


@dataclass(frozen=True)
class Grow:
    """Train at several image sizes in turn, small ones first: each a run that starts from the weights of the one
    before. The same command resumes one that was stopped. The last run is the result."""

    data: Positional[Anywhere]
    """Folder with train/ and val/, or with tfrecords-jpeg-SxS folders, of which each size picks the nearest; also
    gs://, s3://, hf://, https://."""
    out: Anywhere
    """Folder for the runs, one a size: size-192, size-224, ..."""
    sizes: tuple[int, ...]
    """Sides of the square images that the model sees [px], ascending."""
    epochs: tuple[int, ...] = (5,)
    """Passes over the training split at each size: one number for all, or one for each. With --minutes, which are
    for the whole command, the time is divided by pixels x epochs."""
    settings: Flat[GrowSettings] = field(default_factory=GrowSettings)
    json: bool = False
    """Print the scores of the last run as JSON."""
    hosts: Flat[HostsWish] = field(default_factory=HostsWish)

    def run(self) -> int:
        from corolla.compiled import keep
        from corolla.console import ConsoleReporter, print_scores
        from corolla.grow import grow
        from corolla.hosts import connect, first

        console, settings = _console(), self.settings.of_a_size()
        with ConsoleReporter(console) as reporter:
            connect(self.hosts, reporter)
            keep(reporter)
            scores, last = grow(self.data, self.out, settings, self.sizes, self.epochs, reporter)
        if not first():
            return 0
        if self.json:
            _emit(scores.to_json())
        else:
            print_scores(console, scores, table=False)
            print(last)
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
    tta: Tta = "none"
    """Views of a photo that are averaged: flip adds its mirror image (2 views), scales also its middle 80 % (4), crops
    takes five crops of 87.5 % and their mirror images (10). Each view takes the time of one."""
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
    """Run folders, or folders of `corolla cross`; several are averaged."""
    data: Anywhere
    """Folder with the split."""
    out: Anywhere = Path("submission.csv")
    """File to write."""
    blend: Anywhere | None = None
    """File that `corolla blend` wrote for these runs: their weights, and how labels are chosen."""
    probabilities: Anywhere | None = None
    """File to write the probabilities of the test split to (.npz), for `corolla submission check --predictions`."""
    split: Literal["train", "val", "test"] = "test"
    """Which split."""
    tta: Tta = "none"
    """Views of a photo that are averaged: flip adds its mirror image (2 views), scales also its middle 80 % (4), crops
    takes five crops of 87.5 % and their mirror images (10). Each view takes the time of one."""
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
            how = (self.split, self.tta, self.on_bad_record)
            made = predict(self.runs, self.data, self.out, *how, reporter, self.blend, self.probabilities)
        if not first():
            return 0
        checked = None if made.checked_against is None else str(made.checked_against)
        summary = {"path": str(made.path), "rows": len(made.ids), "mean_confidence": made.mean_confidence}
        if self.json:
            summary |= {} if self.probabilities is None else {"probabilities": str(self.probabilities)}
            _emit({**summary, "checked_against": checked, "skipped_records": made.skipped_records})
            return 0
        beside = f", ids as in {checked}" if checked else ""
        line = f"{len(made.ids)} photos, mean confidence {made.mean_confidence:.3f}{beside}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
        for path in filter(None, (self.probabilities, made.path)):
            print(path)
        return 0


@dataclass(frozen=True)
class Blend:
    """Find how much each of several runs should count, how sure they may be, and how labels are best chosen: fitted to
    what the runs said of records that they have not learned from, and judged by cross-fitting."""

    runs: Annotated[Positional[tuple[Anywhere, ...]], tyro.conf.arg(metavar="RUN...")]
    """Run folders, or folders of `corolla cross`, that have judged the same records; one alone is calibrated."""
    out: Anywhere = Path("blend.json")
    """File to write, for `corolla predict --blend`."""
    weights: Weighing = "equal"
    """How the calibrated runs count in it: all the same, or fitted, which wants many records. Both are judged."""
    json: bool = False
    """Print what was found as JSON."""

    def run(self) -> int:
        from corolla.blend import blend
        from corolla.console import ConsoleReporter, print_blend

        with ConsoleReporter(_console()) as reporter:
            made = blend(self.runs, self.out, self.weights, reporter)
        if self.json:
            _emit(made.to_json())
        else:
            print_blend(Console(), made.to_json())
            print(self.out)
        return 0


@dataclass(frozen=True)
class Soup:
    """Average the weights of several runs of one model: as a run of its own, which predicts at the price of one. A run
    stays in where macro F1 on the validation split does not fall with it; of a cross-validation all folds do."""

    runs: Annotated[Positional[tuple[Anywhere, ...]], tyro.conf.arg(metavar="RUN...")]
    """Finished run folders of the same model, which have not learned from the validation split; or one folder of
    `corolla cross`."""
    out: Anywhere
    """Run folder to write."""
    data: Anywhere | None = None
    """Folder with val/, or with tfrecords-jpeg-SxS folders: what judges. A cross-validation needs none."""
    on_bad_record: OnBadRecord = "fail"
    """What a damaged record does: stop (fail), or be left out and counted (skip)."""
    json: bool = False
    """Print the scores as JSON, with what is in the soup."""

    def run(self) -> int:
        from corolla.compiled import keep
        from corolla.console import ConsoleReporter
        from corolla.soup import soup

        console = _console()
        with ConsoleReporter(console) as reporter:
            keep(reporter)
            made = soup(self.runs, self.data, self.out, self.on_bad_record, reporter)
        if self.json:
            _emit(made.to_json())
            return 0
        _print_soup(console, made, self.out)
        return 0


def _print_soup(console: Console, made: Any, out: AnyPath) -> None:
    from corolla.console import print_scores

    print_scores(console, made.scores, table=False)
    kept = sum(one.kept for one in made.ingredients)
    line = f"{kept} of {len(made.ingredients)} runs are in it; "
    if made.gain is None or made.interval is None:
        line += "the scores are those of its runs, on records that they have not seen"
    else:
        low, high = made.interval
        line += f"macro F1 {made.gain:+.4f} ({low:+.4f}, {high:+.4f}) over the best run"
    console.print(line, highlight=False, markup=False, soft_wrap=True)
    print(out)


@dataclass(frozen=True)
class Report:
    """Write a page on finished runs: scores, curves, classes, confusions, every mistake with its photo, where the model
    looked; several runs are compared."""

    runs: Annotated[Positional[tuple[Anywhere, ...]], tyro.conf.arg(metavar="RUN...")]
    """Run folders, or folders of `corolla cross`."""
    data: Anywhere | None = None
    """Folder that the runs were trained on, for photos; without, the page has none."""
    out: Anywhere = Path("report.html")
    """File to write."""
    compared: int = 800
    """Photos that a run has learned from, among which the nearest to its mistakes are sought; each takes as long as
    predicting it. 0: none."""
    json: bool = False
    """Print scores, mistakes and differences as JSON."""

    def run(self) -> int:
        from corolla.console import ConsoleReporter
        from corolla.report import report

        with ConsoleReporter(_console()) as reporter:
            if self.data:  # else nothing is compiled
                from corolla.compiled import keep

                keep(reporter)
            made = report(self.runs, self.data, self.out, self.compared, reporter)
        if self.json:
            _emit(made.to_json())
        else:
            print(made.path)
        return 0


@dataclass(frozen=True)
class Distill:
    """Write what runs say of every labelled photo, as soft labels for `corolla train --soft-labels`: each photo is told
    by those runs that have not learned from it, such as the folds of a cross-validation."""

    runs: Annotated[Positional[tuple[Anywhere, ...]], tyro.conf.arg(metavar="RUN...")]
    """Run folders, or folders of `corolla cross`, which stand for their runs."""
    data: Anywhere
    """Folder with train/ and val/, or with tfrecords-jpeg-SxS folders."""
    out: Anywhere = Path("teacher.npz")
    """File to write."""
    temperature: float = 1.0
    """Above 1 the probabilities become more even, below 1 less."""
    tta: Tta = "none"
    """Views of a photo that are averaged; as of `corolla predict`."""
    on_bad_record: OnBadRecord = "fail"
    """What a damaged record does: stop (fail), or be left out and counted (skip)."""
    json: bool = False
    """Print a summary as JSON."""

    def run(self) -> int:
        from corolla.compiled import keep
        from corolla.console import ConsoleReporter
        from corolla.distill import distill

        console = _console()
        with ConsoleReporter(console) as reporter:
            keep(reporter)
            how = (self.tta, self.temperature, self.on_bad_record)
            made = distill(self.runs, self.data, self.out, *how, reporter)
        if self.json:
            _emit(made.to_json())
            return 0
        console.print(str(made), highlight=False, markup=False, soft_wrap=True)
        print(made.path)
        return 0


@dataclass(frozen=True)
class Pseudo:
    """Label photos that have no label, where several runs agree and are sure, for `corolla train --pseudo`."""

    runs: Annotated[Positional[tuple[Anywhere, ...]], tyro.conf.arg(metavar="RUN...")]
    """Two run folders or more, or folders of `corolla cross`, which stand for their runs."""
    data: Anywhere
    """Folder with the split, and with train/."""
    out: Anywhere = Path("pseudo.npz")
    """File to write."""
    split: Literal["train", "val", "test"] = "test"
    """Which split; `corolla train --pseudo` takes photos of test."""
    confidence: float = 0.95
    """Least mean probability of a label."""
    quota: float = 1.0
    """Most photos of a class, as a multiple of what its share in train would have of the split; the surest first."""
    tta: Tta = "none"
    """Views of a photo that are averaged; as of `corolla predict`."""
    on_bad_record: OnBadRecord = "fail"
    """What a damaged record does: stop (fail), or be left out and counted (skip)."""
    json: bool = False
    """Print a summary as JSON."""

    def run(self) -> int:
        from corolla.compiled import keep
        from corolla.console import ConsoleReporter
        from corolla.pseudo import pseudo

        console = _console()
        with ConsoleReporter(console) as reporter:
            keep(reporter)
            how = (self.split, self.confidence, self.quota, self.tta, self.on_bad_record)
            found = pseudo(self.runs, self.data, self.out, *how, reporter)
        if self.json:
            _emit({"path": str(self.out), **found.to_json()})
            return 0
        console.print(str(found), highlight=False, markup=False, soft_wrap=True)
        print(self.out)
        return 0


@dataclass(frozen=True)
class Identify:
    """Name the flowers in photos, by the model that ships with Corolla or by a run. The first answer comes within a
    second."""

    photos: Annotated[Positional[tuple[OnDisk, ...]], tyro.conf.arg(metavar="PHOTO...")]
    """JPEG, PNG or WebP files of any size, or folders of them."""
    run_folder: Annotated[Anywhere | None, tyro.conf.arg(name="run", metavar="RUN")] = None
    """Run folder; without, the model that ships with Corolla."""
    top: int = 5
    """Labels to tell for each photo, the likeliest first."""
    json: bool = False
    """Print a list as JSON: path; top with label, name and probability; unknown: whether it is none of the kinds."""

    def run(self) -> int:
        from corolla.identify import identify

        if not self.photos:
            raise WishError("identify needs at least one photo, or a folder of them")
        told, failed = [], False
        for answer in identify(self.run_folder, self.photos, self.top):
            failed |= answer.error is not None
            if self.json:
                told.append(answer.to_json())
            elif answer.error:
                print(f"corolla: {answer.error}", file=sys.stderr)
            else:
                _print_answer(answer)
        if self.json:
            _emit(told)
        return 1 if failed else 0


def _print_answer(answer: "Answer") -> None:
    print(answer.path)
    if answer.unknown:
        print(f"  not one of mine (looks like one: {answer.score:.2f}; flowers I know: {answer.limit:.2f} and more)")
    for guess in answer.top:
        print(f"  {guess.probability:6.1%}  {guess.name}")


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
        from corolla.cache import cache_folder
        from corolla.checkpoint import write_json
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
    """Write a run's classifier, or the one that ships with Corolla, as a file that is used without Corolla; it is
    compared with the run before it is written."""

    run_folder: Annotated[Positional[Anywhere | None], tyro.conf.arg(name="run", metavar="[RUN]")] = None
    """Run folder; without, the model that ships with Corolla (--format onnx)."""
    format: Literal["keras", "stablehlo", "onnx", "weights", "litert"] = "keras"
    """keras: for plain Keras; stablehlo: for jax.export on CPU, GPU and TPU; onnx: for ONNX Runtime and others;
    weights: safetensors, with what it takes to build the model again; litert: for phones, by TensorFlow."""
    out: Anywhere | None = None
    """File to write; by default RUN/model.keras, .stablehlo, .onnx, .safetensors or .tflite."""
    data: Anywhere | None = None
    """Data whose validation photos the file is compared on; without, on images of random colours."""
    json: bool = False
    """Print a summary as JSON."""

    def run(self) -> int:
        from corolla.export import export

        made = export(self.run_folder, self.out, self.format, self.data)
        if self.json:
            _emit(made.to_json())
            return 0
        _console().print(str(made), highlight=False, markup=False, soft_wrap=True)
        print(made.path)
        return 0


@dataclass(frozen=True)
class Audit:
    """Look for photos that occur twice, in and between splits and data sets, and for labels that are likely wrong."""

    data: Positional[tuple[Anywhere, ...]]
    """One or more folders with train/ val/ test/, with tfrecords-jpeg-SxS folders, or with shards alone."""
    predictions: Anywhere | None = None
    """What `corolla cross` wrote of these data: labels in doubt are looked for too."""
    html: Anywhere | None = None
    """File to write a page to: twins side by side, labels in doubt."""
    write_clean: OnDisk | None = None
    """Folder to write the data to without train records that have a twin elsewhere; must not hold anything yet."""
    twins: Literal["one", "all", "none"] = "one"
    """Kept of twins within train: the first, all, or none. Of twins with two labels only `all` keeps any."""
    thorough: bool = False
    """Also compare photos that the model inside the package sees alike: takes minutes for thousands of photos."""
    image_size: int | None = None
    """Side of the images [px], where the data come in several sizes."""
    on_bad_record: OnBadRecord = "fail"
    """Stop at a record that cannot be used, or leave it out and say so."""
    json: bool = False
    """Print everything as JSON."""

    def run(self) -> int:
        from corolla.audit import audit, audit_page, refuse_taken, write_clean
        from corolla.checkpoint import write_file
        from corolla.console import ConsoleReporter, print_audit
        from corolla.storage import refuse_unwritable

        if self.write_clean:
            refuse_taken(self.write_clean)
        if self.html:
            refuse_unwritable(self.html)
        with ConsoleReporter(_console()) as reporter:
            wish = (self.predictions, self.image_size, self.on_bad_record, self.thorough, reporter)
            report = audit(self.data, *wish)
            for bad in report.gathered.bad:
                reporter.warn(f"skipped {bad}")
        cleaned = write_clean(report, self.write_clean, self.twins) if self.write_clean else None
        if self.html:
            write_file(self.html, audit_page(report))
        if self.json:
            _emit(report.to_json() | ({"clean": cleaned.to_json()} if cleaned else {}))
        else:
            print_audit(Console(), report.to_json(), cleaned.to_json() if cleaned else None)
            for path in filter(None, (self.write_clean, self.html)):
                print(path)
        return 0


@dataclass(frozen=True)
class CheckSubmission:
    """Say what is wrong with a submission, before it is sent in: exit code 1 where something is."""

    file: Positional[Anywhere]
    """The submission: a CSV file `id,label`."""
    data: Anywhere
    """Folder with train/ val/ test/, or with tfrecords-jpeg-SxS folders."""
    split: Literal["train", "val", "test"] = "test"
    """Split that it is of."""
    predictions: tuple[Anywhere, ...] = ()
    """Files of ids and probabilities: of this split, to tell the score to expect; out of fold, to calibrate them."""
    json: bool = False
    """Print the result as JSON."""

    def run(self) -> int:
        from corolla.console import print_checked
        from corolla.submission import check

        found = check(self.file, self.data, self.split, self.predictions)
        if self.json:
            _emit(found.to_json())
        else:
            print_checked(Console(), found.to_json())
        return 0 if found.ok else 1


@dataclass(frozen=True)
class DiffSubmissions:
    """Compare two submissions: agreement, classes that moved, and the photos."""

    first: Positional[Anywhere]
    """A submission."""
    second: Positional[Anywhere]
    """Another."""
    data: Anywhere | None = None
    """Data that they are of, for the photos of the page."""
    split: Literal["train", "val", "test"] = "test"
    """Split that they are of."""
    html: Anywhere | None = None
    """File to write a page to."""
    json: bool = False
    """Print the result as JSON."""

    def run(self) -> int:
        from corolla.checkpoint import write_file
        from corolla.console import print_difference
        from corolla.storage import refuse_unwritable
        from corolla.submission import diff, diff_page

        if self.data and not self.html:
            raise WishError("--data is for the photos of the page: name it with --html FILE")
        if self.html:
            refuse_unwritable(self.html)
        found = diff(self.first, self.second)
        if self.html:
            write_file(self.html, diff_page(found, self.data, self.split))
        if self.json:
            _emit(found.to_json())
        else:
            print_difference(Console(), found.to_json())
            if self.html:
                print(self.html)
        return 0


@dataclass(frozen=True)
class Submission:
    """Check a submission before it is sent in, or compare two."""

    what: (
        Annotated[CheckSubmission, tyro.conf.subcommand("check", prefix_name=False)]
        | Annotated[DiffSubmissions, tyro.conf.subcommand("diff", prefix_name=False)]
    )

    def run(self) -> int:
        return self.what.run()


@dataclass(frozen=True)
class Data:
    """Write an overview of a data set: photos a class, their sizes, and what they look like."""

    what: Positional[Literal["show"]]
    """What to do with the data."""
    data: Positional[Anywhere]
    """Folder with train/ val/ test/, or with tfrecords-jpeg-SxS folders."""
    out: Anywhere = Path("data.html")
    """File to write: .html for the page, .png, .jpg or .webp for the photos alone."""
    photos: int = 8
    """Photos of each class."""
    image_size: int | None = None
    """Side of the images [px], where the data come in several sizes."""
    on_bad_record: OnBadRecord = "fail"
    """Stop at a record that cannot be used, or leave it out and say so."""

    def run(self) -> int:
        from corolla.console import ConsoleReporter
        from corolla.show import show

        with ConsoleReporter(_console()) as reporter:
            print(show(self.data, self.out, self.photos, self.image_size, self.on_bad_record, reporter))
        return 0


@dataclass(frozen=True)
class Serve:
    """Serve a page and an API that name the flowers in photos, until Ctrl-C."""

    run_folder: Annotated[Anywhere | None, tyro.conf.arg(name="run", metavar="RUN")] = None
    """Run folder; by default the model that ships with Corolla."""
    host: str = "127.0.0.1"
    """Address to listen at; 0.0.0.0 lets others in, who should come through a proxy with TLS."""
    port: int = 8000
    """Port to listen at; 0 takes any that is free."""
    api_key_file: Path | None = None
    """File whose one line is the key that clients must send; or the environment's COROLLA_API_KEY."""
    limits: Flat[ServeLimits] = field(default_factory=ServeLimits)

    def run(self) -> int:
        for library in ("OPENBLAS", "MKL", "OMP"):  # NumPy's threads would spin beside XLA's, for want of a core
            os.environ.setdefault(f"{library}_NUM_THREADS", "1")
        from corolla.compiled import keep
        from corolla.console import ConsoleReporter
        from corolla.serve import serve

        with ConsoleReporter(_console()) as reporter:
            keep(reporter)
            key = _api_key(self.api_key_file)
            serve(self.run_folder, self.host, self.port, self.limits, key, reporter, lambda at: print(at, flush=True))
        return 0


def _api_key(path: Path | None) -> str | None:
    if path is None:
        return os.environ.get("COROLLA_API_KEY") or None
    try:
        key = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise WishError(f"--api-key-file {path}: cannot be read") from error
    if not key or len(key.split()) > 1:
        raise WishError(f"--api-key-file {path}: holds no key: one line without spaces")
    return key


Command = (
    Sample
    | Fetch
    | Build
    | Check
    | Augment
    | Train
    | Cross
    | Repeat
    | Grow
    | Evaluate
    | Blend
    | Soup
    | Report
    | Predict
    | Distill
    | Pseudo
    | Identify
    | Models
    | Plan
    | Doctor
    | Export
    | Audit
    | Submission
    | Data
    | Serve
)


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
        command: Any = _started_from(_preset(sys.argv[1:] if arguments is None else arguments))
        return tyro.cli(command, prog="corolla", description=description, args=arguments, config=_STYLE).run()
    finally:
        sys.stdout.flush()  # here a closed pipe can still be caught


def _preset(arguments: list[str]) -> Preset | None:
    """The preset among the arguments, before they are parsed: it moves the defaults by which they are."""
    following = iter(arguments)
    for word in following:
        name = next(following, "") if word == "--preset" else word.removeprefix("--preset=")
        if name != word and name in get_args(Preset):
            return name  # pyright: ignore
    return None


def _started_from(preset: Preset | None) -> Any:
    """The verbs, with the preset's settings as the defaults of those that train."""
    if preset is None:
        return Command
    from corolla.presets import settings

    def started(verb: type, **said: Any) -> type:
        default = ("settings", Flat[TrainSettings], field(default_factory=lambda: settings(preset, **said)))
        return make_dataclass(verb.__name__, [default], bases=(verb,), frozen=True, namespace={"__doc__": verb.__doc__})

    own = {Train: started(Train), Repeat: started(Repeat), Cross: started(Cross, folds=5)}
    return Union[tuple(own.get(verb, verb) for verb in get_args(Command))]  # noqa: UP007


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
