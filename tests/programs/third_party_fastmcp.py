"""A FastMCP server with a quick and a slow tool, for audits of FastMCP itself: `fastmcp run FILE --transport http`."""

from __future__ import annotations

import asyncio

from fastmcp import FastMCP

mcp = FastMCP("third-party-fastmcp")


@mcp.tool(annotations={"readOnlyHint": True, "openWorldHint": False})
async def echo(text: str) -> str:
    """Give the text back."""
    return text


@mcp.tool(annotations={"readOnlyHint": True, "openWorldHint": False})
async def wait(seconds: float = 0.1) -> str:
    """Answer after some seconds: long enough to be cancelled or dropped in mid-answer."""
    await asyncio.sleep(seconds)
    return "waited"
