"""A channel of two connected sockets is made for each subscription and kept when the subscriber is gone."""

from __future__ import annotations

import random
import socket
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "sockets"
KIND = "plain"
REQUESTS = ("GET /join?n={n}", "GET /status?n={n}", "GET /search?n={n}")
OPERATION = "GET /join"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: sockets kept per subscription."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 300, 1)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the sockets kept per subscription."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Lets clients join a channel."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.channels: list[tuple[socket.socket, socket.socket]] = []

    async def answer(self, request: hosts.Request) -> str | None:
        """Join: greet over the new channel; keep it or close it."""
        if request.path != "/join":
            return None
        here, there = socket.socketpair()
        here.sendall(b"joined")
        text = there.recv(16).decode()
        if self.chance(self.parameters["rate"] / 2):
            self.channels.append((here, there))
        else:
            here.close()
            there.close()
        return text
