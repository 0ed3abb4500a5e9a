"""`corolla serve`: the application on a socket, until it is told to stop.

Takes: a run, an address, limits, a key. Gives: `serve`, which returns when SIGINT or SIGTERM has come and what was in
work is answered. SIGHUP reads the model again.
"""

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from corolla.config import ServeLimits
from corolla.errors import RunError, WishError
from corolla.reporter import SILENT, Reporter
from corolla.serve.api import make_app
from corolla.serve.engine import find
from corolla.serve.limits import RefusalError
from corolla.storage import AnyPath

HEADER_SECONDS = 10
"""Time that a new connection has for its first headers."""

HEADER_BYTES = 64 * 1024
"""Of a request's address and headers, at most."""

KEEP_ALIVE_SECONDS = 15
"""Time that a connection may rest between two requests."""

FILES = 256
"""Open at a time beside the connections."""

GRACE_SECONDS = 30
"""Time for what is in work when the server is told to stop."""


def serve(
    run: AnyPath | str | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    limits: ServeLimits | None = None,
    key: str | None = None,
    reporter: Reporter = SILENT,
    ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve a run, or the model inside the package, until a signal comes. port: 0 takes any that is free.

    ready: called with the server's address when the model answers. Raises WishError (no such address, a port in use),
    RunError (no run, damaged weights); nothing listens then.
    """
    limits = limits or ServeLimits()
    if key is not None and len(key) < 16:
        raise WishError("the key is shorter than 16 characters: it could be guessed")
    with _listening(host, port) as listener:
        found = find(run)
        address = _address(listener)
        reporter.note(f"{address} listens; the model is being compiled")
        outcome: list[Exception] = []

        def loaded(error: Exception | None) -> None:
            if error is None:
                ready(address)
            else:
                outcome.append(error)
                server.should_exit = True

        _make_room(limits.max_connections)
        app = make_app(run, limits, key, found, loaded)
        server = _Server(_config(app, limits), app, reporter)
        server.run([listener])
    if outcome:
        raise outcome[0]


def _config(app: Any, limits: ServeLimits) -> uvicorn.Config:
    class Connection(_Connection):
        most = limits.max_connections

    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="on",
        log_level=logging.ERROR,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        backlog=2048,
    )


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    if not 0 <= port <= 65_535:
        raise WishError(f"--port {port}: must be 0 to 65535")
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise WishError(f"--host {host}: there is no such address on this machine") from error
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise RunError(f"port {port} of {host} is in use: choose another --port") from error
        raise WishError(f"--host {host} --port {port}: {error.strerror}") from error
    with listener:
        yield listener


def _make_room(connections: int) -> None:
    """Let the process have so many connections beside its files, where the system does."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = connections + FILES
        if soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard < 0 else min(wanted, hard), hard))


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Connection(HttpToolsProtocol):
    """A connection that has to say what it wants soon and in few words, one of so many."""

    most = 1_000
    _clock: asyncio.TimerHandle | None = None
    """Runs while the headers of a request are awaited, which may come in drops."""
    _head: int | None = None
    """Bytes of the headers that are awaited: the parser itself would keep any number of them."""
    _begun = 0
    """Requests that began in the last piece."""

    def connection_made(self, transport: Any) -> None:
        if len(self.connections) >= self.most:
            transport.write(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: application/json\r\n")
            transport.write(b'Connection: close\r\n\r\n{"error": "too many connections: try again in a moment"}\n')
            transport.close()
            return
        super().connection_made(transport)
        self._clock = self.loop.call_later(HEADER_SECONDS, self._too_slow)

    def data_received(self, data: bytes) -> None:
        if self.transport is None:  # one too many: it is closed as soon as it has its answer
            return
        for first in range(0, len(data), HEADER_BYTES):
            if not self.transport.is_closing():
                self._feed(data[first : first + HEADER_BYTES])
        if self._resting() and not self.transport.is_closing():
            if self._clock is None:  # the first drop of another request
                self._clock = self.loop.call_later(HEADER_SECONDS, self._too_slow)
        else:
            self._stop_clock()

    def _feed(self, piece: bytes) -> None:
        alone = self._resting() and self._head is None
        self._begun = 0
        super().data_received(piece)
        if self._head is None:
            return
        if not self._begun or (self._begun == 1 and alone):  # or else others' bytes are in the piece too
            self._head += len(piece)
        if self._head >= HEADER_BYTES:
            self._refuse("431 Request Header Fields Too Large")

    def _resting(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head, self._begun = 0, self._begun + 1

    def on_headers_complete(self) -> None:
        self._head = None
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        if self.transport is not None:
            super().connection_lost(exc)
            self._unset_keepalive_if_required()

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _too_slow(self) -> None:
        self._refuse("408 Request Timeout")

    def _refuse(self, status: str) -> None:
        if not self.transport.is_closing():
            self.transport.write(f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode())
            self.transport.close()


class _Server(uvicorn.Server):
    """With signals of its own: uvicorn would raise SIGTERM once more at its end, after all was done."""

    def __init__(self, config: uvicorn.Config, app: Any, reporter: Reporter) -> None:
        super().__init__(config)
        self.app, self.reporter = app, reporter
        self._reloading: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:  # pyright: ignore
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _reload(self) -> None:
        self._reloading = asyncio.ensure_future(self._reload_and_tell())

    async def _reload_and_tell(self) -> None:
        try:
            await self.app.state.service.reload()
        except RefusalError as refusal:
            self.reporter.warn(refusal.line)
        else:
            self.reporter.note("the model was read again and answers")
