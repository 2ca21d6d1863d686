"""All skills: which run, how many may, and the end of all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Self

from mimo_server.skills.catalog import Catalog
from mimo_server.skills.client import Counts, Progress, SkillClient
from mimo_server.skills.pool import Shared, SkillPool
from mimo_server.skills.skill import Skill
from mimo_server.supervision.events import Events
from mimo_server.supervision.registry import Bound, Registry
from mimo_server.supervision.restarts import RestartBudget

_MOST_CALLS = 512
_MOST_WAITS = 256


class SkillSupervisor:
    """At most `limit` processes in all. Skills fail alone: each has a pool and a restart budget of its own."""

    pool_class = SkillPool

    def __init__(self, catalog: Catalog, events: Events, *, limit: int = 100, grace_seconds: float = 2.0) -> None:
        self.catalog = catalog
        self.counts = Counts()
        self.processes: Registry[SkillClient] = Registry("skills", limit=limit)
        self.calls: Registry[str] = Registry("skill_calls", limit=_MOST_CALLS)
        self.waits: Registry[str] = Registry("skill_waits", limit=_MOST_WAITS)
        self.pools: dict[str, SkillPool] = {}
        self._shared = Shared(
            processes=self.processes,
            waits=self.waits,
            counts=self.counts,
            events=events,
            grace_seconds=grace_seconds,
        )
        self._retiring: set[asyncio.Task[None]] = set()

    async def call(
        self, name: str | tuple[str, str], arguments: dict[str, Any], *, on_progress: Progress | None = None
    ) -> dict[str, Any]:
        """The CallToolResult of an offered tool, by its offered name or as (skill, tool).

        Raises NotFoundError, LimitError, and SkillError, also late, ended or closed.
        """
        offered = self.catalog.find(name if isinstance(name, str) else "_".join(name))
        with self.calls.holding(offered.name):
            return await self._pool(offered.skill).call(offered.tool.name, arguments, on_progress)

    def _pool(self, skill: Skill) -> SkillPool:
        if (pool := self.pools.get(skill.name)) is None:
            pool = self.pools[skill.name] = self.pool_class(skill, self._shared, self.budget(skill))
        return pool

    def budget(self, skill: Skill) -> RestartBudget:  # noqa: ARG002 -- one policy for all skills
        """How often a skill may fail."""
        return RestartBudget()

    async def reload(self) -> None:
        """Read the catalog again. Skills that changed or went finish their calls and end; the others run on.

        Raises SettingsError when the file does not fit, and then everything stays as it was.
        """
        await self.catalog.reload()
        for name, pool in list(self.pools.items()):
            if self.catalog.skills.get(name) != pool.skill:
                del self.pools[name]
                task = asyncio.create_task(pool.retire(), name=f"end of skill {name}")
                self._retiring.add(task)
                task.add_done_callback(self._retiring.discard)

    @property
    def running(self) -> Mapping[str, int]:
        """Processes of each skill of the catalog that can be called."""
        return {name: len(self.pools[name].members) if name in self.pools else 0 for name in self.catalog.skills}

    async def check(self) -> str | None:
        """Which skills are closed, as one sentence; None when none is."""
        closed = {name: pool.budget.closed_for() for name, pool in self.pools.items() if not pool.members}
        told = [f"{name} (for {left:.0f} s)" for name, left in sorted(closed.items()) if left]
        return f"skills that failed too often are closed: {', '.join(told)}; look at their log" if told else None

    def bounds(self) -> tuple[Bound, ...]:
        """Processes, calls in flight, calls that wait for a process, offered tools."""
        return self.processes.bound(), self.calls.bound(), self.waits.bound(), self.catalog.bound()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for task in self._retiring:
            task.cancel()
        pools = [*self.pools.values()]
        await asyncio.gather(*(pool.close() for pool in pools), *self._retiring, return_exceptions=True)
