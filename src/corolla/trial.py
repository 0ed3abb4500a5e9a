"""Short runs of what training runs, on the devices at hand: how fast each part goes.

Takes: settings, and shards or none. Gives: rates, each of a part that trains for real: `images.load_split`, the feeds
of `resident`, the program of `step.train_steps`, the predictor of `inference`; and `Vitals`, all of them together.
"""

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import simplejpeg
from jax.sharding import Mesh
from numpy.typing import NDArray

from corolla import classes, network, programs
from corolla.backend import is_jax, keras
from corolla.config import DoctorWish
from corolla.images import load_split
from corolla.inference import IMAGES_A_DISPATCH, IMAGES_A_DISPATCH_ELSEWHERE, Predictor, Values, values_of
from corolla.memory import host_free_bytes
from corolla.mesh import copied, describe, free_bytes, mesh_for, platform
from corolla.models import depthwise, freeze
from corolla.order import Lanes, epoch_order
from corolla.records.example import encode_example
from corolla.records.framing import write_records
from corolla.records.shards import SplitFiles, counted, find_split
from corolla.reporter import Reporter
from corolla.resident import ResidentFeed, StreamFeed, on_devices
from corolla.step import Learner, empty_sums
from corolla.storage import AnyPath
from corolla.types import Example, Photos

BLOCK_BYTES = 128 * 2**20
"""Sent at once to measure a transfer."""

CHUNKS = 4
"""Parts in which invented photos are streamed."""

PHOTOS_READ = 512
"""Records read to measure reading."""

SECONDS = {"transfer": 1.0, "streaming": 1.0, "training": 3.0, "evaluation": 2.0}
"""About how long each part is measured."""


@dataclass(frozen=True)
class Vitals:
    """What was measured. Rates in images a second where nothing else is said; None: not measured, and said why.

    reading: from the disk to pixels, both checksums checked; again: the same from the file cache.
    train_compile_seconds, predict_compile_seconds: with tracing; from JAX's cache only where a user has set one up.
    not_native: on a CPU, why depthwise convolutions do not run in C++ (`models.depthwise`).
    """

    devices: str
    platform: str
    device_count: int
    backend: str
    host_free_bytes: int
    device_free_bytes: int
    reading: float
    reading_again: float
    photo_bytes: float
    data_size: int
    damaged: int
    train_records: int
    val_records: int
    transfer_bytes_per_second: float
    streaming: float
    training: float | None = None
    evaluation: float | None = None
    train_compile_seconds: float | None = None
    predict_compile_seconds: float | None = None
    train_blocks: int | None = None
    blocks: int | None = None
    not_native: str = ""


# Parts ------------------------------------------------------------------------------------------------------------


def invented(lanes: Lanes, side: int) -> Photos:
    """Photos of noise, with labels."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (lanes.n, side, side, 3), np.uint8)
    labels = random.integers(0, classes.COUNT, lanes.n).astype(np.int32)
    return Photos("train", images, labels, [str(i) for i in range(lanes.n)])


def training(learner: Learner, program: Any, feed: ResidentFeed, seconds: float) -> float:
    """Images a second of the compiled train step, measured over about so many seconds after two steps to warm up."""
    feed.start(epoch_order(feed.lanes, 0, 1))
    part = feed.take(0, feed.lanes.steps)
    values = learner.initial_state(), empty_sums(learner.classes)
    state, sums = jax.device_put(values, copied(feed.mesh))

    def run(steps: int) -> int:
        nonlocal state, sums
        state, sums = jax.block_until_ready(program(state, sums, part.pixels, part.steps, 0, steps))
        return steps

    run(1)
    one = _seconds_of(lambda: run(1))
    at_once = int(min(max(seconds / one, 1), part.last))
    return _rate(lambda: run(at_once), seconds) * feed.lanes.batch_size


def prediction(predictor: Predictor, values: Values, feed: ResidentFeed, seconds: float) -> float:
    """Images a second from pixels on the devices to outputs on the host, measured over about so many seconds."""
    predictor(values, feed)  # compiles
    return _rate(lambda: len(predictor(values, feed)), seconds)


def transfer(mesh: Mesh, seconds: float) -> float:
    """Bytes a second from the host to the devices, each of which gets a part of its own."""
    block = np.zeros((mesh.size, BLOCK_BYTES // mesh.size), np.uint8)
    block[:] = np.arange(block.shape[1], dtype=np.uint32).astype(np.uint8)  # touched: no page of zeros of the kernel's

    def send() -> int:
        jax.block_until_ready(on_devices(mesh, block))
        return block.nbytes

    send()
    return _rate(send, seconds)


def streaming(mesh: Mesh, lanes: Lanes, photos: Photos, seconds: float) -> float:
    """Images a second through a `StreamFeed`: gathered on the host, sent, arrived."""
    feed = StreamFeed(mesh, lanes, photos, photos.images.nbytes // CHUNKS)

    def epoch() -> int:
        feed.start(epoch_order(lanes, 0, 1))
        first = 0
        while first < lanes.steps:
            part = feed.take(first, lanes.steps)
            jax.block_until_ready(part.pixels.images)
            first += part.last - part.first
        return lanes.n

    epoch()
    return _rate(epoch, seconds)


def _seconds_of(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return max(time.perf_counter() - begin, 1e-9)


def _rate(work: Callable[[], int], seconds: float) -> float:
    """What `work` counts a second, repeated until the seconds are over; at least once."""
    begin, done = time.perf_counter(), 0
    while not done or time.perf_counter() - begin < seconds:
        done += work()
    return done / max(time.perf_counter() - begin, 1e-9)


# Reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    """Rates of reading records (see `Vitals`), the photos read, and what a photo takes on the disk [bytes]."""

    first: float
    again: float
    photos: Photos
    photo_bytes: float


def reading(files: SplitFiles) -> Reading:
    """Read, check and decode the first records of a split, twice. Raises DataError where none can be used."""
    begin = time.perf_counter()
    photos = load_split(files, on_bad_record="skip", most=PHOTOS_READ)
    first, begin = time.perf_counter() - begin, time.perf_counter()
    load_split(files, on_bad_record="skip", most=PHOTOS_READ)
    again = time.perf_counter() - begin
    size = sum(shard.path.stat().st_size for shard in files.shards)
    return Reading(len(photos) / first, len(photos) / again, photos, size / max(_count(files), 1))


def first_shards(files: SplitFiles) -> SplitFiles:
    """As many shards of a split as hold the records that are read."""
    taken, count = [], 0
    for shard in files.shards:
        if count < PHOTOS_READ:
            taken.append(shard)
            count += counted(shard)[1]
    return SplitFiles(files.split, files.folder, tuple(taken), files.image_size)


@contextmanager
def painted(side: int) -> Iterator[SplitFiles]:
    """A shard of JPEGs whose spectrum falls off as that of photos does, in a folder that goes away again."""
    with tempfile.TemporaryDirectory(prefix="corolla-doctor-") as folder:
        place = Path(folder) / "train"
        kinds = [simplejpeg.encode_jpeg(_cloudy(side, seed), quality=75) for seed in range(16)]
        examples = (Example(f"painted{i}", i % classes.COUNT, kinds[i % len(kinds)]) for i in range(PHOTOS_READ))
        write_records(place / f"00-{side}x{side}-{PHOTOS_READ}.tfrec", map(encode_example, examples))
        yield find_split(Path(folder), "train", side)


def _cloudy(side: int, seed: int) -> NDArray[np.uint8]:
    """Noise whose amplitude falls as 1/frequency, as that of photos does (Field, JOSA A 1987).

    17 kB a JPEG of 224 px; the photos of Oxford 102 have 15 kB.
    """
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    spectrum = np.fft.rfft2(random.standard_normal((3, side, side))) / np.maximum(frequency, 1 / side)
    waves = np.fft.irfft2(spectrum, (side, side))
    light = waves.mean(axis=0) * 2 + waves * 0.3  # the channels of photos go together
    return np.ascontiguousarray(np.clip(128 + 30 * light / light.std(), 0, 255).astype(np.uint8).transpose(1, 2, 0))


# All of it --------------------------------------------------------------------------------------------------------


def vitals(data: AnyPath | None, wish: DoctorWish, reporter: Reporter) -> Vitals:
    """Measure every part. data: whose photos to read; without it painted ones are.

    Raises DataError, WishError (no such model), and whatever a broken installation raises.
    """
    settings = wish.settings()
    mesh = mesh_for(settings.batch_size, divides=settings.batch_norm == "batch")
    reporter.note(f"reading {'painted photos' if data is None else data}")
    seen, train_records, val_records = _read(data, wish)
    side = seen.photos.images.shape[1]
    lanes = Lanes(_images_at_once(mesh, settings.batch_size), settings.batch_size)
    reporter.note(f"sending pixels to {describe(mesh)}")
    photos = invented(lanes, side)
    found = Vitals(
        devices=describe(mesh),
        platform=platform(mesh),
        device_count=mesh.size,
        backend=keras.backend.backend(),
        host_free_bytes=host_free_bytes(),
        device_free_bytes=free_bytes(mesh),
        reading=seen.first,
        reading_again=seen.again,
        photo_bytes=seen.photo_bytes,
        data_size=side,
        damaged=len(seen.photos.bad),
        train_records=train_records,
        val_records=val_records,
        transfer_bytes_per_second=transfer(mesh, SECONDS["transfer"]),
        streaming=streaming(mesh, lanes, photos, SECONDS["streaming"]),
        not_native=depthwise.lacking() if platform(mesh) == "cpu" else "",
    )
    return _with_steps(found, wish, ResidentFeed(mesh, lanes, photos), reporter) if is_jax() else found


def _read(data: AnyPath | None, wish: DoctorWish) -> tuple[Reading, int, int]:
    """What reading gives, and the records of the training and the validation split."""
    if data is None:
        with painted(wish.image_size) as files:
            return reading(files), wish.train_records, wish.val_records
    train, val = (find_split(data, split, wish.image_size) for split in ("train", "val"))
    return reading(first_shards(train)), _count(train), _count(val)


def _count(files: SplitFiles) -> int:
    return sum(counted(shard)[1] for shard in files.shards)


def _images_at_once(mesh: Mesh, batch_size: int) -> int:
    """Whole batches, as many as prediction takes in one dispatch."""
    images = IMAGES_A_DISPATCH.get(platform(mesh), IMAGES_A_DISPATCH_ELSEWHERE)
    return max(images // batch_size, 1) * batch_size


def _with_steps(found: Vitals, wish: DoctorWish, feed: ResidentFeed, reporter: Reporter) -> Vitals:
    """Compile the programs of training and of prediction, and run both."""
    reporter.note(f"building {wish.model}")
    model, settings = network.build(wish.settings(), classes.COUNT, feed.mesh)
    learner = network.learner_of(settings, model)
    reporter.note("compiling the train step")
    begin = time.perf_counter()
    program = programs.lower_training(learner, feed.mesh, feed.lanes, feed.side).compile()
    compiled = time.perf_counter() - begin
    reporter.note("training")
    trained = training(learner, program, feed, SECONDS["training"])
    reporter.note("compiling prediction")
    predictor = Predictor(model, feed.mesh, settings.image_size)
    judged = prediction(predictor, values_of(model), feed, SECONDS["evaluation"])
    return dataclasses.replace(
        found,
        training=trained,
        evaluation=judged,
        train_compile_seconds=compiled,
        predict_compile_seconds=predictor.compile_seconds,
        train_blocks=settings.train_blocks,
        blocks=len(freeze.blocks(model)),
    )
