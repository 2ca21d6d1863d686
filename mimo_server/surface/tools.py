"""The tools: one function each. Its arguments and result are models, which make the schemas."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import mcp_types as mcp
from pydantic import BaseModel

from mimo_server.app import App
from mimo_server.memory.record import Draft
from mimo_server.surface import models

READS = mcp.ToolAnnotations(read_only_hint=True, open_world_hint=False)
ADDS = mcp.ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
DELETES = mcp.ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function and what a client is told of it."""

    arguments: type[BaseModel]
    play: Callable[[App, Any], Awaitable[BaseModel]]
    described: mcp.Tool


_tools: dict[str, Tool] = {}
TOOLS: Mapping[str, Tool] = MappingProxyType(_tools)
"""By name, in the order of this file."""

Play = typing.TypeVar("Play", bound=Callable[..., Awaitable[BaseModel]])


def _tool(annotations: mcp.ToolAnnotations) -> Callable[[Play], Play]:
    """Offer a function: its name, docstring and annotated models become the tool."""

    def offer(play: Play) -> Play:
        types = typing.get_type_hints(play)
        _tools[play.__name__] = Tool(
            arguments=types["arguments"],
            play=play,
            described=mcp.Tool(
                name=play.__name__,
                description=inspect.getdoc(play),
                input_schema=types["arguments"].model_json_schema(),
                output_schema=types["return"].model_json_schema(mode="serialization"),
                annotations=annotations,
            ),
        )
        return play

    return offer


@_tool(READS)
async def memory_search(app: App, arguments: models.Search) -> models.Found:
    """Find memories whose words are like those of the query, most alike first."""
    hits = await app.memories.search(arguments.query, arguments.limit, arguments.min_similarity)
    return models.Found(
        memories=[
            models.Memory(
                id=hit.id,
                content=hit.content,
                category=hit.category,
                importance=hit.importance,
                similarity=hit.similarity,
            )
            for hit in hits
        ]
    )


@_tool(READS)
async def memory_stats(app: App, arguments: models.Nothing) -> models.Stats:  # noqa: ARG001 -- every tool has arguments
    """Count the memories and the bytes they take on disk."""
    facts = await app.memories.facts()
    return models.Stats(memories=facts.memories, live_bytes=facts.live_bytes)


@_tool(ADDS)
async def memory_store(app: App, arguments: models.Store) -> models.Stored:
    """Remember a text."""
    draft = Draft(content=arguments.content, category=arguments.category, importance=arguments.importance)
    return models.Stored(id=await app.memories.store(draft))


@_tool(DELETES)
async def memory_forget(app: App, arguments: models.Forget) -> models.Forgotten:
    """Delete one memory by id, all of a category, or all; nothing when nothing is named."""
    forgotten = await app.memories.forget(number=arguments.id, category=arguments.category, everything=arguments.all)
    return models.Forgotten(forgotten=forgotten)


@_tool(READS)
async def skill_echo(app: App, arguments: models.Echo) -> models.Echoed:
    """Have the text said back by the echo skill, which runs in a process of its own."""
    answer = await app.skills.call("echo", "echo", {"text": arguments.text})
    return models.Echoed.model_validate(answer)


@_tool(READS)
async def agent_ping(app: App, arguments: models.Ping) -> models.Pong:
    """Open a connection to an agent, exchange one message, and close it."""
    async with app.connections.to(arguments.agent) as connection:
        return models.Pong(reply=await connection.ask("ping"))


@_tool(READS)
async def interrupt_check(app: App, arguments: models.Interruption) -> models.Interrupted:
    """Raise an interrupt, see that a check finds it, and take it back."""
    return models.Interrupted(seen=app.interrupts.raise_and_check(arguments.reason), reason=arguments.reason)
