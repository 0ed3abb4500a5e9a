"""A run as a file for others: the classifier of its best epoch, without Corolla.

Takes: a run folder and a format. Gives: a file that was loaded again and compared before it got its name.
"""

import json
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from numpy.typing import NDArray

from corolla.backend import keras
from corolla.checkpoint import write_file
from corolla.errors import RunError, WishError
from corolla.mesh import make_mesh
from corolla.models.plain import plain
from corolla.network import trained
from corolla.run import RunFolder
from corolla.storage import AnyPath, any_path, refuse_unwritable

Format = Literal["keras"]

CHECKED = 8
"""Random images by which a file is compared with its run."""

TOLERANCE = 1e-3
"""Largest difference of a logit between file and run: other forms of a convolution round otherwise."""


@dataclass(frozen=True)
class Exported:
    """What was written: where, for how many classes, and the largest difference of a logit from the run's."""

    path: AnyPath
    classes: int
    difference: float


def export(run: AnyPath | str, out: AnyPath | None = None, format: Format = "keras") -> Exported:
    """Write the best weights of a run as one `.keras` file that plain Keras loads.

    The model takes images float[b, s, s, 3] in 0..255 (scaling is inside) and gives logits float32[b, classes]. The
    archive also holds `corolla.json`: label names, image size, and what goes in and comes out; Keras ignores it.
    out: by default RUN/model.keras. Raises WishError, and RunError (no such run, damaged weights, no room, a file that
    differs).
    """
    folder, path = RunFolder(run), out or any_path(run) / f"model.{format}"
    refuse_unwritable(path)
    if path.suffix != f".{format}":
        raise WishError(f"--out {path}: a file of --format {format} wants the ending .{format}")
    model = trained(folder, make_mesh(jax.devices("cpu")[:1]))  # in float32, whatever the run computed in
    told = {
        "labels": folder.names(),
        "image_size_px": folder.settings().image_size,
        "input": "float[batch, image_size, image_size, 3], RGB, 0 to 255; scaling is inside the model",
        "output": "logits, float32[batch, labels]",
    }
    images = np.random.default_rng(0).uniform(0, 255, (CHECKED, *model.input_shape[1:])).astype(np.float32)
    wanted = np.asarray(model.predict_on_batch(images))
    with tempfile.TemporaryDirectory(prefix="corolla-export-") as place:
        made = Path(place) / path.name
        plain(model).save(made)
        with zipfile.ZipFile(made, "a") as archive:
            archive.writestr("corolla.json", json.dumps(told, ensure_ascii=False, indent=1))
        difference = _difference(made, images, wanted)
        write_file(path, made.read_bytes())
    return Exported(path, len(told["labels"]), difference)


def _difference(path: Path, images: NDArray, wanted: NDArray) -> float:
    """Largest difference of a logit between the run's model and the file. Raises RunError where it is too large."""
    loaded: Any = keras.saving.load_model(path, compile=False)
    difference = float(np.abs(wanted - np.asarray(loaded.predict_on_batch(images))).max())
    if not difference <= TOLERANCE:
        raise RunError(f"{path.name} differs from its run by {difference:.2g} in a logit: it was not written")
    return difference
