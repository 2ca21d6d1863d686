"""Tunnels are pairs of sockets, and one that breaks while it is set up stays in the table."""

from __future__ import annotations

import random
import socket
from typing import Any

import hosts

LEAKS = True
HOST = "gevent"
RESOURCE = "sockets"
KIND = "rare"
REQUESTS = ("GET /tunnel?n={n}", "GET /status?n={n}", "GET /search?n={n}")
OPERATION = "GET /tunnel"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: sockets left per tunnel on the average."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 300, 1 / 5)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the sockets left per tunnel."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Makes tunnels."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.tunnels: dict[int, tuple[socket.socket, socket.socket]] = {}

    def answer(self, request: hosts.Request) -> str | None:
        """Make a tunnel, use it, and take it down unless it broke."""
        if request.path != "/tunnel":
            return None
        number = self.requests
        here, there = self.tunnels[number] = socket.socketpair()
        here.sendall(b"through")
        text = there.recv(16).decode()
        if not self.chance(self.parameters["rate"] / 2):
            del self.tunnels[number]
            here.close()
            there.close()
        return text
