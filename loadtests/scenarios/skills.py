"""Answers of a skill reach whoever asked, also when many ask at once, and when one came too late.

Wrong: after one timeout each caller gets the answer to the request before (desync).
"""

from __future__ import annotations

import time
from functools import partial

import gevent
from locust import task

from loadtests.checked import CheckedUser, must, phrase, round_trip

DELAYS_MS = (60, 40, 20, 1)
"""Asked in this order, answered in the reverse one."""
LATE_SECONDS = 0.3
"""So much later than the server waits a late answer leaves the skill."""


class Skills(CheckedUser):
    """Has texts said back that nobody else has."""

    @task(10)
    @round_trip
    def echoes(self) -> None:
        """A text comes back."""
        self.echo()

    @task(4)
    @round_trip
    def crosses(self) -> None:
        """Calls that overtake each other keep their answers."""
        self.together([partial(self.echo, wait) for wait in DELAYS_MS])

    @task(1)
    @round_trip
    def times_out(self) -> None:
        """A call that takes too long is an error, and what comes late is nobody's answer."""
        late, began = self.answer_seconds + LATE_SECONDS, time.monotonic()
        words = self.refused("skill_delay", text=phrase(), milliseconds=round(late * 1000))
        must("within" in words, f"a late skill is refused with {words!r}, which names no time")
        took = time.monotonic() - began
        must(took > self.answer_seconds, f"a skill has {self.answer_seconds:g} s, and was given up after {took:.2f} s")
        while time.monotonic() < began + late + LATE_SECONDS:
            self.echo()
            gevent.sleep(0.02)  # not a wait: the time until the late answer has come is watched in these steps
        self.together([self.echo] * 4)

    def echo(self, wait_ms: int | None = None) -> None:
        """Have a text said back."""
        text = f"{phrase()} ü\n"
        if wait_ms is None:
            said = self.tool("skill_echo", text=text)
        else:
            said = self.tool("skill_delay", text=text, milliseconds=wait_ms)
        must(said == {"text": text}, f"{text!r} was to be said back, and {said} came: another's answer")
