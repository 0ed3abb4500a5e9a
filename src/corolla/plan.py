"""What a run will need and how fast it can be, before any chip is rented.

Takes: a model, sizes, and a TPU topology that need not be there; or the devices at hand, on which it also measures.
Gives: `Plan`: the very programs that training and evaluation run, compiled from shapes, and read.

Four speeds: `bound` is what this program cannot exceed (operations, traffic through HBM and links, each at the chip's
peak, whichever takes longest); `scheduled` is a closer bound, operation by operation, by the instructions of the
finished code (where wished: `schedule`); `estimate` adds up what the compiler thought each operation would take before
there was code; `measured` was measured, on the devices at hand alone.
"""

import dataclasses
import hashlib
import json
import os
import re
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from corolla import classes, hlo, largest, network, programs, schedule, trial
from corolla.checkpoint import read_json, write_json
from corolla.chips import Chip, chip_of
from corolla.config import MOST_IMAGES, PlanWish, TrainSettings
from corolla.errors import RunError, WishError
from corolla.mesh import describe, free_bytes, image_bytes, make_mesh, platform
from corolla.models.blank import blank
from corolla.order import Lanes
from corolla.programs import Reading
from corolla.reporter import SILENT, Reporter
from corolla.resident import CHUNK_BYTES, ResidentFeed, chunk_steps, stays
from corolla.step import Learner
from corolla.topology import topology

IMAGES_A_CHIP = 128
"""Images a step and chip, where no batch size is wished."""

MEASURED_STEPS = 8
"""Batches of invented pixels that a measurement holds, and goes through."""

MEASURED_SECONDS = 5.0
"""About how long to measure."""


@dataclass(frozen=True)
class Speed:
    """One step of a program. bound_by: flops, hbm or links; the estimate is None where the compiler gives none."""

    flops_per_image: float
    bytes_per_image: float
    """Through HBM, read and written."""
    xla_bytes_per_image: float
    """XLA's "bytes accessed": every operand and result, on-chip memory and mere names included."""
    images_per_second_bound: float | None = None
    bound_by: str | None = None
    images_per_second_estimate: float | None = None


@dataclass(frozen=True)
class Plan:
    """Everything that plan.json holds; sizes in bytes, of one chip where they say so."""

    topology: str
    device_kind: str
    chips: int
    devices: int
    model: str
    parameters: int
    image_size: int
    data_size: int
    batch_size: int
    precision: str
    train_blocks: int
    levels: int
    train_records: int
    val_records: int
    resident: bool
    hbm_bytes_per_chip: int
    hbm_capacity_bytes: int
    hbm_parts: dict[str, int]
    flops_per_image: float
    bytes_per_image: float
    xla_bytes_per_image: float
    images_per_second_bound: float | None
    bound_by: str | None
    images_per_second_estimate: float | None
    epoch_seconds_bound: float | None
    epoch_seconds_estimate: float | None
    largest_batch_size: int
    collectives: list[dict[str, Any]]
    float64: int
    host_calls: int
    evaluation: dict[str, Any]
    compile_seconds: float
    versions: dict[str, str | None]
    images_per_second_scheduled: float | None = None
    """By the code of the train step; where it was asked for."""
    images_per_second_measured: float | None = None
    largest_batch_compiled: bool = False
    """Whether the largest batch was compiled and fits, or follows by proportion from the one that was planned."""
    too_large_batch_size: int | None = None
    """The smallest batch known not to fit."""
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As plan.json holds it."""
        return dataclasses.asdict(self)


def plan(wish: PlanWish, reporter: Reporter = SILENT, cache: Path | None = None, fresh: bool = False) -> Plan:
    """Compile the programs of training and evaluation for the wished chips, and say what they need.

    cache: a folder of plans made before; one with the same wish, versions and source is not made again, unless `fresh`.
    Raises WishError (no such model or topology; a batch that does not fit) and RunError.
    """
    if wish.topology is None:
        if wish.schedule:
            raise WishError("--schedule counts the instructions of a TPU that is not there: name its --topology")
        return _plan(wish, make_mesh(), None, reporter)
    stored = None if cache is None else cache / f"{_key(wish)}.json"
    if stored and stored.is_file() and not fresh:
        reporter.note(f"nothing has changed since this plan was made ({stored})")
        return Plan(**read_json(stored))
    _stay_on_cpu()
    with tempfile.TemporaryDirectory(prefix="corolla-code-") as code:
        if wish.schedule:
            schedule.write_to(Path(code))
        there = topology(wish.topology)
        named = dataclasses.replace(wish, topology=there.name)
        made = _plan(named, there.mesh, there.chip, reporter, Path(code) if wish.schedule else None)
    if stored:
        write_json(stored, made.to_json())
    return made


def _stay_on_cpu() -> None:
    """With the compiler of TPUs installed JAX looks for a TPU, and prints that there is none."""
    if "JAX_PLATFORMS" not in os.environ:
        jax.config.update("jax_platforms", "cpu")


_PACKAGES = ("corolla", "jax", "jaxlib", "libtpu", "keras", "keras-hub")


def _versions() -> dict[str, str | None]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def _key(wish: PlanWish) -> str:
    """A name for what goes into a plan: the wish, the versions, and Corolla's own source."""
    digest = hashlib.sha256(json.dumps([dataclasses.asdict(wish), _versions()], sort_keys=True).encode())
    root = Path(__file__).parent
    for path in sorted(p for p in root.rglob("*") if p.suffix in (".py", ".json")):
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:24]


# Making one -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Case:
    """A wish made concrete."""

    learner: Learner
    settings: TrainSettings
    mesh: Mesh
    chip: Chip | None
    side: int
    lanes: Lanes
    """The training split as it would be run."""
    resident: bool
    capacity: int
    """Bytes of memory of one device."""

    @property
    def there(self) -> bool:
        """Whether the devices can be run on."""
        return self.mesh.devices.flat[0] in jax.devices()

    @property
    def images_a_device(self) -> int:
        return -(-self.settings.batch_size // self.mesh.size)

    @property
    def devices_a_chip(self) -> int:
        return self.chip.devices if self.chip else 1

    def program_lanes(self) -> Lanes:
        """The records that lie on the devices in the program."""
        if self.there:
            return Lanes(min(self.lanes.n, MEASURED_STEPS * self.settings.batch_size), self.settings.batch_size)
        if self.resident:
            return self.lanes
        return Lanes(chunk_steps(self.lanes, self.side, CHUNK_BYTES) * self.lanes.batch_size, self.lanes.batch_size)

    def pixel_bytes(self, records: int) -> int:
        """Bytes of the pixels of so many records on one device."""
        return -(-records // self.mesh.size) * image_bytes(self.side, platform(self.mesh))


def _plan(wish: PlanWish, mesh: Mesh, chip: Chip | None, reporter: Reporter, code: Path | None = None) -> Plan:
    """code: the folder into which the compiler writes, where it was asked to."""
    case = _case(wish, mesh, chip or chip_of(mesh.devices.flat[0].device_kind))
    reporter.note(f"compiling for {describe(mesh)}, {case.settings.batch_size} images a step")
    lowered = _lower(case)
    begin = time.perf_counter()
    if code is None:
        compiled, took = _compile(case, lowered), None
    else:  # one after the other: the code of both goes into one folder
        compiled = _compile(case, lowered[:1])
        took = _scheduled(case, compiled[0], code)
        compiled += _compile(case, lowered[1:])
    seconds = time.perf_counter() - begin
    training, judging = map(programs.read, compiled)
    made = dataclasses.replace(_describe(wish, case, training, judging, seconds), images_per_second_scheduled=took)
    if wish.search:
        made = _with_largest(made, wish, case, training, reporter)
    if case.there:
        reporter.note("measuring")
        made = dataclasses.replace(made, images_per_second_measured=_measure(case, compiled[0]))
    return made


def _case(wish: PlanWish, mesh: Mesh, chip: Chip | None) -> _Case:
    chips = mesh.size // (chip.devices if chip else 1)
    usual = 32 if platform(mesh) == "cpu" else IMAGES_A_CHIP * chips
    settings = TrainSettings(
        model=wish.model,
        weights="none",
        image_size=wish.image_size,
        batch_size=wish.batch_size or usual,
        train_blocks=wish.train_blocks,
        levels=wish.levels,
        batch_norm=wish.batch_norm,
        precision=wish.precision,
    )
    with blank():
        model, settings = network.build(settings, classes.COUNT, mesh)
    side = wish.data_size or wish.image_size
    lanes = Lanes(wish.train_records, settings.batch_size)
    capacity = chip.hbm_bytes // chip.devices if chip else free_bytes(mesh) // mesh.size
    pixels = (wish.train_records + wish.val_records) * side**2 * 3 / mesh.size
    resident = stays(pixels, capacity, platform(mesh))
    return _Case(network.learner_of(settings, model), settings, mesh, chip, side, lanes, resident, capacity)


def _lower_training(case: _Case) -> Any:
    return programs.lower_training(case.learner, case.mesh, case.program_lanes(), case.side)


def _lower(case: _Case) -> list[Any]:
    """Training and evaluation."""
    batch = case.settings.batch_size
    judged = Lanes(max(2_048 // batch, 2) * batch, batch)  # of a single step XLA would make no loop to be read
    return [
        _lower_training(case),
        programs.lower_prediction(case.learner, case.mesh, judged, case.side),
    ]


_TOO_MUCH = re.compile(r"\(([\d.]+)G\) exceeds available HBM \(([\d.]+)G\)|Used ([\d.]+)G of ([\d.]+)G hbm")


class _TooMuchError(WishError):
    """The compiler says that a program needs more memory than there is. used, there: GiB of one device."""

    def __init__(self, case: _Case, used: float, there: float) -> None:
        images = max(int(case.images_a_device * there / used), 1)
        super().__init__(
            f"--batch-size {case.settings.batch_size} does not fit: a device needs {used:g} GiB of {there:g} GiB; "
            f"try --batch-size {images * case.mesh.size}"
        )
        self.used, self.there = used, there


def _compile(case: _Case, lowered: list[Any]) -> list[Any]:
    """Compile side by side: the compiler works in one thread most of the time."""
    with ThreadPoolExecutor(len(lowered)) as pool:
        try:
            return list(pool.map(lambda one: one.compile(), lowered))
        except jax.errors.JaxRuntimeError as error:
            text = " ".join(str(error).split())
            needs = _TOO_MUCH.search(text)
            if needs is None:
                raise RunError(f"{describe(case.mesh)}: the compiler failed: {text[:500]}") from error
            used, there = (float(number) for number in needs.groups() if number)
            raise _TooMuchError(case, used, there) from error


def _describe(wish: PlanWish, case: _Case, training: Reading, judging: Reading, seconds: float) -> Plan:
    learn, judge = _speed(case, training), _speed(case, judging)
    parts, model = _memory(wish, case, training), case.learner.model
    share = case.devices_a_chip
    return Plan(
        topology=wish.topology or describe(case.mesh),
        device_kind=case.mesh.devices.flat[0].device_kind,
        chips=case.mesh.size // share,
        devices=case.mesh.size,
        model=case.settings.model,
        parameters=model.count_params(),
        image_size=case.settings.image_size,
        data_size=case.side,
        batch_size=case.settings.batch_size,
        precision=str(model.compute_dtype),
        train_blocks=-1 if case.settings.train_blocks is None else case.settings.train_blocks,
        levels=case.settings.levels,
        train_records=wish.train_records,
        val_records=wish.val_records,
        resident=case.resident,
        hbm_bytes_per_chip=sum(parts.values()) * share,
        hbm_capacity_bytes=case.capacity * share,
        hbm_parts={name: size * share for name, size in parts.items()},
        **dataclasses.asdict(learn),
        epoch_seconds_bound=_epoch(case, learn.images_per_second_bound),
        epoch_seconds_estimate=_epoch(case, learn.images_per_second_estimate),
        largest_batch_size=_largest_batch(case, parts),
        collectives=[dataclasses.asdict(each) for each in training.traffic.collectives],
        float64=training.traffic.float64 + judging.traffic.float64,
        host_calls=training.traffic.host_calls + judging.traffic.host_calls,
        evaluation={**dataclasses.asdict(judge), "temporaries": judging.temporaries * share},
        compile_seconds=round(seconds, 1),
        versions=_versions(),
        notes=_notes(case, sum(parts.values())),
    )


def _notes(case: _Case, memory: int) -> list[str]:
    """What a reader of the plan should think of."""
    notes, empty = [], case.settings.batch_size - case.lanes.n
    if empty > 0:
        notes.append(f"a step has room for {empty:,} images more than there are records: wish a smaller --batch-size")
    if memory > case.capacity:
        notes.append("this does not fit: the compiler knows of the program alone, not of the other split's pixels")
    return notes


def _speed(case: _Case, reading: Reading) -> Speed:
    """The roofline (Williams et al., CACM 2009) with the links as a third roof, and the compiler's estimates added up.

    An all-reduce of n bytes over d devices sends at least 2 n (1 - 1/d) from each.
    """
    images, traffic = case.images_a_device, reading.traffic
    counted = reading.flops / images, traffic.hbm_bytes / images, reading.accessed / images
    if case.chip is None:
        return Speed(*counted)
    share, devices = 1 / case.chip.devices, case.mesh.size
    seconds = {
        "flops": reading.flops / (case.chip.flops * share),
        "hbm": traffic.hbm_bytes / (case.chip.hbm_rate * share),
    }
    if case.chip.link_rate:
        sent = 2 * (1 - 1 / devices) * sum(each.bytes for each in traffic.collectives)
        seconds["links"] = sent / (case.chip.link_rate * share)
    slowest = max(seconds, key=seconds.__getitem__)
    batch = images * devices
    known = traffic.cycles and case.chip.clock
    estimate = batch * case.chip.clock / traffic.cycles if known else None
    return Speed(*counted, batch / seconds[slowest], slowest, estimate)


def _scheduled(case: _Case, compiled: Any, code: Path) -> float:
    """Images a second by the code of the train step. Raises RunError where the compiler wrote none."""
    found = schedule.read(code)
    if case.chip is None or not found:
        raise RunError("--schedule: the compiler wrote no code; it was loaded before this plan, or is of another kind")
    return case.settings.batch_size / schedule.seconds(hlo.operations(compiled.as_text()), found, case.chip)


def _memory(wish: PlanWish, case: _Case, training: Reading) -> dict[str, int]:
    """What lies on one device while it trains, part by part."""
    in_program = case.pixel_bytes(case.program_lanes().n)
    if case.resident:
        pixels = case.pixel_bytes(wish.train_records) + case.pixel_bytes(wish.val_records)
    else:
        pixels = 2 * case.pixel_bytes(chunk_steps(case.lanes, case.side, CHUNK_BYTES) * case.lanes.batch_size)
    return {
        "pixels": pixels,
        "state": max(training.arguments - in_program, 0),
        "temporaries": training.temporaries + training.outputs,
        "code": training.code,
    }


def _largest_batch(case: _Case, parts: dict[str, int]) -> int:
    """The largest batch whose temporaries fit beside the rest, supposing that they grow with the batch.

    A multiple of the devices; as they do not shrink quite as fast as the batch, larger than one that is planned a bit.
    """
    room = case.capacity - sum(size for name, size in parts.items() if name != "temporaries")
    images = int(room / max(parts["temporaries"], 1) * case.images_a_device)
    return max(images, 0) * case.mesh.size


def _with_largest(made: Plan, wish: PlanWish, case: _Case, training: Reading, reporter: Reporter) -> Plan:
    """Compile the train step for other batches, until one fits and one a little larger does not."""

    def needed(images: int) -> float:
        batch = images * case.mesh.size
        settings, lanes = dataclasses.replace(case.settings, batch_size=batch), Lanes(wish.train_records, batch)
        other = dataclasses.replace(case, settings=settings, lanes=lanes)
        try:
            (compiled,) = _compile(other, [_lower_training(other)])
            size = float(sum(_memory(wish, other, programs.read(compiled)).values()))
        except _TooMuchError as error:  # the compiler keeps a part of the memory to itself
            size = max(error.used * 2**30, other.capacity + 1.0)
        fits = "fit" if size <= other.capacity else "do not fit"
        reporter.note(
            f"{batch:,} images a step {fits}: {size / 2**30:.2f} of {other.capacity / 2**30:.2f} GiB a device"
        )
        return size

    known = float(sum(_memory(wish, case, training).values()))
    found = largest.search(needed, case.capacity, case.images_a_device, known, MOST_IMAGES // case.mesh.size)
    size = case.mesh.size
    return dataclasses.replace(
        made,
        largest_batch_size=found.fits * size,
        largest_batch_compiled=True,
        too_large_batch_size=None if found.too_many is None else found.too_many * size,
    )


def _epoch(case: _Case, images_per_second: float | None) -> float | None:
    """Seconds for an epoch's steps; the last one's empty places take their time too."""
    return None if images_per_second is None else case.lanes.steps * case.lanes.batch_size / images_per_second


# Measuring --------------------------------------------------------------------------------------------------------


def _measure(case: _Case, program: Any) -> float:
    """Images a second of the training program, on invented pixels."""
    lanes = case.program_lanes()
    feed = ResidentFeed(case.mesh, lanes, trial.invented(lanes, case.side))
    return trial.training(case.learner, program, feed, MEASURED_SECONDS)
