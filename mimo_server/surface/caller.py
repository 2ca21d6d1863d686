"""Who calls, as far as the server knows it by itself; a header such as X-Forwarded-For is only what somebody says."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from starlette.requests import Request


def caller(ctx: ServerRequestContext[Any]) -> Hashable:
    """Its session; in the era without sessions its TCP connection; over stdio there is one caller."""
    if not isinstance(ctx.request, Request):
        return "stdio"
    return ctx.request.headers.get(MCP_SESSION_ID_HEADER) or ctx.request.client
