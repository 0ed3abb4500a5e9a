"""The server without HTTP: one model at a time, photos in, names out.

Takes: encoded photos. Gives: `Service.identify`, and `load`, which puts a new model in the old one's place only when it
is whole and warm.
"""

import asyncio
import base64
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from corolla.config import ServeLimits
from corolla.errors import CorollaError
from corolla.mesh import cores
from corolla.naming import Named
from corolla.photo import FormatError, PhotoError, PixelsError, prepared
from corolla.serve.batching import Batcher
from corolla.serve.engine import Engine, Found, find
from corolla.serve.figures import Figures
from corolla.serve.limits import Budget, RefusalError
from corolla.storage import AnyPath

STATUS = {FormatError: 415, PixelsError: 413, PhotoError: 422}


class Service:
    """To be made in the event loop and closed there."""

    def __init__(self, run: AnyPath | str | None, limits: ServeLimits) -> None:
        self.run, self.limits, self.figures = run, limits, Figures()
        self.engine: Engine | None = None
        self.loading = asyncio.Lock()
        self.room = Budget(limits.upload_bytes)
        self.places = Budget(limits.max_waiting, limits.max_client_waiting)
        self._batcher = Batcher(self.figures)
        self._decoders = ThreadPoolExecutor(cores(), thread_name_prefix="serve-photo")
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="serve-model")

    async def close(self) -> None:
        """Stop all threads."""
        await self._batcher.close()
        for pool in (self._decoders, self._loader):
            pool.shutdown(wait=False, cancel_futures=True)

    # --------------------------------------------------------------------------------------------------- the model

    async def load(self, found: Found | None = None) -> None:
        """Read, compile and warm up the model, then let it answer. The one before stays where that fails.

        found: what `find` has read of it already. Raises CorollaError.
        """
        loop = asyncio.get_running_loop()
        async with self.loading:
            self.engine = await loop.run_in_executor(self._loader, lambda: Engine(found or find(self.run)))

    async def reload(self) -> None:
        """The same, counted. Raises RefusalError 409 (one is being loaded), 503 (it cannot be)."""
        if self.loading.locked():
            raise RefusalError(409, "a model is being loaded already", retry=True)
        try:
            await self.load()
        except Exception as error:
            self.figures.reload("failed")
            line = str(error) if isinstance(error, CorollaError) else f"the model cannot be loaded ({error!r})"
            raise RefusalError(503, f"the model in use stays: {line}") from error
        self.figures.reload("done")

    def ready(self) -> Engine:
        """The model that answers. Raises RefusalError 503 while there is none."""
        if self.engine is None:
            raise RefusalError(503, "the model is being loaded: try again in a moment", retry=True)
        return self.engine

    # -------------------------------------------------------------------------------------------------- the photos

    async def in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Run something that takes long beside the event loop, a few at a time."""
        return await asyncio.get_running_loop().run_in_executor(self._decoders, work, *arguments)

    async def identify(self, photos: list[bytes], top: int, saliency: bool) -> list[dict[str, Any]]:
        """An answer for each photo, as plain data; one that cannot be seen has an `error` and its `status`."""
        engine = self.ready()
        if len(photos) == 1:
            return [await self._identify(engine, photos[0], top, saliency)]
        asked = [asyncio.ensure_future(self._identify(engine, photo, top, saliency)) for photo in photos]
        try:
            return list(await asyncio.gather(*asked))
        finally:
            for one in asked:
                one.cancel()

    async def _identify(self, engine: Engine, photo: bytes, top: int, saliency: bool) -> dict[str, Any]:
        try:
            image = await self.in_thread(self._prepared, photo, engine.image_size)
        except PhotoError as error:
            self.figures.photo("refused")
            return {"error": str(error), "status": STATUS[type(error)]}
        named = await self._batcher.ask(engine, image, top)
        self.figures.photo("unknown" if named.unknown else "named")
        told = _told(named, engine)
        if saliency:
            told["saliency"] = await self.in_thread(_saliency, engine, image, named.top[0].label)
        return told

    def _prepared(self, photo: bytes, size: int) -> NDArray[np.uint8]:
        return prepared(photo, size, "the photo", self.limits.max_megapixels * 1e6)

    def gauges(self) -> dict[str, tuple[str, float]]:
        """What stands in /metrics beside the counts."""
        return {
            "corolla_ready": ("Whether a model answers.", float(self.engine is not None)),
            "corolla_photos_in_work": ("Photos that wait for their answer.", self.places.taken),
            "corolla_queue_photos": ("Photos ready for the model that no batch holds yet.", self._batcher.waiting),
            "corolla_upload_bytes": ("Bytes of bodies that are being received.", self.room.taken),
        }


def _told(named: Named, engine: Engine) -> dict[str, Any]:
    return {
        "top": [{"label": one.label, "name": one.name, "probability": one.probability} for one in named.top],
        "unknown": named.unknown,
        "score": named.score,
        "limit": named.limit,
        "model": engine.found.name,
    }


def _saliency(engine: Engine, image: NDArray[np.uint8], label: int) -> str:
    """Where the model looked, as the address of a picture that is all in it."""
    from corolla.saliency import explainer, overlay

    explain = explainer(engine.found.interpreter or engine.model)
    content = io.BytesIO()
    Image.fromarray(overlay(image, explain(image[None], [label])[0])).save(content, "WEBP", quality=80)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"
