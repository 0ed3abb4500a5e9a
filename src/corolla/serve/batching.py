"""Photos of many requests, worked off together.

Takes: photos uint8[s, s, 3] from the event loop. Gives: `Batcher.ask`, which waits for the answer to one.

While the devices work on a batch, the photos that arrive wait; they are the next batch when it ends, or as soon as they
are half of what the engine takes. Only an idle engine waits a little for company: two take hardly longer than one.
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

IN_FLIGHT = 2
"""Batches at a time: the second begins on the devices when the first ends, without a word of Python in between."""


@dataclass(eq=False)
class _Waiting:
    engine: Engine
    image: NDArray[np.uint8]
    top: int
    answer: "asyncio.Future[Named]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Batcher:
    """What works for everybody. To be made, asked and closed in the event loop."""

    def __init__(self, figures: Figures) -> None:
        self.figures = figures
        self._waiting: deque[_Waiting] = deque()
        self._something = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="serve-engine")
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
        await asyncio.gather(self._task, *self._running, return_exceptions=True)
        for one in self._waiting:
            one.answer.cancel()
        self._threads.shutdown(wait=True)

    async def _work(self) -> None:
        while True:
            while not self._may_begin():
                self._something.clear()
                await self._something.wait()
            if not self._running:
                await asyncio.sleep(GATHER_SECONDS)
            if batch := self._next():
                task = asyncio.create_task(self._answer(batch))
                self._running.add(task)
                task.add_done_callback(self._done)

    def _may_begin(self) -> bool:
        """Whether an idle engine has a photo, or a busy one another batch worth its while."""
        if not self._waiting or len(self._running) >= IN_FLIGHT:
            return False
        return not self._running or len(self._waiting) >= self._waiting[0].engine.most // 2

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._something.set()

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
            found = await asyncio.get_running_loop().run_in_executor(self._threads, _named, batch)
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
