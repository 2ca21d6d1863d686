"""Sessions of the handshake era, each an entry of a registry from its admission to its end.

The SDK's manager ends a session after DELETE, after its idle time, with the server and when its opening request fails;
all of these go through the two methods that admit and discard. They are private there (mcp 2.3.0), hence `override`:
the type checker notices a release in which they are gone.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import anyio
from mcp.server.auth.middleware.bearer_auth import AuthorizationContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http import StreamableHTTPServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from mimo_server.errors import LimitError
from mimo_server.settings import Settings
from mimo_server.supervision.registry import Registry
from mimo_server.surface.outcomes import was_initialized


class Sessions(StreamableHTTPSessionManager):
    """The SDK's manager, JSON answers, with its table of sessions counted and bounded by `table`.

    A request that opens no session because the table is full is answered with 503 and counted there as rejected.
    """

    def __init__(
        self,
        server: Server[Any],
        table: Registry[str],
        settings: Settings,
        security: TransportSecuritySettings,
    ) -> None:
        super().__init__(
            server,
            json_response=True,
            security_settings=security,
            session_idle_timeout=settings.session_idle,
            max_sessions=settings.max_sessions,
        )
        self._table = table
        self._numbers: dict[str, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as an ASGI application."""
        # A session that ends while a request waits to be taken in: the SDK answers that with 500, and then tries to
        # tell the session of it, which is closed.
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            await self.handle_request(scope, receive, send)

    def end_streams(self) -> None:
        """End the event streams (GET) of all sessions, which would otherwise never end by themselves."""
        for transport in self._server_instances.values():
            transport.close_standalone_sse_stream()

    @override
    def _admit_session(self, requestor: AuthorizationContext | None) -> StreamableHTTPServerTransport | None:
        try:
            number = self._table.add("session")  # first, so that it is our table that counts who is turned away
        except LimitError:
            return None
        transport = super()._admit_session(requestor)
        if transport is None or transport.mcp_session_id is None:
            self._table.remove(number)
            return None
        self._numbers[transport.mcp_session_id] = number
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
