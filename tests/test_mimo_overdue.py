"""What is told late, and what came in time."""

import asyncio
from functools import partial

from mimo_server.supervision.overdue import Overdue


def test_what_stays_is_told_once_in_its_order_and_what_leaves_is_not():
    async def play():
        told, overdue, done = [], Overdue(0.02), asyncio.Event()
        tells = [partial(told.append, name) for name in "abc"]
        for tell in (*tells, done.set):
            overdue.add(tell)
        overdue.remove(tells[1])
        overdue.remove(tells[1])  # twice is no error
        await asyncio.wait_for(done.wait(), 5)
        overdue.remove(tells[0])
        return told

    assert asyncio.run(play()) == ["a", "c"]


def test_one_that_is_added_later_has_its_whole_time():
    async def play():
        loop, overdue, told = asyncio.get_running_loop(), Overdue(0.2), {}
        done = asyncio.Event()

        def first():
            told["first"] = loop.time()

        def second():
            told["second"] = loop.time()
            done.set()

        begun = loop.time()
        overdue.add(first)
        await asyncio.sleep(0.1)
        added = loop.time()
        overdue.add(second)
        await asyncio.wait_for(done.wait(), 5)
        return told["first"] - begun, told["second"] - added

    waited = asyncio.run(play())
    assert all(one >= 0.2 for one in waited)


def test_it_serves_again_after_all_have_left():
    async def play():
        overdue, done = Overdue(0.02), asyncio.Event()
        for _ in range(1000):
            tell = partial(int, 0)
            overdue.add(tell)
            overdue.remove(tell)
        overdue.add(done.set)
        await asyncio.wait_for(done.wait(), 5)
        return True

    assert asyncio.run(play())
