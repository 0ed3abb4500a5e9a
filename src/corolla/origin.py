"""The run that a run starts from: `--weights RUN`.

Takes: settings. Gives: `Origin`, a finished run's weights (the averaged ones of its best epoch) with their digest and
what they have learned from; and `build_from`, the classifier to train with this backbone.

The head is not taken over: the probe, with which every run begins, solves it anew. At another image size the features
are others, and to the old head they would be strange; at the same size it costs seconds, and there is one way to begin.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from corolla import hosts
from corolla.backend import keras
from corolla.config import TrainSettings
from corolla.errors import RunError, WishError
from corolla.models import registry
from corolla.models.blank import blank
from corolla.network import build, feature_model, load_weights
from corolla.run import LEARNED, RunFolder, count_learned
from corolla.storage import any_path


@dataclass(frozen=True)
class Origin:
    """A finished run as a place to start from.

    weights: by the names of `network.named_weights`; learned: as `RunFolder.learned` gives it.
    """

    path: str
    image_size: int
    weights: dict[str, NDArray]
    learned: NDArray[np.uint64]

    def fingerprint(self) -> dict[str, str]:
        """A SHA-256 over names, shapes and values: the same weights are known again wherever the run lies."""
        digest = hashlib.sha256()
        for name, value in sorted(self.weights.items()):
            digest.update(f"{name} {value.dtype} {value.shape}\n".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        return {"sha256": digest.hexdigest()}

    def has_seen(self, ids: list[str]) -> int:
        """How many of these records the weights have learned from."""
        return count_learned(self.learned, ids)


def origin_of(settings: TrainSettings) -> Origin | None:
    """The run that the weights are wished from; None where they are wished from elsewhere.

    Of several hosts process 0 reads it, and all hear. Raises WishError (a run of another model), RunError (no run, one
    that is not finished, damaged weights).
    """
    arrays: dict[str, NDArray] = {}

    def read() -> int | None:
        if not _names_a_folder(settings.weights):
            return None
        folder = RunFolder(settings.weights)
        _refuse_unfit(folder, settings.model)
        arrays.update(folder.best().arrays)
        del arrays["val_logits"]
        arrays[LEARNED] = folder.learned()
        return folder.settings().image_size

    size = hosts.from_first(read)
    if size is None:
        return None
    heard = dict(hosts.arrays_from_first(arrays))
    learned = heard.pop(LEARNED)
    return Origin(settings.weights, size, heard, learned)


def _names_a_folder(weights: str) -> bool:
    if weights in registry.WORDS:
        return False
    path = any_path(weights)
    return not isinstance(path, Path) or path.is_dir()


def _refuse_unfit(folder: RunFolder, model: str) -> None:
    own = folder.settings().model
    if _plain_name(own) != _plain_name(model):
        raise WishError(f"{folder.path} is a run of {own}, not of {model}: wish --model {own}, or other --weights")
    if not folder.finished():
        raise RunError(f"{folder.path} is not finished: let `corolla train` finish it first, then start from it")


def _plain_name(model: str) -> str:
    """One name for a model of several spellings."""
    return model if model.startswith(registry.HUB) else registry.entry(model).name


def build_from(
    origin: Origin | None, settings: TrainSettings, classes: int, mesh: Mesh
) -> tuple[keras.Model, TrainSettings]:
    """What `network.build` gives, with the backbone of `origin` where there is one; its head is zeros until solved.

    Raises what `build` raises, and WishError where the weights fit no model of the wished size.
    """
    if origin is None:
        return build(settings, classes, mesh)
    with blank():
        model, settled = build(replace(settings, weights="none"), classes, mesh)
    _fill(feature_model(model), origin, settings.image_size)
    return model, replace(settled, weights=settings.weights)


def _fill(backbone: keras.Model, origin: Origin, image_size: int) -> None:
    try:
        load_weights(backbone, origin.weights, origin.path)
    except RunError as error:
        if origin.image_size == image_size:
            raise
        sizes = f"{image_size} px, and the run has {origin.image_size} px"
        raise WishError(f"{error}: it may have others at {sizes}: try its own size") from error
