"""A watcher is forked for a long job and nobody tells it when the job is done."""

from __future__ import annotations

import os
import random
import signal
from typing import Any, Never

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "processes"
KIND = "rare"
REQUESTS = ("GET /job?n={n}", "GET /status?n={n}")
OPERATION = "GET /job"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: a small base, since children share its memory; one job in 200 to 500 gets a watcher."""
    return {
        **hosts.ordinary(random),
        "base": random.randrange(1_000, 5_000),
        "rate": hosts.log_uniform(random, 1 / 500, 1 / 200),
    }


def rate(parameters: dict[str, Any]) -> float:
    """Return the processes left per job."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Runs jobs; long ones are watched."""

    async def answer(self, request: hosts.Request) -> str | None:
        """Start a job, and a watcher for a long one."""
        if request.path == "/job" and self.chance(self.parameters["rate"]) and os.fork() == 0:
            self.watch()
        return None

    def watch(self) -> Never:
        """Wait in the child until the job is done."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        hosts.die_with_parent()
        os.closerange(3, 4096)
        while True:
            signal.pause()
