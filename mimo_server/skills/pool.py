"""The processes of one skill: started when needed, more under load, fewer when idle, replaced when they die."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from mimo_server.errors import LimitError, SkillClosedError, SkillError
from mimo_server.skills.client import Counts, Progress, SkillClient
from mimo_server.skills.skill import Skill, Tool
from mimo_server.supervision.events import Events, Kind
from mimo_server.supervision.registry import Registry
from mimo_server.supervision.restarts import RestartBudget


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What the pools of all skills have together."""

    processes: Registry[SkillClient]
    """A row per process, from before it starts until it has been reaped."""
    waits: Registry[str]
    """Calls that wait for a process."""
    counts: Counts
    events: Events
    grace_seconds: float


class SkillPool:
    """Calls go to the process with the fewest in flight."""

    client_class = SkillClient
    busy = 8
    """So many calls in flight in each process make the pool grow."""

    def __init__(self, skill: Skill, shared: Shared, budget: RestartBudget) -> None:
        self.skill = skill
        self.budget = budget
        self.members: list[SkillClient] = []
        self._shared = shared
        self._starting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[SkillClient, asyncio.TimerHandle] = {}
        self._callers = 0
        self._no_callers = asyncio.Event()
        self._no_callers.set()
        self._closed = False

    async def call(self, tool: str, arguments: dict[str, Any], on_progress: Progress | None = None) -> dict[str, Any]:
        """The result of a tool. Raises SkillError, also late, ended or closed, and LimitError."""
        self._callers += 1
        self._no_callers.clear()
        try:
            client = await self._ready()
            return await client.call(tool, arguments, on_progress)
        finally:
            self._callers -= 1
            if not self._callers:
                self._no_callers.set()

    async def _ready(self) -> SkillClient:
        """A process with room for a call; nothing may be awaited between this and the call."""
        while True:
            best = min(self.members, key=lambda client: client.in_flight, default=None)
            if best is None or best.in_flight >= self.busy:
                self._grow()
            if best is not None and best.in_flight < best.most_in_flight:
                return best
            if (starting := self._starting) is None:
                self._refuse()
            else:
                with self._shared.waits.holding(self.skill.name):
                    await asyncio.wait({starting})  # which leaves it alone when this caller gives up
                if not starting.cancelled():
                    starting.result()

    def _refuse(self) -> None:
        name, left = self.skill.name, self.budget.closed_for()
        if self._closed:
            raise SkillClosedError(
                f"skill {name!r} is being ended; try again once the server is up or the catalog read"
            )
        if left and not self.members:
            raise SkillClosedError(
                f"skill {name!r} failed {self.budget.most} times within {self.budget.within:g} s and is left alone; "
                f"it may be tried again in {left:.0f} s"
            )
        raise LimitError(f"skill {name!r}: its {len(self.members)} processes are full; try again")

    def _grow(self) -> None:
        """Begin to start one more, if one more may run and none is starting: two first calls are one start."""
        full = len(self.members) >= self.skill.processes.most
        if self._starting is None and not full and not self._closed and not self.budget.closed_for():
            self._starting = self._begin(self._start(), "start")
            self._starting.add_done_callback(self._started)

    def _started(self, task: asyncio.Task[None]) -> None:
        self._starting = None
        if not task.cancelled():
            task.exception()  # waiting callers have it; without any, the event has told

    async def _start(self) -> None:
        await asyncio.sleep(self.budget.delay())
        client = self.client_class(
            self.skill,
            events=self._shared.events,
            counts=self._shared.counts,
            grace_seconds=self._shared.grace_seconds,
            lost=self._lose,
        )
        self.enter(client)
        try:
            found = await client.start()
        except SkillError as error:
            self._failed(str(error), client)
            raise
        self._compare(found)
        self._shared.events.emit(Kind.SKILL_STARTED, skill=self.skill.name, pid=client.process.pid)
        self.members.append(client)
        self._watch_idleness(client)

    def enter(self, client: SkillClient) -> None:
        """Its row, which leaves with the process. Raises LimitError."""
        try:
            self._shared.processes.add(client, owner=client.process.owner)
        except LimitError:
            client.process.owner.end()
            raise

    def _compare(self, found: tuple[Tool, ...]) -> None:
        """Say when the tools are not those of the catalog. Clients still see what the catalog says, and no more."""
        listed = {tool.name: tool.digest() for tool in found}
        ours = {tool.name: tool.digest() for tool in self.skill.tools}
        changed = sorted(name for name in listed.keys() | ours.keys() if listed.get(name) != ours.get(name))
        if changed:
            self._shared.events.emit(Kind.SKILL_CHANGED, skill=self.skill.name, tools=", ".join(changed))

    def _lose(self, client: SkillClient, why: str) -> None:
        """A process can answer no more, and nobody asked it to end."""
        self._begin(client.close(), "end")
        if client in self.members:  # else its start says so
            self._leave(client)
            self._failed(why, client)

    def _failed(self, why: str, client: SkillClient) -> None:
        self.budget.failed()
        stderr = client.process.stderr.last_line()
        self._shared.events.emit(Kind.SKILL_ENDED, skill=self.skill.name, why=why, stderr=stderr)
        if (left := self.budget.closed_for()) > 0:
            self.gave_up(left)

    def gave_up(self, seconds: float) -> None:
        """The budget is used up: nothing is started for so long. What runs, of this skill and of others, runs on."""
        self._shared.events.emit(Kind.SKILL_CLOSED, skill=self.skill.name, seconds=round(seconds, 1))

    def _watch_idleness(self, client: SkillClient) -> None:
        """End it when it has been idle for long enough and may go; else look again when it could have been."""
        loop = asyncio.get_running_loop()
        left = client.idle_since + self.skill.idle_seconds - loop.time()
        if client.in_flight or left > 0 or len(self.members) <= self.skill.processes.least:
            wait = left if left > 0 else self.skill.idle_seconds
            self._timers[client] = loop.call_later(wait, self._watch_idleness, client)
        else:
            self.dismiss(client, "idle")

    def dismiss(self, client: SkillClient, why: str) -> None:
        """End one process that runs."""
        self._leave(client)
        self._shared.events.emit(Kind.SKILL_ENDED, skill=self.skill.name, why=why)
        self._begin(client.close(), "end")

    def _leave(self, client: SkillClient) -> None:
        self.members.remove(client)
        self._timers.pop(client).cancel()

    def _begin(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"{what} of skill {self.skill.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def retire(self) -> None:
        """End once the calls in flight have their answers."""
        try:
            await self._no_callers.wait()  # each ends within its own deadline
        finally:
            await self.close()

    async def close(self) -> None:
        """End all processes, also one that is starting; returns when nothing is left of them."""
        self._closed = True
        if self._starting is not None:
            self._starting.cancel()
        while self.members:
            self.dismiss(self.members[-1], "the server ends it")
        while self._tasks:
            await asyncio.wait(self._tasks)
