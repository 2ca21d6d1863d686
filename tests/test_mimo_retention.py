"""What is forgotten by itself: off by default, in small changes, and never what is to stay."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from mimo_server.errors import NotFoundError
from mimo_server.memory import retention
from mimo_server.memory.embed import LexicalEmbedder
from mimo_server.memory.memories import Memories
from mimo_server.memory.record import Category, Draft, Order, Search
from mimo_server.memory.retention import Retention
from mimo_server.memory.store import SqliteStore

D = 32


def draft(number, importance=0.5, created_at=None):
    return Draft(content=f"note {number}", category=Category.FACT, importance=importance, created_at=created_at)


@asynccontextmanager
async def opened(folder, **kept):
    store, embedder = SqliteStore(D), LexicalEmbedder(D)
    memories = Memories(store, embedder, folder=folder)
    memories.retention = Retention(**kept)
    async with memories:
        yield memories


async def left(memories, count, seconds=10.0):
    """Wait until so many are left; their ids."""
    deadline = time.monotonic() + seconds
    while (await memories.facts()).memories != count:
        assert time.monotonic() < deadline, f"{(await memories.facts()).memories} are left"
        await asyncio.sleep(0.005)
    page = await memories.search(Search(text="note", limit=1000))
    return sorted(hit.memory.id for hit in page.hits)


def test_nothing_is_forgotten_by_default(tmp_path):
    async def scenario():
        async with opened(tmp_path) as memories:
            await memories.store([draft(number, created_at=1.0) for number in range(5)])
            assert not any(task.get_name() == "mimo-retention" for task in asyncio.all_tasks())
            assert await left(memories, 5) == [1, 2, 3, 4, 5]

    asyncio.run(scenario())


def test_what_is_too_old_goes_and_what_is_younger_stays(tmp_path):
    async def scenario():
        now = time.time()
        async with opened(tmp_path, ttl_s=3600.0) as memories:
            ages = [7200.0, 60.0, 3700.0, 0.0, 1e9]
            await memories.store([draft(number, created_at=now - age) for number, age in enumerate(ages)])
            assert await left(memories, 2) == [2, 4]
            with pytest.raises(NotFoundError):
                await memories.get(1)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("order", "expected"),
    [(Order.IMPORTANCE, [2, 4, 6]), (Order.AGE, [5, 6, 7])],
)
def test_what_is_above_the_most_goes_in_the_order_that_was_asked_for(tmp_path, order, expected):
    async def scenario():
        async with opened(tmp_path, most=3, order=order) as memories:
            importances = [0.1, 0.9, 0.5, 0.9, 0.2, 0.6, 0.5]
            await memories.store([draft(number, importance) for number, importance in enumerate(importances)])
            assert await left(memories, 3) == expected

    asyncio.run(scenario())


def test_of_equally_important_ones_the_oldest_goes(tmp_path):
    async def scenario():
        async with opened(tmp_path, most=2) as memories:
            await memories.store([draft(number) for number in range(6)])
            assert await left(memories, 2) == [5, 6]

    asyncio.run(scenario())


def test_old_ones_and_too_many_ones_are_not_counted_twice(tmp_path):
    async def scenario():
        old = time.time() - 7200
        async with opened(tmp_path, ttl_s=3600.0, most=4) as memories:
            await memories.store([draft(number, 0.9, created_at=old) for number in range(3)])
            await memories.store([draft(number, 0.1 * number) for number in range(1, 6)])
            assert await left(memories, 4) == [5, 6, 7, 8]

    asyncio.run(scenario())


def test_many_go_in_small_changes_and_writes_go_on_between(tmp_path, monkeypatch):
    changes = []

    class Noting(SqliteStore):
        def commit(self, group):
            outcomes = super().commit(group)
            changes.append([one for one in outcomes if isinstance(one, int)])
            return outcomes

    monkeypatch.setattr(retention, "_AT_ONCE", 50)

    async def scenario():
        memories = Memories(Noting(D), LexicalEmbedder(D), folder=tmp_path)
        memories.retention = Retention(most=100)
        async with memories:
            await memories.store([draft(number) for number in range(900)])
            written = [await memories.store([draft(number, 1.0)]) for number in range(20)]
            ids = await left(memories, 100)
            assert {number for (number,) in written} <= set(ids)

    asyncio.run(scenario())
    forgotten = [count for group in changes for count in group]
    assert max(forgotten) == 50
    assert sum(forgotten) == 820


def test_it_ends_with_its_server(tmp_path):
    async def scenario():
        async with opened(tmp_path, ttl_s=0.5) as memories:
            await memories.store([draft(1)])
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scenario())
