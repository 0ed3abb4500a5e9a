"""C++ beside a module: compiled once, the user's alone, and done without where it cannot be had."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from corolla import native

FLAGS = ("-O2", "-DONE=1")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(native.OFF, raising=False)
    return tmp_path


@pytest.fixture
def source(tmp_path):
    """One that compiles in no time."""
    if not native.wanted() or not any(map(native.which, ("c++", "g++", "clang++"))):
        pytest.skip("no C++ compiler here")
    path = tmp_path / "small.cc"
    path.write_text('extern "C" int one() { return ONE; }')
    return path


def test_it_is_compiled_once_and_kept(cache, source, monkeypatch):
    assert native.loaded(source, FLAGS).one() == 1
    (kept,) = (cache / "corolla" / "native").iterdir()  # no draft is left
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(native, "_compile", lambda *_: pytest.fail("compiled again"))
    assert native.library(source, FLAGS) == kept


def test_another_source_processor_flag_or_key_is_another_file(cache, source, monkeypatch):
    found = {native.library(source, flags, key) for flags, key in ((FLAGS, ""), (FLAGS, "newer"), (("-DONE=2",), ""))}
    monkeypatch.setattr(native, "described", lambda: "flags : fewer")
    found.add(native.library(source, FLAGS))
    source.write_text('extern "C" int two() { return 2; }')
    assert len(found | {native.library(source, FLAGS)}) == 5


@pytest.mark.parametrize("fault", ["no compiler", "asked not to", "another system", "does not compile", "not private"])
def test_why_it_is_not_to_be_had_is_one_line(fault, cache, source, monkeypatch):
    wanted = {
        "no compiler": "no C++ compiler was found (c++, g++ or clang++)",
        "asked not to": "COROLLA_NATIVE=0 asks for none",
        "another system": "it is for Linux, where a CPU is a device a core",
        "does not compile": "c++ cannot compile small.cc: ",
        "not private": f"{cache}/corolla/native can be written to by others",
    }[fault]
    if fault == "no compiler":
        monkeypatch.setattr(native, "which", lambda name: None)
    elif fault == "asked not to":
        monkeypatch.setenv(native.OFF, "0")
    elif fault == "another system":
        monkeypatch.setattr(sys, "platform", "darwin")
    elif fault == "not private":
        (cache / "corolla" / "native").mkdir(parents=True)
        (cache / "corolla" / "native").chmod(0o777)
    with pytest.raises(native.NativeError) as found:
        native.loaded(source, () if fault == "does not compile" else FLAGS)
    assert wanted in str(found.value) and len(str(found.value).splitlines()) == 1
    assert native.wanted() == (fault not in ("asked not to", "another system"))


def test_threads_compile_it_once(cache, source, monkeypatch):
    compiled, real = [], native._compile
    monkeypatch.setattr(native, "_compile", lambda *told: (compiled.append(told), real(*told)))
    with ThreadPoolExecutor(4) as pool:
        assert {library.one() for library in pool.map(lambda _: native.loaded(source, FLAGS), range(4))} == {1}
    assert len(compiled) == 1


def test_a_compiler_that_never_ends(cache, source, monkeypatch):
    def hanging(line, **settings):
        raise subprocess.TimeoutExpired(line[0], settings["timeout"])

    monkeypatch.setattr(subprocess, "run", hanging)
    with pytest.raises(native.NativeError, match="timed out after 120 seconds"):
        native.loaded(source, FLAGS)
