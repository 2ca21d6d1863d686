"""The skills that run: each started at its first call, kept, used by all, ended with the server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol, Self

from mimo_server.errors import LimitError, SkillError
from mimo_server.skills.catalog import Skill
from mimo_server.skills.client import SkillClient
from mimo_server.supervision.registry import Bound, Registry


class Skills(Protocol):
    """Who runs skills for the tools."""

    async def call(self, name: str, tool: str, arguments: dict[str, Any]) -> Any:
        """Ask a skill of the catalog. Raises SkillError or LimitError."""

    def bound(self) -> Bound:
        """How many run, and how many may."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc_info: object) -> None: ...


class SkillPool:
    """At most one process per skill and `limit` in all. One that has ended is replaced by the next call."""

    def __init__(self, catalog: Mapping[str, Skill], *, limit: int) -> None:
        self._catalog = catalog
        self._running: Registry[SkillClient] = Registry("skills", limit=limit)
        self._by_name: dict[str, tuple[int, SkillClient]] = {}
        self._starting: dict[str, asyncio.Task[SkillClient]] = {}

    async def call(self, name: str, tool: str, arguments: dict[str, Any]) -> Any:
        """Ask the skill, started if need be."""
        return await (await self._ready(name)).call(tool, arguments)

    async def _ready(self, name: str) -> SkillClient:
        known = self._by_name.get(name)
        if known is not None and known[1].alive:
            return known[1]
        if name not in self._starting:  # two first calls at once are one start
            self._starting[name] = asyncio.create_task(self._start(name), name=f"start {name}")
        return await asyncio.shield(self._starting[name])  # a caller that gives up must not leave half a start

    async def _start(self, name: str) -> SkillClient:
        try:
            if name not in self._catalog:
                raise SkillError(f"there is no skill {name!r}; the catalog has {', '.join(sorted(self._catalog))}")
            if (ended := self._by_name.pop(name, None)) is not None:
                await ended[1].close()
                self._running.remove(ended[0])
            client = await SkillClient.start(self._catalog[name])
            try:
                self._by_name[name] = self._running.add(client), client
            except LimitError:
                await client.close()
                raise
            return client
        finally:
            del self._starting[name]

    def bound(self) -> Bound:
        """How many run, and how many may."""
        return self._running.bound()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await asyncio.gather(*self._starting.values(), return_exceptions=True)
        await asyncio.gather(*(client.close() for client in self._running))
