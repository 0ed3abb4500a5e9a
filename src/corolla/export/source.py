"""What is exported: the classifier of a run, or the one that ships with Corolla, and what a file says of it.

Takes: a run folder. Gives: `Source`: the model in the forms that formats are made of, and `about`, in every file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from corolla import calibrate, shipped
from corolla.errors import RunError, WishError
from corolla.folds import ALL
from corolla.interpreter import Interpreter
from corolla.mesh import make_mesh
from corolla.models.registry import HUB
from corolla.network import trained
from corolla.run import RunFolder, count_learned, versions
from corolla.storage import AnyPath

RESIZE = "the largest centred square, upright, scaled with Lanczos' filter"
"""How `photo.prepared` makes an image of a photo."""


@dataclass(frozen=True)
class Source:
    """A classifier to export. name: what a message calls it; model: its backbone, where that is known.

    folder: of the run, or None for the shipped one. temperature: what logits are divided by for probabilities that say
    how often they are right; None where nothing is known.
    """

    name: str
    labels: list[str]
    image_size: int
    temperature: float | None
    model: str | None = None
    folder: RunFolder | None = None
    shipped: Interpreter | None = None

    @cached_property
    def keras_model(self) -> Any:
        """The run's classifier in float32, whatever the run computed in. Raises RunError (damaged weights)."""
        assert self.folder is not None
        return trained(self.folder, make_mesh(jax.devices("cpu")[:1]), "float32")

    @cached_property
    def interpreter(self) -> Interpreter:
        """The classifier as plain operations. To be asked for where `refuse` has let it pass."""
        if self.shipped is not None:
            return self.shipped
        assert self.folder is not None
        graph = self.folder.graph()
        assert graph is not None
        return Interpreter(graph, self.folder.best().arrays, self.name)

    def refuse(self, format: str) -> None:
        """Raise WishError for a format that this classifier cannot have."""
        if self.folder is None and format != "onnx":
            raise WishError(f"the model that ships with Corolla goes out as --format onnx: name a RUN for {format}")
        if self.folder is not None and format == "onnx" and self.folder.graph() is None:
            why = f"{self.model} has layers that no graph says"
            raise WishError(f"{self.name} cannot be written as ONNX ({why}): use --format stablehlo or keras")

    @property
    def answer(self) -> Callable[[NDArray], NDArray]:
        """The classifier as a function: images float32[b, s, s, 3] -> logits float32[b, classes]."""
        return self.shipped or (lambda images: np.asarray(self.keras_model.predict_on_batch(images)))

    def about(self) -> dict[str, Any]:
        """What each file says of itself, as plain data."""
        side = self.image_size
        return {
            "labels": self.labels,
            "image_size_px": side,
            "input": f"images: float32[batch, {side}, {side}, 3], RGB, 0 to 255; scaling is inside the model",
            "resize": f"{RESIZE} to {side} x {side} px",
            "output": f"logits: float32[batch, {len(self.labels)}]",
            "probabilities": "softmax(logits / temperature)" if self.temperature else "softmax(logits)",
            "temperature": self.temperature,
            "model": self.model,
            "corolla": versions()["corolla"],
        }


def of_run(run: AnyPath | str) -> Source:
    """The classifier of a finished run. Raises RunError (no such run, unfinished, damaged)."""
    folder = RunFolder(run)
    settings, names = folder.settings(), folder.names()
    if not folder.finished():
        raise RunError(f"{folder.path} is not finished: let `corolla train` finish first")
    hub, _, preset = settings.model.rpartition("/") if settings.model.startswith(HUB) else ("", "", settings.model)
    model = f"{HUB}{preset}" if hub else preset  # without folders of this machine
    return Source(str(folder.path), names, settings.image_size, _temperature(folder), model, folder)


def of_shipped() -> Source:
    """The classifier inside the package. Raises RunError (there is none, or it is damaged)."""
    found = shipped.load()
    name = "the model that ships with Corolla"
    return Source(name, found.names, found.image_size, found.temperature, shipped=found.model)


def _temperature(folder: RunFolder) -> float | None:
    """Fitted to what the run says of its validation split, where that has not taught and is not too small."""
    if folder.settings().folds == ALL or not (folder.path / "predictions.npz").is_file():
        return None
    judged = folder.predictions("predictions")
    if count_learned(folder.learned(), judged.ids) or len(judged.ids) < 2 * calibrate.FOLDS:
        return None
    return round(calibrate.temperature(judged.labels, judged.probabilities), 4)
