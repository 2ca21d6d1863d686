"""Pipes on the event loop, without a thread."""

from __future__ import annotations

import asyncio
from typing import IO, Any


async def reading(pipe: IO[Any], *, longest_line: int) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    """A reader on a pipe, socket or terminal, and the transport that closes it."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=longest_line)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader, transport


async def writing(pipe: IO[Any]) -> asyncio.StreamWriter:
    """A writer on a pipe, socket or terminal; `drain` waits while the other side does not read."""
    loop = asyncio.get_running_loop()
    # The stream protocol brings the flow control that `drain` needs; its reader stays unused.
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), pipe
    )
    return asyncio.StreamWriter(transport, protocol, None, loop)
