"""Agents over websockets, at /synapse: who may come in, and how long one may keep us waiting.

uvicorn (0.54) offers two implementations with limits. `websockets-sansio` (websockets 17.4) makes a list of all frames
of a read, and one of all fragments of a message, empty ones included: 1.2 MB of these held 1.6 MB, without end; with
`wsproto` (1.3) 4 KB. That one takes messages one by one, so that this class can stop at a number. What neither has is a
time limit for a peer that takes nothing: the transport's `close` waits for that for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import wsproto
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from starlette.requests import Request
from starlette.routing import Router, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket
from typing_extensions import override
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from wsproto.connection import ConnectionState

from mimo_server.supervision.refusals import Refusals
from mimo_server.synapse.synapse import Synapse

_LONGEST_MESSAGE_BYTES = 1 << 16
_MOST_WAITING = 128
"""Messages read and not yet taken by the conversation: more than its rate admits at once. One read from the socket
(256 KiB) could bring 43,000.
"""
_CLOSE_SECONDS = 5.0
_PING_SECONDS = 20.0


class Upgraded(WSProtocol):
    """The protocol of uvicorn once more, with what it lacks: an end that does not depend on the peer."""

    left: Callable[[], None] = staticmethod(lambda: None)
    """Told when the connection is gone; set by the protocol that it came from."""
    _deadline: asyncio.TimerHandle | None = None

    @override
    def handle_message(self, event: Any) -> None:
        if self.queue.qsize() < _MOST_WAITING:
            super().handle_message(event)
            return
        self.close_sent = True  # what else was read with it is passed over
        reason = f"more than {_MOST_WAITING} messages at once"
        self.queue.put_nowait({"type": "websocket.disconnect", "code": 1008, "reason": reason})
        self.transport.write(self.conn.send(wsproto.events.CloseConnection(code=1008, reason=reason)))
        self._part()

    @override
    def handle_close(self, event: Any) -> None:
        """Also for a frame that is none, or no UTF-8: uvicorn hangs up without the code that tells the peer."""
        if self.conn.state is ConnectionState.OPEN:
            self.transport.write(self.conn.send(event))
        super().handle_close(event)

    @override
    def pause_writing(self) -> None:
        """The peer does not read: nor do we, or its pings would be answered into a buffer without end."""
        super().pause_writing()
        self.transport.pause_reading()

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    @override
    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._part()

    @override
    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The conversation is over; so is the connection, soon."""
        super().on_task_complete(task)
        self._part()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()
        self.left()

    def _part(self) -> None:
        """Let the peer take our last words, then cut the connection."""
        if self.disconnected:
            return
        if self.close_timer is None:
            self.transport.close()
        if self._deadline is None:
            self._deadline = self.loop.call_later(_CLOSE_SECONDS, self.transport.abort)


OPTIONS: dict[str, Any] = {
    "ws": Upgraded,
    "ws_max_size": _LONGEST_MESSAGE_BYTES,
    "ws_per_message_deflate": False,  # a message of 64 KiB could be 64 MiB
    "ws_ping_interval": _PING_SECONDS,
    "ws_ping_timeout": _PING_SECONDS,
}
"""For uvicorn.Config."""


def with_synapse(
    pages: ASGIApp,
    synapse: Synapse,
    security: TransportSecuritySettings,
    refusals: Refusals,
) -> ASGIApp:
    """`pages` for HTTP, and beside them the websocket /synapse.

    Host and Origin are checked as for pages: who is refused is never upgraded.
    """
    guard = TransportSecurityMiddleware(security)

    async def come_in(websocket: WebSocket) -> None:
        # It reads the headers only, which a websocket's opening request has too (mcp 2.3.0).
        refusal = await guard.validate_request(cast("Request", websocket))
        if refusal is None:
            await synapse.serve(websocket)
        else:
            refusals.note(f"websocket {websocket.url.path}")
            await websocket.send_denial_response(refusal)

    sockets = Router([WebSocketRoute("/synapse", come_in)], redirect_slashes=False)

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        await (sockets if scope["type"] == "websocket" else pages)(scope, receive, send)

    return either
