"""Agents that are connected: what they share, and the life of each connection."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Self

from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket

from mimo_server.errors import LimitError
from mimo_server.supervision.events import Events
from mimo_server.supervision.owner import Owner
from mimo_server.supervision.rates import RateLimit
from mimo_server.supervision.registry import Bound, Registry
from mimo_server.synapse.agent import Conversation, Search, Waits
from mimo_server.synapse.connections import Connection, Connections
from mimo_server.synapse.interrupts import Interrupts
from mimo_server.synapse.queries import Queries
from mimo_server.synapse.router import Router


class Synapse:
    """Every part can be replaced until it is entered.

    connections  who is connected: a bounded table
    router       topics, and a bounded queue for each subscriber
    interrupts   what can be interrupted
    queries      searches in flight, each owned by its connection
    rates        messages in a second, for each connection
    """

    def __init__(self, events: Events, *, search: Search, max_connections: int = 64) -> None:
        self._events = events
        self.search = search
        self.waits = Waits()
        self.patience = 20
        self.connections = Connections(limit=max_connections)
        self.router = Router()
        self.interrupts = Interrupts(Registry("interrupts", limit=1024))
        self.queries = Queries()
        self.rates = RateLimit("message_rate", per_second=50.0, burst=100, keys=2 * max_connections)
        self._owners: Registry[Owner] = Registry("conversations", limit=None)
        self._deafen: Callable[[], None] = lambda: None

    async def __aenter__(self) -> Self:
        self._deafen = self.router.listen(self._events)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End all that belongs to connections that are still there (their sockets are the web server's to close)."""
        self._deafen()
        for owner in self._owners:
            owner.end()
        await self.queries.ended()

    async def serve(self, websocket: WebSocket) -> None:
        """Hold one conversation, from before its acceptance to its end. One too many is refused with 503."""
        row, owner = Connection(""), Owner("agent connection")
        try:
            self.connections.add(row, owner)
        except LimitError as error:
            await websocket.send_denial_response(PlainTextResponse(f"{error}\n", 503, {"Retry-After": "5"}))
            return
        key = self.rate_key(websocket, owner)
        owner.at_end(lambda: self.rates.forget(key))
        with self._owners.holding(owner):
            try:
                await websocket.accept()
                await Conversation(websocket, row, owner, self, key).held()
            finally:
                owner.end()

    def rate_key(self, websocket: WebSocket, owner: Owner) -> Hashable:  # noqa: ARG002 -- a header is the caller's word
        """Whose rate a message counts against: this connection's."""
        return owner

    def send_to_agent(self, agent: str, message: str, *, sender: str = "") -> int:
        """Hand a message to every connection of that agent; how many those are. Never waits for them."""
        return self.router.publish(f"agent:{agent}", {"type": "message", "from": sender, "message": message})

    @property
    def tables(self) -> tuple[Registry[Any], ...]:
        """For who sweeps."""
        return (self.connections.table, self.interrupts.table, self.queries.table)

    def bounds(self) -> tuple[Bound, ...]:
        """Every limit here."""
        return (
            self.connections.bound(),
            *self.router.bounds(),
            self.interrupts.bound(),
            *self.queries.bounds(),
            *self.rates.bounds(),
        )

    async def check(self) -> str | None:
        """None when well."""
        return self.queries.check()
