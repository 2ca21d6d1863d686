"""For defects of skills: a process for each call, so that one end of a process belongs to one call."""

from __future__ import annotations

from typing import Any

from mimo_server.skills.client import Progress
from mimo_server.skills.pool import SkillPool


def over(known: type[SkillPool], pool: type[SkillPool]) -> type[SkillPool]:
    """`pool` and its client on top of those that are there, so that defects of one profile add up."""
    client, below = pool.client_class, known.client_class
    both = below if issubclass(below, client) else type(client.__name__, (client, below), {})
    return type(pool.__name__, (pool, known), {"client_class": both})


class OneCallPool(SkillPool):
    """Starts a process, asks it, and ends it; the end is its client's own way of it."""

    async def call(self, tool: str, arguments: dict[str, Any], on_progress: Progress | None = None) -> dict[str, Any]:
        """The result of a tool."""
        client = self.client_class(
            self.skill,
            events=self._shared.events,
            counts=self._shared.counts,
            grace_seconds=self._shared.grace_seconds,
            lost=lambda *_: None,
        )
        self.enter(client)
        try:
            await client.start()
            return await client.call(tool, arguments, on_progress)
        finally:
            await client.close()
