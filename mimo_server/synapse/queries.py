"""Queries in flight: each a task, owned by the connection that asked."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from mimo_server.errors import LimitError
from mimo_server.supervision.owner import Owner
from mimo_server.supervision.registry import Bound, Registry

_CANCEL_SECONDS = 5.0
"""A task that was cancelled gets so long to end; then `check` names it."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Running:
    """One query."""

    task: asyncio.Task[None]
    owner: Owner
    until: float
    """On the loop's clock; it should have ended by then."""


class Queries:
    """At most `limit` in all, and `share` for one owner. A row is there until its task has ended."""

    def __init__(self, *, limit: int | None = 64, share: int = 8) -> None:
        self.table: Registry[Running] = Registry("queries", limit=limit)
        self._share = share
        self._by_owner: Counter[Owner] = Counter()

    def start(self, work: Callable[[], Coroutine[Any, Any, None]], owner: Owner, *, seconds: float) -> None:
        """Do `work`, which ends by itself within `seconds`. Raises LimitError when too many run."""
        if self._by_owner[owner] >= self._share:
            raise LimitError(f"queries: {self._share} of this connection are running; wait for a result and ask again")
        loop = asyncio.get_running_loop()
        task = loop.create_task(work(), name="query")
        running = Running(task=task, owner=owner, until=loop.time() + seconds)
        try:
            key = self.table.add(running)
        except LimitError:
            task.cancel()
            raise
        self._by_owner[owner] += 1
        disown = self.own(task, owner)
        forget = owner.at_end(lambda: setattr(running, "until", loop.time()))

        def ended(_: asyncio.Task[None]) -> None:
            disown()
            forget()
            self.table.remove(key)
            self._by_owner[owner] -= 1
            if not self._by_owner[owner]:
                del self._by_owner[owner]
            if not task.cancelled() and (problem := task.exception()) is not None:
                _log.error("a query failed", exc_info=problem)

        task.add_done_callback(ended)

    def own(self, task: asyncio.Task[None], owner: Owner) -> Callable[[], None]:
        """The owner's end is the task's. Returns a function that takes this back."""
        return owner.at_end(lambda: (task.cancel(), None)[1])

    async def ended(self, owner: Owner | None = None) -> None:
        """Await what its end cancelled (None: cancel and await all); a task that will not end is left to `check`."""
        tasks = [one.task for one in self.table if owner in (None, one.owner)]
        if owner is None:
            for task in tasks:
                task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CANCEL_SECONDS)

    def check(self) -> str | None:
        """Names a search that goes on although it was to have ended."""
        now = asyncio.get_running_loop().time()
        late = sum(1 for one in self.table if one.until + _CANCEL_SECONDS < now)
        return f"{late} queries run on, and nobody waits for them; the search ignores cancellation" if late else None

    def bounds(self) -> tuple[Bound, ...]:
        """How many run, and how many may."""
        return (self.table.bound(),)
