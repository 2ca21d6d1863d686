"""Interrupts: running work that somebody may stop, and whose waiter is told why."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Coroutine, Hashable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio

from mimo_server.errors import MimoError
from mimo_server.supervision.owner import Owner
from mimo_server.supervision.registry import Registry

Result = TypeVar("Result")


class Interrupted(MimoError):
    """The work was stopped on somebody's wish."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"interrupted: {reason}")
        self.reason = reason


class Interrupt:
    """The means to stop one piece of work, before it begins or while it runs."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.scope: anyio.CancelScope | None = None


class Interrupts:
    """What can be interrupted now. An entry lives as long as its work, and no longer than its owner."""

    def __init__(self, registry: Registry[Interrupt]) -> None:
        self.table = registry
        self.bound = registry.bound

    def register(self, ref: Hashable, owner: Owner | None = None) -> Interrupt:
        """Announce work under `ref`; from now on it can be interrupted. Whoever does it calls `running` or `remove`.

        Raises LimitError when too much runs, InvalidError when that reference is in use.
        """
        interrupt = Interrupt()
        self.table.add(interrupt, key=ref, owner=owner)
        return interrupt

    def remove(self, ref: Hashable) -> None:
        """The work is over."""
        self.table.remove(ref)

    @asynccontextmanager
    async def running(self, ref: Hashable, interrupt: Interrupt, *, seconds: float | None) -> AsyncIterator[None]:
        """Do announced work in this block. Raises Interrupted when it was interrupted, TimeoutError when too late.

        The block is cancelled where it waits, again and again until it ends. An interrupt that was accepted is never
        answered with a result, however fast the work was.
        """
        interrupt.scope = anyio.CancelScope(deadline=math.inf if seconds is None else anyio.current_time() + seconds)
        if interrupt.reason is not None:
            interrupt.scope.cancel()
        try:
            with interrupt.scope as scope:
                yield
        finally:
            self.remove(ref)
        if interrupt.reason is not None:
            raise Interrupted(interrupt.reason)
        if scope.cancelled_caught:
            raise TimeoutError(f"not done within {seconds:g} s; ask for less or allow more")

    async def run(
        self,
        work: Coroutine[Any, Any, Result],
        *,
        ref: Hashable,
        owner: Owner | None = None,
        seconds: float | None = None,
    ) -> Result:
        """Announce `work`, do it, and return its result; raises what `register` and `running` do."""
        try:
            interrupt = self.register(ref, owner)
        except MimoError:
            work.close()
            raise
        async with self.running(ref, interrupt, seconds=seconds):
            result = await work
        return result  # noqa: RET504 -- only here is it known that nobody interrupted it

    def interrupt(self, ref: Hashable, reason: str) -> bool:
        """Stop that work; False when there is none. The first reason counts."""
        if (interrupt := self.table.get(ref)) is None:
            return False
        if interrupt.reason is None:
            interrupt.reason = reason
            if interrupt.scope is not None:
                interrupt.scope.cancel()
        return True

    def check(self, ref: Hashable) -> str | None:
        """Why that work was interrupted; None when it was not, or is not there."""
        interrupt = self.table.get(ref)
        return None if interrupt is None else interrupt.reason

    def raise_and_check(self, reason: str) -> bool:
        """Register an interrupt, see whether the check finds it, take it back."""
        with self.table.holding(Interrupt()) as ref:
            return self.interrupt(ref, reason) and self.check(ref) == reason
