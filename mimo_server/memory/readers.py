"""A fixed number of readers on as many threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from mimo_server.errors import StoreError
from mimo_server.memory.admission import Admission
from mimo_server.memory.reader import Reader
from mimo_server.supervision.ending import finished
from mimo_server.supervision.registry import Bound

Answer = TypeVar("Answer")

_PATIENCE_S = 1.0


class Readers:
    """`count` readers, all made at the start: a server that has run out of descriptors later can still read.

    A caller that is cancelled goes at once; its reader is free when it has finished, not before.
    """

    waiting_each = 16
    """Callers that may wait, for each reader."""

    def __init__(self, make: Callable[[], Reader], count: int, *, patience_s: float = _PATIENCE_S) -> None:
        self._make = make
        self._count = count
        self._admission = Admission("readers", limit=count, waiting=self.waiting_each * count, patience_s=patience_s)
        self._readers: list[Reader] = []
        self._idle: list[Reader] = []
        self._ending = False
        self._threads = ThreadPoolExecutor(max_workers=count, thread_name_prefix="mimo-read")

    async def __aenter__(self) -> Self:
        """Open all readers."""
        try:
            await finished(asyncio.get_running_loop().run_in_executor(self._threads, self._open))
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    def _open(self) -> None:
        for _ in range(self._count):
            self._readers.append(self._make())
        self._idle = [*self._readers]

    async def run(self, work: Callable[[Reader], Answer]) -> Answer:
        """Have a reader do it. Raises LimitError when all are busy for too long."""
        await self._admission.enter()
        if self._ending:
            self._admission.leave()
            raise StoreError("the server is ending and answers no more; try again when it is back")
        reader = self._idle.pop()
        running = asyncio.get_running_loop().run_in_executor(self._threads, partial(work, reader))
        running.add_done_callback(lambda _: self._give_back(reader))
        return await asyncio.shield(running)

    def _give_back(self, reader: Reader) -> None:
        self._idle.append(reader)
        self._admission.leave()

    def bounds(self) -> tuple[Bound, ...]:
        """How many read, and how many wait."""
        return self._admission.bounds()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for those that read, then close all."""
        self._ending = True
        await finished(asyncio.get_running_loop().run_in_executor(None, self._end))

    def _end(self) -> None:
        self._threads.shutdown()
        for reader in self._readers:
            reader.close()
