"""The official SDK's server over HTTP: `mcp_target_http.py PORT [stateless] [sse] [dies]`, both eras, at /mcp."""

import asyncio
import os
import sys

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

HARMLESS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
STORED = []
ECHOED = []
server = MCPServer("target", version="1.0")


@server.tool(annotations=HARMLESS)
async def echo(text: str) -> str:
    ECHOED.append(text)
    if "dies" in sys.argv and len(ECHOED) > 40:
        os._exit(7)
    return text


@server.tool(annotations=HARMLESS)
async def nap() -> str:
    await asyncio.sleep(0.05)
    return "awake"


@server.tool()
async def add(text: str) -> str:
    STORED.append(text)
    return f"{len(STORED)} stored"


@server.tool()
async def forget() -> str:
    STORED.clear()
    return "none stored"


app = server.streamable_http_app(json_response="sse" not in sys.argv, stateless_http="stateless" in sys.argv)
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", timeout_graceful_shutdown=1)
