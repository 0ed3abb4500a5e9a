"""Training: decode, probe, fine-tune, keep the best epoch.

Takes: a data folder, an output folder, `TrainSettings`.
Gives: a finished run folder and its `Scores`. Killed at any moment, the same call goes on where the last checkpoint
stands and ends with the same numbers.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from corolla import classes, hosts, imbalance, metrics, soft
from corolla.backend import is_jax, keras
from corolla.clock import Clock
from corolla.config import TrainSettings
from corolla.errors import WishError
from corolla.fit import fit
from corolla.folds import ALL, refolded
from corolla.inference import View, make_predictor, values_of
from corolla.interrupt import InterruptedRunError, stop_requested
from corolla.job import Job
from corolla.journal import Journal
from corolla.loop import Ahead, fine_tune
from corolla.mesh import describe, mesh_for
from corolla.metrics import Scores
from corolla.models import registry
from corolla.models.levels import widths
from corolla.network import distributed, feature_model, graph_of, learner_of
from corolla.order import Lanes
from corolla.origin import Origin, build_from, origin_of
from corolla.probe import Head, solve
from corolla.records.shards import Labels, find_split
from corolla.reporter import SILENT, Reporter
from corolla.resident import Feed, fits, make_feed
from corolla.run import WEIGHTS, Predictions, RunFolder, environment, fingerprint, hashes
from corolla.share import digests, load_share
from corolla.start import refuse_differences
from corolla.step import State
from corolla.storage import AnyPath, refuse_unwritable
from corolla.types import Photos


def train(
    data: AnyPath,
    out: AnyPath,
    settings: TrainSettings,
    reporter: Reporter = SILENT,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Scores:
    """Train a classifier on DATA/train, choosing by DATA/val, and leave everything in the run folder `out`.

    callbacks: of Keras, for `loop="keras"`; see `fit.fit` for what they are told.
    Seeds Python's, NumPy's and Keras' global generators with `settings.seed`.
    Over several hosts (`hosts.connect` comes before) each reads its share of the records, and process 0 alone writes
    and reads the run folder.
    Raises DataError (broken data), WishError (settings that make no sense, a folder that holds another run, files of
    soft or pseudo-labels that do not belong to the data, or hosts that started with other settings, data or code),
    RunError (no room; a loss that is no number) and InterruptedRunError (a signal came; the state is saved).
    """
    refuse_unwritable(out)
    if callbacks and settings.loop != "keras":
        raise WishError(f"--loop {settings.loop} calls no callbacks: callbacks want loop='keras'")
    if settings.loop == "jax" and not is_jax():
        raise WishError(
            f"--loop jax wants Keras on JAX, not on {keras.backend.backend()}: use --loop keras, or unset KERAS_BACKEND"
        )
    for name, wished in (("folds", settings.folds), ("pseudo", settings.pseudo)):
        if wished and hosts.several():
            raise WishError(f"--{name} wants one host: each host reads only its share of the records")
    reporter = reporter if hosts.first() else SILENT
    if settings.folds == ALL:
        reporter.warn("--folds 1: the validation split teaches too, so the scores measure nothing")
    mesh = mesh_for(settings.batch_size, divides=settings.batch_norm == "batch")
    with distributed(mesh) if settings.loop == "keras" else nullcontext():
        return _train(data, RunFolder(out), settings, mesh, reporter, callbacks)


def _train(
    data: AnyPath,
    folder: RunFolder,
    settings: TrainSettings,
    mesh: Mesh,
    reporter: Reporter,
    callbacks: Sequence[keras.callbacks.Callback],
) -> Scores:
    clock = Clock()
    refuse_differences(asdict(settings), data, ("train", "val"), settings.image_size)
    more = _Told(
        *(soft.read(name, classes.COUNT) if name else None for name in (settings.soft_labels, settings.pseudo))
    )
    keras.utils.set_random_seed(settings.seed)
    origin = origin_of(settings)
    model, settings = hosts.together(lambda: build_from(origin, settings, classes.COUNT, mesh))
    with clock.section("input"):
        photos = _splits(data, settings, more, mesh, reporter)
        prints = {name: fingerprint(one, digests(one, mesh, settings.batch_size)) for name, one in photos.items()}
    learned = hashes(photos["train"].ids)
    if origin:
        prints[WEIGHTS] = origin.fingerprint()
        learned = np.union1d(learned, origin.learned)
        _warn_of_seen(origin, photos["val"].ids, settings, reporter)
    scores = hosts.from_first(lambda: _begin(folder, settings, prints, mesh, model, learned))
    if scores:
        if hosts.first() and (folder.path / "metrics.jsonl").is_file():
            reporter.resumed(folder.metrics())
        reporter.note(f"this run is finished: its scores stand in {folder.path / 'scores.json'}")
        return metrics.from_json(scores)
    job, labels = _job(settings, folder, mesh, model, photos, clock, reporter), photos["train"].labels
    del photos  # resident pixels are on the devices now: the host's copy, half of the memory, can go
    with stop_requested() as stopping:
        restored = job.journal.restore()
        learns = settings.epochs > 0 if settings.minutes is None else settings.max_epochs != 0
        ahead = Ahead(job) if learns and settings.loop == "jax" else None
        state, sums = job.put(restored) if restored else (_probe(job, labels, stopping), job.no_sums())
        if learns:
            if not restored:
                job.journal.save(state, sums, 0)  # the probe took minutes: a kill must not cost it
            if ahead:
                fine_tune(job, ahead, state, sums, stopping)
            else:
                fit(job, state, sums, stopping, callbacks)
    return job.journal.finish()


class _Told(NamedTuple):
    """What is learned beside the labels of the data, where it was asked for: soft labels, and pseudo-labels."""

    soft: Predictions | None
    pseudo: Predictions | None


def _splits(data: AnyPath, settings: TrainSettings, more: _Told, mesh: Mesh, reporter: Reporter) -> dict[str, Photos]:
    """The records that teach, with all that they teach, and those that judge: these by their labels alone."""
    photos = {name: _read(data, name, settings, mesh, reporter) for name in ("train", "val")}
    _warn_of_both(photos, reporter)
    if more.pseudo:
        soft.refuse_labelled(more.pseudo, photos, str(settings.pseudo))
    photos = refolded(photos, settings.folds, settings.fold)
    train, val = photos["train"], photos["val"]
    if more.pseudo:  # after the folds: a photo that nobody has labelled must not judge
        test = _read(data, "test", settings, mesh, reporter, labels="maybe")
        train = soft.with_pseudo(train, test, more.pseudo, str(settings.pseudo))
        reporter.note(f"{settings.pseudo}: {len(more.pseudo.ids):,} of {len(test):,} photos of test teach too")
    if more.soft:
        train, known = soft.with_targets(train, more.soft, settings.soft_share, str(settings.soft_labels))
        reporter.note(f"{settings.soft_labels}: soft labels for {known:,} of {len(train):,} records that teach")
    return {"train": train, "val": val}


def _warn_of_both(photos: dict[str, Photos], reporter: Reporter) -> None:
    """Tell of records that would teach and judge. `refolded` refuses them."""
    both = len(set(photos["train"].ids) & set(photos["val"].ids) - {""})
    if both:
        of = f"{both:,} of {len(photos['val']):,} records of val"
        reporter.warn(f"{of} stand in train too, by their ids: scores will be too good; `corolla check` names them")


def _warn_of_seen(origin: Origin, judges: list[str], settings: TrainSettings, reporter: Reporter) -> None:
    """Tell of records that judge, though the first weights have learned from them."""
    seen = origin.has_seen(judges)
    if seen and settings.folds != ALL:  # else it was told that scores measure nothing
        of = f"{seen:,} of the {len(judges):,} records that judge"
        reporter.warn(
            f"{origin.path}, whose weights this run starts from, has learned from {of}: scores will be too good"
        )


def _begin(
    folder: RunFolder,
    settings: TrainSettings,
    prints: dict[str, Any],
    mesh: Mesh,
    model: keras.Model,
    learned: NDArray[np.uint64],
) -> dict[str, Any] | None:
    """Begin the run folder, or find the same run in it; return the scores of one that is finished."""
    preset = {} if folder.exists() else registry.files(settings.model, settings.image_size)
    folder.begin(settings, prints, environment(describe(mesh)), list(classes.NAMES), preset, graph_of(model), learned)
    return folder.scores() if folder.finished() else None


def _read(
    data: AnyPath, name: str, settings: TrainSettings, mesh: Mesh, reporter: Reporter, labels: Labels = "need"
) -> Photos:
    """Decode one split, or this host's share of it, with its progress shown."""
    files = hosts.together(lambda: find_split(data, name, settings.image_size))

    def progress(done: int, total: int) -> None:
        reporter.progress(f"reading {name}", done, total)

    photos = load_share(
        files, mesh, settings.batch_size, on_bad_record=settings.on_bad_record, labels=labels, progress=progress
    )
    for bad in photos.bad:
        reporter.warn(f"skipped {bad}")
    return photos


def _job(
    settings: TrainSettings,
    folder: RunFolder,
    mesh: Mesh,
    model: keras.Model,
    photos: dict[str, Photos],
    clock: Clock,
    reporter: Reporter,
) -> Job:
    """Put the pixels on the devices and tie everything together."""
    fit = fits(mesh, sum(split.nbytes for split in photos.values()), settings.resident)
    reporter.note(f"{describe(mesh)}; {fit}")

    learner = learner_of(settings, model, photos["train"].labels)

    def feed(name: str) -> Feed:
        lanes, mixes = Lanes(len(photos[name]), settings.batch_size), learner.augmentation.mixes and name == "train"
        return make_feed(mesh, lanes, photos[name], fit.resident, mixes)

    with clock.section("input"):
        feeds = {name: feed(name) for name in photos}
    journal = Journal(folder, learner, photos["val"], clock, reporter, keeps_last=settings.folds == ALL)
    predictor = make_predictor(model, mesh, settings.image_size)
    labels, strength = photos["train"].labels, settings.balanced_sampling
    shares = imbalance.shares(labels, strength) if strength and labels is not None else None
    return Job(settings, mesh, learner, feeds["train"], feeds["val"], predictor, journal, shares)


# ------------------------------------------------------------------------------------------------ phase one: probe


def _probe(job: Job, labels: NDArray[np.int32] | None, stopping: Callable[[], bool]) -> State:
    """Solve the head on frozen features, and score it on features too, which saves a pass over the photos."""
    features = _feature_maker(job, stopping)
    learned = features(job.train, "train", ("plain", "mirror"))
    judged = features(job.val, "val", ("plain",))
    assert labels is not None  # the reader refused a training split without
    with job.journal.clock.section("probe"):
        head = solve(job.mesh, learned, labels, job.learner.classes, widths(job.learner.model))
    job.learner.model.get_layer("head").set_weights([head.kernel, head.bias])
    state = job.put(_of_first(job.learner.initial_state()))
    line = _line(head, learned[:, 0], labels)
    job.journal.close_epoch(state, 0, line, head.logits(judged[:, 0]))
    return state


def _of_first(state: State) -> State:
    """The state that process 0 holds: one host's rounding may not be another's."""
    leaves, shape = jax.tree.flatten(state)
    told = hosts.arrays_from_first(
        {str(i): np.asarray(leaf) for i, leaf in enumerate(leaves)} if hosts.several() else {}
    )
    return jax.tree.unflatten(shape, [told[str(i)] for i in range(len(leaves))]) if told else state


def _feature_maker(
    job: Job, stopping: Callable[[], bool]
) -> Callable[[Feed, str, Sequence[View]], NDArray[np.float32]]:
    """A function (feed, its name, views) -> features of every photo, float32[n, views, f].

    It raises InterruptedRunError where a signal came: the probe has nothing to save, so there is nothing to wait for.
    """
    model = feature_model(job.learner.model)
    predictor = make_predictor(model, job.mesh, job.settings.image_size)
    values = values_of(model)

    def features(feed: Feed, name: str, views: Sequence[View]) -> NDArray[np.float32]:
        begin, compiled = time.perf_counter(), predictor.compile_seconds

        def progress(done: int, total: int) -> None:
            rate = done * len(views) / (time.perf_counter() - begin - predictor.compile_seconds + compiled)
            figures = {"images_per_second": rate, "seconds_left": (total - done) * len(views) / rate}
            job.journal.reporter.progress(f"features of {name}", done, total, **figures)
            if hosts.any_of(stopping()):
                raise InterruptedRunError(
                    "stopped in the probe, with nothing to save yet; the same command begins anew"
                )

        found = predictor(values, feed, progress, views)
        seconds = predictor.compile_seconds - compiled
        job.journal.clock.add("compile", seconds)
        job.journal.clock.add("probe", time.perf_counter() - begin - seconds)
        return found

    return features


def _line(head: Head, features: NDArray[np.float32], labels: NDArray) -> dict[str, Any]:
    """What the probe says of the training split, as line 0 of metrics.jsonl."""
    logits = head.logits(features)
    confusion = metrics.confusion_matrix(labels, logits.argmax(axis=1), logits.shape[1])
    return {
        "epoch": 0,
        "step": 0,
        "train_loss": metrics.cross_entropy(labels, logits),
        "train_macro_f1": float(metrics.macro_f1(confusion, present_only=True)),
        "probe_penalty": head.penalty,
        "probe_iterations": head.iterations,
    }
