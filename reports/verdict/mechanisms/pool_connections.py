"""A pool of connections to a database grows with what is asked at once, and closes those that were idle."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "sockets"
KIND = "pool"
REQUESTS = ("GET /report?n={n}", "GET /health?n={n}")
OPERATION = None

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each line with a line, as the database does, until the client goes."""
    while line := await reader.readline():
        writer.write(line)
    writer.close()


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters.

    Reports ask up to 2 to 60 questions at once, few of them many; a connection is closed after 0.3 to 6 s idle.
    """
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 2, 60)),
        "seconds": hosts.log_uniform(random, 0.3, 6),
        "share": hosts.log_uniform(random, 0.05, 1),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Asks a database."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.idle: list[tuple[float, Connection]] = []
        self.connections = 0

    def start(self) -> None:
        """Start the database, and the timer of the pool."""
        self.database = asyncio.create_task(asyncio.start_server(served, "127.0.0.1", 0))
        self.sweeper = asyncio.create_task(self.sweep())

    async def sweep(self) -> None:
        """Close what was idle too long, again and again."""
        while True:
            await asyncio.sleep(0.2)
            while self.idle and self.idle[0][0] < time.monotonic() - self.parameters["seconds"]:
                self.idle.pop(0)[1][1].close()
                self.connections -= 1

    async def ask(self, number: int) -> bytes:
        """Ask one question on the connection used last."""
        if self.idle:
            reader, writer = self.idle.pop()[1]
        else:
            self.connections += 1
            address = (await self.database).sockets[0].getsockname()
            reader, writer = await asyncio.open_connection(*address)
        writer.write(b"%d\n" % number)
        result = await reader.readline()
        self.idle.append((time.monotonic(), (reader, writer)))
        return result

    async def answer(self, request: hosts.Request) -> str | None:
        """Report: ask one question, or many at once."""
        if request.path != "/report" or not self.chance(self.parameters["share"]):
            return None
        questions = min(int(self.random.paretovariate(1.1)), self.parameters["bound"])
        return str(await asyncio.gather(*(self.ask(request.n + more) for more in range(questions))))

    def held(self) -> int:
        """Return how many connections are held."""
        return self.connections
