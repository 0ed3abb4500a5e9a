"""Arrays and their description on disk or in a store, all or nothing, and proven whole when read.

Takes: named arrays and plain data. Gives: a folder `NAME-NUMBER/` with `arrays.npz`, `meta.json` and `manifest.json`.

A folder is written under a temporary name, flushed to the disk, and renamed: a kill at any moment leaves the older ones
untouched. The manifest holds the SHA-256 and size of both files and is checked on every read, because neither HDF5 nor
Orbax notices a flipped bit.

A store of objects (`gs://`, `s3://`) cannot rename a folder; what it does whole or not at all is one file. There the
manifest is written last, and deleted first: a folder without one is no checkpoint. All that differs between the two
stands under "disk or store".
"""

import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from corolla.errors import RunError
from corolla.storage import AnyPath

ARRAYS, META, MANIFEST = "arrays.npz", "meta.json", "manifest.json"
TEMPORARY = ".unfinished-"


class DamagedError(RunError):
    """A checkpoint is not what was written: the one before it may be."""


class Saved(NamedTuple):
    """What a checkpoint holds."""

    number: int
    arrays: dict[str, NDArray]
    meta: dict[str, Any]


# ------------------------------------------------------------------------------------------------------- one file


def write_file(path: AnyPath, content: bytes) -> None:
    """Write a file whole or not at all. Raises RunError (no room, no permission)."""
    try:
        if isinstance(path, Path):
            _write_renamed(path, content)
        else:
            path.write_bytes(content)
    except OSError as error:
        raise cannot_write(path, error) from error


def _write_renamed(path: Path, content: bytes) -> None:
    """Temporary name, fsync, rename."""
    temporary = path.with_name(TEMPORARY + path.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        flush_folder(path.parent)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise


def write_json(path: AnyPath, data: Any) -> None:
    """Write plain data as JSON, whole or not at all."""
    write_file(path, _as_json(data))


def _as_json(data: Any) -> bytes:
    return (json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_json(path: AnyPath) -> Any:
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


def cannot_write(path: AnyPath, error: OSError) -> RunError:
    """The one line for a failed write."""
    return RunError(f"{path} cannot be written ({_short(error)}): make room or choose another folder; nothing was lost")


def _short(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).splitlines()[0]


# ------------------------------------------------------------------------------------------------- many checkpoints


def save(
    parent: AnyPath, name: str, number: int, arrays: Mapping[str, Any], meta: Mapping[str, Any], keep: int
) -> AnyPath:
    """Write checkpoint `name-number` under `parent`, then keep it and the `keep` - 1 before it. Returns its folder.

    What has a higher number is deleted too: a run that saves here has turned back from there, because it was damaged.
    Raises RunError (no room, no permission); older checkpoints stay as they were.
    """
    folder = parent / f"{name}-{number:08d}"
    try:
        with _new_folder(folder) as begun:
            _write_content(begun, arrays, meta)
    except OSError as error:
        raise cannot_write(folder, error) from error
    before = [other for other in numbered(parent, name) if other.name <= folder.name]
    for other in set(_named(parent, name)) - set(before[-keep:]):
        _delete(other)
    return folder


def _write_content(folder: AnyPath, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    with _new_file(folder / ARRAYS) as file:
        np.savez(file, **{key: np.asarray(value) for key, value in arrays.items()})  # pyright: ignore
        facts = {ARRAYS: _facts(file)}
    content = _as_json(dict(meta))
    write_file(folder / META, content)
    write_json(folder / MANIFEST, facts | {META: _facts(io.BytesIO(content))})


def _facts(file: IO[bytes]) -> dict[str, Any]:
    """What the manifest says of a file; leaves it at its beginning."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()  # pyright: ignore
    file.seek(0)
    return {"bytes": size, "sha256": digest}


def numbered(parent: AnyPath, name: str) -> list[AnyPath]:
    """Checkpoints called exactly `name-NUMBER` under `parent`, oldest first; anything else there is not ours."""
    return [folder for folder in _named(parent, name) if _is_complete(folder)]


def _named(parent: AnyPath, name: str) -> list[AnyPath]:
    """The same with those that a kill left incomplete."""
    if not parent.is_dir():
        return []
    pattern = re.compile(re.escape(name) + r"-\d{8}")
    return sorted(path for path in parent.iterdir() if pattern.fullmatch(path.name) and path.is_dir())


def load(folder: AnyPath) -> Saved:
    """Read one checkpoint, proving it against its manifest.

    Raises DamagedError that names the damaged file, and RunError where a store does not answer: then nothing is known.
    """
    with _opened(folder / MANIFEST) as file:
        stated = _from_json(folder / MANIFEST, file.read())
    with _proven(folder / META, stated) as file:
        meta = _from_json(folder / META, file.read())
    with _proven(folder / ARRAYS, stated) as file, np.load(file, allow_pickle=False) as stored:
        arrays = {key: stored[key] for key in stored.files}
    return Saved(int(folder.name.rsplit("-", 1)[1]), arrays, meta)


def _opened(path: AnyPath) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        if isinstance(path, Path) or isinstance(error, FileNotFoundError):
            raise DamagedError(f"{path} cannot be read ({_short(error)}): is this a whole run folder?") from error
        raise RunError(f"{path} cannot be read ({_short(error)}): try again; nothing was changed") from error


def _proven(path: AnyPath, stated: Any) -> IO[bytes]:
    """Open a file that is what the manifest says."""
    file = _opened(path)
    if not isinstance(stated, dict) or stated.get(path.name) != _facts(file):
        file.close()
        raise DamagedError(f"{path} is damaged: its SHA-256 is not the one in {MANIFEST}")
    return file


def _from_json(path: AnyPath, content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise DamagedError(f"{path} cannot be read ({_short(error)}): is this a whole run folder?") from error


def load_newest(parent: AnyPath, name: str) -> tuple[Saved | None, list[str]]:
    """Read the newest whole checkpoint, and say which newer ones were damaged (one line each)."""
    damaged = []
    for folder in reversed(numbered(parent, name)):
        try:
            return load(folder), damaged
        except DamagedError as error:
            damaged.append(str(error))
    return None, damaged


# --------------------------------------------------------------------------------------------------- disk or store


@contextmanager
def _new_folder(folder: AnyPath) -> Iterator[AnyPath]:
    """A folder to fill, which counts as `folder` when the block has ended, and not before.

    A run that was killed after it saved a checkpoint may come here again, to write the same content.
    """
    if not isinstance(folder, Path):
        (folder / MANIFEST).unlink(missing_ok=True)
        yield folder
        return
    parent, temporary = folder.parent, folder.with_name(TEMPORARY + folder.name)
    try:
        for left_by_a_kill in parent.glob(f"{TEMPORARY}{folder.name.rsplit('-', 1)[0]}-*"):
            shutil.rmtree(left_by_a_kill, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
        flush_folder(parent)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextmanager
def _new_file(path: AnyPath) -> Iterator[IO[bytes]]:
    """A file to write, and to read again, which is flushed to the disk, or sent to the store, when the block ends."""
    if isinstance(path, Path):
        with path.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    else:
        content = io.BytesIO()
        yield content
        path.write_bytes(content.getvalue())


def _is_complete(folder: AnyPath) -> bool:
    """Whether a checkpoint's writing came to its end; on a disk it has its name since then."""
    return isinstance(folder, Path) or (folder / MANIFEST).is_file()


def _delete(folder: AnyPath) -> None:
    """Delete a checkpoint as far as that works: what is left of it must not count, or be seen as damaged."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
        return
    with suppress(OSError):
        (folder / MANIFEST).unlink(missing_ok=True)
        for file in folder.iterdir():
            file.unlink(missing_ok=True)
