"""The table of connections: websockets of agents elsewhere, and sockets to agents in this process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from mimo_server.supervision.owner import Owner
from mimo_server.supervision.registry import Bound, Registry

_LONGEST_MESSAGE = 1 << 16


class Connection:
    """One row: whose connection it is. An agent may have several, and each is a row of its own."""

    def __init__(self, agent: str) -> None:
        self.agent = agent
        """Its id; empty until it has said hello."""

    def close(self) -> None:
        """Give back what the row itself holds. Twice is no error."""


class LocalConnection(Connection):
    """Our end of the socket to an agent in this process; one packet is one message."""

    def __init__(self, agent: str, end: socket.socket) -> None:
        super().__init__(agent)
        self._end = end

    async def ask(self, message: str) -> str:
        """Send one message and wait for the answer; an empty one means that the agent hung up."""
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._end, message.encode())
        return (await loop.sock_recv(self._end, _LONGEST_MESSAGE)).decode()

    def close(self) -> None:
        """Give the socket back."""
        self._end.close()


async def _agent(name: str, end: socket.socket) -> None:
    """An agent in this process: answers one message and hangs up, or hangs up when its caller does."""
    loop = asyncio.get_running_loop()
    with end:
        message = await loop.sock_recv(end, _LONGEST_MESSAGE)
        if message:
            await loop.sock_sendall(end, f"{name} heard {message.decode()}".encode())


class Connections:
    """Sees that each connection is in the table while it lives, and released at its end, however it ended.

    Rows are numbered, not named: when an agent joins again, the end of its old connection leaves the new row alone.
    """

    def __init__(self, *, limit: int | None) -> None:
        self.table: Registry[Connection] = Registry("connections", limit=limit)

    def add(self, connection: Connection, owner: Owner) -> Hashable:
        """A row until the owner's end; its number. Raises LimitError when too many are open."""
        number = self.table.add(connection)
        owner.at_end(lambda: self.release(number))
        return number

    def release(self, number: Hashable) -> None:
        """The connection has ended: close and forget."""
        if (connection := self.table.get(number)) is not None:
            connection.close()
        self.table.remove(number)

    @asynccontextmanager
    async def to(self, agent: str) -> AsyncIterator[LocalConnection]:
        """A connection to an agent in this process for the length of the block. Raises LimitError when full."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        theirs.setblocking(False)
        connection, owner = LocalConnection(agent, ours), Owner("conversation")
        try:
            self.add(connection, owner)
        except BaseException:
            ours.close()
            theirs.close()
            raise
        answering = asyncio.create_task(_agent(agent, theirs), name=f"agent {agent}")
        try:
            yield connection
        finally:
            owner.end()
            answering.cancel()  # it has answered, or there is nobody left to answer
            await asyncio.wait([answering])
            theirs.close()  # cancelled before its first step, it never had it

    def count(self) -> int:
        """How many are open."""
        return len(self.table)

    def agents(self) -> tuple[str, ...]:
        """Who is connected, each once, in the order of joining."""
        return tuple(dict.fromkeys(connection.agent for connection in self.table if connection.agent))

    def bound(self) -> Bound:
        """How many are open, and how many may be."""
        return self.table.bound()
