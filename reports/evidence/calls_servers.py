"""The servers that ours is measured beside, each a process of its own: `python calls_servers.py NAME`.

They do as little as one can: echo a text, log nothing. Where each listens it says on stderr, in the words of ours.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from typing import Any

import mcp_types as mcp
import uvicorn
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import MCPServer
from starlette.types import ASGIApp, Receive, Scope, Send

FAST = ("uvloop", "httptools")
PLAIN = ("asyncio", "h11")


async def _bare(scope: Scope, receive: Receive, send: Send) -> None:
    """JSON-RPC by hand, and nothing of MCP: what the web server itself costs."""
    if scope["type"] != "http":  # uvicorn's lifespan: there is none
        raise RuntimeError("HTTP only")
    asked = json.loads((await receive())["body"])
    result = {"content": [{"type": "text", "text": asked["params"]["arguments"]["text"]}]}
    body = json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}, separators=(",", ":")).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _high_level() -> ASGIApp:
    """The SDK as its README shows it; async, for it moves a plain function to a thread."""
    server = MCPServer("echo")

    @server.tool()
    async def echo(text: str) -> str:
        return text

    return server.streamable_http_app(json_response=True)


def _low_level() -> ASGIApp:
    """The SDK without its high level, which knows its tools' schemas without asking itself for tools/list."""
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    echo = mcp.Tool(name="echo", input_schema=schema)

    async def listed(_: ServerRequestContext[Any], params: object) -> mcp.ListToolsResult:
        del params
        return mcp.ListToolsResult(tools=[echo])

    async def called(_: ServerRequestContext[Any], params: mcp.CallToolRequestParams) -> mcp.CallToolResult:
        return mcp.CallToolResult(content=[mcp.TextContent(text=(params.arguments or {})["text"])])

    server = Server("echo", on_list_tools=listed, on_call_tool=called, get_tool_input_schema={echo.name: schema}.get)
    return server.streamable_http_app(json_response=True)


SERVERS: dict[str, tuple[Callable[[], ASGIApp], tuple[str, str]]] = {
    "bare": (lambda: _bare, FAST),
    "bare_h11": (lambda: _bare, PLAIN),
    "sdk_high": (_high_level, FAST),
    "sdk_low": (_low_level, FAST),
}


def main() -> None:
    """Serve until SIGTERM."""
    made, (loop, http) = SERVERS[sys.argv[1]]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as ours: see mimo_server/surface/http.py
        print(f"MCP on http://127.0.0.1:{listener.getsockname()[1]}/mcp", file=sys.stderr, flush=True)
        config = uvicorn.Config(made(), loop=loop, http=http, ws="none", log_level="error", access_log=False)
        uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main()
