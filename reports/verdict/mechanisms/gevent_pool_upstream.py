"""A pool of connections to a service behind grows with what is asked at once, and closes what was idle."""

from __future__ import annotations

import random
import socket
import time
from typing import Any

import gevent
import hosts
from gevent.server import StreamServer

LEAKS = False
HOST = "gevent"
RESOURCE = "sockets"
KIND = "pool"
REQUESTS = ("GET /ask?n={n}", "GET /health?n={n}")
OPERATION = None


def served(connection: socket.socket, _address: tuple[str, int]) -> None:
    """Send back what comes, until the client closes."""
    while data := connection.recv(4):
        connection.sendall(data)


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: up to 2 to 60 connections at once, closed after 0.3 to 6 s idle."""
    return {
        **hosts.ordinary(random),
        "wide": round(hosts.log_uniform(random, 2, 60)),
        "seconds": hosts.log_uniform(random, 0.3, 6),
        "share": hosts.log_uniform(random, 0.03, 0.5),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Asks a service behind."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.free: list[tuple[float, socket.socket]] = []

    def start(self) -> None:
        """Start the service, and begin to close idle connections."""
        self.service = StreamServer(("127.0.0.1", 0), served)
        self.service.start()
        gevent.spawn(self.sweep)

    def sweep(self) -> None:
        """Close what was idle too long, again and again."""
        while True:
            gevent.sleep(0.2)
            while self.free and self.free[0][0] < time.monotonic() - self.parameters["seconds"]:
                self.free.pop(0)[1].close()

    def ask(self, number: int) -> bytes:
        """Ask one question on the connection used last, or on a new one."""
        address = ("127.0.0.1", self.service.server_port)
        connection = self.free.pop()[1] if self.free else socket.create_connection(address)
        connection.sendall(b"%04d" % number)
        result = connection.recv(4)
        self.free.append((time.monotonic(), connection))
        return result

    def answer(self, request: hosts.Request) -> str | None:
        """Ask one question, or many at once."""
        if request.path != "/ask" or not self.chance(self.parameters["share"]):
            return None
        wide = min(int(self.random.paretovariate(1)), self.parameters["wide"])
        asked = [gevent.spawn(self.ask, request.n + more) for more in range(wide)]
        return str(len(gevent.joinall(asked)))

    def held(self) -> int:
        """Return how many connections are held."""
        return len(self.free)
