"""One HTTP request and its answer: taken whole, bounded, and ended when nobody waits for it any more."""

from __future__ import annotations

import asyncio

import anyio
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.server.transport_security import DEFAULT_MAX_REQUEST_BODY_SIZE
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mimo_server.errors import LimitError
from mimo_server.supervision.overdue import Overdue
from mimo_server.supervision.refusals import Refusals
from mimo_server.supervision.registry import Registry
from mimo_server.surface.outcomes import mark_refused, was_refused
from mimo_server.surface.strict import RefusedError, in_flight, message

_LONGER = 30.0
"""Seconds beyond what a tool may take: a request that the SDK never answers must not hold its session for ever."""
_WATCHED_AFTER = 0.05
"""Seconds until somebody looks whether the client is still there: nearly all answers are faster, and the task that
looks costs as much as a tool."""
_SESSION = MCP_SESSION_ID_HEADER.encode()


def exchanges(app: ASGIApp, refusals: Refusals, requests: Registry[str], call_timeout: float) -> ASGIApp:
    """Hand on whole requests only, bounded and strictly read; note what is refused here or within `app`.

    One whose client leaves, or which takes too long, before its answer is given up. `requests` is the table of those
    in flight. What is no HTTP (a websocket) goes to `app` as it is.
    """
    slow, seconds = Overdue(_WATCHED_AFTER), call_timeout + _LONGER

    async def exchanged(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, refusals, seconds)
        if not await exchange.whole():
            return
        watch = exchange.watch
        slow.add(watch)
        try:
            with exchange.waiting:
                await _checked(app, scope, exchange, requests)
        except asyncio.CancelledError:  # uvicorn's, after the grace time; it would log each as an exception
            if not exchange.begun:
                await PlainTextResponse("the server has ended\n", 503)(scope, receive, exchange.send)
        finally:
            slow.remove(watch)
            exchange.end()
        if exchange.unanswered():
            late = PlainTextResponse(f"no answer within {seconds:g} s\n", 504)
            await late(scope, receive, exchange.send)

    return exchanged


async def _checked(app: ASGIApp, scope: Scope, exchange: _Exchange, requests: Registry[str]) -> None:
    """Hand a message of MCP on if it is one, and if no other with its id is in flight in its session."""
    if scope["path"] != "/mcp" or scope["method"] != "POST":
        await app(scope, exchange.receive, exchange.send)
        return
    session = next((value.decode("latin-1") for name, value in scope["headers"] if name == _SESSION), None)
    try:
        scope["message"] = read = message(exchange.body)
        if read.unasked:
            mark_refused(scope)
        if read.id is None:
            await _taken(app, scope, exchange)
        elif session is None:
            await app(scope, exchange.receive, exchange.send)
        else:
            with in_flight(requests, session, read.id):
                await app(scope, exchange.receive, exchange.send)
    except RefusedError as error:
        text = error.answer().model_dump_json(by_alias=True, exclude_unset=True)
        await Response(text, 400, media_type="application/json")(scope, exchange.receive, exchange.send)
    except LimitError as error:
        await PlainTextResponse(str(error), 503)(scope, exchange.receive, exchange.send)


async def _taken(app: ASGIApp, scope: Scope, exchange: _Exchange) -> None:
    """Answer when `app` is done, as a notification needs it.

    The SDK (2.3.0) acknowledges one before its session takes it, so that the next comes at once: four connections that
    sent as fast as they could had 900 of them waiting, a task each, and held up the event loop for 0.4 s.
    """
    answer: list[Message] = []

    async def hold(message: Message) -> None:
        answer.append(message)

    await app(scope, exchange.receive, hold)
    for part in answer:
        await exchange.send(part)


class _Exchange:
    """What the application receives and sends, and whether the client is still there."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, refusals: Refusals, seconds: float) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._seconds = seconds
        self._refusals = refusals
        self.body = b""
        self.waiting = anyio.CancelScope()
        self._late = False
        self._taken = False
        self.begun = False
        self._noted = False
        self._gone = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None

    async def whole(self) -> bool:
        """Take the whole request; False: it was too large and is answered, or its client left in the middle."""
        told = next((value for name, value in self._scope["headers"] if name == b"content-length"), b"0")
        too_large = told.isdigit() and int(told) > DEFAULT_MAX_REQUEST_BODY_SIZE
        pieces, size, more = [], 0, True
        while more and not too_large:
            piece = await self._receive()
            if piece["type"] != "http.request":
                return False
            pieces.append(piece.get("body", b""))
            size, more = size + len(pieces[-1]), piece.get("more_body", False)
            too_large = size > DEFAULT_MAX_REQUEST_BODY_SIZE
        if not too_large:
            self.body = b"".join(pieces)  # of one piece: no copy
            return True
        await Response("Request body too large", 413)(self._scope, self._receive, self.send)
        return False

    async def receive(self) -> Message:
        """The request, then the news that the client left."""
        if not self._taken:
            self._taken = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        self.watch()
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Once begun, an answer has all the time it wants. An event stream is noted with its last event, if refused."""
        self.begun = True
        if not self._noted and (message.get("status", 0) >= 400 or was_refused(self._scope)):
            self._noted = True
            self._refusals.note(f"{self._scope['method']} {self._scope['path']}")
        await self._send(message)

    def watch(self) -> None:
        """From now on the client's leaving, and the end of its time, end what is done for it."""
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch(), name="watch client")

    async def _watch(self) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await self._left()
        except TimeoutError:
            if not self.begun:
                self._late = True
                self.waiting.cancel()
                return
            await self._left()
        self._gone.set()
        if not self.begun:
            self.waiting.cancel()

    async def _left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def unanswered(self) -> bool:
        """Its time was over before its answer had begun."""
        return self._late and not self.begun

    def end(self) -> None:
        """Nobody needs to know any more whether the client is there."""
        if self._watcher is not None:
            self._watcher.cancel()
