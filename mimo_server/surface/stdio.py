"""MCP messages over stdin and stdout, one JSON line each, on the event loop.

The SDK's own stdio transport (2.3.0) reads on a worker thread that cannot be woken before stdin ends: a server on it
that cleans up on SIGTERM was still there after 5 s of a silent client. It also leaves lines that are no JSON-RPC
unanswered, and reads on while its answers are not read. This one has no thread, answers, and waits.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, redirect_stdout
from typing import IO

import anyio
import mcp_types as mcp
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.dispatcher import coerce_request_id
from mcp.shared.message import SessionMessage

from mimo_server.app import App
from mimo_server.errors import LimitError
from mimo_server.pipes import reading, writing
from mimo_server.surface.strict import RefusedError, message

_LONGEST_LINE = 4 << 20
"""Bytes; the SDK's own limit for a request over HTTP."""
_FLUSH_SECONDS = 0.3
"""For the last answers, when the client reads slowly or not at all."""

_MOST_UNWRITTEN = 1024
"""Answers that may wait for the client to read; then no more is read from it. The SDK takes every request at once:
a client that never read its answers cost 14 KB for each, 0.9 GB after 64,000."""

_log = logging.getLogger(__name__)

Incoming = MemoryObjectReceiveStream[SessionMessage | Exception]
Outgoing = MemoryObjectSendStream[SessionMessage]


@asynccontextmanager
async def stdio(app: App, stop: asyncio.Event) -> AsyncIterator[tuple[Incoming, Outgoing]]:
    """The two streams that the SDK's server runs on. `stop` ends the incoming one, as the end of stdin does.

    Then nothing more is read, and what was read before has the grace time to be answered.
    """
    logging.getLogger("mcp").setLevel(logging.ERROR)  # it has a warning for each malformed notification
    to_server, incoming = anyio.create_memory_object_stream[SessionMessage | Exception]()
    outgoing, from_server = anyio.create_memory_object_stream[SessionMessage]()
    blocking = {number: os.get_blocking(number) for number in (0, 1)}
    source, writer = _Source(), _Writer(app, from_server, stop)
    try:
        with redirect_stdout(sys.stderr):  # a stray print must not break the protocol
            async with anyio.create_task_group() as group:
                group.start_soon(writer.run)
                group.start_soon(_Reader(app, source, writer).run, to_server, outgoing.clone(), stop)
                yield incoming, outgoing
                stop.set()
                with anyio.move_on_after(_FLUSH_SECONDS):
                    await writer.finished.wait()
                group.cancel_scope.cancel()
    finally:
        source.close()
        for number, was in blocking.items():  # a terminal keeps the setting when we are gone
            os.set_blocking(number, was)


class _Reader:
    """Lines to messages."""

    def __init__(self, app: App, source: _Source, writer: _Writer) -> None:
        self._app, self._source, self._writer = app, source, writer

    async def run(
        self, to_server: MemoryObjectSendStream[SessionMessage | Exception], answers: Outgoing, stop: asyncio.Event
    ) -> None:
        """Until stdin ends, `stop`, or the server takes no more; then until what is in flight is answered."""
        async with to_server, answers, anyio.create_task_group() as group:

            async def end() -> None:
                await stop.wait()
                open_still.cancel()

            with anyio.CancelScope() as open_still:
                group.start_soon(end)
                try:
                    await self._read(to_server, answers)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    _log.info("the other end is closed; ending")
            with anyio.move_on_after(self._app.settings.grace):
                await self._writer.answered()
            group.cancel_scope.cancel()

    async def _read(self, to_server: MemoryObjectSendStream[SessionMessage | Exception], answers: Outgoing) -> None:
        await self._source.open()
        while True:
            await self._writer.room()
            try:
                try:
                    line = await self._source.readline()
                except ValueError as error:  # above the limit
                    raise RefusedError(
                        mcp.PARSE_ERROR, f"a line must be at most {_LONGEST_LINE >> 20} MiB long"
                    ) from error
                if not line:
                    return
                await to_server.send(SessionMessage(self._message(line)))
            except RefusedError as error:
                self._app.refusals.note("a line")
                await answers.send(SessionMessage(error.answer()))

    def _message(self, line: bytes) -> mcp.JSONRPCMessage:
        """One that may be handed on. Raises RefusedError."""
        read = message(line)
        if read.unasked:
            self._app.refusals.note("a response that nobody asked for")
        try:
            parsed: mcp.JSONRPCMessage = mcp.jsonrpc_message_adapter.validate_python(read.raw, by_name=False)
        except ValueError as error:
            raise RefusedError(mcp.INVALID_REQUEST, "this line is JSON but no JSON-RPC 2.0 message") from error
        if read.id is not None:
            self._writer.expect(read.id)
        elif read.cancels is not None:
            self._writer.forget(read.cancels)
        return parsed


class _Writer:
    """Messages to lines, until the server closes its end or nobody reads stdout."""

    def __init__(self, app: App, messages: MemoryObjectReceiveStream[SessionMessage], stop: asyncio.Event) -> None:
        self._requests = app.requests
        self._messages = messages
        self._stop = stop
        self._progress = asyncio.Event()
        self.finished = asyncio.Event()

    async def run(self) -> None:
        """Write all; ask for the end of everything when that is impossible."""
        sink = _Sink()
        try:
            async with self._messages:
                await sink.open()
                async for sent in self._messages:
                    text = sent.message.model_dump_json(by_alias=True, exclude_unset=True)
                    await sink.write(text.encode() + b"\n")
                    if isinstance(sent.message, (mcp.JSONRPCResponse, mcp.JSONRPCError)):
                        self._over(sent.message.id)
                    self._progress.set()
                await sink.flush()
        except ConnectionError:
            _log.info("nobody reads stdout any more; ending")
            self._stop.set()
        finally:
            sink.close()
            self.finished.set()
            self._progress.set()

    def expect(self, number: str | int) -> None:
        """A request is in flight until its answer is written. Raises RefusedError for an id that is in use."""
        if self._requests.get(coerce_request_id(number)) is not None:
            raise RefusedError(mcp.INVALID_REQUEST, "a request with the same id is in flight; ids must be unique")
        try:
            self._requests.add("request", key=coerce_request_id(number))
        except LimitError as error:
            raise RefusedError(mcp.INTERNAL_ERROR, str(error), number) from error

    def forget(self, number: str | int) -> None:
        """It was cancelled: there will be no answer."""
        self._over(number)
        self._progress.set()

    def _over(self, number: str | int | None) -> None:
        if number is not None:
            self._requests.remove(coerce_request_id(number))

    async def answered(self) -> None:
        """Return when no request is in flight any more, or nobody reads."""
        while len(self._requests) and not self.finished.is_set():
            self._progress.clear()
            await self._progress.wait()

    async def room(self) -> None:
        """Return at once, or when fewer than the most allowed answers wait to be written."""
        while self._messages.statistics().tasks_waiting_send >= _MOST_UNWRITTEN:
            self._progress.clear()
            await self._progress.wait()


def _can_wait(number: int) -> bool:
    """Whether epoll takes it; it refuses regular files and /dev/null, which never make anyone wait."""
    mode = os.fstat(number).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(number)


class _Source:
    """Stdin by lines."""

    def __init__(self) -> None:
        self._file: IO[bytes] = open(0, "rb", buffering=0 if _can_wait(0) else -1, closefd=False)  # noqa: SIM115
        self._reader: asyncio.StreamReader | None = None

    async def open(self) -> None:
        if _can_wait(0):
            self._reader, self._transport = await reading(self._file, longest_line=_LONGEST_LINE)

    async def readline(self) -> bytes:
        """b"" is the end. Raises ValueError for a line above the limit, when all of it has passed.

        asyncio's own readline would give the rest of it for further lines, of which one may be a message.
        """
        if self._reader is None:
            return self._file.readline()
        long = False
        while True:
            try:
                line = await self._reader.readuntil()
            except asyncio.IncompleteReadError as error:
                line = error.partial
            except asyncio.LimitOverrunError as error:
                long = True
                await self._reader.readexactly(error.consumed)
                continue
            if long:
                raise ValueError(_LONGEST_LINE)
            return line

    def close(self) -> None:
        if self._reader:
            self._transport.close()
        else:
            self._file.close()


class _Sink:
    """Stdout."""

    def __init__(self) -> None:
        self._file: IO[bytes] = open(1, "wb", buffering=0, closefd=False)  # noqa: SIM115
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> None:
        if _can_wait(1):
            self._writer = await writing(self._file)

    async def write(self, line: bytes) -> None:
        """Waits while the client does not read. Raises ConnectionError when it never will."""
        if self._writer:
            self._writer.write(line)
            await self._writer.drain()
        else:
            self._file.write(line)

    async def flush(self) -> None:
        if self._writer:
            self._writer.close()
            await self._writer.wait_closed()

    def close(self) -> None:
        if self._writer:
            self._writer.transport.close()
        else:
            self._file.close()
