"""The tools on the SDK's server, over stdio until stdin ends, or over HTTP, and in both until SIGTERM comes."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import Any

import mcp_types as mcp
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, ValidationError

from mimo_server.app import App
from mimo_server.errors import MimoError
from mimo_server.surface.http import serve_http
from mimo_server.surface.metrics import metrics_page
from mimo_server.surface.outcomes import outcomes
from mimo_server.surface.stdio import stdio
from mimo_server.surface.tools import TOOLS

_Context = ServerRequestContext[Any]


async def serve(app: App) -> None:
    """Start everything, speak MCP, end everything. Raises SettingsError when it cannot start as told."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.started())
        if app.settings.metrics_port is not None:
            await stack.enter_async_context(metrics_page(app, app.settings.metrics_port))
        server = _server(app)
        if app.settings.http is not None:
            await serve_http(app, server, app.settings.http, stop)
            return
        async with stdio(stop) as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())


def _server(app: App) -> Server[Any]:
    async def list_tools(_: _Context, params: mcp.PaginatedRequestParams | None) -> mcp.ListToolsResult:  # noqa: ARG001
        return mcp.ListToolsResult(tools=[tool.described for tool in TOOLS.values()])

    async def call_tool(_: _Context, params: mcp.CallToolRequestParams) -> mcp.CallToolResult:
        return await _call(app, params)

    def schema(name: str) -> dict[str, Any] | None:  # spares the SDK a tools/list per call
        return TOOLS[name].described.input_schema if name in TOOLS else None

    server = Server(
        "mimo",
        version=version("mimo-leakcheck"),
        instructions="Stores texts and finds them again by their words.",
        get_tool_input_schema=schema,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_subscriptions_listen=app.subscriptions.listen,
    )
    server.middleware.append(outcomes(app.refusals))
    return server


async def _call(app: App, params: mcp.CallToolRequestParams) -> mcp.CallToolResult:
    """Play one tool. What the caller can mend is an error result; an unknown tool is an error of the protocol."""
    tool = TOOLS.get(params.name)
    if tool is None:
        raise MCPError(mcp.INVALID_PARAMS, f"there is no tool {params.name!r}; tools/list names those there are")
    try:
        arguments = tool.arguments.model_validate(params.arguments or {})
    except ValidationError as error:
        return _refused(f"wrong arguments for {params.name}: {_problems(error)}")
    try:
        with app.calls.holding(params.name):
            return _answered(await tool.play(app, arguments))
    except MimoError as error:
        return _refused(str(error))


def _answered(result: BaseModel) -> mcp.CallToolResult:
    content = mcp.TextContent(text=result.model_dump_json())
    return mcp.CallToolResult(content=[content], structured_content=result.model_dump(mode="json"))


def _refused(problem: str) -> mcp.CallToolResult:
    return mcp.CallToolResult(content=[mcp.TextContent(text=problem)], is_error=True)


def _problems(error: ValidationError) -> str:
    """One clause per wrong argument; the values themselves are not repeated."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'arguments'}: {one['msg']}" for one in found)
