"""Memories as the rest of the server sees them: asynchronous, bounded, checked at the door."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from mimo_server.errors import InvalidError, LimitError, NotFoundError, StoreError
from mimo_server.memory.checks import MOST_AT_ONCE, check_draft, check_search
from mimo_server.memory.corpus import drafts as generated
from mimo_server.memory.embed import Embedder
from mimo_server.memory.mapped import DamagedSlotError
from mimo_server.memory.reader import Reader
from mimo_server.memory.readers import Readers
from mimo_server.memory.record import Add, Category, Draft, Forget, Memory, Page, Search, StoreFacts, Vector, Vectors
from mimo_server.memory.retention import Retention, Sweeper
from mimo_server.memory.store import MemoryStore
from mimo_server.memory.vectors import vector_from
from mimo_server.memory.writer import Writer
from mimo_server.supervision.events import Events, Kind
from mimo_server.supervision.registry import Bound

Answer = TypeVar("Answer")

_SEED_BATCH = 500
"""Generated memories held at a time, and stored in one change."""
_LARGEST_ID = 2**63 - 1
"""Of SQLite."""


class Memories:
    """A store with one writer and a few readers, and the embedder. It starts and ends all three.

    `store` returns when the memories are on the disk, and from then on every search finds them.
    """

    readers_class = Readers

    def __init__(
        self,
        store: MemoryStore,
        embedder: Embedder,
        *,
        folder: Path,
        readers: int = 4,
        write_queue: int | None = 256,
        events: Events | None = None,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._folder = folder
        self._events = events or Events()
        self._readers = self.readers_class(store.reader, readers)
        self._writer = Writer(store, partial(store.open, folder, embedder.name), limit=write_queue)
        self.retention = Retention()
        """May be set until it is started."""
        self._open = AsyncExitStack()
        self._ending = False
        self._told: set[int] = set()

    async def __aenter__(self) -> Self:
        """Open the store. Raises SettingsError when the folder is another server's or of another format."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._embedder)
            await stack.enter_async_context(self._writer)
            await stack.enter_async_context(self._readers)
            await stack.enter_async_context(Sweeper(self.retention, self._writer.write))
            self._open = stack.pop_all()
        self._tell_of_the_start()
        self._tell_of_damage()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Readers first, so that the writer's connection is the last one and takes the log with it."""
        self._ending = True
        await self._open.aclose()

    def vector(self, given: object) -> Vector | None:
        """The vector that a caller means by numbers or base64; None by None. Raises InvalidError."""
        return None if given is None else vector_from(given, self._store.dimensions)

    async def store(self, drafts: Sequence[Draft]) -> list[int]:
        """Store all or none; return their ids. Raises InvalidError, EmbeddingError, LimitError, StoreError."""
        if len(drafts) > MOST_AT_ONCE:
            raise InvalidError(f"{len(drafts)} memories at once are too many; give at most {MOST_AT_ONCE}")
        for draft in drafts:
            check_draft(draft)
        if not drafts:
            return []
        self._writer.check_room()  # before the embedding, which costs more than the write
        ids: list[int] = await self._writer.write(Add(drafts=await self._complete(drafts)))
        return ids

    async def _complete(self, drafts: Sequence[Draft]) -> list[Draft]:
        """With an embedding and a time each."""
        missing = [draft.content for draft in drafts if draft.embedding is None]
        made = iter(await self._embedded(missing)) if missing else iter(())
        now = time.time()
        return [
            replace(
                draft,
                embedding=next(made) if draft.embedding is None else self.vector(draft.embedding),
                created_at=now if draft.created_at is None else draft.created_at,
            )
            for draft in drafts
        ]

    async def _embedded(self, texts: Sequence[str]) -> Vectors:
        if self._ending:
            raise StoreError("the server is ending and answers no more; try again when it is back")
        return await self._embedder.embed(texts)

    async def search(self, wanted: Search) -> Page:
        """One page of what is most alike. Raises InvalidError, EmbeddingError, LimitError, StoreError."""
        (page,) = await self.search_many([wanted])
        return page

    async def search_many(self, wanted: Sequence[Search]) -> list[Page]:
        """One page of each, in order: all texts are embedded at once, and one reader does all. Raises as `search`."""
        for one in wanted:
            check_search(one)
        texts = [one.text for one in wanted if one.text is not None]
        made = iter(await self._embedded(texts)) if texts else iter(())
        vectors = [next(made) if one.text is not None else self.vector(one.vector) for one in wanted]
        asked = [(one, vector) for one, vector in zip(wanted, vectors, strict=True) if vector is not None]
        if len(asked) < len(wanted):
            raise InvalidError("a search has neither a text nor a vector; give one of them")
        return await self._read(lambda reader: [reader.search(one, vector) for one, vector in asked])

    async def get(self, id: int) -> Memory:  # noqa: A002 -- the word of the tools
        """One memory. Raises NotFoundError, LimitError, StoreError."""
        if not 1 <= id <= _LARGEST_ID:
            raise NotFoundError(f"there is no memory {id}; ids are 1 to {_LARGEST_ID}")
        return await self._read(lambda reader: reader.get(id))

    async def _read(self, work: Callable[[Reader], Answer]) -> Answer:
        try:
            return await self._readers.run(work)
        except DamagedSlotError as error:
            self._events.emit(Kind.STORE, what="index_repaired", memories=error.count)
            raise
        finally:
            self._tell_of_damage()

    async def forget(
        self,
        *,
        id: int | None = None,  # noqa: A002 -- the word of the tools
        category: Category | None = None,
        everything: bool = False,
    ) -> int:
        """Delete what any of the selectors names and return how many; without one nothing."""
        if id is not None and not 1 <= id <= _LARGEST_ID:
            id = None  # noqa: A001 -- there is none of that number
        if id is None and category is None and not everything:
            return 0
        forgotten: int = await self._writer.write(Forget(id=id, category=category, everything=everything))
        return forgotten

    async def facts(self) -> StoreFacts:
        """How big the store is; costs nothing."""
        return self._store.facts

    @property
    def waiting(self) -> int:
        """Memories that searches look at one by one, because the index does not have them yet."""
        return self._store.waiting

    async def top_up(self, count: int) -> None:
        """Add generated memories until there are `count`."""
        while (missing := count - self._store.facts.memories) > 0:
            await self.store(list(generated(min(_SEED_BATCH, missing), first=count - missing)))

    def bounds(self) -> tuple[Bound, ...]:
        """Readers, writes that wait, and what the embedder limits."""
        return (*self._readers.bounds(), self._writer.bound(), *self._embedder.bounds())

    async def check(self) -> str | None:
        """None when all is well, else the problem. Reads one row that is not there; embeds nothing."""
        if not self._writer.alive:
            return "the thread that writes has ended; restart the server"
        if self._writer.trouble is not None:
            return f"the last commit failed: {self._writer.trouble}"
        if self._store.trouble is not None:
            return self._store.trouble
        try:
            await self.get(_LARGEST_ID)
        except NotFoundError:
            damaged = len(self.damaged())
            return f"{damaged} memories are damaged and left out; the log names them" if damaged else None
        except (LimitError, StoreError) as error:
            return f"nothing can be read: {error}"
        return None

    def damaged(self) -> Sequence[int]:
        """Ids of the memories that were found damaged so far; they are left out of searches."""
        return list(self._store.corrupt)

    def _tell_of_the_start(self) -> None:
        """What the store found when it was opened, where there is anything to tell."""
        opened = self._store.opened
        if opened.lost_changes:
            self._events.emit(Kind.STORE, what="went_back", changes=opened.lost_changes)
        if opened.seal_damaged:
            self._events.emit(Kind.STORE, what="seal_damaged")
        if opened.index.rebuilt is not None:
            self._events.emit(Kind.STORE, what="index_rebuilt", why=opened.index.rebuilt, memories=opened.index.lacking)
        if opened.index.damaged:
            self._events.emit(Kind.STORE, what="index_repaired", memories=opened.index.damaged)

    def _tell_of_damage(self) -> None:
        """One event for each memory that was found damaged since the last time."""
        for number in list(self._store.corrupt):
            if number not in self._told:
                self._told.add(number)
                self._events.emit(Kind.STORE, what="corrupt_row", memory=number)
