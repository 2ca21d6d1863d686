"""The server's own tools, one file per part of the server. A tool is a function whose models make its schemas.

A new file is found when `own_tools` below names it; the order there is the order of tools/list.
"""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Protocol

import mcp_types as mcp
from pydantic import BaseModel, ConfigDict

from mimo_server.app import App

READS = mcp.ToolAnnotations(read_only_hint=True, open_world_hint=False)
ADDS = mcp.ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
DELETES = mcp.ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)
RESETS = mcp.ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)


class Progress(Protocol):
    """Tells the client how far a call is; nothing happens when it did not ask."""

    async def __call__(self, done: float, total: float | None = None, message: str | None = None, /) -> None:
        """`done` of `total`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a tool is played with besides its arguments."""

    app: App
    progress: Progress


class Arguments(BaseModel):
    """Of a tool: unknown ones are refused, and nothing is converted (true is no number, "10" neither)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Result(BaseModel):
    """Of a tool."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Arguments):
    """No arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function and what a client is told of it."""

    arguments: type[Arguments]
    play: Callable[[Call, Any], Awaitable[Result]]
    described: mcp.Tool


Play = typing.TypeVar("Play", bound=Callable[..., Awaitable[Result]])
_offered: dict[str, Tool] = {}


def tool(annotations: mcp.ToolAnnotations) -> Callable[[Play], Play]:
    """Offer a function `async (call, arguments) -> result`: its name, docstring and models become the tool."""

    def offer(play: Play) -> Play:
        types = typing.get_type_hints(play)
        _offered[play.__name__] = Tool(
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


@cache
def own_tools() -> Mapping[str, Tool]:
    """By name, in the order of the files and of the functions in them."""
    for module in ("memory", "skills", "agents", "procedures"):
        importlib.import_module(f"{__name__}.{module}")
    return MappingProxyType(_offered)
