"""One HTTP request and its answer: taken whole, bounded, and ended when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import math

import anyio
from mcp.server.transport_security import DEFAULT_MAX_REQUEST_BODY_SIZE, RequestBodyLimitMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mimo_server.supervision.refusals import Refusals
from mimo_server.surface.outcomes import was_refused

_ANSWER_SECONDS = 60.0
"""Six times the longest of our own waits (a skill's). The SDK (2.3.0) never answers all but one of several requests
with the same id in one session, and waits for that for ever, the client gone or not: the session would never be idle.
"""


def exchanges(app: ASGIApp, refusals: Refusals) -> ASGIApp:
    """Put `app` behind the body limit; note what is refused by it, by the limit, or by the protocol within it."""
    limited = RequestBodyLimitMiddleware(_attended(app), DEFAULT_MAX_REQUEST_BODY_SIZE)

    async def noted(scope: Scope, receive: Receive, send: Send) -> None:
        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start" and (message["status"] >= 400 or was_refused(scope)):
                refusals.note(f"{scope['method']} {scope['path']}")
            await send(message)

        await limited(scope, receive, noting)

    return noted


def _attended(app: ASGIApp) -> ASGIApp:
    """Hand on whole requests only, and give up one whose client leaves, or which takes too long, before its answer.

    An answer that has begun (an event stream) is told that the client left, and ends itself.
    """

    async def attended(scope: Scope, receive: Receive, send: Send) -> None:
        body = await receive()
        if body["type"] != "http.request" or body.get("more_body", False):
            return  # the client left in the middle of its request: nobody to answer
        exchange = _Exchange(body, receive, send)
        watch = asyncio.create_task(exchange.watch(), name="watch client")
        try:
            with exchange.waiting:
                await app(scope, exchange.receive, exchange.send)
        finally:
            watch.cancel()
        if exchange.waiting.cancelled_caught and not exchange.gone.is_set():
            late = PlainTextResponse(f"no answer within {_ANSWER_SECONDS:g} s; ids must be unique\n", 504)
            await late(scope, receive, send)

    return attended


class _Exchange:
    """What the application receives and sends, and whether the client is still there."""

    def __init__(self, body: Message, receive: Receive, send: Send) -> None:
        self._body: Message | None = body
        self._receive, self._send = receive, send
        self.waiting = anyio.CancelScope(deadline=anyio.current_time() + _ANSWER_SECONDS)
        self.gone = asyncio.Event()
        self._begun = False

    async def watch(self) -> None:
        """Until the client has left or has its answer."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone.set()
        if not self._begun:
            self.waiting.cancel()

    async def receive(self) -> Message:
        """The request, then the news that the client left."""
        if (body := self._body) is not None:
            self._body = None
            return body
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Once begun, an answer has all the time it wants."""
        self._begun = True
        self.waiting.deadline = math.inf
        await self._send(message)
