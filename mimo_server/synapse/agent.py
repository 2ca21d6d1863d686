"""One agent's conversation over one websocket."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Protocol

import anyio
from starlette.websockets import WebSocket, WebSocketDisconnect

from mimo_server.errors import InvalidError, LimitError, MimoError, NotFoundError
from mimo_server.supervision.owner import Owner
from mimo_server.supervision.rates import RateLimit
from mimo_server.synapse import messages
from mimo_server.synapse.connections import Connection
from mimo_server.synapse.interrupts import Interrupt, Interrupted, Interrupts
from mimo_server.synapse.outbox import Outbox
from mimo_server.synapse.queries import Queries
from mimo_server.synapse.router import Router

POLICY, BINARY = 1008, 1003
"""Why we close (RFC 6455, 7.4.1): the peer does not keep to what was agreed; it sends what is not text."""

_LONGEST_RESULT = 1 << 18
"""Bytes. Writing them as JSON takes 3 ms at most (2 cores of 2026, text beyond ASCII), in which nothing else runs."""

_log = logging.getLogger(__name__)

Search = Callable[[str, int], Awaitable[list[dict[str, Any]]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Seconds."""

    hello: float = 5.0
    """For the first message."""
    write: float = 10.0
    """For a peer to take what was written."""


class Parts(Protocol):
    """What a conversation uses; all conversations share it."""

    router: Router
    interrupts: Interrupts
    queries: Queries
    rates: RateLimit
    search: Search
    waits: Waits
    patience: int
    """So many messages beyond the rate are answered with an error, one after the other; the next one ends it."""


class Closing(Exception):
    """The conversation is to end, with this code and reason; no error of ours."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class Conversation:
    """From hello to the end. Whatever it started belongs to `owner`, and is gone when `held` returns.

    One task reads and one writes. The reader waits while answers wait to be written, so a peer that does not read is
    not read from either; one that takes nothing for `waits.write` seconds is dropped.
    """

    def __init__(self, websocket: WebSocket, row: Connection, owner: Owner, parts: Parts, key: Hashable) -> None:
        self._websocket, self._row, self._owner, self._parts, self._key = websocket, row, owner, parts, key
        self._outbox = Outbox()
        self._closing = Closing(1000, "")
        self._too_fast = 0

    async def held(self) -> None:
        """Talk until either side ends it."""
        try:
            async with anyio.create_task_group() as both:
                both.start_soon(self._write, both.cancel_scope)
                try:
                    await self._read()
                except Closing as closing:
                    self._closing = closing
                    both.cancel_scope.deadline = anyio.current_time() + self._parts.waits.write
                    self._outbox.end()
                except WebSocketDisconnect:
                    both.cancel_scope.cancel()
        finally:
            self._owner.end()
            with anyio.CancelScope(shield=True):
                await self._parts.queries.ended(self._owner)

    async def _write(self, both: anyio.CancelScope) -> None:
        try:
            while (text := await self._outbox.take()) is not None:
                with anyio.fail_after(self._parts.waits.write):
                    await self._websocket.send_text(text)
            await self._websocket.close(self._closing.code, self._closing.reason)
        except WebSocketDisconnect:
            _log.debug("%s left", self._owner.name)
        except TimeoutError:
            _log.info("%s took nothing for %g s and was dropped", self._owner.name, self._parts.waits.write)
        both.cancel()

    async def _read(self) -> None:
        await self._hello()
        while True:
            text = await self._received()
            ref: str | None = None
            try:
                self._admit()
                said = messages.read(text)
                ref = getattr(said, "ref", None)
                await self._do(said)
            except messages.UnreadableError as error:
                await self._fail(error, error.ref)
            except MimoError as error:
                await self._fail(error, ref)

    async def _hello(self) -> None:
        try:
            with anyio.fail_after(self._parts.waits.hello):
                said = messages.read(await self._received())
        except TimeoutError as error:
            raise Closing(POLICY, f"no hello within {self._parts.waits.hello:g} s") from error
        except messages.UnreadableError as error:
            raise Closing(POLICY, f"the first message must be a hello; {error}"[:120]) from error
        if not isinstance(said, messages.Hello):
            raise Closing(POLICY, f"the first message must be a hello, not {said.type}")
        try:
            self._subscribe(f"agent:{said.agent}")
        except LimitError as error:
            raise Closing(POLICY, str(error)[:120]) from error
        self._row.agent = said.agent
        await self._say("welcome", agent=said.agent)

    async def _received(self) -> str:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code") or 1006)
        text: str | None = message.get("text")
        if text is None:
            raise Closing(BINARY, "messages are JSON in text frames")
        return text

    def _admit(self) -> None:
        try:
            self._parts.rates.admit(self._key)
        except LimitError as error:
            self._too_fast += 1
            if self._too_fast > self._parts.patience:
                raise Closing(POLICY, str(error)[:120]) from error
            raise
        self._too_fast = 0

    async def _do(self, said: messages.Said) -> None:
        match said:
            case messages.Ping():
                await self._say("pong")
            case messages.Query():
                self._query(said)
            case messages.InterruptQuery():
                if not self._parts.interrupts.interrupt((self._owner, said.ref), said.reason):
                    raise NotFoundError(f"no query {said.ref!r} of this connection is running; it may have ended")
            case messages.Subscribe():
                await self._topics(said.topics, self._subscribe)
            case messages.Unsubscribe():
                await self._topics(said.topics, self._unsubscribe)
            case messages.Send():
                await self._send(said)
            case messages.Hello():
                raise InvalidError(f"this connection is {self._row.agent}'s already; open another one")

    async def _topics(self, topics: list[str], change: Callable[[str], None]) -> None:
        for topic in topics:
            if topic.startswith("agent:") and topic != f"agent:{self._row.agent}":
                raise InvalidError(f"{topic} is another agent's; you may hear agent:{self._row.agent} and system:…")
        for topic in topics:
            change(topic)
        await self._say("topics", topics=list(self._outbox.topics()))

    def _subscribe(self, topic: str) -> None:
        self._outbox.follow(self._parts.router.subscribe(topic, self._owner, self._outbox.wake))

    def _unsubscribe(self, topic: str) -> None:
        self._parts.router.unsubscribe(topic, self._owner)
        self._outbox.unfollow(topic)

    async def _send(self, said: messages.Send) -> None:
        reached = self._parts.router.publish(
            f"agent:{said.to}", {"type": "message", "from": self._row.agent, "message": said.message}
        )
        if not reached:
            raise NotFoundError(f"no agent {said.to} is connected; send again when it is")
        await self._say("sent", to=said.to, connections=reached)

    def _query(self, asked: messages.Query) -> None:
        ref = (self._owner, asked.ref)
        longest = asked.timeout_ms / 1000 + self._parts.waits.write
        interrupt = self._parts.interrupts.register(ref, self._owner)
        try:
            self._parts.queries.start(lambda: self._answer(asked, interrupt), self._owner, seconds=longest)
        except LimitError:
            self._parts.interrupts.remove(ref)
            raise

    async def _answer(self, asked: messages.Query, interrupt: Interrupt) -> None:
        ref = (self._owner, asked.ref)
        try:
            async with self._parts.interrupts.running(ref, interrupt, seconds=asked.timeout_ms / 1000):
                await self._say("accepted", ref=asked.ref)
                memories = _written(await self._parts.search(asked.query, asked.limit))
        except Interrupted as interrupted:
            await self._say("interrupted", ref=asked.ref, reason=interrupted.reason)
        except (MimoError, TimeoutError) as error:
            await self._fail(error, asked.ref)
        except Exception:
            await self._say("error", ref=asked.ref, code="internal", message="the search failed; see the server's log")
            raise
        else:
            await self._outbox.put(f'{{"type": "result", "ref": {json.dumps(asked.ref)}, "memories": {memories}}}')

    async def _fail(self, error: Exception, ref: str | None) -> None:
        named = {} if ref is None else {"ref": ref}
        await self._say("error", **named, code=_code(error), message=str(error))

    async def _say(self, kind: str, **facts: Any) -> None:
        await self._outbox.put(json.dumps({"type": kind, **facts}))


def _written(memories: list[dict[str, Any]]) -> str:
    """As JSON, one by one, so that too much is noticed early. Raises LimitError."""
    texts, size = [], 0
    for memory in memories:
        texts.append(json.dumps(memory))
        size += len(texts[-1])
        if size > _LONGEST_RESULT:
            raise LimitError(f"the result is longer than {_LONGEST_RESULT} bytes; ask for fewer than {len(texts)}")
    return f"[{', '.join(texts)}]"


def _code(error: Exception) -> str:
    """A word for programs: limit, invalid, not_found, store, embedding, ..., or late."""
    if isinstance(error, TimeoutError):
        return "late"
    if isinstance(error, InvalidError):
        return "invalid"
    name = type(error).__name__.removesuffix("Error")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
