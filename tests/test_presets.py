"""Presets: what they start from, and what is said beside them."""

from typing import get_args

import pytest

from corolla.config import TrainSettings
from corolla.errors import WishError
from corolla.presets import settings
from corolla.types import Preset


@pytest.mark.parametrize("name", get_args(Preset))
def test_what_is_said_beside_a_preset_wins(name):
    said = settings(name, image_size=96, epochs=3, minutes=5.0)
    assert (said.image_size, said.epochs, said.minutes) == (96, 3, 5.0)
    assert said.max_epochs == settings(name).epochs


def test_quick_is_the_probe_alone_and_the_others_are_more():
    assert settings("quick").epochs == 0 == settings("quick", minutes=5.0).max_epochs
    assert 0 < settings("balanced").epochs <= settings("best").epochs
    assert settings("balanced").model == TrainSettings().model != settings("best").model


def test_nonsense_beside_a_preset_is_refused():
    with pytest.raises(WishError, match="--epochs is -1"):
        settings("best", epochs=-1)
