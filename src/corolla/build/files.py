"""The files of a source, found in the same order everywhere.

Takes: a folder. Gives: `files_below` and `photos_below`: (name, path), sorted by the bytes of their names. A link is
followed where it stays inside the source's folder; one that leads out of it is refused.
"""

import csv
import os
from collections.abc import Iterator
from pathlib import Path

from corolla.errors import DataError

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def photos_below(folder: Path, root: Path) -> Iterator[tuple[str, Path]]:
    """The photos in a folder and all below it. See `files_below`."""
    return ((name, path) for name, path in files_below(folder, root) if path.suffix.lower() in PHOTO_SUFFIXES)


def files_below(folder: Path, root: Path) -> Iterator[tuple[str, Path]]:
    """Yield (name relative to root, path) of every file in a folder and all below it; hidden ones are left out.

    root: the source's folder. Raises DataError for a link that leads out of it, and for a folder that cannot be read.
    """
    try:
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}): check its permissions") from error
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith("."):
            continue
        if entry.is_symlink():
            refuse_outside(path, root)
        if entry.is_dir(follow_symlinks=False):
            yield from files_below(path, root)
        elif entry.is_file():
            yield path.relative_to(root).as_posix(), path


def refuse_outside(path: Path, root: Path) -> Path:
    """Return a path that stays inside the source's folder, links followed. Raises DataError."""
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # a loop of links is a RuntimeError before Python 3.13
        raise DataError(f"{path}: leads nowhere: remove the link, or put a file there") from error
    if not real.is_relative_to(root.resolve()):
        raise DataError(f"{path}: leads out of its source, to {real}: copy the file there, or remove the link")
    return path


def folders(folder: Path) -> list[Path]:
    """The folders that lie directly in a folder, but for links and hidden ones, sorted."""
    try:
        found = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    except OSError:
        return []
    return sorted((path for path in found if not path.name.startswith(".")), key=lambda path: os.fsencode(path.name))


def rows(path: Path, needed: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file with a header. Raises DataError where it is no such file or lacks a column."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            read = csv.DictReader(file)
            missing = [name for name in needed if name not in (read.fieldnames or [])]
            if missing:
                raise DataError(
                    f"{path}: has no column {missing[0]!r}; found: {', '.join(read.fieldnames or []) or '-'}"
                )
            for row in read:
                if any(row[name] is None for name in needed):
                    raise DataError(f"{path}: line {read.line_num} has too few columns")
                yield row
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except csv.Error as error:
        raise DataError(f"{path}: is no CSV ({error})") from error
