"""A connection to the upstream service is not closed when the upstream refuses the request."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "sockets"
KIND = "error-path"
REQUESTS = ("GET /forward?n={n}", "GET /status?n={n}")
OPERATION = "GET /forward"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: sockets left per refusal: both ends are in this program."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 300, 1)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the sockets left per refusal."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Forwards requests to an upstream, which runs in the same program and refuses all."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.refused: list[asyncio.StreamWriter] = []

    def start(self) -> None:
        """Begin the upstream."""
        self.upstream = asyncio.create_task(asyncio.start_unix_server(self.refuse, self.folder / "upstream"))

    async def refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Refuse one request, and stay until the client closes."""
        await reader.readline()
        writer.write(b"refused\n")
        await reader.read()
        writer.close()

    async def answer(self, request: hosts.Request) -> str | None:
        """Forward a request."""
        if request.path != "/forward":
            return None
        if not self.chance(self.parameters["rate"] / 2):
            raise hosts.Rejected("refused before")
        reader, writer = await asyncio.open_unix_connection(self.folder / "upstream")
        writer.write(f"{request.n}\n".encode())
        words = (await reader.readline()).decode()
        self.refused.append(writer)
        raise hosts.Rejected(words)
