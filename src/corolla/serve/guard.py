"""What every answer has, whatever it is: safe headers, a count, one line where something is refused.

Takes: an ASGI application. Gives: `Guard` around it, and `refused`, a refusal as an answer.
"""

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response

from corolla.serve.figures import Figures
from corolla.serve.limits import RefusalError

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

CSP = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""Photos that the page shows before they are sent are blob:, maps of where the model looked data:."""

HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

ROUTES = ("/", "/v1/identify", "/v1/classes", "/v1/reload", "/health", "/ready", "/metrics", "/openapi.json", "/docs")
"""Addresses that are counted by name."""

DRAINED_BYTES, DRAINED_SECONDS = 64_000_000, 3
"""Of a body that is refused before it was read: a client that is still sending would never see why."""

_log = logging.getLogger("corolla.serve")


class Guard:
    """An application with headers, counts and a last resort."""

    def __init__(self, app: Any, figures: Callable[[], Figures]) -> None:
        self.app, self.figures = app, figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, status = time.perf_counter(), 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self.app(scope, receive, sent)
        except Exception:  # a fault of ours: told without its insides
            _log.exception("%s %s", scope["method"], scope["path"])
            if not status:
                fault = RefusalError(500, "a fault of this server; its log says more")
                await answer_of(fault)(scope, receive, sent)
        finally:
            path = scope["path"] if scope["path"] in ROUTES else "other"
            self.figures().request(path, status or 499, time.perf_counter() - begin)


class _Closing(Response):
    """An answer to a request whose body nobody has read: the rest is thrown away, then the connection is closed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers["Connection"] = "close"
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        try:
            async with asyncio.timeout(DRAINED_SECONDS):
                await _drain(receive)
        except TimeoutError:
            pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drain(receive: Receive) -> None:
    size = 0
    while size < DRAINED_BYTES:
        message = await receive()
        size += len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            return


def answer_of(refusal: RefusalError, whole: bool = True) -> Response:
    """A refusal as an answer: {"error": "one line"}. whole: whether the request's body was read to its end."""
    body = json.dumps({"error": refusal.line}, ensure_ascii=False).encode("utf-8", "backslashreplace")
    kind = Response if whole else _Closing
    return kind(body + b"\n", refusal.status, refusal.headers, "application/json")


def admit(request: Request, key: str | None) -> None:
    """Raise RefusalError 401 unless the request names the key, if there is one. Takes as long for every wrong one."""
    if key is None:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    right = hmac.compare_digest(given.strip().encode("utf-8", "replace"), key.encode("utf-8"))
    if scheme.lower() != "bearer" or not right:
        line = "this server wants its key: send the header Authorization: Bearer KEY"
        raise RefusalError(401, line, headers={"WWW-Authenticate": "Bearer"})
