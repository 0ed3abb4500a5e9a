"""The model inside the package: one small file that names flowers without a run folder, JAX or Keras.

Takes: a finished run of plain layers, and its calibration. Gives: `pack`, which writes the file and its SHA-256 beside
it; `load`: `Shipped`, ready to be asked.

The file is a plain .npz without pickled objects: `about` is JSON (graph, names, temperature, the open-set limit), the
others are arrays. Arrays of two and more dimensions are kept as float16, which moves logits by a few hundredths; those
of one (batch normalisation, biases) as float32, because variances span too many magnitudes and take no room.
"""

import hashlib
import io
import json
from dataclasses import asdict, dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from corolla.checkpoint import write_file
from corolla.errors import RunError
from corolla.graph import Graph
from corolla.graph import from_json as graph_from_json
from corolla.interpreter import Interpreter
from corolla.models.registry import DEFAULT
from corolla.naming import Namer
from corolla.open_set import Known, OpenSet
from corolla.run import RunFolder
from corolla.storage import AnyPath

VERSION = 1
LARGEST_BYTES = 12_000_000
"""A package is downloaded by many who want to train, not to identify."""

FILE, SUM, CARD = "flowers104.npz", "flowers104.npz.sha256", "model_card.md"
_ABOUT, _WEIGHTS, _KNOWN = "about", "weights/", "known/"


@dataclass(frozen=True)
class Shipped:
    """A classifier with what it takes to believe it. temperature: what logits are divided by.

    built, levels: by which `models.registry` builds it; graph, weights: what it then must be.
    """

    model: Interpreter
    image_size: int
    names: list[str]
    temperature: float
    open_set: OpenSet | None
    built: str
    levels: int
    graph: Graph
    weights: dict[str, NDArray]

    def namer(self) -> Namer:
        """Its words."""
        return Namer(self.names, self.temperature, self.open_set)


def folder() -> Path:
    """Where the package keeps its model."""
    return Path(str(files("corolla") / "shipped_model"))


# Writing ----------------------------------------------------------------------------------------------------------


def pack(run: AnyPath | str, out: Path, temperature: float = 1.0, open_set: OpenSet | None = None) -> Path:
    """Write a finished run as `out`/flowers104.npz, and its SHA-256 beside it. Returns the file.

    Raises RunError (an unfinished or damaged run, one of KerasHub's models, a file that would be too large).
    """
    source = RunFolder(run)
    names, graph, weights = source.names(), source.graph(), source.best().arrays
    if graph is None or not source.finished():
        why = "it is not finished" if graph else "its model has layers that NumPy cannot work off"
        raise RunError(f"{source.path} cannot be shipped: {why}")
    used = sorted({name for node in graph.nodes for name in node.weights.values()})
    arrays = {_WEIGHTS + name: weights[name] for name in used}
    about: dict[str, Any] = {"version": VERSION, "names": names, "temperature": temperature, "graph": graph.to_json()}
    settings = source.settings()
    about |= {"model": settings.model, "levels": settings.levels}
    if open_set:
        about["open_set"] = {"score": open_set.score, "limit": open_set.limit}
        arrays |= {_KNOWN + name: value for name, value in asdict(open_set.known).items()}
    content = _packed(about, arrays)
    if len(content) > LARGEST_BYTES:
        raise RunError(f"{source.path} would take {len(content):,} bytes, the limit is {LARGEST_BYTES:,}: ship less")
    write_file(out / FILE, content)
    write_file(out / SUM, f"{_digest(content)}  {FILE}\n".encode())
    return out / FILE


def _packed(about: dict[str, Any], arrays: dict[str, NDArray]) -> bytes:
    """The file's bytes; the same model gives the same ones."""
    told = np.frombuffer(json.dumps(about, separators=(",", ":"), allow_nan=False).encode(), np.uint8)
    content = io.BytesIO()
    np.savez_compressed(content, **{_ABOUT: told}, **{name: _smaller(name, each) for name, each in arrays.items()})  # pyright: ignore
    return content.getvalue()


def _smaller(name: str, values: NDArray) -> NDArray:
    """float16 where that is harmless. Raises RunError for what it cannot hold."""
    values = np.asarray(values, np.float32)
    if not np.isfinite(values).all() or (values.ndim > 1 and np.abs(values).max(initial=0) > np.finfo(np.float16).max):
        raise RunError(f"{name} holds values that are no numbers, or too large for 16 bits: this run is broken")
    return values.astype(np.float16) if values.ndim > 1 else values


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# Reading ----------------------------------------------------------------------------------------------------------


def load(place: Path | None = None) -> Shipped:
    """The model in a folder, by default the package's. Raises RunError: there is none, or it is damaged."""
    place = place or folder()
    path = place / FILE
    if not path.is_file():
        raise RunError("this installation of Corolla holds no model of its own: name a run with --run RUN")
    try:
        content, stated = path.read_bytes(), (place / SUM).read_text("ascii").split()[0]
    except (OSError, ValueError, IndexError) as error:
        raise RunError(f"{path} cannot be read or lacks its SHA-256: install Corolla anew") from error
    if _digest(content) != stated:
        raise RunError(f"{path} is damaged: its SHA-256 is not the one in {SUM}: install Corolla anew")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return _unpacked({name: stored[name] for name in stored.files}, str(path))
    except (ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise RunError(f"{path} is damaged ({error!r}): install Corolla anew") from error


def _unpacked(stored: dict[str, NDArray], path: str) -> Shipped:
    about = json.loads(stored[_ABOUT].tobytes())
    if about["version"] != VERSION:
        raise RunError(f"{path} was written by another version of Corolla ({about['version']}, not {VERSION})")
    weights = {name.removeprefix(_WEIGHTS): each for name, each in stored.items() if name.startswith(_WEIGHTS)}
    graph = graph_from_json(about["graph"], path)
    open_set = None
    if "open_set" in about:
        known = Known(**{one.name: stored[_KNOWN + one.name].astype(np.float32) for one in fields(Known)})
        open_set = OpenSet(about["open_set"]["score"], float(about["open_set"]["limit"]), known)
    model = Interpreter(graph, weights, path)
    told = (list(about["names"]), float(about["temperature"]), open_set)
    built = (str(about.get("model", DEFAULT)), int(about.get("levels", 1)))  # older files name neither
    return Shipped(model, graph.image_size, *told, *built, graph, weights)
