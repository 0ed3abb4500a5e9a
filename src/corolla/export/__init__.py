"""A run, or the model that ships with Corolla, as a file for others: the classifier of its best epoch.

Takes: a run folder (or none) and a format. Gives: a file that was loaded again and compared before it got its name.

`source` is what is exported and what a file says of itself, `checking` the one way of comparing, and each format has a
module: `keras_file`, `stablehlo`, `onnx_file` (by `onnx_graph`), `weights`, `litert`.
"""

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from corolla.checkpoint import write_file
from corolla.errors import RunError, WishError
from corolla.export import checking, keras_file, litert, onnx_file, stablehlo, weights
from corolla.export.checking import Logits
from corolla.export.source import of_run, of_shipped
from corolla.shipped import FILE
from corolla.storage import AnyPath, any_path, refuse_unwritable

Format = Literal["keras", "stablehlo", "onnx", "weights", "litert"]


class Kind(NamedTuple):
    """A format: its files' ending, what writes one at a path, and loads it to answer.

    tolerance: largest difference of a logit between file and run, as a part of the largest logit (at least of 1).
    """

    ending: str
    module: Any
    tolerance: float


KINDS: dict[Format, Kind] = {
    "keras": Kind(".keras", keras_file, 1e-4),
    "stablehlo": Kind(".stablehlo", stablehlo, 1e-4),
    "onnx": Kind(".onnx", onnx_file, 1e-4),
    "weights": Kind(".safetensors", weights, 1e-6),
    "litert": Kind(".tflite", litert, 1e-4),
}
"""Float32 rounds at 6e-8 of a number, and some fifty layers add that up in another order.

keras: Keras' own form of the convolutions instead of Corolla's. stablehlo: forms for a batch of any size. onnx: another
library's sums, and batch normalisation multiplied into the kernels. weights: the same program with the same numbers.
litert: as onnx.
"""


@dataclass(frozen=True)
class Exported:
    """What was written, and how it was found: of so many images, the largest difference of a logit from the run's, and
    how many are given the same name.

    images: what they were. temperature: what the file says that logits are to be divided by, or None.
    """

    path: AnyPath
    format: Format
    bytes: int
    classes: int
    compared: int
    images: str
    difference: float
    agreed: int
    temperature: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "path": str(self.path)}

    def __str__(self) -> str:
        size = f"{self.classes} classes, {self.bytes / 1e6:.1f} MB"
        same = f"logits within {self.difference:.1g}, {self.agreed} of {self.compared} named alike"
        return f"{size}; on {self.images}: {same}"


def export(
    run: AnyPath | str | None = None,
    out: AnyPath | None = None,
    format: Format = "keras",
    data: AnyPath | None = None,
) -> Exported:
    """Write the best weights of a run in a format that is used without Corolla.

    The model takes images float32[b, s, s, 3] in 0..255 (scaling is inside) and gives logits float32[b, classes], for
    any b. Each file holds what `Source.about` says: label names, how photos are prepared, the temperature.
    run: None is the model that ships with Corolla, as `onnx`. out: by default RUN/model and the format's ending.
    data: whose validation photos the file is compared on; without, images of random colours.
    Raises WishError (a format that this model cannot have, a wrong ending, a missing extra), DataError, and RunError
    (no such run, an unfinished one, damaged weights, no room, a file that differs).
    """
    kind = KINDS[format]
    kind.module.refuse_missing()
    path = out or _usual(run, kind.ending)
    refuse_unwritable(path)
    if path.suffix != kind.ending:
        raise WishError(f"--out {path}: a file of --format {format} wants the ending {kind.ending}")
    with checking.on_cpu():
        source = of_shipped() if run is None else of_run(run)
        source.refuse(format)
        images, told = checking.images(source.image_size, data)
        wanted = checking.answers(source.answer, images)  # before `keras` gives the model Keras' own layers
        with tempfile.TemporaryDirectory(prefix="corolla-export-") as place:
            made = Path(place) / path.name
            kind.module.write(source, made)
            found = kind.module.answers(made, images)
            difference, agreed = _compared(source.name, made.name, kind.tolerance, wanted, found)
            content = made.read_bytes()
    write_file(path, content)
    size, labels = len(content), len(source.labels)
    return Exported(path, format, size, labels, len(images), told, difference, agreed, source.temperature)


def _usual(run: AnyPath | str | None, ending: str) -> AnyPath:
    return Path(FILE).with_suffix(ending) if run is None else any_path(run) / f"model{ending}"


def _compared(source: str, made: str, tolerance: float, wanted: Logits, found: Logits) -> tuple[float, int]:
    """Largest difference of a logit, and images named alike. Raises RunError where the file differs too much."""
    difference, agreed, largest = checking.compare(wanted, found)
    if not difference <= tolerance * max(1.0, largest):
        raise RunError(f"{made} differs from {source} by {difference:.2g} in a logit: it was not written")
    return difference, agreed
