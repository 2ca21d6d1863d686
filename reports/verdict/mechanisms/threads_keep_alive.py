"""A client of some services keeps one connection to each, which is closed when it is old or was idle."""

from __future__ import annotations

import random
import socket
import socketserver
import threading
import time
from dataclasses import dataclass
from typing import Any

import hosts

LEAKS = False
HOST = "threads"
RESOURCE = "sockets"
KIND = "keep-alive"
REQUESTS = ("GET /call?n={n}", "GET /health?n={n}")
OPERATION = None


class Service(socketserver.BaseRequestHandler):
    """Sends back what it gets."""

    def handle(self) -> None:
        """Serve one connection until its client closes it."""
        while data := self.request.recv(4):
            self.request.sendall(data)


@dataclass
class Kept:
    """A connection, how many calls it had, and when the last one was."""

    connection: socket.socket
    calls: int = 0
    used: float = 0.0


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: 2 to 40 services; a connection ends after 10 to 1,000 calls, or after 0.3 to 6 s idle."""
    return {
        **hosts.ordinary(random),
        "services": random.randrange(2, 41),
        "calls": round(hosts.log_uniform(random, 10, 1000)),
        "seconds": hosts.log_uniform(random, 0.3, 6),
        "share": hosts.log_uniform(random, 0.03, 0.7),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Calls services."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.lock = threading.Lock()
        self.kept: dict[int, Kept] = {}

    def start(self) -> None:
        """Start the services (one server that plays all), and begin to close idle connections."""
        self.service = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Service)
        self.service.daemon_threads = True
        threading.Thread(target=self.service.serve_forever, daemon=True).start()
        threading.Thread(target=self.sweep, daemon=True).start()

    def sweep(self) -> None:
        """Close what was idle too long, again and again."""
        while True:
            time.sleep(0.2)
            oldest = time.monotonic() - self.parameters["seconds"]
            with self.lock:
                for service in [service for service, kept in self.kept.items() if kept.used < oldest]:
                    self.kept.pop(service).connection.close()

    def call(self, service: int, number: int) -> bytes:
        """Call one service; its connection is nobody else's meanwhile."""
        with self.lock:
            kept = self.kept.pop(service, None)
        if kept is None:
            kept = Kept(socket.create_connection(self.service.server_address))
        kept.connection.sendall(b"%04d" % number)
        result = kept.connection.recv(4)
        kept.calls, kept.used = kept.calls + 1, time.monotonic()
        with self.lock:
            if kept.calls < self.parameters["calls"] and service not in self.kept:
                self.kept[service] = kept
                return result
        kept.connection.close()
        return result

    def answer(self, request: hosts.Request) -> str | bytes | None:
        """Call one of the services, the first ones more often."""
        if request.path != "/call" or not self.chance(self.parameters["share"]):
            return None
        return self.call(int(self.parameters["services"] ** self.random.random()), request.n)

    def held(self) -> int:
        """Return how many connections are held."""
        return len(self.kept)
