"""The addresses of the server.

Takes: a run (None: the model inside the package), `ServeLimits`, a key. Gives: `make_app`, an ASGI application.

Bodies are read here and not by FastAPI, which would read any size and wait for ever.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Match, Route

import corolla
from corolla import classes
from corolla.config import ServeLimits
from corolla.serve import bodies
from corolla.serve.engine import Found
from corolla.serve.figures import TYPE
from corolla.serve.guard import Guard, admit, answer_of
from corolla.serve.limits import RefusalError
from corolla.serve.schema import BODY, OneKind, OnePhoto, errors
from corolla.serve.service import Service
from corolla.storage import AnyPath

PAGE = Path(str(files("corolla") / "serve" / "page"))
DRAWINGS = "/page/drawings/{label:03d}.webp"

TOP = 5
"""Guesses a photo where nothing else is asked for."""

Loaded = Callable[[Exception | None], None]
T = TypeVar("T")


def make_app(
    run: AnyPath | str | None = None,
    limits: ServeLimits | None = None,
    key: str | None = None,
    found: Found | None = None,
    loaded: Loaded = lambda error: None,
) -> FastAPI:
    """The application. found: the model, where it was read already; loaded: told when it answers, or why it cannot."""

    @asynccontextmanager
    async def alive(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = service = Service(run, limits or ServeLimits())
        warming = asyncio.create_task(_warm(service, found, loaded))
        yield
        warming.cancel()
        await service.close()

    app = FastAPI(
        title="Corolla",
        summary="Names the flowers in photos",
        version=corolla.__version__,
        docs_url=None,  # FastAPI's own pages fetch their scripts from elsewhere
        redoc_url=None,
        lifespan=alive,
    )
    app.state.key = key
    _add_refusals(app)
    _add_questions(app)
    _add_operation(app)
    _add_pages(app)
    app.add_middleware(Guard, figures=lambda: app.state.service.figures)
    return app


async def _warm(service: Service, found: Found | None, loaded: Loaded) -> None:
    try:
        await service.load(found)
    except Exception as error:
        loaded(error)
    else:
        loaded(None)


def _service(request: Request) -> Service:
    return request.app.state.service


def _admit(request: Request) -> None:
    admit(request, request.app.state.key)


# Refusals ---------------------------------------------------------------------------------------------------------


def _add_refusals(app: FastAPI) -> None:
    @app.exception_handler(RefusalError)
    async def refused(request: Request, refusal: RefusalError) -> Response:
        return answer_of(refusal, request.method == "GET" or request.scope.get("read", False))

    @app.exception_handler(HTTPException)
    async def nowhere(request: Request, error: HTTPException) -> Response:
        line = f"{request.method} {request.url.path[:200]}: {str(error.detail).lower()}; /docs tells what there is"
        return answer_of(
            RefusalError(error.status_code, line, headers=dict(error.headers or {})), request.method == "GET"
        )

    @app.exception_handler(RequestValidationError)
    async def senseless(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "the request"
        return answer_of(RefusalError(422, f"{where}: {first['msg'].lower()}"), request.method == "GET")

    @app.exception_handler(bodies.ClientDisconnect)
    async def gone(request: Request, error: bodies.ClientDisconnect) -> Response:
        return Response(status_code=499)  # nobody reads it; it is counted


async def _while_there(request: Request, work: Awaitable[T], seconds: float) -> T:
    """The result, unless the client goes (499) or it takes too long (503): then the work is cancelled."""
    own, gone, left = asyncio.current_task(), asyncio.ensure_future(_gone(request)), False
    assert own is not None

    def leave(watch: asyncio.Future[None]) -> None:
        nonlocal left
        if not watch.cancelled():
            left = own.cancel()

    gone.add_done_callback(leave)
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError as error:
        raise RefusalError(503, f"no answer within {seconds:g} s: try again in a moment", retry=True) from error
    except asyncio.CancelledError:
        if not left:
            raise
        own.uncancel()
        raise bodies.ClientDisconnect from None
    finally:
        gone.remove_done_callback(leave)
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


# Questions --------------------------------------------------------------------------------------------------------


def _add_questions(app: FastAPI) -> None:
    @app.post(
        "/v1/identify",
        openapi_extra=BODY,
        responses={200: {"model": OnePhoto | list[OnePhoto]}, **errors()},
        summary="Name the flower in a photo, or in each of a list",
    )
    async def identify(
        request: Request,
        top: Annotated[int, Query(ge=1, le=classes.COUNT, description="guesses a photo")] = TOP,
        saliency: Annotated[bool, Query(description="also show where the model looked")] = False,
    ) -> Response:
        """The body is one photo, or a JSON list of photos as base64; a list is answered by a list, in which a photo
        that cannot be seen has an `error`."""
        return await _identified(request, top, saliency)

    app.router.routes.insert(0, _Straight("/v1/identify", _identify_plainly, methods=["POST"]))

    @app.get(
        "/v1/classes",
        responses={200: {"model": list[OneKind]}, **errors(401, 503)},
        summary="The kinds that the model knows",
    )
    async def kinds(request: Request) -> Response:
        _admit(request)
        names = _service(request).ready().namer.names
        return JSONResponse(
            [{"label": label, "name": name, "drawing": _drawing(name)} for label, name in enumerate(names)]
        )


async def _identified(request: Request, top: int, saliency: bool) -> Response:
    _admit(request)
    service = _service(request)
    service.ready()
    kind = bodies.kind_of(request)
    body = await bodies.read(request, service.limits, service.room)
    request.scope["read"] = True
    if kind == bodies.JSON:
        photos = await service.in_thread(bodies.photos_in, body, kind, service.limits)
    else:
        photos = bodies.photos_in(body, kind, service.limits)
    address = request.client.host if request.client else ""
    with service.places.take(len(photos), address, "photos"):
        answers = service.identify(photos, top, saliency)
        found = await _while_there(request, answers, service.limits.answer_seconds)
    return _answered(found, kind == bodies.JSON)


class _Straight(Route):
    """An address asked without options, past FastAPI's parsing of them, which takes a tenth of an answer's time."""

    def __init__(self, path: str, work: Callable[[Request], Awaitable[Response]], methods: list[str]) -> None:
        super().__init__(path, work, methods=methods)
        self.work, self.app = work, self._answer

    def matches(self, scope: Any) -> tuple[Match, Any]:
        return (Match.NONE, {}) if scope.get("query_string") else super().matches(scope)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        await (await self.work(Request(scope, receive, send)))(scope, receive, send)


async def _identify_plainly(request: Request) -> Response:
    return await _identified(request, TOP, saliency=False)


def _answered(found: list[dict[str, Any]], several: bool) -> Response:
    if several:
        return JSONResponse([{name: value for name, value in one.items() if name != "status"} for one in found])
    (one,) = found
    if "error" in one:
        raise RefusalError(one["status"], one["error"])
    return JSONResponse(one)


def _drawing(name: str) -> str | None:
    """By name and not by number: a run may have its own order of kinds."""
    if name not in classes.NAMES:
        return None
    label = classes.NAMES.index(name)
    return DRAWINGS.format(label=label) if (PAGE / "drawings" / f"{label:03d}.webp").is_file() else None


# Operation --------------------------------------------------------------------------------------------------------


def _add_operation(app: FastAPI) -> None:
    @app.get("/health", summary="Whether the process answers")
    async def health() -> Response:
        return JSONResponse({"status": "ok"})

    @app.get("/ready", responses=errors(503), summary="Whether the model answers")
    async def ready(request: Request) -> Response:
        return JSONResponse({"status": "ready", "model": _service(request).ready().found.name})

    @app.get("/metrics", responses=errors(401), summary="Figures for Prometheus")
    async def metrics(request: Request) -> Response:
        _admit(request)
        service = _service(request)
        name = service.engine.found.name if service.engine else ""
        return Response(service.figures.text(service.gauges(), name), media_type=TYPE)

    @app.post("/v1/reload", responses=errors(401, 503), summary="Read the model again; the old one stays if that fails")
    async def reload(request: Request) -> Response:
        if request.app.state.key is None:
            raise RefusalError(403, "reloading over the network wants a server with a key; kill -HUP works without")
        _admit(request)
        await _service(request).reload()
        return JSONResponse({"status": "reloaded", "model": _service(request).ready().found.name})


# Pages ------------------------------------------------------------------------------------------------------------


def _add_pages(app: FastAPI) -> None:
    fresh = {"Cache-Control": "no-cache"}

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page() -> Response:
        return FileResponse(PAGE / "index.html", headers=fresh)

    @app.api_route("/docs", methods=["GET", "HEAD"], include_in_schema=False)
    async def docs() -> Response:
        return FileResponse(PAGE / "docs.html", headers=fresh)

    app.mount("/page", StaticFiles(directory=PAGE))


def schema() -> str:
    """The OpenAPI document as JSON, without a server."""
    return json.dumps(make_app().openapi(), indent=1)
