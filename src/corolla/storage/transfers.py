"""Files to and from a store, whole or not at all, with patience that has an end.

Takes: a scheme and a URL of it. Gives: the file's bytes, whose number (and CRC-32C, where the store knows it) is what
the store says; writes bytes as one object; lists, describes, deletes.

A fault that may pass (429, 5xx, a reset, silence, too few bytes) is met again after a random wait that grows, at most
`PATIENCE.attempts` times and `PATIENCE.total_seconds` in all. A large file comes in pieces of PIECE_BYTES by ranged
requests, several at a time: only a piece that failed is fetched again, and a file that changes meanwhile is an error.
Source of the wait: "full jitter" in M. Brooker, Exponential Backoff and Jitter, AWS Architecture Blog, 2015.
"""

import base64
import errno
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import google_crc32c

from corolla.errors import CorollaError
from corolla.storage.stores import WHOLE, call, fault

PIECE_BYTES = 8 << 20
"""What one request fetches: at 50 ms a request and 80 MB/s, two thirds of the time is transfer."""

PIECES_AT_ONCE = 8

SLOWEST_BYTES_PER_SECOND = 128 << 10
"""A transfer slower than this counts as stuck."""

T = TypeVar("T")
Info = dict[str, Any]

_random = random.SystemRandom()  # the global generator is seeded alike on every host, and belongs to the training


@dataclass(frozen=True)
class Patience:
    """How often, and how long, a fault is met before it counts.

    total_seconds: after this no attempt begins; the last may take call_seconds longer.
    """

    attempts: int = 6
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 20
    call_seconds: float = 60
    total_seconds: float = 180

    def wait_seconds(self, attempt: int) -> float:
        """The longest wait after a failed attempt (from 1); the wait itself is uniform from 0 to it."""
        return min(self.longest_wait_seconds, self.first_wait_seconds * 2 ** (attempt - 1))

    def seconds_for(self, size_bytes: int) -> float:
        """How long one call may take that moves so many bytes."""
        return self.call_seconds + size_bytes / SLOWEST_BYTES_PER_SECOND


PATIENCE = Patience()


class ShortError(OSError):
    """Fewer or more bytes came than the store has."""


def patiently(scheme: str, url: str, work: Callable[[], T]) -> T:
    """Return work(), tried again after faults that may pass.

    Raises OSError with `strerror` and `filename` set, as a disk would: FileNotFoundError, PermissionError, or another
    that says what happened last and how often it was tried. Errors of Corolla's own go through.
    """
    patience, begin, attempt = PATIENCE, time.monotonic(), 0
    while True:
        attempt += 1
        try:
            return work()
        except CorollaError:
            raise
        except Exception as error:
            found = fault(scheme, error)
            wait = _random.uniform(0, patience.wait_seconds(attempt))
            late = time.monotonic() - begin + wait > patience.total_seconds
            if not found.passing or late or attempt == patience.attempts:
                raise found.error(url, attempt) from error
        time.sleep(wait)


# ---------------------------------------------------------------------------------------------------------- looking


def info(scheme: str, url: str) -> Info | None:
    """Return what a store says of a file or folder now, or None where there is none."""
    try:
        return patiently(scheme, url, lambda: _info(scheme, url))
    except FileNotFoundError:
        return None


def _info(scheme: str, url: str) -> Info:
    options = {} if scheme in ("gs", "gcs", "http", "https") else {"refresh": True}
    return call(scheme, "info", url, seconds=PATIENCE.call_seconds, **options)


def listing(scheme: str, url: str) -> list[Info]:
    """Return what a store says of everything that lies directly in a folder; empty where there is no such folder."""
    folder = url.rstrip("/") + "/" if scheme in ("http", "https") else url
    try:
        return patiently(
            scheme, url, lambda: call(scheme, "ls", folder, True, seconds=PATIENCE.call_seconds, refresh=True)
        )
    except FileNotFoundError:
        return []


# ---------------------------------------------------------------------------------------------------------- reading


def read(scheme: str, url: str) -> bytes:
    """Return a file whole. Raises OSError as `patiently` does, and where the file changed while it was read."""
    known = patiently(scheme, url, lambda: _info(scheme, url))
    size = known.get("size")
    if size is None or size <= PIECE_BYTES or scheme in WHOLE:
        content = patiently(scheme, url, lambda: _at_once(scheme, url))
    else:
        content = _in_pieces(scheme, url, size)
        after = patiently(scheme, url, lambda: _info(scheme, url))
        if _version(after) != _version(known):
            raise OSError(errno.EIO, "the file was changed while it was read: read it again", url)
        _check(known, content, url)
    return content


def _at_once(scheme: str, url: str) -> bytes:
    """A small file by one request; one that was replaced since it was described is described again."""
    known = _info(scheme, url)
    content = call(scheme, "cat_file", url, seconds=PATIENCE.seconds_for(known.get("size") or 0))
    if known.get("size") not in (None, len(content)):
        raise ShortError(errno.EIO, f"{len(content)} of {known['size']} bytes came", url)
    _check(known, content, url)
    return content


def _in_pieces(scheme: str, url: str, size: int) -> bytes:
    """A large file. A server that knows no ranges sends it whole with the first piece."""

    def piece(start: int) -> bytes:
        end = min(start + PIECE_BYTES, size)
        found = call(scheme, "cat_file", url, start=start, end=end, seconds=PATIENCE.seconds_for(PIECE_BYTES))
        if len(found) not in (end - start, size):
            raise ShortError(errno.EIO, f"{len(found)} of {end - start} bytes came", url)
        return found

    first = patiently(scheme, url, lambda: piece(0))
    if len(first) == size:
        return first
    with ThreadPoolExecutor(PIECES_AT_ONCE, "corolla-piece") as pool:
        starts = range(PIECE_BYTES, size, PIECE_BYTES)
        return b"".join([first, *pool.map(lambda start: patiently(scheme, url, lambda: piece(start)), starts)])


_VERSION = ("size", "generation", "etag", "ETag", "VersionId", "Last-Modified", "LastModified", "mtime", "blob_id")


def _version(known: Info) -> list[Any]:
    """What tells one content of a file from another, in the words of the stores."""
    return [known.get(name) for name in _VERSION]


def _check(known: Info, content: bytes, url: str) -> None:
    """Compare with the CRC-32C that Google's stores keep of each object: base64 of four bytes, big-endian."""
    stated = known.get("crc32c")
    if stated and stated != base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode():
        raise ShortError(errno.EIO, "the bytes that came are not those of the store (CRC-32C)", url)


# ---------------------------------------------------------------------------------------------------------- writing


def write(scheme: str, url: str, content: bytes) -> None:
    """Write a file whole or not at all, as one object, and compare its size. Raises OSError as `patiently` does."""

    def put() -> None:
        call(scheme, "pipe_file", url, content, seconds=PATIENCE.seconds_for(len(content)))
        known = _info(scheme, url)
        if known.get("size") != len(content):
            raise ShortError(errno.EIO, f"{known.get('size')} of {len(content)} bytes arrived", url)
        _check(known, content, url)

    try:
        patiently(scheme, url, put)
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, "there is no such bucket", url) from error


def delete(scheme: str, url: str) -> None:
    """Delete a file; one that is not there is no error, for the answer to an attempt may have been lost."""
    try:
        patiently(scheme, url, lambda: call(scheme, "rm_file", url, seconds=PATIENCE.call_seconds))
    except FileNotFoundError:
        return
