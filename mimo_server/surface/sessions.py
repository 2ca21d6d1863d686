"""Sessions of the handshake era, each an entry of a registry from its admission to its end.

The SDK's manager ends a session after DELETE, after its idle time, with the server and when its opening request fails;
all of these go through the two methods that admit and discard. They are private there (mcp 2.3.0), hence `override`:
the type checker notices a release in which they are gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from contextlib import suppress
from secrets import token_hex
from typing import Any
from weakref import WeakSet

import anyio
from mcp.server.auth.middleware.bearer_auth import AuthorizationContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http import StreamableHTTPServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from mimo_server.errors import LimitError
from mimo_server.settings import Settings
from mimo_server.supervision.registry import Registry
from mimo_server.surface.outcomes import was_initialized

_plain: WeakSet[asyncio.Task[Any]] = WeakSet()
"""The tasks of requests that are answered with one JSON body."""


def _is_plain() -> bool:
    return asyncio.current_task() in _plain


class Transport(StreamableHTTPServerTransport):
    """The SDK's, which answers as the request at hand needs it: as JSON, or as an event stream.

    The SDK has one choice for all. An event stream costs twice the time of a JSON body, and without one there is no
    progress. What is sent to a client in mid-call would be taken for the answer of a request that has a JSON body: so
    that is progress alone, of which there is none unless the request asked.
    """

    @property
    def is_json_response_enabled(self) -> bool:
        """Whether the request of this task gets a JSON body; no request: whether there are nothing but JSON bodies."""
        return _is_plain()

    @is_json_response_enabled.setter
    def is_json_response_enabled(self, value: bool) -> None:
        """The request decides."""

    @override
    async def _handle_get_request(self, request: Request, send: Send) -> None:
        """A new stream also for who wants to resume one: nothing is kept to be sent again. The SDK answers 500."""
        headers = [header for header in request.scope["headers"] if header[0] != b"last-event-id"]
        await super()._handle_get_request(Request({**request.scope, "headers": headers}, request.receive), send)


class Sessions(StreamableHTTPSessionManager):
    """The SDK's manager, with its table of sessions counted and bounded by `table`.

    Answers are JSON, and event streams where the client asked for progress (or always, with `streams`).
    A request that opens no session because the table is full is answered with 503 and counted there as rejected.
    """

    def __init__(
        self,
        server: Server[Any],
        table: Registry[str],
        settings: Settings,
        security: TransportSecuritySettings,
    ) -> None:
        self._streams = settings.fixtures is not None
        super().__init__(
            server,
            security_settings=security,
            session_idle_timeout=settings.session_idle,
            max_sessions=settings.max_sessions,
        )
        self._table = table
        self._numbers: dict[str, Hashable] = {}

    @property
    def json_response(self) -> bool:
        """Whether the request of this task gets a JSON body."""
        return _is_plain()

    @json_response.setter
    def json_response(self, value: bool) -> None:
        """The request decides."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as an ASGI application."""
        task = asyncio.current_task()
        if task is not None and not self._streams and not (scope.get("message") and scope["message"].wants_progress):
            _plain.add(task)
        # A session that ends while a request waits to be taken in: the SDK answers that with 500, and then tries to
        # tell the session of it, which is closed.
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            await self._handle_request(scope, receive, send)  # without its bound on bodies: exchange.py has one

    def end_streams(self) -> None:
        """End the event streams (GET) of all sessions, which would otherwise never end by themselves."""
        for transport in self._server_instances.values():
            transport.close_standalone_sse_stream()

    @override
    def _admit_session(self, requestor: AuthorizationContext | None) -> Transport | None:
        try:
            number = self._table.add("session")  # first, so that it is our table that counts who is turned away
        except LimitError:
            return None
        session_id = token_hex(16)  # 128 random bits; the SDK's have 122
        transport = Transport(
            session_id, security_settings=self.security_settings, idle_timeout=self.session_idle_timeout
        )
        if requestor is not None:
            self._session_owners[session_id] = requestor
        self._server_instances[session_id] = transport
        self._numbers[session_id] = number
        return transport

    @override
    async def _serve_opening_request(
        self, http_transport: StreamableHTTPServerTransport, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Discards also after an `initialize` that was refused: its status is 200, and the SDK would keep a session."""
        await super()._serve_opening_request(http_transport, scope, receive, send)
        if http_transport.mcp_session_id is not None and not was_initialized(scope):
            await self._discard_session(http_transport.mcp_session_id, http_transport)

    @override
    async def _discard_session(self, session_id: str, transport: StreamableHTTPServerTransport) -> None:
        await super()._discard_session(session_id, transport)
        if (number := self._numbers.pop(session_id, None)) is not None:
            self._table.remove(number)
