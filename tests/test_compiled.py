"""Compiled programs kept on disk: the user's alone, by version and processor, and no number changes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from corolla import compiled
from corolla.run import RunFolder
from flow import PROBE, options, without_seconds

ASK = """
import stat, sys
from corolla.compiled import keep
from corolla.reporter import Reporter

class Loud(Reporter):
    def warn(self, text):
        print("warning:", text)

place = keep(Loud())
print(place and stat.S_IMODE(place.stat().st_mode), place)
"""


def command(cache: Path, *words: str, **more: str) -> subprocess.CompletedProcess:
    """Run Python with a cache of its own, and without the one that this suite shares."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("JAX_COMPILATION", "JAX_PERSIST"))
    }
    environment = kept | {"XDG_CACHE_HOME": str(cache)} | more
    return subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, check=True)


def test_the_folder_is_the_users_alone(tmp_path):
    mode, place = command(tmp_path, "-c", ASK).stdout.split()
    assert int(mode) == 0o700 and Path(place).parent == tmp_path / "corolla" / "xla"


def test_a_folder_that_others_may_write_to_is_not_used(tmp_path):
    place = Path(command(tmp_path, "-c", ASK).stdout.split()[1])
    place.chmod(0o777)
    assert command(tmp_path, "-c", ASK).stdout == (
        f"warning: {place} can be written to by others: compiled programs are not kept there\nNone None\n"
    )


def test_a_folder_of_the_users_choice_stays(tmp_path):
    told = command(tmp_path, "-c", ASK, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine"))
    assert told.stdout == "None None\n" and not (tmp_path / "corolla").exists()


@pytest.mark.skipif(os.getuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_cannot_be_made_is_a_warning(tmp_path):
    tmp_path.chmod(0o500)
    assert command(tmp_path, "-c", ASK).stdout.startswith("warning: ")


def test_another_version_or_processor_has_another_folder(monkeypatch):
    keys = {compiled._key()}
    monkeypatch.setattr(compiled, "described", lambda: "flags: fewer")
    keys.add(compiled._key())
    monkeypatch.setattr(compiled, "version", lambda name: "0.0")
    assert len(keys | {compiled._key()}) == 3


def test_the_second_run_compiles_less_and_says_the_same(flowers, tmp_path):
    for name in ("one", "two"):
        words = ["train", str(flowers), "--out", str(tmp_path / name), *options(PROBE)]
        command(tmp_path / "cache", "-m", "corolla.cli", *words)
        assert any((tmp_path / "cache").rglob("*-cache"))
    (one,), (two,) = RunFolder(tmp_path / "one").metrics(), RunFolder(tmp_path / "two").metrics()
    assert without_seconds([one]) == without_seconds([two])
    assert two["seconds"]["compile"] < one["seconds"]["compile"]
