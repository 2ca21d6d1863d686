"""Event streams of the modern era (subscriptions/listen): the answer is the stream, until the client drops it."""

from __future__ import annotations

from typing import Any

import mcp_types as mcp
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ServerEvent

from mimo_server.errors import LimitError
from mimo_server.supervision.registry import Bound, Registry


class Subscriptions:
    """The SDK's handler, counted. What changes is the list of tools, with the catalog of skills."""

    def __init__(self, *, limit: int) -> None:
        self._open: Registry[str] = Registry("subscriptions", limit=limit)
        self._bus = InMemorySubscriptionBus()
        self._handler = ListenHandler(self._bus, max_subscriptions=limit)

    async def listen(
        self, ctx: ServerRequestContext[Any], params: mcp.SubscriptionsListenRequestParams
    ) -> mcp.SubscriptionsListenResult:
        """One stream, from its first frame to its end."""
        try:
            with self._open.holding("stream"):
                return await self._handler(ctx, params)
        except LimitError as error:
            raise MCPError(mcp.INTERNAL_ERROR, str(error)) from error

    async def publish(self, event: ServerEvent) -> None:
        """Tell every stream that asked for it; one that does not read loses what is beyond its buffer."""
        await self._bus.publish(event)

    def end(self) -> None:
        """End all streams in order; each sends its last frame."""
        self._handler.close()

    def bound(self) -> Bound:
        """How many are open, and how many may be."""
        return self._open.bound()
