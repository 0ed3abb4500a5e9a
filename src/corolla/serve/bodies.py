"""From the body of a request to encoded photos.

Takes: a request, `ServeLimits`. Gives: `read`: bytes that arrived whole, in time, within the limits; `photos_in`: the
files in them. Every other body is a `RefusalError`: 400, 408, 413, 415, 422.
"""

import asyncio
import base64
import binascii
import json
from contextlib import ExitStack

from starlette.requests import ClientDisconnect, Request

from corolla.config import ServeLimits
from corolla.serve.limits import Budget, RefusalError

JSON = "application/json"
RAW = ("image/", "application/octet-stream", "application/x-www-form-urlencoded")
"""The last is what `curl --data-binary` says of any file."""


def kind_of(request: Request) -> str:
    """JSON, or "" for a photo as it is. Raises RefusalError 415."""
    told = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if told == JSON:
        return JSON
    if not told or told.startswith(RAW):
        return ""
    way_out = f"send the photo itself as image/jpeg, image/png or image/webp, or a list of base64 texts as {JSON}"
    raise RefusalError(415, f"Content-Type {told[:60]!r} is not read here: {way_out}")


async def read(request: Request, limits: ServeLimits, room: Budget) -> bytes:
    """The whole body. room: bytes that all bodies may take together. Raises RefusalError, and ClientDisconnect."""
    announced = _announced(request)
    if announced is not None and announced > limits.body_bytes:
        raise _too_large(limits)
    with ExitStack() as held:
        held.enter_context(room.take(announced or 0, "", "bytes of photos"))
        parts, size = [], 0
        try:
            async with asyncio.timeout(limits.upload_seconds):
                async for part in request.stream():
                    size += len(part)
                    if size > limits.body_bytes:
                        raise _too_large(limits)
                    if announced is None:
                        held.enter_context(room.take(len(part), "", "bytes of photos"))
                    parts.append(part)
        except TimeoutError as error:
            raise RefusalError(408, f"the body did not arrive within {limits.upload_seconds:g} s") from error
        return b"".join(parts)


def _announced(request: Request) -> int | None:
    told = request.headers.get("content-length")
    if told is None:
        return None
    if not (told.isascii() and told.isdigit()):
        raise RefusalError(400, "Content-Length is no number")
    return int(told)


def _too_large(limits: ServeLimits) -> RefusalError:
    return RefusalError(413, f"the body is larger than {limits.max_megabytes:g} MB: send less at a time")


def photos_in(body: bytes, kind: str, limits: ServeLimits) -> list[bytes]:
    """The encoded photos of a body. Raises RefusalError."""
    if kind != JSON:
        if not body:
            raise RefusalError(422, "the body is empty: send a photo (JPEG, PNG or WebP)")
        return [body]
    try:
        told = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusalError(422, "the body is no JSON: send a list of photos, each as base64 text") from error
    if not isinstance(told, list) or not told or not all(isinstance(one, str) for one in told):
        raise RefusalError(422, "the JSON is no list of texts: send a list of photos, each as base64 text")
    if len(told) > limits.max_photos:
        raise RefusalError(413, f"{len(told)} photos at a time, the limit is {limits.max_photos}: send fewer")
    return [_decoded(number, one) for number, one in enumerate(told, 1)]


def _decoded(number: int, text: str) -> bytes:
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusalError(422, f"photo {number} is no base64 text") from error


__all__ = ["JSON", "ClientDisconnect", "kind_of", "photos_in", "read"]
