"""What is offered to clients as tools: the server's own, and those of the skills in the catalog, each name once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import mcp_types as mcp
from pydantic import ValidationError

from mimo_server.app import App
from mimo_server.skills.catalog import Offered
from mimo_server.skills.client import Progress as Heard
from mimo_server.supervision.owner import Owner
from mimo_server.surface.tools import Call, Progress, Tool, own_tools

Play = Callable[[dict[str, Any], Progress | None], Awaitable[mcp.CallToolResult]]
"""Arguments, and whom to tell how far it is; None: nobody asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A tool as a client sees it, and how it is played."""

    described: mcp.Tool
    play: Play
    has_headers: bool = field(init=False)
    """Its schema may name arguments that HTTP repeats as headers; the SDK walks schemas in search of them, 30 µs."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "has_headers", "x-mcp-header" in json.dumps(self.described.input_schema))


class Offers:
    """Keeps the table of tools true: the server's own for good, those of skills for one generation of the catalog."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._generation = Owner("tools of skills")

    def enter(self) -> None:
        """Fill the table. Raises SettingsError when a skill has taken the name of a tool of the server."""
        for name, one in own_tools().items():
            self._app.tools.add(Offer(described=one.described, play=_own(self._app, name, one)), key=name)
        catalog = self._app.skills.catalog
        catalog.reserved = own_tools().keys()
        catalog.changed.append(self._renew)
        catalog.replace(catalog.skills)

    def _renew(self) -> None:
        """The catalog changed: the old ones leave together, the new ones come, and nobody sees what is between."""
        self._generation.end()
        self._generation = Owner("tools of skills")
        for one in self._app.skills.catalog.offered():
            offer = Offer(described=_described(one), play=_skill(self._app, one))
            self._app.tools.add(offer, key=one.name, owner=self._generation)


def refused(problem: str) -> mcp.CallToolResult:
    """An error that the caller can mend."""
    return mcp.CallToolResult(content=[mcp.TextContent(text=problem)], is_error=True)


def _own(app: App, name: str, one: Tool) -> Play:
    async def play(given: dict[str, Any], progress: Progress | None) -> mcp.CallToolResult:
        try:
            arguments = one.arguments.model_validate(given)
        except ValidationError as error:
            return refused(f"wrong arguments for {name}: {_problems(error)}")
        result = await one.play(Call(app=app, progress=progress or _nobody), arguments)
        return mcp.CallToolResult(
            content=[mcp.TextContent(text=result.model_dump_json(exclude_none=True))],
            structured_content=result.model_dump(mode="json", exclude_none=True),
        )

    return play


async def _nobody(done: float, total: float | None = None, message: str | None = None, /) -> None:
    """Nobody asked for progress."""


def _problems(error: ValidationError) -> str:
    """One clause per wrong argument, ten at most; the values themselves are not repeated."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[:10]
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'arguments'}: {one['msg']}" for one in found)


def _described(one: Offered) -> mcp.Tool:
    return mcp.Tool.model_validate({**one.tool.as_json(), "name": one.name}, by_name=False)


def _skill(app: App, one: Offered) -> Play:
    async def play(given: dict[str, Any], progress: Progress | None) -> mcp.CallToolResult:
        if progress is None:
            answer = await app.skills.call(one.name, given)
        else:
            async with _passed_on(progress) as hear:
                answer = await app.skills.call(one.name, given, on_progress=hear)
        return mcp.CallToolResult.model_validate(answer, by_name=False)

    return play


@asynccontextmanager
async def _passed_on(progress: Progress) -> AsyncIterator[Heard]:
    """A function that takes a skill's progress and never waits; the client is told the latest, as fast as it reads."""
    latest: asyncio.Queue[tuple[float, float | None, str | None]] = asyncio.Queue(maxsize=1)

    def hear(done: float, total: float | None, message: str | None) -> None:
        if latest.full():
            latest.get_nowait()
        latest.put_nowait((done, total, message))

    async def tell() -> None:
        while True:
            await progress(*await latest.get())

    telling = asyncio.create_task(tell(), name="progress of a skill")
    try:
        yield hear
    finally:
        telling.cancel()
        await asyncio.wait([telling])
