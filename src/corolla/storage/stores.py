"""The stores behind `gs://`, `s3://`, `hf://`, `https://`: how each is opened, and what its errors mean.

Takes: a scheme. Gives: fsspec's file system for it, one a process, whose listings are always fresh; and, of whatever it
raises, a `Fault`: whether it may pass by itself, and one line for a person.

Every library has retries, time limits and caches of its own. They are turned off or down here as far as they allow
it: waiting and trying again is `transfers`' part, in one way for all of them.
"""

import errno
import functools
import json
import logging
import os
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any, NamedTuple

from corolla.errors import WishError

EXTRAS = {"gs": "gcs", "gcs": "gcs", "s3": "s3", "hf": "hf", "http": "http", "https": "http"}
"""The extra that brings what a scheme needs. Other schemes of fsspec (`az://`) are tried where their package is."""

READ_ONLY = {
    "http": "a web server takes no files",
    "https": "a web server takes no files",
    "hf": "every file would be a commit",
}
"""Schemes that are only read, and why."""

WHOLE = ("hf",)
"""Schemes whose file systems fetch more than the range asked for, and go on by themselves after a break."""

_LOG_IN = {
    "gs": "log in with `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS",
    "s3": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; FSSPEC_S3_ANON=true reads a public bucket",
    "hf": "log in with `hf auth login`, or set HF_TOKEN",
}
_LOG_IN["gcs"] = _LOG_IN["gs"]

CONNECT_SECONDS, SILENCE_SECONDS = 10, 30
"""How long a server may take to answer the telephone, and how long it may then say nothing."""

CONNECTIONS = 32

_OWN: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
"""To every file system: lists are asked for anew, and the object is ours alone, with our time limits."""


# ---------------------------------------------------------------------------------------------------------- opening


def store(scheme: str) -> Any:
    """Return the file system of a scheme (fsspec's AbstractFileSystem), the same one for all threads of the process.

    Raises WishError for a scheme nobody knows, or one whose extra is not installed.
    """
    return _store(scheme, os.getpid())


@functools.cache
def _store(scheme: str, process: int) -> Any:
    """process: sockets and event loops do not survive a fork."""
    try:
        return _OPENERS.get(scheme, functools.partial(_other, scheme))()
    except ImportError as error:
        extra = f"'corolla[{EXTRAS[scheme]}]'" if scheme in EXTRAS else "what fsspec wants for it"
        missing = error.name or getattr(error.__cause__, "name", None) or "a package"  # fsspec says it in the cause
        raise WishError(f"{scheme}:// wants {missing}, which is not installed: pip install {extra}") from error


def forget() -> None:
    """Open every store anew at its next use: its address or credentials have changed."""
    _store.cache_clear()


def _gcs() -> Any:
    # Not `gcsfs.GCSFileSystem`, which by default first asks for each bucket's kind through gRPC: where only the JSON
    # API answers, as in an emulator or behind a proxy, that takes 76 s.
    from gcsfs.core import GCSFileSystem  # pyright: ignore

    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it prints a traceback for each refusal
    session = {"timeout": _time_limits(), "trust_env": True}
    return GCSFileSystem(session_kwargs=session, **_OWN)


def _s3() -> Any:
    from s3fs import S3FileSystem  # pyright: ignore

    config = {
        "retries": {"total_max_attempts": 1},
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": SILENCE_SECONDS,
        "max_pool_connections": CONNECTIONS,
    }
    opened = S3FileSystem(config_kwargs=config, **_OWN)
    opened.retries = 1
    return opened


def _http() -> Any:
    from fsspec.implementations.http import HTTPFileSystem

    return HTTPFileSystem(client_kwargs={"timeout": _time_limits(), "trust_env": True}, **_OWN)


def _time_limits() -> Any:
    import aiohttp  # pyright: ignore

    return aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)


def _other(scheme: str) -> Any:
    import fsspec

    try:
        fsspec.get_filesystem_class(scheme)
    except ValueError as error:
        known = ", ".join(f"{name}://" for name in EXTRAS)
        raise WishError(f"{scheme}:// is no place that Corolla knows: take {known}, or a folder") from error
    return fsspec.filesystem(scheme, **_OWN)


_OPENERS: dict[str, Callable[[], Any]] = {"gs": _gcs, "gcs": _gcs, "s3": _s3, "http": _http, "https": _http}


def call(scheme: str, method: str, *arguments: Any, seconds: float, **options: Any) -> Any:
    """Call a method of a scheme's file system, for `seconds` at most where it is an asynchronous one (gs, s3, http).

    The time limit also ends the retries that a library may do inside. Raises whatever the file system raises.
    """
    opened = store(scheme)
    if not opened.async_impl:
        return getattr(opened, method)(*arguments, **options)
    from fsspec.asyn import sync

    return sync(opened.loop, getattr(opened, f"_{method}"), *arguments, timeout=seconds, **options)


# ----------------------------------------------------------------------------------------------------------- faults


class Fault(NamedTuple):
    """What an error of a store means.

    passing: it may be gone at the next attempt. number: of `errno`. words: one line, which ends with the way out
    where there is one.
    """

    passing: bool
    number: int
    words: str

    def error(self, url: str, tried: int = 1) -> OSError:
        """The exception for it, as a disk would raise it: FileNotFoundError, PermissionError or another OSError."""
        return OSError(self.number, self.words + (f", {tried} times" if tried > 1 else ""), url)


_PASSING = {408, 425, 429, 500, 502, 503, 504}

_NETWORKED = {
    "aiohttp",
    "botocore",
    "aiobotocore",
    "google",
    "gcsfs",
    "http",
    "httpcore",
    "httpx",
    "requests",
    "urllib3",
}
"""Packages whose exceptions are about a connection, unless they carry a status that says otherwise."""


def fault(scheme: str, error: BaseException) -> Fault:
    """Say what an exception of a scheme's file system means."""
    chain = list(_chain(error))
    status = next((found for one in chain if (found := _status(one))), None)
    if status is not None:
        return _fault_of_status(scheme, status, chain[-1])
    if isinstance(error, FileNotFoundError) and not any(_of_network(one) for one in chain[1:]):
        return Fault(False, errno.ENOENT, "there is no such file")
    if any(isinstance(one, PermissionError) or "Credential" in type(one).__name__ for one in chain):
        return Fault(False, errno.EACCES, f"access refused{_way_in(scheme)}")
    if isinstance(error, TimeoutError):
        return Fault(True, errno.ETIMEDOUT, "no answer in time")
    return Fault(any(map(_of_network, chain)), errno.EIO, _first_line(chain[-1]))


def _fault_of_status(scheme: str, status: int, error: BaseException) -> Fault:
    name = f"{status} {HTTPStatus(status).phrase}" if status in {known.value for known in HTTPStatus} else str(status)
    if status in (401, 403):
        return Fault(False, errno.EACCES, f"access refused ({name}){_way_in(scheme)}")
    if status in (404, 410):
        return Fault(False, errno.ENOENT, f"there is no such file ({name})")
    if status in _PASSING:
        return Fault(True, errno.EIO, f"the server answered {name}")
    return Fault(False, errno.EIO, f"the server answered {name} ({_first_line(error)})")


def _way_in(scheme: str) -> str:
    return f": {_LOG_IN[scheme]}" if scheme in _LOG_IN else ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and those it came from: s3fs and fsspec's HTTP raise FileNotFoundError for much that is none."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def _status(error: BaseException) -> int | None:
    """The HTTP status in an exception of aiohttp (status), gcsfs (code), botocore (a dict) or httpx (response)."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        found = getattr(response, "status_code", None) or getattr(error, "status", None)
    if type(error).__module__.startswith(
        "gcsfs"
    ):  # aiohttp's parser has a code too: 400 for each answer it cannot read
        found = getattr(error, "code", None)
    if str(found).isdigit() and 400 <= int(str(found)) <= 599:
        return int(str(found))
    return 403 if str(error).startswith("Forbidden:") else None  # gcsfs raises a plain OSError for it


def _of_network(error: BaseException) -> bool:
    if isinstance(error, FileNotFoundError | PermissionError | FileExistsError | IsADirectoryError):
        return False
    cut = isinstance(error, OSError | EOFError | json.JSONDecodeError)  # the last: an answer that ended too soon
    return cut or type(error).__module__.split(".")[0] in _NETWORKED


def _first_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__
