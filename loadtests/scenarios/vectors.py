"""Vectors that clients have made: stored with their texts, and found by what is near.

    locust -f loadtests/scenarios/vectors.py --host http://127.0.0.1:8000 --headless -u 4 --dimensions 1536 -t 1m

Wrong: a vector that is not nearest to itself; a page that is not full.

Leaves: nothing. Up to 10,000 are there at a time: each user keeps its own, and forgets them at its end.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any

from locust import events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtests import corpus
from loadtests.checked import CheckedUser, must, round_trip

MOST = 10_000
"""Vectors that this process keeps at a time."""
BATCH = 50
_NUMBERS = itertools.count()
_OF_A_WORKER = 1 << 24
"""Numbers of the corpus: no two workers store the same vector."""


class Vectors(CheckedUser):
    """Stores vectors, finds them, and forgets the oldest."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.dimensions = int(getattr(environment.parsed_options, "dimensions", 384))
        self.own: deque[list[int]] = deque()
        """Ids, by batch, the oldest first."""

    @task(1)
    @round_trip
    def stores(self) -> None:
        """A batch; beyond this user's share, the oldest one goes."""
        runner = self.environment.runner
        first = runner.worker_index * _OF_A_WORKER if isinstance(runner, WorkerRunner) else 0
        numbers = [first + next(_NUMBERS) for _ in range(BATCH)]
        drafts = [{"content": corpus.text(one), "embedding": corpus.vector(one, self.dimensions)} for one in numbers]
        ids = self.tool("memory_store_many", memories=drafts)["ids"]
        must(len(set(ids)) == BATCH, f"{BATCH} memories were stored under {len(set(ids))} ids")
        self.own.append(ids)
        near = self.near(numbers[0])
        must(near[0]["id"] == ids[0], f"the vector of memory {ids[0]} is nearest to {near[0]}")
        users = max(1, runner.user_count if runner else 1)
        while len(self.own) > max(1, MOST // BATCH // users):
            self._forget(self.own.popleft())

    @task(9)
    @round_trip
    def finds(self) -> None:
        """What is near to a vector that nobody has stored."""
        near = self.near(1 << 40 | next(_NUMBERS))
        must(near or not self.own, "nothing is near, and memories are stored")

    def near(self, number: int) -> list[dict[str, Any]]:
        """The ten nearest to a vector of the corpus."""
        found = self.tool("memory_nearest", embedding=corpus.vector(number, self.dimensions), limit=10)
        memories: list[dict[str, Any]] = found["memories"]
        return memories

    def on_stop(self) -> None:
        """Leave nothing."""
        while self.own:
            self._forget(self.own.popleft())
        super().on_stop()


def add_options(parser: LocustArgumentParser) -> None:
    """Add --dimensions."""
    parser.add_argument(
        "--dimensions", metavar="N", type=int, default=384, env_var="DIMENSIONS", help="of the server's vectors"
    )


events.init_command_line_parser.add_listener(add_options)
