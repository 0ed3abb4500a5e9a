"""Settings: refused where they make no sense, by the option's name; stored and read back; compared on resume."""

import dataclasses
import json
import math

import pytest

from corolla import config
from corolla.config import TrainSettings
from corolla.errors import WishError


def test_round_trip():
    settings = TrainSettings(model="micro", minutes=3.5, flip=False)
    assert config.from_dict(json.loads(json.dumps(dataclasses.asdict(settings)))) == settings


def test_an_unknown_setting_is_refused_with_the_nearest_name():
    with pytest.raises(WishError, match=r"\Aunknown setting 'batchsize' \(did you mean 'batch_size'\?\)\Z"):
        config.from_dict({"batchsize": 3})
    with pytest.raises(WishError, match=r"\Aunknown setting 'xyzzy'\Z"):
        config.from_dict({"xyzzy": 3})


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("epochs", "5", "int"),
        ("epochs", 1.5, "int"),
        ("epochs", True, "int"),
        ("learning_rate", "high", "float"),
        ("minutes", "3", "float or null"),
        ("flip", 1, "bool"),
        ("model", None, "str"),
        ("precision", "float16", "auto, float32, bfloat16"),
        ("on_bad_record", None, "fail, skip"),
    ],
)
def test_a_value_of_a_wrong_kind_is_refused(name, value, wanted):
    """From Python, or because someone edited config.json."""
    with pytest.raises(WishError) as raised:
        config.from_dict({name: value})
    assert str(raised.value) == f"--{name.replace('_', '-')} is {value!r}; it must be {wanted}"


def test_whole_numbers_are_fine_where_fractions_are():
    assert TrainSettings(learning_rate=1, minutes=2).minutes == 2


@pytest.mark.parametrize(("name", "low", "high"), config._RANGES)
def test_ranges(name, low, high):
    declared = next(field.type for field in dataclasses.fields(TrainSettings) if field.name == name)
    kind = float if declared in (float, float | None) else int
    for value in (low, high):
        beside = {"folds": 100} if name == "fold" else {}
        assert getattr(TrainSettings(**{name: kind(value)}, **beside), name) == value
    for value in (low - 1, high + 1, math.nan if kind is float else -(10**30)):
        with pytest.raises(WishError, match=f"--{name.replace('_', '-')} is .*; it must lie between"):
            TrainSettings(**{name: kind(value)})


def test_the_text_of_a_range_error():
    with pytest.raises(WishError) as raised:
        TrainSettings(label_smoothing=1.0)
    assert str(raised.value) == "--label-smoothing is 1.0; it must lie between 0 and 0.9"
    assert raised.value.exit_code == 2


def test_every_number_has_a_range():
    kinds = (int, int | None, float, float | None)
    numbers = {field.name for field in dataclasses.fields(TrainSettings) if field.type in kinds}
    assert numbers == {name for name, *_ in config._RANGES}


def another(value: object) -> object:
    """Return a value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return value + "x"
    if value is None:
        return 1
    return value + 1 if isinstance(value, int) else value * 0.75 + 0.2


@pytest.mark.parametrize("field", dataclasses.fields(TrainSettings), ids=lambda field: field.name)
def test_a_difference_is_named_unless_it_moves_no_number(field):
    value, changed = getattr(TrainSettings(), field.name), TrainSettings()
    object.__setattr__(changed, field.name, another(value))
    wanted = [] if field.name in config.FREE_ON_RESUME else [f"{field.name} was {value}, is {another(value)}"]
    assert config.differences(TrainSettings(), changed) == wanted
    assert config.differences(TrainSettings(), TrainSettings()) == []
