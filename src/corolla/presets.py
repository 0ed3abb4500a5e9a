"""Recipes by name: settings that were chosen by measuring (docs/recipes.md), to start from or to take as they are.

Takes: a name. Gives: `settings`, in which options said beside the name have been put.
"""

from typing import Any

from corolla.config import TrainSettings
from corolla.types import Preset

_CHANGES: dict[Preset, dict[str, Any]] = {
    "quick": {"epochs": 0},
    "balanced": {"epochs": 6, "label_smoothing": 0.1},
    "best": {"epochs": 6, "model": "efficientnet_lite2", "image_size": 260},
}
"""What each changes of the defaults."""


def settings(name: Preset, **said: Any) -> TrainSettings:
    """The settings of a preset. said: options that were named beside it, which win.

    With `minutes` its epochs are the most that are made: what comes after them was not measured to pay.
    """
    changes = _CHANGES[name]
    return TrainSettings(**{**changes, "max_epochs": changes["epochs"], **said})
