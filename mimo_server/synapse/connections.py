"""Connection objects: a socket to an agent, open for one conversation."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mimo_server.supervision.registry import Bound, Registry

_LONGEST_MESSAGE = 1 << 16


class Connection:
    """Our end of the socket; one packet is one message."""

    def __init__(self, agent: str, end: socket.socket) -> None:
        self.agent = agent
        self._end = end

    async def ask(self, message: str) -> str:
        """Send one message and wait for the answer; an empty one means that the agent hung up."""
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._end, message.encode())
        return (await loop.sock_recv(self._end, _LONGEST_MESSAGE)).decode()

    def close(self) -> None:
        """Give the socket back. Twice is no error."""
        self._end.close()


async def _agent(name: str, end: socket.socket) -> None:
    """An agent in this process: answers one message and hangs up, or hangs up when its caller does."""
    loop = asyncio.get_running_loop()
    with end:
        message = await loop.sock_recv(end, _LONGEST_MESSAGE)
        if message:
            await loop.sock_sendall(end, f"{name} heard {message.decode()}".encode())


class Connections:
    """Opens connections and sees that each is released when its conversation is over, however it ended."""

    def __init__(self, *, limit: int | None) -> None:
        self._open: Registry[Connection] = Registry("connections", limit=limit)

    @asynccontextmanager
    async def to(self, agent: str) -> AsyncIterator[Connection]:
        """A connection for the length of the block. Raises LimitError when too many are open."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        theirs.setblocking(False)
        connection = Connection(agent, ours)
        try:
            number = self._open.add(connection)
        except BaseException:
            ours.close()
            theirs.close()
            raise
        answering = asyncio.create_task(_agent(agent, theirs), name=f"agent {agent}")
        try:
            yield connection
        finally:
            self.release(number)
            answering.cancel()  # it has answered, or there is nobody left to answer
            await asyncio.wait([answering])

    def release(self, number: int) -> None:
        """The conversation is over: close and forget."""
        if (connection := self._open.get(number)) is not None:
            connection.close()
        self._open.remove(number)

    def bound(self) -> Bound:
        """How many are open, and how many may be."""
        return self._open.bound()
