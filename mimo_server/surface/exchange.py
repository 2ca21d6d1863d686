"""One HTTP request and its answer: taken whole, bounded, and ended when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import math

import anyio
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.server.transport_security import DEFAULT_MAX_REQUEST_BODY_SIZE, RequestBodyLimitMiddleware
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mimo_server.errors import LimitError
from mimo_server.supervision.refusals import Refusals
from mimo_server.supervision.registry import Registry
from mimo_server.surface.outcomes import was_refused
from mimo_server.surface.strict import RefusedError, in_flight, message

_LONGER = 30.0
"""Seconds beyond what a tool may take: a request that the SDK never answers must not hold its session for ever."""


def exchanges(app: ASGIApp, refusals: Refusals, requests: Registry[str], call_timeout: float) -> ASGIApp:
    """Put `app` behind the body limit; note what is refused by it, by the limit, or by the protocol within it.

    `requests` is the table of those in flight. What is no HTTP (a websocket) goes to `app` as it is.
    """
    inner = _attended(_checked(app, requests), call_timeout + _LONGER)
    limited = RequestBodyLimitMiddleware(inner, DEFAULT_MAX_REQUEST_BODY_SIZE)

    async def noted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return

        noted = False

        async def noting(message: Message) -> None:
            """An event stream has begun before its outcome is known; it is noted with its last event."""
            nonlocal noted
            if not noted and (message.get("status", 0) >= 400 or was_refused(scope)):
                noted = True
                refusals.note(f"{scope['method']} {scope['path']}")
            await send(message)

        await limited(scope, receive, noting)

    return noted


def _checked(app: ASGIApp, requests: Registry[str]) -> ASGIApp:
    """Hand a message of MCP on if it is one, and if no other with its id is in flight in its session."""
    taking = _taking(app)

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        if (scope["method"], scope["path"]) != ("POST", "/mcp"):
            await app(scope, receive, send)
            return
        body = await receive()
        session = Headers(scope=scope).get(MCP_SESSION_ID_HEADER)
        try:
            scope["message"] = read = message(body.get("body", b""))
            if read.unasked:
                Request(scope).state.refused = True
            with in_flight(requests, session or "", read.id if session else None):
                await (taking if read.id is None else app)(scope, _after(body, receive), send)
        except RefusedError as error:
            text = error.answer().model_dump_json(by_alias=True, exclude_unset=True)
            await Response(text, 400, media_type="application/json")(scope, receive, send)
        except LimitError as error:
            await PlainTextResponse(str(error), 503)(scope, receive, send)

    return checked


def _taking(app: ASGIApp) -> ASGIApp:
    """Answer when `app` is done, as a notification needs it.

    The SDK (2.3.0) acknowledges one before its session takes it, so that the next comes at once: four connections that
    sent as fast as they could had 900 of them waiting, a task each, and held up the event loop for 0.4 s.
    """

    async def taken(scope: Scope, receive: Receive, send: Send) -> None:
        answer: list[Message] = []

        async def hold(message: Message) -> None:
            answer.append(message)

        await app(scope, receive, hold)
        for part in answer:
            await send(part)

    return taken


def _after(first: Message, receive: Receive) -> Receive:
    """`receive` again, with the message that was taken off it."""
    taken = [first]

    async def received() -> Message:
        return taken.pop() if taken else await receive()

    return received


def _attended(app: ASGIApp, seconds: float) -> ASGIApp:
    """Hand on whole requests only, and give up one whose client leaves, or which takes too long, before its answer.

    An answer that has begun (an event stream) is told that the client left, and ends itself.
    """

    async def attended(scope: Scope, receive: Receive, send: Send) -> None:
        body = await receive()
        if body["type"] != "http.request" or body.get("more_body", False):
            return  # the client left in the middle of its request: nobody to answer
        exchange = _Exchange(body, receive, send, seconds)
        watch = asyncio.create_task(exchange.watch(), name="watch client")
        try:
            with exchange.waiting:
                await app(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:  # uvicorn's, after the grace time; it would log each as an exception
            if not exchange.begun:
                await PlainTextResponse("the server has ended\n", 503)(scope, receive, send)
        finally:
            watch.cancel()
        if exchange.waiting.cancelled_caught and not exchange.gone.is_set():
            late = PlainTextResponse(f"no answer within {seconds:g} s\n", 504)
            await late(scope, receive, send)

    return attended


class _Exchange:
    """What the application receives and sends, and whether the client is still there."""

    def __init__(self, body: Message, receive: Receive, send: Send, seconds: float) -> None:
        self._body: Message | None = body
        self._receive, self._send = receive, send
        self.waiting = anyio.CancelScope(deadline=anyio.current_time() + seconds)
        self.gone = asyncio.Event()
        self.begun = False

    async def watch(self) -> None:
        """Until the client has left or has its answer."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone.set()
        if not self.begun:
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
        self.begun = True
        self.waiting.deadline = math.inf
        await self._send(message)
