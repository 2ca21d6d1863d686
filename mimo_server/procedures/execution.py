"""One run of a procedure: where it is, what it knows, and how it ends."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mimo_server.errors import InvalidError, MimoError, ProcedureError
from mimo_server.procedures.definition import Action, Procedure, State
from mimo_server.procedures.steps import STEPS, Call, Tools, resolved

MOST_CONTEXT_BYTES = 16 * 1024
"""1,000 kept runs are 16 MB at most."""
MOST_VISITS = 10_000
"""A circle of steps that take no time would otherwise burn a processor until the deadline."""
_KEPT_VISITS = 64
_LONGEST_ERROR = 500
_LONGEST_BACKOFF_SECONDS = 60.0

_log = logging.getLogger(__name__)


class Status(StrEnum):
    """How a run stands."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    """For an event from outside."""
    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A state was entered."""

    state: str
    event: str
    """What led there; "start" for the first."""
    at: float
    """Seconds since the epoch."""


class Execution:
    """Played once, by one task. Its attributes are to be read by all and set by none but itself.

    Two names of the context are its own: `attempt`, the number of the present action's attempt from 1, and `error`,
    what went wrong where a state has a transition for "error".

    Does not see: whether an action that failed or was late had its effect all the same; a retry may have it twice.
    """

    def __init__(self, procedure: Procedure, context: Mapping[str, Any], tools: Tools) -> None:
        self.id = uuid.uuid4().hex
        self.procedure = procedure
        self.context = _fitting(context)
        self.status = Status.PENDING
        self.state = procedure.initial
        self.history: deque[Visit] = deque(maxlen=_KEPT_VISITS)
        self.visits = 0
        self.error: str | None = None
        self.started_at = time.time()
        self.ended_at: float | None = None
        self._began = time.monotonic()
        self._took: float | None = None
        self.ended = asyncio.Event()
        self.deadline: asyncio.Timeout | None = None
        self._tools = tools
        self._reason: str | None = None
        self._awaited: asyncio.Future[str] | None = None

    async def play(self) -> None:
        """To its end, which is in `status` and `error`. Raises nothing but a cancellation that is no `interrupt`."""
        self.status = Status.RUNNING
        self.deadline = self.arm_deadline()
        try:
            async with self.deadline:
                await self._walk()
        except TimeoutError:
            seconds = self.procedure.deadline_seconds
            self.finish(Status.TIMED_OUT, f"state {self.state!r}: the deadline of {seconds} s has passed; raise it")
        except asyncio.CancelledError:
            self.finish(Status.INTERRUPTED, self._reason or "its task was cancelled")
            if self._reason is None:
                raise
        except MimoError as error:
            self.finish(Status.FAILED, str(error))
        except Exception as error:  # noqa: BLE001 -- nobody awaits this task: it would be lost; it is logged and told
            _log.exception("procedure %s: state %s broke", self.procedure.name, self.state)
            self.finish(Status.FAILED, f"state {self.state!r}: a fault of the server, see its log: {error!r}")
        else:
            self.finish(Status.COMPLETED, None)

    def arm_deadline(self) -> asyncio.Timeout:
        """What ends the run when its time is up, in whatever state it is then."""
        return asyncio.timeout(self.procedure.deadline_seconds)

    def enter(self, state: State, event: str) -> None:
        """Note that the run is in that state now."""
        if self.visits == MOST_VISITS:
            raise ProcedureError(
                f"state {state.name!r}: {MOST_VISITS} states were entered; put a delay into the circle"
            )
        self.visits += 1
        self.state = state.name
        self.history.append(Visit(state=state.name, event=event, at=time.time()))

    async def before_retry(self, retry: int) -> None:
        """Wait before the retry of that number, from 1: twice as long each time, less up to half of it by chance.

        The chance keeps runs that failed together from coming back together.
        """
        longest = min(self.procedure.backoff_seconds * 2 ** (retry - 1), _LONGEST_BACKOFF_SECONDS)
        await asyncio.sleep(longest * random.uniform(0.5, 1))  # noqa: S311 -- nothing secret hangs on it

    def receive(self, event: str, data: Mapping[str, Any]) -> None:
        """Take an event from outside. Raises ProcedureError when it waits for none or for others."""
        if self._awaited is None or self._awaited.done():
            raise ProcedureError(
                f"execution {self.id} is {self.status} in state {self.state!r} and waits for no event; "
                "send one when its status is waiting"
            )
        on = self.procedure.states[self.state].on
        if event not in on:
            raise ProcedureError(
                f"execution {self.id}: event {event!r:.70} does not fit state {self.state!r}; send one of: "
                + ", ".join(on)
            )
        self._merge(data)
        self.status = Status.RUNNING  # it goes on with the loop's next turn
        self._awaited.set_result(event)

    def interrupt(self, task: asyncio.Task[None], reason: str) -> None:
        """End it as interrupted, soon; an ended one stays as it is, and the first reason stands."""
        if not self.ended.is_set() and self._reason is None:
            self._reason = reason[:_LONGEST_ERROR]
            task.cancel()

    def finish(self, status: Status, error: str | None) -> None:
        """It has ended; the first end stands."""
        if self.ended.is_set():
            return
        self.status = status
        self.error = None if error is None else error[:_LONGEST_ERROR]
        self.ended_at = time.time()
        self._took = self.seconds()
        self.deadline = None  # it holds the task, which nobody needs among the kept
        self.ended.set()

    def seconds(self) -> float:
        """How long it took, or has taken so far."""
        return time.monotonic() - self._began if self._took is None else self._took

    def never_played(self) -> None:
        """Its task ended; where that was before it could begin, nobody has said so yet."""
        self.finish(Status.INTERRUPTED, self._reason or "its task was cancelled before it began")

    async def _walk(self) -> None:
        name, event = self.procedure.initial, "start"
        while True:
            state = self.procedure.states[name]
            self.enter(state, event)
            await asyncio.sleep(0)  # steps that wait for nothing must let the others and the deadline in
            if state.action is not None:
                event = await self._act(state, state.action)
            elif state.on:
                event = await self._wait()
            if not state.on:
                return
            name = state.on[event]

    async def _wait(self) -> str:
        self._awaited = asyncio.get_running_loop().create_future()
        self.status = Status.WAITING
        try:
            return await self._awaited
        finally:
            self._awaited = None
            self.status = Status.RUNNING

    async def _act(self, state: State, action: Action) -> str:
        """The event with which the action ended. Raises ProcedureError when it failed for good."""
        retries = 0 if "error" in state.on else self.procedure.retries
        problem = ""
        for attempt in range(1, retries + 2):
            if attempt > 1:
                await self.before_retry(attempt - 1)
            try:
                return await self._attempt(action, attempt)
            except MimoError as error:
                problem = f"{action.step} failed: {error}"
        problem = f"state {state.name!r}: {problem}"[:_LONGEST_ERROR]
        if "error" not in state.on:
            raise ProcedureError(f"{problem} (played {retries + 1} times)" if retries else problem)
        self._merge({"error": problem})
        return "error"

    async def _attempt(self, action: Action, attempt: int) -> str:
        self._merge({"attempt": attempt})
        call = Call(arguments=resolved(action.arguments, self.context), context=self.context, tools=self._tools)
        limit = asyncio.timeout(action.timeout_seconds)
        try:
            async with limit:
                outcome = await STEPS[action.step].play(call)
        except TimeoutError as error:
            late = f"it took more than {action.timeout_seconds} s; raise its timeout_seconds"
            raise ProcedureError(late if limit.expired() else f"what it called gave up waiting ({error})") from error
        self._merge(outcome.result)
        return outcome.event

    def _merge(self, news: Mapping[str, Any]) -> None:
        if news:
            self.context = _fitting({**self.context, **news})


def _fitting(context: Mapping[str, Any]) -> dict[str, Any]:
    """A copy, which shares nothing with what others hold. Raises InvalidError when it is too big or no JSON."""
    try:
        text = json.dumps(context, allow_nan=False)
        if len(text) <= MOST_CONTEXT_BYTES:
            copy: dict[str, Any] = json.loads(text)
            return copy
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidError(f"the context must be JSON ({error!s:.100}); leave out what is not") from error
    raise InvalidError(f"the context would take {len(text)} bytes, more than {MOST_CONTEXT_BYTES}; keep less in it")
