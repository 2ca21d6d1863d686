"""The store on a thread of its own, so that no query holds up the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from mimo_server.memory.corpus import drafts
from mimo_server.memory.record import Category, Draft, Hit, StoreFacts
from mimo_server.memory.store import MemoryStore

Answer = TypeVar("Answer")

_SEED_BATCH = 2000
"""Generated memories held at a time."""


class Memories:
    """Async face of a store. One worker thread: SQLite has one writer, and the calls in flight are bounded already."""

    def __init__(self, store: MemoryStore, worker: ThreadPoolExecutor) -> None:
        self._store = store
        self._worker = worker

    async def _do(self, work: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    async def store(self, draft: Draft) -> int:
        """Store one and return its id."""
        return (await self._do(partial(self._store.add, [draft])))[0]

    async def search(self, query: str, limit: int, min_similarity: float) -> list[Hit]:
        """Up to `limit` memories with at least that cosine, most alike first."""
        return await self._do(partial(self._store.search, query, limit, min_similarity))

    async def forget(
        self, *, number: int | None = None, category: Category | None = None, everything: bool = False
    ) -> int:
        """Delete what any of the selectors names and return how many; without one nothing."""
        return await self._do(partial(self._store.forget, number=number, category=category, everything=everything))

    async def facts(self) -> StoreFacts:
        """How big the store is."""
        return await self._do(self._store.facts)

    async def top_up(self, count: int) -> None:
        """Add generated memories until there are `count`."""
        have = (await self.facts()).memories
        while have < count:
            batch = list(drafts(min(_SEED_BATCH, count - have), first=have))
            await self._do(partial(self._store.add, batch))
            have += len(batch)


@asynccontextmanager
async def opened(store: MemoryStore, path: Path) -> AsyncIterator[Memories]:
    """The store, open, on its thread; closed and the thread gone at the end."""
    loop = asyncio.get_running_loop()
    worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mimo-store")
    try:
        await loop.run_in_executor(worker, store.open, path)
        yield Memories(store, worker)
    finally:
        await loop.run_in_executor(worker, store.close)  # SQLite wants the thread that opened it
        worker.shutdown()
