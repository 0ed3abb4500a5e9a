"""Names for the flowers in photos.

Takes: a run folder, photos. Gives: for each photo the likeliest labels, with their probabilities.

A run of plain layers answers through NumPy alone (`interpreter`), within a second of the start of the process; others
(KerasHub's) through JAX, whose import and compiling take seconds.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corolla.errors import WishError
from corolla.interpreter import Interpreter
from corolla.photo import prepared
from corolla.run import RunFolder
from corolla.storage import AnyPath

ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
"""Of the photos that are looked for in folders."""

Model = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Images uint8[b, s, s, 3] to logits float32[b, classes]."""


@dataclass(frozen=True)
class Guess:
    """One label for a photo. label: 0 to classes - 1."""

    label: int
    name: str
    probability: float


@dataclass(frozen=True)
class Answer:
    """A photo's likeliest labels, the likeliest first."""

    path: Path
    top: list[Guess]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"path": str(self.path), "top": [asdict(guess) for guess in self.top]}


def identify(run: AnyPath | str, photos: Sequence[Path], top: int = 5) -> Iterator[Answer]:
    """Name the flowers in photos, one after the other. photos: files, and folders whose photos are taken in order.

    Raises WishError (no photo; top below 1), DataError (a file that is no photo), RunError (no run, damaged weights).
    """
    if top < 1:
        raise WishError(f"--top {top}: at least one guess a photo")
    folder, found = RunFolder(run), list(_files(photos))
    names, model, size = folder.names(), *_model(folder)
    for path in found:
        logits = model(prepared(_read(path), size, str(path))[None])[0]
        weights = np.exp(logits.astype(np.float64) - logits.max())
        probabilities = weights / weights.sum()
        best = np.argsort(-probabilities, kind="stable")[:top]
        yield Answer(path, [Guess(int(label), names[label], float(probabilities[label])) for label in best])


def _files(photos: Sequence[Path]) -> Iterator[Path]:
    for path in photos:
        if path.is_dir():
            inside = sorted(one for one in path.rglob("*") if one.suffix.lower() in ENDINGS and one.is_file())
            if not inside:
                raise WishError(f"{path} holds no photos ({', '.join(ENDINGS)})")
            yield from inside
        elif path.is_file():
            yield path
        else:
            raise WishError(f"{path}: there is no such photo")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise WishError(f"{path} cannot be read: {error.strerror}") from error


def _model(folder: RunFolder) -> tuple[Model, int]:
    """The classifier of a run, and the side of the images that it takes."""
    graph = folder.graph()
    if graph is not None:
        return Interpreter(graph, folder.best().arrays, str(folder.path)), graph.image_size
    import jax

    from corolla.mesh import make_mesh
    from corolla.network import trained

    model = trained(folder, make_mesh(jax.devices()[:1]))
    return lambda images: np.asarray(model.predict_on_batch(images)), model.input_shape[1]
