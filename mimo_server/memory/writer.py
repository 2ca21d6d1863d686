"""The one thread that writes."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from mimo_server.errors import LimitError, StoreError
from mimo_server.memory.record import Change
from mimo_server.memory.store import MemoryStore, Outcome
from mimo_server.supervision.ending import finished
from mimo_server.supervision.registry import Bound

_GROUP = 64
"""Changes in one commit: 23 times the rows of one a commit at synchronous=FULL, and a p99 well below a second."""


def _answered(answers: Sequence[asyncio.Future[Any]], outcomes: Sequence[Outcome]) -> None:
    """On the loop's thread."""
    for answer, outcome in zip(answers, outcomes, strict=True):
        if answer.cancelled():  # its caller has gone
            continue
        if isinstance(outcome, Exception):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)


class Writer:
    """A bounded queue, and a thread that commits all that waits, up to 64 changes at a time.

    A change is answered after its commit. One that waits when its caller is cancelled is dropped; one that has been
    taken from the queue is committed, and its answer is nobody's. At the end all that waits is committed.
    """

    def __init__(self, store: MemoryStore, opening: Callable[[], None], *, limit: int | None) -> None:
        self._store = store
        self._opening = opening
        self._limit = limit
        self._waiting: deque[tuple[Change, asyncio.Future[Any]]] = deque()
        self._wake = threading.Condition()
        self._ending = False
        self._high_water = 0
        self._rejected = 0
        self.trouble: str | None = None
        """Why the last commit failed in the store; None: it did not."""
        self._opened: Future[None] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="mimo-write")

    async def __aenter__(self) -> Self:
        """Open the store on the thread. Raises what `opening` does."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        try:
            await finished(asyncio.wrap_future(self._opened))
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def write(self, change: Change) -> Any:
        """Do it, and return its outcome once it is on the disk. Raises LimitError at once when the queue is full."""
        return await self._queued(change)

    def _queued(self, change: Change) -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        with self._wake:
            self.check_room()
            self._waiting.append((change, answer))
            self._high_water = max(self._high_water, len(self._waiting))
            self._wake.notify()
        return answer

    def check_room(self) -> None:
        """Raises LimitError when the queue is full, StoreError at the end: what `write` would say now."""
        if self._ending:
            raise StoreError("the server is ending and takes no more changes; try again when it is back")
        if self._limit is not None and len(self._waiting) >= self._limit:
            self._rejected += 1
            raise LimitError(f"write_queue: {self._limit} changes wait already; busy, try again in a moment")

    def _run(self) -> None:
        try:
            self._opening()
        except BaseException as error:  # noqa: BLE001 -- raised again where it was asked for
            self._opened.set_exception(error)
            return
        self._opened.set_result(None)
        while group := self._group():
            self._commit(group)
        self._store.close()

    def _group(self) -> list[tuple[Change, asyncio.Future[Any]]]:
        """What waits, at least one; none at the end."""
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting or self._ending)
                taken = [self._waiting.popleft() for _ in range(min(_GROUP, len(self._waiting)))]
            if not taken:
                return []
            if wanted := [one for one in taken if not one[1].cancelled()]:
                return wanted

    def _commit(self, group: list[tuple[Change, asyncio.Future[Any]]]) -> None:
        try:
            outcomes = self._store.commit([change for change, _ in group])
        except Exception as error:  # noqa: BLE001 -- every caller gets it, and the thread goes on
            outcomes = [error] * len(group)
        failed = next((one for one in outcomes if isinstance(one, StoreError)), None)
        self.trouble = None if failed is None else str(failed)
        if self._loop is None:
            raise RuntimeError("the writer commits before it was entered")
        with suppress(RuntimeError):  # the loop is closed, and nobody waits
            # Once for all: waking the loop costs as much as a small commit.
            self._loop.call_soon_threadsafe(_answered, [answer for _, answer in group], outcomes)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def bound(self) -> Bound:
        """How many changes wait; those in the commit that runs are not counted."""
        return Bound(
            name="write_queue",
            size=len(self._waiting),
            limit=self._limit,
            high_water=self._high_water,
            rejected=self._rejected,
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take no more, commit what waits, close the store."""
        with self._wake:
            self._ending = True
            self._wake.notify()
        await finished(asyncio.get_running_loop().run_in_executor(None, self._thread.join))
