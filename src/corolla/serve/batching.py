"""Photos of many requests, worked off together.

Takes: photos uint8[s, s, 3] from the event loop. Gives: `Batcher.ask`, which waits for the answer to one.

While the devices work on a batch, the photos that arrive wait; then all of them, up to what the engine takes, are the
next batch. Only an idle engine waits a little for company: a batch of two takes hardly longer than one.
"""

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corolla.naming import Named
from corolla.serve.engine import Engine
from corolla.serve.figures import Figures

GATHER_SECONDS = 0.003
"""How long an idle engine waits for more photos."""


@dataclass(eq=False)
class _Waiting:
    engine: Engine
    image: NDArray[np.uint8]
    top: int
    answer: "asyncio.Future[Named]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Batcher:
    """One thread that works for everybody. To be made, asked and closed in the event loop."""

    def __init__(self, figures: Figures) -> None:
        self.figures = figures
        self._waiting: deque[_Waiting] = deque()
        self._something = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="serve-engine")
        self._task = asyncio.create_task(self._work())

    @property
    def waiting(self) -> int:
        """Photos that no batch holds yet."""
        return len(self._waiting)

    async def ask(self, engine: Engine, image: NDArray[np.uint8], top: int) -> Named:
        """What an engine says of a photo of its size. Who is cancelled takes no place in a batch."""
        one = _Waiting(engine, image, top)
        self._waiting.append(one)
        self._something.set()
        return await one.answer

    async def close(self) -> None:
        """Stop; what waits is cancelled."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for one in self._waiting:
            one.answer.cancel()
        self._thread.shutdown(wait=True)

    async def _work(self) -> None:
        idle = True
        while True:
            if not self._waiting:
                idle = True
                self._something.clear()
                await self._something.wait()
            if idle:
                await asyncio.sleep(GATHER_SECONDS)
                idle = False
            batch = self._next()
            if batch:
                await self._answer(batch)

    def _next(self) -> list[_Waiting]:
        """Photos for one engine, the oldest first; a reload may have changed the engine in between."""
        batch: list[_Waiting] = []
        while self._waiting and (not batch or len(batch) < batch[0].engine.most):
            if batch and self._waiting[0].engine is not batch[0].engine:
                break
            one = self._waiting.popleft()
            if not one.answer.cancelled():
                batch.append(one)
        return batch

    async def _answer(self, batch: list[_Waiting]) -> None:
        self.figures.batches.add(len(batch))
        found: list[Any]
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, _named, batch)
        except Exception as error:  # of the devices: each who asked is told
            found = [error] * len(batch)
        for one, named in zip(batch, found, strict=True):
            if one.answer.done():
                continue
            if isinstance(named, Exception):
                one.answer.set_exception(named)
            else:
                one.answer.set_result(Named(named.top[: one.top], named.score, named.limit))


def _named(batch: list[_Waiting]) -> list[Named]:
    engine = batch[0].engine
    features, logits = engine(np.stack([one.image for one in batch]))
    return engine.namer(features, logits, max(one.top for one in batch))
