"""The run folder: everything that a run leaves behind, and the only place where commands meet.

Takes: a path. Gives: `RunFolder`, which reads and writes
    config.json        the settings of the run, and a fingerprint of its data and of the run that it starts from
    environment.json   versions and devices
    labels.json        the label names, in label order
    graph.json         where the model is of plain layers: what it computes, for `identify`
    preset/            where the model is KerasHub's: its description, by which it is built again without the network
    learned.npz        which records it learns from, itself or by the run that it starts from, as hashes of their ids
    metrics.jsonl      one line an epoch (epoch 0 is the probe)
    scores.json        the scores of the best epoch on the validation split; written last: its presence means finished
    predictions.npz    ids, labels and probabilities behind scores.json; predictions-probe.npz: those of the probe
    checkpoints/       where training goes on after a kill
    best/              the weights of the best epoch
    tensorboard/       events for TensorBoard, where they were wished; sinks.json: how W&B and MLflow know the run again
"""

import hashlib
import io
import json
import platform
import re
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from corolla import checkpoint, config
from corolla.checkpoint import Saved, read_json, write_file, write_json
from corolla.config import TrainSettings
from corolla.errors import RunError, WishError
from corolla.graph import Graph
from corolla.graph import from_json as graph_from_json
from corolla.models.registry import HUB
from corolla.storage import AnyPath, any_path, local_copy
from corolla.types import Photos

KEPT = 2
"""Checkpoints that stay on the disk: should the newest be damaged, the one before it goes on."""

PRESET, GRAPH, LEARNED = "preset", "graph.json", "learned.npz"

WEIGHTS = "weights"
"""Beside the splits in the fingerprint: a digest of another run's weights, where a run starts from them."""

FOLD = "fold-"
"""A cross-validation holds a run folder for each fold: fold-0, fold-1, ..."""

SEED = "seed-"
"""A repeated run holds a run folder for each seed: seed-0, seed-1, ..."""

SIZE = "size-"
"""A grown run holds a run folder for each image size: size-192, size-224, ..."""

PACKAGES = ("corolla", "jax", "jaxlib", "keras", "numpy", "scipy", "simplejpeg", "google-crc32c", "protobuf")


class Predictions(NamedTuple):
    """What a run says of labelled records: ids, labels int[n], probabilities float32[n, classes]."""

    ids: list[str]
    labels: NDArray
    probabilities: NDArray[np.float32]

    def digest(self) -> str:
        """SHA-256 over all of it: by this a run is known again, wherever it lies."""
        digest = hashlib.sha256("\n".join(self.ids).encode())
        for array in (self.labels.astype(np.int64), self.probabilities.astype(np.float32)):
            digest.update(array.tobytes())
        return digest.hexdigest()

    def write(self, path: AnyPath) -> None:
        """Write it as a file that `read_predictions` reads, whole or not at all. Raises RunError."""
        content = io.BytesIO()
        probabilities = self.probabilities.astype(np.float32)
        np.savez(content, ids=np.array(self.ids, np.str_), labels=self.labels, probabilities=probabilities)
        write_file(path, content.getvalue())


def read_predictions(path: AnyPath, way_out: str) -> Predictions:
    """What `Predictions.write` wrote. Raises RunError, which ends with the way out."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return Predictions(stored["ids"].tolist(), stored["labels"], stored["probabilities"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, AttributeError, TypeError) as error:
        raise RunError(f"{path} is missing or damaged: {way_out}") from error


class RunFolder:
    """One run, on a disk or in a store. Creating the object touches nothing."""

    def __init__(self, path: AnyPath | str) -> None:
        self.path = any_path(path)

    # -------------------------------------------------------------------------------------------- what was asked

    def begin(
        self,
        settings: TrainSettings,
        data: dict[str, Any],
        environment: dict[str, Any],
        names: list[str],
        preset: dict[str, str] | None = None,
        graph: Graph | None = None,
        learned: NDArray[np.uint64] | None = None,
    ) -> None:
        """Write what the run is, or check that it is the same run as the one that stands here.

        data: a `fingerprint` for each split, and `WEIGHTS` where it starts from another run's. preset: the files of
        `models.registry.files`, by name; graph: of the model, where it has one; learned: `hashes` of the ids of the
        records that it learns from.
        Raises WishError where the folder holds something else, or a run with other settings, data or first weights.
        """
        if self.exists():
            self._refuse_another(settings, data)
            return
        if self._holds_something_else():
            raise WishError(f"{self.path} is there already and is no run folder: choose another --out")
        for name, text in (preset or {}).items():
            write_file(self.path / PRESET / name, text.encode())
        write_json(self.path / "labels.json", names)
        if graph is not None:
            write_file(self.path / GRAPH, json.dumps(graph.to_json(), separators=(",", ":")).encode())
        write_json(self.path / "environment.json", environment)
        self.write_learned(hashes([]) if learned is None else learned)
        write_json(self.path / "config.json", {"settings": asdict(settings), "data": data})

    def begin_like(self, other: "RunFolder", **changed: Any) -> None:
        """Describe the same model, settings and data as another run does: all but what it reached, and `changed`."""
        preset = other.path / PRESET
        files = [f"{PRESET}/{path.name}" for path in preset.iterdir()] if preset.is_dir() else []
        for name in (*files, "labels.json", GRAPH, "environment.json"):
            if (other.path / name).is_file():
                write_file(self.path / name, (other.path / name).read_bytes())
        told = other._config()
        write_json(self.path / "config.json", {**told, "settings": {**told["settings"], **changed}})

    def refuse_taken(self) -> None:
        """Raise WishError where anything stands at the path."""
        if self.path.exists() and not (self.path.is_dir() and not any(self.path.iterdir())):
            raise WishError(f"{self.path} is there already: choose another --out")

    def _holds_something_else(self) -> bool:
        """Whether the path is taken, but not by a run that was killed while it began."""
        if not self.path.is_dir():
            return self.path.exists()
        ours = ("labels.json", "environment.json", PRESET, GRAPH, LEARNED)
        return any(p.name not in ours and not p.name.startswith(checkpoint.TEMPORARY) for p in self.path.iterdir())

    def _refuse_another(self, settings: TrainSettings, data: dict[str, Any]) -> None:
        known, before = self._config()["data"], self.settings()
        if known.get(WEIGHTS) and known.get(WEIGHTS) == data.get(WEIGHTS):  # wherever that run lies now
            settings = replace(settings, weights=before.weights)
        changed = config.differences(before, settings)
        if changed:
            raise WishError(f"{self.path} holds a run with other settings ({'; '.join(changed)}): choose another --out")
        if known.get(WEIGHTS) != data.get(WEIGHTS):
            line = f"{self.path} holds a run that began with other weights than those of {settings.weights}"
            raise WishError(f"{line}: choose another --out, or the run it began with")
        if known != data:
            raise WishError(f"{self.path} holds a run on other data: choose another --out, or the data it began with")

    def exists(self) -> bool:
        """Whether a run began here."""
        return (self.path / "config.json").is_file()

    def finished(self) -> bool:
        """Whether the run is complete."""
        return (self.path / "scores.json").is_file()

    def _config(self) -> dict[str, Any]:
        if not self.exists():
            raise RunError(f"{self.path} is no run folder (it holds no config.json): train one with `corolla train`")
        stored = read_json(self.path / "config.json")
        if not isinstance(stored, dict) or not all(isinstance(stored.get(name), dict) for name in ("settings", "data")):
            raise RunError(f"{self.path / 'config.json'} is damaged: it names no settings")
        return stored

    def settings(self) -> TrainSettings:
        """The settings of the run. Raises RunError where this is no run folder."""
        try:
            return config.from_dict(self._config()["settings"])
        except WishError as error:
            raise RunError(f"{self.path / 'config.json'} is damaged: {error}") from error

    def model(self) -> str:
        """The name by which `models.registry` builds the run's model: of its own preset folder where it has one."""
        kept = self.path / PRESET
        return f"{HUB}{local_copy(kept)}" if kept.is_dir() else self.settings().model

    def names(self) -> list[str]:
        """The label names, in label order."""
        names = read_json(self.path / "labels.json")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise RunError(f"{self.path / 'labels.json'} is damaged: it is no list of names")
        return names

    def graph(self) -> Graph | None:
        """What the model computes, or None where no graph can say it. Raises RunError where it is damaged."""
        path = self.path / GRAPH
        return graph_from_json(read_json(path), str(path)) if path.is_file() else None

    def write_learned(self, learned: NDArray[np.uint64]) -> None:
        """Keep which records the run learns from, as `hashes` of their ids."""
        content = io.BytesIO()
        np.savez(content, hashes=np.unique(learned))
        write_file(self.path / LEARNED, content.getvalue())

    def learned(self) -> NDArray[np.uint64]:
        """What `write_learned` wrote; nothing where an older Corolla has trained. Raises RunError (damaged)."""
        path = self.path / LEARNED
        if not path.is_file():
            return hashes([])
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                return stored["hashes"]
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise RunError(f"{path} is damaged: delete it, and nothing is known of what the run has learned") from error

    # ------------------------------------------------------------------------------------------- what it reached

    def save_checkpoint(self, step: int, arrays: dict[str, Any], meta: dict[str, Any]) -> None:
        """Keep where training stands after `step` steps."""
        checkpoint.save(self.path / "checkpoints", "step", step, arrays, meta, KEPT)

    def newest_checkpoint(self) -> tuple[Saved | None, list[str]]:
        """The newest whole checkpoint, and a line for every newer one that is damaged."""
        return checkpoint.load_newest(self.path / "checkpoints", "step")

    def save_best(self, epoch: int, arrays: dict[str, Any], meta: dict[str, Any]) -> None:
        """Keep the weights of the best epoch so far."""
        checkpoint.save(self.path / "best", "epoch", epoch, arrays, meta, KEPT)

    def best(self) -> Saved:
        """The weights of the best epoch. Raises RunError where there are none, or where they are damaged."""
        folders = checkpoint.numbered(self.path / "best", "epoch")
        if not folders:
            raise RunError(f"{self.path} holds no weights yet: let `corolla train` finish its probe first")
        try:
            return checkpoint.load(folders[-1])
        except checkpoint.DamagedError as error:
            raise RunError(f"{error}; train again into another --out, or copy the folder anew") from error

    def write_metrics(self, lines: list[dict[str, Any]]) -> None:
        """Write one line an epoch."""
        text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)
        write_file(self.path / "metrics.jsonl", text.encode())

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl."""
        return [json.loads(line) for line in (self.path / "metrics.jsonl").read_text("utf-8").splitlines()]

    def write_scores(self, scores: dict[str, Any], name: str = "scores.json") -> AnyPath:
        """Write scores; `scores.json` marks the run as finished."""
        write_json(self.path / name, scores)
        return self.path / name

    def scores(self) -> dict[str, Any]:
        """What scores.json holds."""
        return read_json(self.path / "scores.json")

    def write_predictions(self, name: str, ids: list[str], labels: NDArray, probabilities: NDArray) -> None:
        """Keep what scores were computed from, as `NAME.npz`."""
        Predictions(ids, labels, probabilities).write(self.path / f"{name}.npz")

    def predictions(self, name: str) -> Predictions:
        """What `write_predictions` wrote as `NAME.npz`. Raises RunError."""
        return read_predictions(self.path / f"{name}.npz", "train again into another --out")


def hashes(ids: list[str]) -> NDArray[np.uint64]:
    """The first 8 bytes of each id's SHA-256, uint64[n], those of no name left out: 100 kB for 12,753 records."""
    found = b"".join(hashlib.sha256(name.encode()).digest()[:8] for name in ids if name)
    return np.frombuffer(found, "<u8").astype(np.uint64)


def count_learned(learned: NDArray[np.uint64], ids: list[str]) -> int:
    """How many of the records named by `ids` are among those that a run has learned from."""
    return int(np.isin(hashes(ids), learned).sum())


def runs_of(path: AnyPath) -> list[RunFolder]:
    """The run at a path, or those of a cross-validation, one a fold. Raises RunError where there is neither, or where
    a fold is not finished.
    """
    folds = [RunFolder(path / f"{FOLD}0")]
    if RunFolder(path).exists() or not folds[0].exists():
        RunFolder(path).settings()  # says what is wrong
        return [RunFolder(path)]
    folds = [RunFolder(path / f"{FOLD}{fold}") for fold in range(folds[0].settings().folds)]
    for run in folds:
        if not run.finished():
            raise RunError(f"{run.path} is not finished: let `corolla cross` finish first")
    return folds


def default_path(data: AnyPath, settings: TrainSettings) -> Path:
    """Where a run goes that was given no folder: the same data and settings give the same name."""
    asked = {name: value for name, value in asdict(settings).items() if name not in config.FREE_ON_RESUME}
    told = hashlib.sha256(json.dumps([str(data.resolve()), asked], sort_keys=True).encode()).hexdigest()[:6]
    model = re.sub(r"[^\w.-]+", "-", settings.model)  # hub:hf://somebody/something
    return Path("runs") / f"{data.resolve().name}-{model}-{told}"


def fingerprint(photos: Photos, digests: NDArray[np.uint8]) -> dict[str, Any]:
    """Tell one split from another: records, size, and a SHA-256 over ids, labels, targets and each record's own digest.

    digests: uint8[n, 32], of `share.digests`.
    """
    digest = hashlib.sha256("\n".join(photos.ids).encode())
    for taught in (photos.labels, photos.targets):
        if taught is not None:
            digest.update(taught.tobytes())
    digest.update(digests.tobytes())
    return {
        "records": len(photos),
        "skipped": len(photos.bad),
        "size_px": list(photos.images.shape[1:3]),
        "sha256": digest.hexdigest(),
    }


def environment(devices: str) -> dict[str, Any]:
    """What the run ran on. Holds no host name, user name or path."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "devices": devices,
        "packages": versions(),
    }


def versions() -> dict[str, str | None]:
    """Versions of the packages that move numbers."""
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
