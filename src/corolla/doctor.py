"""The doctor: what this machine can do for a run, what slows it down, and what to change; in under a minute.

Takes: a data folder or none, and a `DoctorWish`. Gives: `Diagnosis`: what does not fit together, free memory, measured
rates, the seconds of a whole run by stage, the bottleneck by its name.

What is measured is what trains (`trial`); everything else here is arithmetic on it. Heavy modules are imported inside
`doctor`, because an installation in which they cannot be imported is one of the things to be told.
"""

import dataclasses
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corolla import installation
from corolla.config import DoctorWish
from corolla.errors import DataError, WishError
from corolla.installation import Finding
from corolla.reporter import SILENT, Reporter
from corolla.storage import AnyPath

if TYPE_CHECKING:
    from corolla.trial import Vitals

COMPETITION_RECORDS = DoctorWish.train_records + DoctorWish.val_records
"""Labelled photos of the competition: training and validation."""

COMPETITION_SIZES = (512, 331, 224, 192)
"""Sides of the photos that the competition comes in [px]."""

LEAST_DISK_BYTES = 10**9
"""Checkpoints, best weights and predictions of a run of the default model take a quarter of this."""

BUSY = 0.5
"""Part of the cores that may be busy before measuring; more is told."""

ENOUGH_IMAGES = 128
"""Images a step that keep an accelerator busy: what `corolla plan` plans with."""

PACKAGES = ("corolla", "jax", "jaxlib", "keras", "numpy", "libtpu", "jax-cuda12-plugin", "jax-cuda13-plugin")

STAGES = ("reading", "transfer", "compiling", "features", "steps", "evaluation")
"""Of a run, in their order."""


@dataclass(frozen=True)
class Memory:
    """Free bytes; disk: where runs go. pixels: of the run's photos; resident: whether they stay on the devices."""

    host: int
    device: int
    disk: int
    pixels: int
    resident: bool
    competition_pixels: int
    competition_resident: bool


@dataclass(frozen=True)
class Diagnosis:
    """Everything that `--json` prints. usable: nothing is broken. run: seconds of a whole run by stage."""

    usable: bool
    findings: list[Finding]
    requirements: int
    versions: dict[str, str | None]
    model: str
    image_size: int
    batch_size: int
    epochs: int
    painted: bool
    vitals: dict[str, Any] | None
    memory: Memory | None
    run: dict[str, float] | None
    bottleneck: str | None
    change: str | None
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As a file holds it."""
        return dataclasses.asdict(self)


def doctor(data: AnyPath | None, wish: DoctorWish, reporter: Reporter = SILENT) -> Diagnosis:
    """Examine the installation, the devices and, where there are data, how fast they are read.

    Raises DataError (no such data), WishError (no such model); what else goes wrong is a finding.
    """
    begin = time.perf_counter()
    wish.settings()  # refuses what is out of range
    there = installation.accelerator()
    findings, requirements = installation.findings(tpu=there == "TPU")
    findings += busy(os.getloadavg()[0], os.cpu_count() or 1)
    found = memory = run = bottleneck = None
    try:
        found = _measured(data, wish, reporter)
    except (DataError, WishError):
        raise
    except Exception as error:  # whatever a broken installation raises: that is what was asked
        told = any(finding.level == "broken" or " wants " in finding.what for finding in findings)
        findings.append(_broken(error, told))
    if found:
        memory = _memory(found, wish)
        findings += [*installation.unseen_accelerator(there, found.platform), *faults(found, memory, data)]
        run = run_seconds(found, wish.epochs, memory.resident, wish.batch_size)
        bottleneck = max(run, key=run.__getitem__) if run else None
    return Diagnosis(
        usable=not any(finding.level == "broken" for finding in findings),
        findings=findings,
        requirements=requirements,
        versions=installation.versions(PACKAGES),
        model=wish.model,
        image_size=wish.image_size,
        batch_size=wish.batch_size,
        epochs=wish.epochs,
        painted=data is None,
        vitals=dataclasses.asdict(found) if found else None,
        memory=memory,
        run=run,
        bottleneck=bottleneck,
        change=advice(bottleneck, found, memory, wish) if found and memory and bottleneck else None,
        seconds=round(time.perf_counter() - begin, 1),
    )


def _measured(data: AnyPath | None, wish: DoctorWish, reporter: Reporter) -> "Vitals":
    from corolla import trial

    return trial.vitals(data, wish, reporter)


def _broken(error: Exception, told: bool) -> Finding:
    """What the parts of a training raised. told: whether its cause may be one of the findings before."""
    text = " ".join(str(error).split())[:200]
    if "RESOURCE_EXHAUSTED" in text:
        return Finding("broken", f"the devices have not the memory for this: {text}", "a smaller --batch-size")
    change = "first what is told above" if told else "install corolla into an environment of its own"
    return Finding("broken", f"training fails here: {type(error).__name__}: {text}", change)


def busy(load: float, cores: int) -> Iterator[Finding]:
    """Other programs that take the machine's time. load: processes that wanted to run, the last minute's average."""
    if load > BUSY * cores:
        line = f"other programs kept {min(load, cores):.1f} of {cores} cores busy in the last minute"
        yield Finding("warning", f"{line}: what was measured is what they left", "end them and ask again")


def _memory(found: "Vitals", wish: DoctorWish) -> Memory:
    from corolla.resident import stays

    pixels = (found.train_records + found.val_records) * found.data_size**2 * 3
    competition = COMPETITION_RECORDS * wish.image_size**2 * 3
    free = found.host_free_bytes, found.device_free_bytes, shutil.disk_usage(Path()).free
    kept = [stays(one, free[1], found.platform) for one in (pixels, competition)]
    return Memory(*free, pixels, kept[0], competition, kept[1])


def faults(found: "Vitals", memory: Memory, data: AnyPath | None) -> Iterator[Finding]:
    """What was seen while measuring."""
    if found.damaged:
        yield Finding("warning", f"{found.damaged} of the records read are damaged", f"corolla check {data}")
    if memory.disk < LEAST_DISK_BYTES:
        yield Finding(
            "warning", f"{memory.disk / 1e9:.1f} GB free on the disk here", "another --out, or free some room"
        )
    if memory.pixels > memory.host:
        room = (
            f"{memory.pixels / 1e9:.1f} GB of pixels are read into memory, of which {memory.host / 1e9:.1f} GB are free"
        )
        yield Finding("warning", room, "a smaller --image-size")
    if found.training is None:
        change = "unset KERAS_BACKEND to measure them"
        yield Finding("warning", f"Keras runs on {found.backend}: only JAX's steps are measured", change)
    if found.not_native:
        what = f"depthwise convolutions run in XLA's own form, a tenth slower: {found.not_native}"
        yield Finding("warning", what, "install a C++ compiler (Debian: g++)")


# A run ------------------------------------------------------------------------------------------------------------


def run_seconds(found: "Vitals", epochs: int, resident: bool, batch_size: int) -> dict[str, float] | None:
    """Seconds of each stage of a run; None where steps were not measured.

    features: the probe's passes (both views of the training split, one of validation); solving its head, saving and
    the first import come on top. Photos that are streamed arrive while the devices work: only what they wait is
    transfer. Prediction is compiled twice, for features and for classes.
    """
    train, val = found.train_records, found.val_records
    if not (found.training and found.evaluation):
        return None
    places = epochs * -(-train // batch_size) * batch_size  # the last step's empty ones too
    judged, seen = epochs * val, 2 * train + val
    wait = {rate: 0.0 if resident else max(1 / found.streaming - 1 / rate, 0.0) for rate in _device_rates(found)}
    transfer = (train + val) * found.data_size**2 * 3 / found.transfer_bytes_per_second if resident else 0.0
    waited = places * wait[found.training] + (judged + seen / 2) * wait[found.evaluation]
    return {
        "reading": (train + val) / found.reading,
        "transfer": transfer + waited,
        "compiling": (found.train_compile_seconds or 0) * (epochs > 0) + 2 * (found.predict_compile_seconds or 0),
        "features": seen / found.evaluation,
        "steps": places / found.training,
        "evaluation": judged / found.evaluation,
    }


def _device_rates(found: "Vitals") -> tuple[float, float]:
    assert found.training and found.evaluation
    return found.training, found.evaluation


def advice(bottleneck: str, found: "Vitals", memory: Memory, wish: DoctorWish) -> str:
    """The one thing to change first."""
    return {
        "reading": _faster_reading,
        "transfer": _faster_transfer,
        "compiling": _less_compiling,
        "features": _faster_passes,
        "steps": _faster_steps,
        "evaluation": _faster_passes,
    }[bottleneck](found, memory, wish)


def _faster_reading(found: "Vitals", memory: Memory, wish: DoctorWish) -> str:
    if found.reading_again > 2 * found.reading:
        return f"copy the data to a faster disk: from memory they are read at {found.reading_again:,.0f} images/s"
    smaller = [size for size in COMPETITION_SIZES if wish.image_size <= size < found.data_size]
    if smaller:
        return f"read photos of {smaller[-1]} px: these have {found.data_size}, and the model sees {wish.image_size}"
    return "more CPU cores; photos are read once a run, so longer runs feel it less"


def _faster_transfer(found: "Vitals", memory: Memory, wish: DoctorWish) -> str:
    if memory.resident:
        return "nothing: pixels are sent once a run, so longer runs feel it less"
    from corolla.resident import stays

    pixels = {size: (found.train_records + found.val_records) * size**2 * 3 for size in COMPETITION_SIZES}
    fitting = next((size for size, room in pixels.items() if stays(room, memory.device, found.platform)), None)
    sent = f"streamed from the host, {found.streaming:,.0f} images/s arrive"
    if fitting is None:
        return f"more devices: {sent}; with more memory the pixels stay there"
    return f"--image-size {fitting}: {sent}; photos of {fitting} px stay on the devices"


def _less_compiling(found: "Vitals", memory: Memory, wish: DoctorWish) -> str:
    return "nothing: programs are kept, so the next run of this model on as many photos compiles nothing"


def _faster_passes(found: "Vitals", memory: Memory, wish: DoctorWish) -> str:
    return _larger_batch(found, wish) or "a smaller --image-size or --model, or an accelerator with more chips"


def _faster_steps(found: "Vitals", memory: Memory, wish: DoctorWish) -> str:
    larger, blocks = _larger_batch(found, wish), found.train_blocks
    if larger:
        return larger
    if blocks is not None and blocks > 1:
        return f"--train-blocks {blocks // 2} (now {blocks} of {found.blocks}), a smaller --image-size, or a TPU or GPU"
    return "a smaller --image-size or --model, or more devices"


def _larger_batch(found: "Vitals", wish: DoctorWish) -> str | None:
    enough = ENOUGH_IMAGES * found.device_count
    if found.platform == "cpu" or wish.batch_size >= enough:
        return None
    each = wish.batch_size / found.device_count
    return f"--batch-size {enough}: {each:g} images a step and device leave it idle between them"
