"""A greenlet waits for an event that one path forgets to set."""

from __future__ import annotations

import random
from typing import Any

import gevent
import gevent.event
import gevent.pool
import hosts

LEAKS = True
HOST = "gevent"
RESOURCE = "heap"
KIND = "plain"
REQUESTS = ("GET /watch?n={n}", "GET /status?n={n}")
OPERATION = "GET /watch"

GREENLET = 5_600
"""Bytes of a waiting greenlet with its stack, measured."""


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: bytes kept per request on the average."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 64, 4_096)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the bytes kept per request."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Lets greenlets wait."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.group = gevent.pool.Group()

    def answer(self, request: hosts.Request) -> str | None:
        """Watch something; its end is noticed most of the time."""
        if request.path != "/watch":
            return str(len(self.group))
        ended = gevent.event.Event()
        self.group.spawn(ended.wait)
        if not self.chance(self.parameters["rate"] / GREENLET):
            gevent.sleep(0)
            ended.set()
        return "watched"
