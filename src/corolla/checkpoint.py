"""Arrays and their description on disk, all or nothing, and proven whole when read.

Takes: named arrays and plain data. Gives: a folder `NAME-NUMBER/` with `arrays.npz`, `meta.json` and `manifest.json`.

A folder is written under a temporary name, flushed to the disk, and renamed: a kill at any moment leaves the older ones
untouched. The manifest holds the SHA-256 and size of both files and is checked on every read, because neither HDF5 nor
Orbax notices a flipped bit.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from corolla.errors import RunError

ARRAYS, META, MANIFEST = "arrays.npz", "meta.json", "manifest.json"
TEMPORARY = ".unfinished-"


class Saved(NamedTuple):
    """What a checkpoint holds."""

    number: int
    arrays: dict[str, NDArray]
    meta: dict[str, Any]


# ------------------------------------------------------------------------------------------------------- one file


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: temporary name, fsync, rename. Raises RunError (no room, no permission)."""
    temporary = path.with_name(TEMPORARY + path.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        flush_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise cannot_write(path, error) from error


def write_json(path: Path, data: Any) -> None:
    """Write plain data as JSON, whole or not at all."""
    write_file(path, (json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read JSON. Raises RunError naming the file where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({_short(error)}): is this a whole run folder?") from error


def flush_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def cannot_write(path: Path, error: OSError) -> RunError:
    """The one line for a failed write."""
    return RunError(f"{path} cannot be written ({_short(error)}): make room or choose another folder; nothing was lost")


def _short(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).splitlines()[0]


# ------------------------------------------------------------------------------------------------- many checkpoints


def save(parent: Path, name: str, number: int, arrays: Mapping[str, Any], meta: Mapping[str, Any], keep: int) -> Path:
    """Write checkpoint `name-number` under `parent`, then keep it and the `keep` - 1 before it. Returns its folder.

    What has a higher number is deleted too: a run that saves here has turned back from there, because it was damaged.
    Raises RunError (no room, no permission); older checkpoints stay as they were.
    """
    folder = parent / f"{name}-{number:08d}"
    temporary = parent / (TEMPORARY + folder.name)
    try:
        for left_by_a_kill in parent.glob(f"{TEMPORARY}{name}-*"):
            shutil.rmtree(left_by_a_kill, ignore_errors=True)
        temporary.mkdir(parents=True)
        _write_content(temporary, arrays, meta)
        if folder.exists():  # a run that was killed after this save and came here again: the same content
            shutil.rmtree(folder)
        temporary.rename(folder)
        flush_folder(parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise cannot_write(folder, error) from error
    before = [other for other in numbered(parent, name) if other.name <= folder.name]
    for other in set(numbered(parent, name)) - set(before[-keep:]):
        shutil.rmtree(other, ignore_errors=True)
    return folder


def _write_content(folder: Path, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    with (folder / ARRAYS).open("wb") as file:
        np.savez(file, **{key: np.asarray(value) for key, value in arrays.items()})  # pyright: ignore
        file.flush()
        os.fsync(file.fileno())
    write_json(folder / META, dict(meta))
    write_json(folder / MANIFEST, {name: _facts(folder / name) for name in (ARRAYS, META)})


def _facts(path: Path) -> dict[str, Any]:
    """What the manifest says of a file."""
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def numbered(parent: Path, name: str) -> list[Path]:
    """Folders called exactly `name-NUMBER` under `parent`, oldest first; anything else there is not ours."""
    if not parent.is_dir():
        return []
    pattern = re.compile(re.escape(name) + r"-\d{8}")
    return sorted(path for path in parent.iterdir() if pattern.fullmatch(path.name) and path.is_dir())


def load(folder: Path) -> Saved:
    """Read one checkpoint, proving it against its manifest. Raises RunError that names the damaged file."""
    manifest = read_json(folder / MANIFEST)
    for name in (ARRAYS, META):
        path = folder / name
        stated = manifest.get(name) if isinstance(manifest, dict) else None
        if not path.is_file() or stated != _facts(path):
            raise RunError(f"{path} is damaged: its SHA-256 is not the one in {MANIFEST}")
    with np.load(folder / ARRAYS, allow_pickle=False) as stored:
        arrays = {key: stored[key] for key in stored.files}
    return Saved(int(folder.name.rsplit("-", 1)[1]), arrays, read_json(folder / META))


def load_newest(parent: Path, name: str) -> tuple[Saved | None, list[str]]:
    """Read the newest whole checkpoint, and say which newer ones were damaged (one line each)."""
    damaged = []
    for folder in reversed(numbered(parent, name)):
        try:
            return load(folder), damaged
        except RunError as error:
            damaged.append(str(error))
    return None, damaged
