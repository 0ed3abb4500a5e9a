"""Names for the flowers in photos.

Takes: photos, and a run folder where it is not to be the model that ships with Corolla. Gives: for each photo the
likeliest labels with their probabilities, and whether the photo shows one of the kinds at all.

The shipped model and runs of plain layers answer through NumPy alone (`interpreter`), within a second of the start of
the process; others (KerasHub's) through JAX, whose import and compiling take seconds.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corolla import shipped
from corolla.errors import WishError
from corolla.interpreter import Interpreter
from corolla.naming import Named, Namer
from corolla.photo import PhotoError, prepared
from corolla.run import RunFolder
from corolla.storage import AnyPath

ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
"""Of the photos that are looked for in folders."""

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Answer(Named):
    """What is said of a photo; or, in `error`, why the file is no photo that can be seen."""

    path: Path = Path()
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain data; `error` stands in it only where there is one."""
        told = {"path": str(self.path), "top": [asdict(guess) for guess in self.top], "unknown": self.unknown}
        return told if self.error is None else {**told, "error": self.error}


def identify(
    run: AnyPath | str | None, photos: Sequence[Path], top: int = 5, place: Path | None = None
) -> Iterator[Answer]:
    """Name the flowers in photos, one after the other. photos: files, and folders whose photos are taken in order.

    run: None is the model that ships with Corolla, or of the same kind in another `place`. A file that is no photo has
    an answer with its `error`, and the others are answered all the same. Raises WishError (no such file; top below 1),
    RunError (no run, damaged weights).
    """
    if top < 1:
        raise WishError(f"--top {top}: at least one guess a photo")
    found = list(_files(photos))
    model = _shipped(place) if run is None else _of_run(RunFolder(run))
    for path in found:
        try:
            yield model.answer(path, prepared(_read(path), model.image_size, str(path)), top)
        except PhotoError as error:
            yield Answer(path=path, error=str(error))


@dataclass(frozen=True)
class _Model:
    """look: one image uint8[1, s, s, 3] to features [1, f], where they are known, and logits [1, classes]."""

    look: Callable[[Image], tuple[NDArray | None, NDArray]]
    image_size: int
    namer: Namer

    def answer(self, path: Path, image: Image, top: int) -> Answer:
        """What it says of a photo."""
        (named,) = self.namer(*self.look(image[None]), top)
        return Answer(named.top, named.score, named.limit, path)


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
        raise PhotoError(f"{path} cannot be read: {error.strerror}") from error


def _shipped(place: Path | None) -> _Model:
    found = shipped.load(place)
    return _Model(found.model.with_features, found.image_size, found.namer())


def _of_run(folder: RunFolder) -> _Model:
    names, graph = folder.names(), folder.graph()
    if graph is not None:
        interpreter = Interpreter(graph, folder.best().arrays, str(folder.path))
        return _Model(lambda image: (None, interpreter(image)), graph.image_size, Namer(names))
    import jax

    from corolla.mesh import make_mesh
    from corolla.network import trained

    model = trained(folder, make_mesh(jax.devices()[:1]))
    return _Model(lambda image: (None, np.asarray(model.predict_on_batch(image))), model.input_shape[1], Namer(names))
