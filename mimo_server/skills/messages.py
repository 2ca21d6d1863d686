"""What a skill may say: JSON-RPC lines, lists of tools and results of calls, each checked before anyone uses it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mimo_server.errors import SkillError
from mimo_server.skills.skill import MOST_TOOLS, Tool

VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""Of MCP, newest first: those that have `initialize`."""
_MOST_PARTS = 1024
_TOOL = TypeAdapter(Tool)
_KEPT_FIELDS = ("name", "description", "inputSchema", "outputSchema", "annotations")


def parsed(line: bytes) -> dict[str, Any] | None:
    """The message of a line; None when it is no JSON-RPC: invalid UTF-8 or JSON, nested too deep, no object."""
    try:
        message = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) and message.get("jsonrpc") == "2.0" else None


def version(skill: str, result: object) -> str:
    """The protocol version that `initialize` agreed on. Raises SkillError."""
    match result:
        case {"protocolVersion": str() as agreed} if agreed in VERSIONS:
            return agreed
        case {"protocolVersion": agreed}:
            raise SkillError(
                f"skill {skill!r} speaks MCP {str(agreed)[:40]!r}; it must speak one of {', '.join(VERSIONS)}"
            )
        case _:
            raise SkillError(f"skill {skill!r} did not answer initialize as MCP says; check that it is an MCP server")


def tools(skill: str, result: object) -> tuple[tuple[Tool, ...], str | None]:
    """One page of tools/list, and the cursor of the next. Raises SkillError when one is not as it must be."""
    match result:
        case {"tools": list() as listed, **rest} if len(listed) <= MOST_TOOLS:
            cursor = rest.get("nextCursor")
            if cursor is not None and not (isinstance(cursor, str) and len(cursor) <= 4096):
                raise SkillError(f"skill {skill!r}: the cursor of its tools/list is no short text; correct the skill")
            return tuple(_tool(skill, one) for one in listed), cursor
        case {"tools": list() as listed}:
            raise SkillError(f"skill {skill!r} lists {len(listed)} tools; {MOST_TOOLS} are the most")
        case _:
            raise SkillError(f"skill {skill!r} did not answer tools/list as MCP says; correct the skill")


def _tool(skill: str, listed: object) -> Tool:
    if not isinstance(listed, Mapping):
        raise SkillError(f"skill {skill!r} lists a tool that is no object; correct the skill")
    known = {key: listed[key] for key in _KEPT_FIELDS if listed.get(key) is not None}
    try:
        return _TOOL.validate_python(known)
    except ValidationError as error:
        problem = error.errors()[0]
        raise SkillError(
            f"skill {skill!r} lists the tool {str(listed.get('name'))[:64]!r}, whose "
            f"{'.'.join(map(str, problem['loc'])) or 'description'} does not fit: {problem['msg']}"
        ) from error


def call_result(skill: str, tool: str, result: object) -> dict[str, Any]:
    """A CallToolResult with content, structuredContent and isError alone. Raises SkillError when it is none."""
    match result:
        case {"content": list() as content, **rest} if len(content) <= _MOST_PARTS:
            structured, failed = rest.get("structuredContent"), rest.get("isError", False)
            if (
                all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in content)
                and (structured is None or isinstance(structured, dict))
                and isinstance(failed, bool)
            ):
                shown = {} if structured is None else {"structuredContent": structured}
                return {"content": content, **shown, "isError": failed}
    raise SkillError(f"skill {skill!r} answered {tool} with something that is no result of a tool; correct the skill")


def error_text(error: object) -> str:
    """Of a JSON-RPC error: code and message, short, control characters escaped."""
    match error:
        case {"code": int() as code, "message": str() as said}:
            return f"{said[:300].encode('unicode_escape').decode()} (code {code})"
        case _:
            return "an error without code and message"


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no number in JSON")
