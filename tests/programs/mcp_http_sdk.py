"""An MCP server over HTTP on the official Python SDK, both eras. Prints its port.

Usage: mcp_http_sdk.py [stateless] [sse] [idle=SECONDS]
The port is PORT of the environment, or a free one. `GET /sessions` says how many sessions it holds.
"""

import asyncio
import os
import socket
import sys
from typing import Annotated

import anyio
import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse

ways = set(sys.argv[1:])
idle = next((float(way[5:]) for way in ways if way.startswith("idle=")), None if "stateless" in ways else 1800.0)
server = MCPServer("sdk", version="1.2", log_level="ERROR")


@server.tool()
async def echo(text: str) -> str:
    """Give back what came."""
    return text


@server.tool()
async def where(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> str:
    """Want its argument in a header too."""
    return region


@server.tool()
async def slow(seconds: float = 0.05) -> str:
    """Take a while."""
    await anyio.sleep(seconds)
    return "done"


@server.tool()
async def talk(ctx: Context) -> str:
    """Send notifications before the answer."""
    for step in range(3):
        await ctx.report_progress(step, 3)
        await ctx.info(f"step {step}")
    return "talked"


@server.tool()
async def fail() -> str:
    """Always fail."""
    raise ValueError("it failed, as it should")


@server.tool()
async def die() -> str:
    """End the server at once."""
    os._exit(3)


@server.custom_route("/sessions", methods=["GET"])
async def sessions(request: Request) -> JSONResponse:
    """Say how many sessions there are."""
    return JSONResponse(len(server.session_manager._server_instances))


def main():
    """Serve until killed."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # else asyncio leaves Nagle on
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", int(os.environ.get("PORT", "0"))))
    sock.listen()  # whoever reads the port may connect at once
    app = server.streamable_http_app(
        json_response="sse" not in ways,
        stateless_http="stateless" in ways,
        session_idle_timeout=idle,
    )
    sys.stdout.write(f"{sock.getsockname()[1]}\n")
    sys.stdout.flush()
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
    asyncio.run(uvicorn.Server(config).serve(sockets=[sock]))


if __name__ == "__main__":
    main()
