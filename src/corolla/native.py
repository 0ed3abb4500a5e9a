"""C++ that lies beside a module, compiled where it is wanted first.

Takes: a source file, flags. Gives: `loaded`: the library, for this very processor. It wants Linux and a C++ compiler;
who asks has another form for machines without, and says so by `lacking` where a person could mend it.

Compiling takes a second or a few; the result is kept in the user's cache like what XLA compiles.
"""

import ctypes
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from shutil import which
from threading import Lock

from corolla.cache import cache_folder, private
from corolla.processor import described

OFF = "COROLLA_NATIVE"
"""Environment variable: 0 has everything done without C++ of ours."""

_FLAGS = ("-std=c++17", "-march=native", "-fPIC", "-shared", "-w")
_COMPILE_SECONDS = 120
_ONE_AT_A_TIME = Lock()


class NativeError(Exception):
    """Why a library is not to be had here, in one line."""


def wanted() -> bool:
    """Whether libraries are meant to be had on this system, by this user."""
    return os.environ.get(OFF) != "0" and sys.platform.startswith("linux")


def loaded(source: Path, flags: Sequence[str], key: str = "") -> ctypes.CDLL:
    """The library of a C++ source, compiled unless it is kept. key: what it depends on besides source and processor.

    Raises NativeError.
    """
    try:
        with _ONE_AT_A_TIME:  # several threads may want it first
            return ctypes.CDLL(str(library(source, flags, key)))
    except (OSError, subprocess.SubprocessError) as error:
        raise NativeError(str(error) or type(error).__name__) from error


def library(source: Path, flags: Sequence[str], key: str = "") -> Path:
    """The compiled file, kept under a name that tells what it depends on. Raises NativeError, and OSError."""
    if os.environ.get(OFF) == "0":
        raise NativeError(f"{OFF}=0 asks for none")
    if not sys.platform.startswith("linux"):
        raise NativeError("it is for Linux, where a CPU is a device a core")
    folder = cache_folder() / "native"
    if why := private(folder):
        raise NativeError(why)
    told = [source.read_text(), *_FLAGS, *flags, described(), key]
    kept = folder / f"{source.stem}-{hashlib.sha256(chr(10).join(told).encode()).hexdigest()[:16]}.so"
    if not kept.exists():
        _compile(source, flags, kept)
    return kept


def _compile(source: Path, flags: Sequence[str], into: Path) -> None:
    compiler = next((found for name in ("c++", "g++", "clang++") if (found := which(name))), None)
    if compiler is None:
        raise NativeError("no C++ compiler was found (c++, g++ or clang++)")
    with tempfile.TemporaryDirectory(dir=into.parent) as made:
        draft = Path(made) / into.name
        line = [compiler, *_FLAGS, *flags, "-o", str(draft), str(source)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=_COMPILE_SECONDS, check=False)
        if done.returncode:
            raise NativeError(f"{compiler} cannot compile {source.name}: {done.stderr.strip().splitlines()[-1:]}")
        draft.replace(into)
