"""docs/api.md is what the code says, and says all that there is."""

import importlib.util
import re
from pathlib import Path
from typing import get_args

import pytest

from corolla import cli

SCRIPT = Path(__file__).parents[1] / "scripts" / "api.py"


@pytest.fixture(scope="module")
def api():
    spec = importlib.util.spec_from_file_location("api", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(api):
    assert api.PAGE.read_text("utf-8") == api.page(), "run python scripts/api.py"
    assert len(api.page().encode()) < 60_000


def test_every_command_has_its_function(api):
    functions = {command: [one.name for _, one in functions] for command, functions in api.commands()}
    assert set(functions) == {verb.__name__.lower() for verb in get_args(cli.Command)}
    assert all(functions.values()), functions
    assert functions["train"] == ["sinks_of", "train"] and functions["submission"] == ["check", "diff", "diff_page"]


def test_settings_with_those_that_they_are_made_of(api):
    text = re.search(r"### `corolla.config.TrainSettings`.*?\n### ", api.page(), re.DOTALL)[0]
    grown = re.search(r"### `corolla.config.GrowSettings`.*?\n### ", api.page(), re.DOTALL)[0]
    assert re.search(r"^- as above: .*`minutes`", grown, re.MULTILINE) and "`image_size`" not in grown
    assert "- `minutes: float | None = None`: Instead of --epochs: time for the whole command [minutes];" in text
    assert text.count("- `crop_area") == 1 and "- `model: str = 'efficientnet_lite0'`: Backbone by name" in text


def test_results_and_what_is_inside_of_them(api):
    headings = re.findall(r"^### `corolla\.(.*)`$", api.page(), re.MULTILINE)
    assert {"metrics.Scores", "metrics.ClassScore", "export.Exported", "run.RunFolder", "errors.WishError"} <= {
        *headings
    }
    assert len(headings) == len(set(headings)) and not [name for name in headings if "._" in name]


def test_check_only_tells(api, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(api, "PAGE", tmp_path / "api.md")
    for arguments, code, line in (
        (["--check"], 1, "api.md is not what the code says: python scripts/api.py"),
        ([], 0, "api.md"),
        (["--check"], 0, "api.md is up to date"),
    ):
        monkeypatch.setattr(api.sys, "argv", ["api.py", *arguments])
        if arguments:
            with pytest.raises(SystemExit) as end:
                api.main()
            assert end.value.code == code
        else:
            api.main()
        assert capsys.readouterr().out.strip().endswith(line)
