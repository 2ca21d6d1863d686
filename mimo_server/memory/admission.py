"""So many at once; a few more may wait, and not for long."""

from __future__ import annotations

import asyncio
from typing import NoReturn

from mimo_server.errors import LimitError
from mimo_server.supervision.registry import Bound


class Admission:
    """`limit` at once, and `waiting` more that wait up to `patience_s` seconds. On the event loop's thread only.

    Who is not let in gets LimitError: at once when too many wait, else when the time is over.
    """

    def __init__(self, name: str, *, limit: int, waiting: int, patience_s: float) -> None:
        self._name = name
        self._limit = limit
        self._most_waiting = waiting
        self._patience_s = patience_s
        self._free = asyncio.Semaphore(limit)
        self._inside = 0
        self._waiting = 0
        self._high_water = [0, 0]
        self._rejected = [0, 0]

    async def enter(self) -> None:
        """Come in; `leave` gives the place back. Raises LimitError."""
        if self._free.locked():
            await self._wait()
        else:
            await self._free.acquire()
        self._inside += 1
        self._high_water[0] = max(self._high_water[0], self._inside)

    async def _wait(self) -> None:
        if self._waiting >= self._most_waiting:
            self._refuse(1, f"and {self._waiting} wait already")
        self._waiting += 1
        self._high_water[1] = max(self._high_water[1], self._waiting)
        try:
            async with asyncio.timeout(self._patience_s):
                await self._free.acquire()
        except TimeoutError:
            self._refuse(0, f"and none became free in {self._patience_s:g} s")
        finally:
            self._waiting -= 1

    def _refuse(self, which: int, why: str) -> NoReturn:
        self._rejected[which] += 1
        raise LimitError(f"{self._name}: all {self._limit} are busy {why}; try again in a moment")

    def leave(self) -> None:
        """Give the place back."""
        self._inside -= 1
        self._free.release()

    def bounds(self) -> tuple[Bound, ...]:
        """Those inside, and those that wait."""
        rows = ((self._name, self._inside, self._limit), (f"{self._name}_waiting", self._waiting, self._most_waiting))
        return tuple(
            Bound(name=name, size=size, limit=limit, high_water=high_water, rejected=rejected)
            for (name, size, limit), high_water, rejected in zip(rows, self._high_water, self._rejected, strict=True)
        )
