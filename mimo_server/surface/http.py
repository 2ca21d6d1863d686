"""MCP over streamable HTTP at /mcp, with /health and /metrics beside it, until SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp
from typing_extensions import override

from mimo_server.app import App
from mimo_server.errors import SettingsError
from mimo_server.settings import Address
from mimo_server.surface.auth import authorized
from mimo_server.surface.connection import connections
from mimo_server.surface.exchange import exchanges
from mimo_server.surface.metrics import rendered
from mimo_server.surface.sessions import Sessions
from mimo_server.surface.websocket import OPTIONS, with_synapse

_log = logging.getLogger(__name__)

Page = Callable[[Request], Awaitable[Response]]


async def serve_http(app: App, server: Server[Any], address: Address, stop: asyncio.Event) -> None:
    """Serve until `stop`, then end in order. Raises SettingsError when the address cannot be had.

    Open event streams end at once, requests on their way get the grace time, half-sent ones nothing.
    """
    _quiet()
    security = _security()
    sessions = app.session_table(server, app.sessions, app.settings, security)
    with _listener(address) as listener:
        web = _Web(
            uvicorn.Config(
                authorized(_application(app, sessions, security), app.settings.token, app.refusals),
                http=connections(app.http_connections, app.settings.read_timeout),
                **OPTIONS,
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=int(app.settings.read_timeout) + 1,  # ours comes first
                timeout_graceful_shutdown=max(1, round(app.settings.grace)),
            ),
            streams=(sessions.end_streams, app.subscriptions.end),
        )
        async with sessions.run():
            serving = asyncio.create_task(web.serve([listener]), name="http")
            stopping = asyncio.create_task(stop.wait(), name="stop")
            _log.info("MCP on http://%s/mcp", Address(host=address.host, port=listener.getsockname()[1]))
            await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            web.should_exit = True
            await serving


def _quiet() -> None:
    """What a client can cause at will must not fill the log: each refused request, each session closed in mid-call.

    A tool that fails is logged elsewhere in the SDK, and still is.
    """
    logging.getLogger("mcp").setLevel(logging.ERROR)
    logging.getLogger("mcp.server.streamable_http").setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


class _Web(uvicorn.Server):
    """uvicorn's server without its signal handlers, which also ends the streams that would never end."""

    def __init__(self, config: uvicorn.Config, *, streams: tuple[Callable[[], None], ...]) -> None:
        super().__init__(config)
        self._streams = streams

    @override
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are ours: they set `stop`."""
        yield

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for end in self._streams:
            end()
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):  # whose client takes no answer
            connection.transport.abort()


def _application(app: App, sessions: Sessions, security: TransportSecuritySettings) -> ASGIApp:
    pages = exchanges(_routes(app, sessions, security), app.refusals, app.requests, app.settings.call_timeout)
    return with_synapse(pages, app.synapse, security, app.refusals)


def _routes(app: App, sessions: Sessions, security: TransportSecuritySettings) -> Router:
    started = time.monotonic()
    guard = TransportSecurityMiddleware(security)

    def guarded(page: Page) -> Page:
        async def answer(request: Request) -> Response:
            return await guard.validate_request(request) or await page(request)

        return answer

    async def health(_: Request) -> Response:
        """Costs nothing: what the last checks found is told. 503 only when the store fails: then no call goes well."""
        report = app.health.report()
        uptime = round(time.monotonic() - started, 3)
        body = {**asdict(report), "uptime_seconds": uptime, "sessions": len(app.sessions)}
        store = report.checks.get("store")
        return JSONResponse(body, 503 if store is not None and store.problem is not None else 200)

    async def metrics(_: Request) -> Response:
        return Response(await rendered(app), media_type=CONTENT_TYPE_LATEST)

    return Router(
        [
            Route("/mcp", sessions),
            Route("/health", guarded(health), methods=["GET"]),
            Route("/metrics", guarded(metrics), methods=["GET"]),
        ],
        redirect_slashes=False,
    )


def _security() -> TransportSecuritySettings:
    """Names of this machine at any port (one may be forwarded here): a web page under another name gets nothing."""
    hosts = [name + port for name in ("127.0.0.1", "localhost", "[::1]") for port in ("", ":*")]
    return TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=[f"http://{host}" for host in hosts])


def _listener(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        listener = socket.create_server((address.host, address.port), family=family)
    except OSError as error:
        raise SettingsError(
            f"--http {address} cannot be opened ({error.strerror}); choose a free port, or 0 for any"
        ) from error
    # Accepted sockets inherit it. asyncio sets it only where the protocol number is given, and create_server gives
    # none: head and body are two writes, and every answer took 45 ms (a delayed ACK) instead of 1.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
