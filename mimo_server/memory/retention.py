"""What is forgotten by itself: what is too old, and the least important where there are too many."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from mimo_server.errors import LimitError, StoreError
from mimo_server.memory.record import Order, Retire

_AT_ONCE = 200
"""Memories forgotten in one change: a few milliseconds in which no other change is made."""
_SHORTEST_S, _LONGEST_S = 0.05, 30.0
"""Between two sweeps."""
_OF_TIME = 0.1
"""Share of the time to live after which it is looked at again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What may stay. Nothing is forgotten by default."""

    ttl_s: float | None = None
    """Seconds since a memory's time (`created_at`); None: for ever."""
    most: int | None = None
    """Memories; None: any number."""
    order: Order = Order.IMPORTANCE
    """Who goes first where there are more."""

    @property
    def is_on(self) -> bool:
        """Whether anything is ever forgotten."""
        return self.ttl_s is not None or self.most is not None

    @property
    def pause_s(self) -> float:
        """Seconds between two sweeps."""
        if self.ttl_s is None:
            return 1.0
        return min(_LONGEST_S, max(_SHORTEST_S, _OF_TIME * self.ttl_s), 1.0 if self.most is not None else _LONGEST_S)


class Sweeper:
    """A task that forgets, some at a time, so that what others write waits for one small change at most."""

    def __init__(self, retention: Retention, write: Callable[[Retire], Awaitable[int]]) -> None:
        self._retention = retention
        self._write = write
        self._task: asyncio.Task[None] | None = None
        self.forgotten = 0
        """Since the start."""

    async def __aenter__(self) -> Self:
        """Begin, where there is anything to do."""
        if self._retention.is_on:
            self._task = asyncio.create_task(self._run(), name="mimo-retention")
        return self

    async def _run(self) -> None:
        while True:
            with suppress(LimitError, StoreError):  # busy, or a full disk: the next sweep meets it again
                while await self.sweep():
                    pass
            await asyncio.sleep(self._retention.pause_s)

    async def sweep(self) -> int:
        """Forget some; return how many. Raises LimitError, StoreError."""
        ttl_s = self._retention.ttl_s
        retire = Retire(
            before=None if ttl_s is None else time.time() - ttl_s,
            most=self._retention.most,
            order=self._retention.order,
            limit=_AT_ONCE,
        )
        forgotten = await self._write(retire)
        self.forgotten += forgotten
        return forgotten

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
