"""All runs of procedures: so many at once, so many remembered, none left at the end."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from mimo_server.errors import NotFoundError, ProcedureError
from mimo_server.procedures.definition import Procedure
from mimo_server.procedures.execution import Execution, Status
from mimo_server.procedures.steps import Tools
from mimo_server.supervision.events import Events, Kind
from mimo_server.supervision.registry import Bound, Registry

_OVERDUE_SECONDS = 1.0
"""How far past its deadline a run may be before that is a problem: cancelling takes a moment."""


class Procedures:
    """Starts, tells and ends runs; each is one task, which this object owns. Used from the event loop's thread only."""

    def __init__(  # noqa: PLR0913 -- what it needs, and its limits by name
        self,
        definitions: Mapping[str, Procedure],
        tools: Tools,
        events: Events,
        *,
        limit: int | None = 100,
        kept: int = 1000,
        kept_seconds: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.definitions = definitions
        self.tools = tools
        self.execution: type[Execution] = Execution
        self._events = events
        self._running: Registry[Execution] = Registry("executions", limit=limit)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._kept: OrderedDict[str, tuple[float, Execution]] = OrderedDict()
        """By id, with the clock's time of its end; oldest first."""
        self._kept_limit = kept
        self._kept_seconds = kept_seconds
        self._kept_high_water = self._kept_evicted = 0
        self._clock = clock
        self._open = False

    async def __aenter__(self) -> Self:
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Interrupt what runs, and wait until all of it has ended."""
        self._open = False
        tasks = list(self._tasks.values())
        for number in list(self._tasks):
            self.interrupt(number, "the server is ending")
        if tasks:
            await asyncio.wait(tasks)

    async def run(self, name: str, context: Mapping[str, Any] | None = None, *, wait: bool = True) -> Execution:
        """Start one and return it: at its end, or at once without `wait`. A waiting caller that is cancelled ends it.

        Raises NotFoundError (no such procedure), InvalidError (the context), LimitError (as many run as may).
        """
        if not self._open:
            raise ProcedureError("no procedure can start: the server is not running; start it again")
        if (procedure := self.definitions.get(name)) is None:
            known = ", ".join(sorted(self.definitions))
            raise NotFoundError(f"there is no procedure {name!r:.70}; there are: {known:.500}")
        execution = self.execution(procedure, context or {}, self.tools)
        self._running.add(execution, key=execution.id)
        task = asyncio.create_task(execution.play(), name=f"procedure {execution.id}")
        self._tasks[execution.id] = task
        task.add_done_callback(lambda _: self._task_ended(execution))
        if wait:
            try:
                await asyncio.wait({task})  # not for `ended`: the place is free only after that
            except asyncio.CancelledError:
                execution.interrupt(task, "its caller went away")
                raise
        return execution

    def send(self, number: str, event: str, data: Mapping[str, Any] | None = None) -> Execution:
        """Give a waiting run an event; its data go into the context.

        Raises NotFoundError, ProcedureError (it waits for none, or for others), InvalidError (the data).
        """
        execution = self.status(number)
        execution.receive(event, data or {})
        return execution

    def interrupt(self, number: str, reason: str) -> Execution:
        """Have it end soon; one that has ended stays as it is. Raises NotFoundError."""
        execution = self.status(number)
        if (task := self._tasks.get(number)) is not None:
            execution.interrupt(task, reason)
        return execution

    def status(self, number: str) -> Execution:
        """The run of that id, running or kept. Raises NotFoundError."""
        self.forget_old()
        if (running := self._running.get(number)) is not None:
            return running
        if number in self._kept:
            return self._kept[number][1]
        raise NotFoundError(
            f"there is no execution {number!r:.70} (any more: {self._kept_limit} ended ones are kept for "
            f"{self._kept_seconds:g} s); start the procedure again"
        )

    def list(self) -> tuple[Execution, ...]:
        """Those that run, then those kept, each oldest first."""
        self.forget_old()
        return (*self._running, *(execution for _, execution in self._kept.values()))

    def ended(self, execution: Execution) -> None:
        """A run has ended: its place is free, and it is remembered for a while."""
        self._running.remove(execution.id)
        self._kept[execution.id] = (self._clock(), execution)
        self.forget_old()
        self._kept_high_water = max(self._kept_high_water, len(self._kept))

    def forget_old(self) -> None:
        """Drop ended runs that are too old or too many."""
        oldest_kept = self._clock() - self._kept_seconds
        while len(self._kept) > self._kept_limit:
            self._kept.popitem(last=False)
            self._kept_evicted += 1
        while self._kept and next(iter(self._kept.values()))[0] <= oldest_kept:
            self._kept.popitem(last=False)

    def bounds(self) -> tuple[Bound, ...]:
        """Of the running and of the kept; what the ring forgets for the newest is no rejection."""
        self.forget_old()
        kept = Bound(
            name="executions_kept",
            size=len(self._kept),
            limit=self._kept_limit,
            high_water=self._kept_high_water,
            rejected=0,
            evicted=self._kept_evicted,
        )
        return (self._running.bound(), kept)

    async def check(self) -> str | None:
        """A problem when runs outlive their deadline, or when no further one can start."""
        overdue = [
            execution.id
            for execution in self._running
            if execution.seconds() > execution.procedure.deadline_seconds + _OVERDUE_SECONDS
        ]
        if overdue:
            return f"{len(overdue)} executions run past their deadline, such as {overdue[0]}"
        bound = self._running.bound()
        if bound.limit is not None and bound.size >= bound.limit:
            return f"all {bound.limit} executions are in use"
        return None

    def _task_ended(self, execution: Execution) -> None:
        execution.never_played()
        del self._tasks[execution.id]
        self.ended(execution)
        if execution.status is Status.TIMED_OUT:
            self._events.emit(
                Kind.ALERT,
                resource=f"procedure {execution.procedure.name}: seconds",
                value=execution.seconds(),
                threshold=execution.procedure.deadline_seconds,
                raised=True,
            )
