"""The format `keras`: one `.keras` file that plain Keras loads.

Takes: a `Source`. Gives: `write` and `answers`. The archive also holds `corolla.json`, which Keras ignores.
"""

from pathlib import Path
from typing import Any

from corolla.backend import keras
from corolla.export import checking
from corolla.export.archive import add_about
from corolla.export.checking import Images, Logits
from corolla.export.source import Source
from corolla.models.plain import plain


def refuse_missing() -> None:
    """Keras is always there."""


def write(source: Source, path: Path) -> None:
    """Write the model of Keras' own layers; afterwards the source's is one too."""
    plain(source.keras_model).save(path)
    add_about(path, source.about())


def answers(path: Path, images: Images) -> Logits:
    """As plain Keras loads it."""
    loaded: Any = keras.saving.load_model(path, compile=False)
    return checking.answers(loaded.predict_on_batch, images)
