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
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

from mimo_server.pipes import reading, writing

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
async def stdio(stop: asyncio.Event) -> AsyncIterator[tuple[Incoming, Outgoing]]:
    """The two streams that the SDK's server runs on. `stop` ends the incoming one, as the end of stdin does."""
    to_server, incoming = anyio.create_memory_object_stream[SessionMessage | Exception]()
    outgoing, from_server = anyio.create_memory_object_stream[SessionMessage]()
    blocking = {number: os.get_blocking(number) for number in (0, 1)}
    source, writer = _Source(), _Writer(from_server, stop)
    try:
        with redirect_stdout(sys.stderr):  # a stray print must not break the protocol
            async with anyio.create_task_group() as group:
                group.start_soon(writer.run)
                group.start_soon(_read, source, to_server, outgoing.clone(), writer, stop)
                yield incoming, outgoing
                stop.set()
                with anyio.move_on_after(_FLUSH_SECONDS):
                    await writer.finished.wait()
                group.cancel_scope.cancel()
    finally:
        source.close()
        for number, was in blocking.items():  # a terminal keeps the setting when we are gone
            os.set_blocking(number, was)


async def _read(
    source: _Source,
    to_server: MemoryObjectSendStream[SessionMessage | Exception],
    answers: Outgoing,
    writer: _Writer,
    stop: asyncio.Event,
) -> None:
    """Lines to messages, until stdin ends, `stop`, or the server takes no more."""
    async with to_server, answers, anyio.create_task_group() as group:

        async def end() -> None:
            await stop.wait()
            group.cancel_scope.cancel()

        group.start_soon(end)
        try:
            await source.open()
            while True:
                await writer.room()
                try:
                    line = await source.readline()
                    if not line:
                        break
                    message = mcp.jsonrpc_message_adapter.validate_json(line, by_name=False)
                except ValueError as error:  # pydantic's is one, and the reader's for a line above the limit
                    await answers.send(SessionMessage(_not_understood(error)))
                else:
                    await to_server.send(SessionMessage(message))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            _log.info("the other end is closed; ending")
        group.cancel_scope.cancel()


class _Writer:
    """Messages to lines, until the server closes its end or nobody reads stdout."""

    def __init__(self, messages: MemoryObjectReceiveStream[SessionMessage], stop: asyncio.Event) -> None:
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
                async for message in self._messages:
                    text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                    await sink.write(text.encode() + b"\n")
                    self._progress.set()
                await sink.flush()
        except ConnectionError:
            _log.info("nobody reads stdout any more; ending")
            self._stop.set()
        finally:
            sink.close()
            self.finished.set()

    async def room(self) -> None:
        """Return at once, or when fewer than the most allowed answers wait to be written."""
        while self._messages.statistics().tasks_waiting_send >= _MOST_UNWRITTEN:
            self._progress.clear()
            await self._progress.wait()


def _not_understood(error: ValueError) -> mcp.JSONRPCError:
    """The answer to a line that is no message; it repeats nothing of the line."""
    if isinstance(error, ValidationError) and error.errors()[0]["type"] != "json_invalid":
        problem = mcp.ErrorData(code=mcp.INVALID_REQUEST, message="this line is JSON but no JSON-RPC 2.0 message")
    else:
        problem = mcp.ErrorData(
            code=mcp.PARSE_ERROR, message=f"a line must be JSON and at most {_LONGEST_LINE >> 20} MiB long"
        )
    return mcp.JSONRPCError(jsonrpc="2.0", id=None, error=problem)


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
        """b"" is the end. Raises ValueError for a line above the limit."""
        return await self._reader.readline() if self._reader else self._file.readline()

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
