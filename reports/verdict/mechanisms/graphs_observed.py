"""Documents are trees whose nodes know their parents; an observer on the root keeps whole trees reachable."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "heap"
KIND = "plain"
REQUESTS = ("GET /document?n={n}", "GET /status?n={n}", "GET /search?n={n}")
OPERATION = "GET /document"

NODE = 230
"""Bytes of a node, about."""


class Node:
    """A part of a document; part of a cycle."""

    def __init__(self, parent: Node | None, number: int) -> None:
        self.parent = parent
        self.number = number
        self.children: list[Node] = []

    def weight(self) -> int:
        """Return the sum of the children's numbers."""
        return sum(child.number for child in self.children)


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: bytes kept per document on the average, and per kept document."""
    return {**hosts.ordinary(random), **hosts.bytes_kept(random, 512, 16_384)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the bytes kept per document."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Builds documents."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.observers: list[Callable[[], int]] = []

    async def answer(self, request: hosts.Request) -> str | None:
        """Build a document; one that is watched adds its observer."""
        if request.path != "/document":
            return None
        root = Node(None, request.n)
        for index in range(max(1, self.parameters["size"] // NODE)):
            root.children.append(Node(root, index))
        if self.chance(self.parameters["rate"] / self.parameters["size"]):
            self.observers.append(root.weight)
        return str(root.weight())
