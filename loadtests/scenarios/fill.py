"""Fills an empty server with the first N memories of the corpus, in batches of texts; the server embeds them.

    locust -f loadtests/scenarios/fill.py --host http://127.0.0.1:8000 --headless -u 4 --memories 100000

Ends by itself. Run it again to go on where it was ended: batches that were on their way are looked for and, where they
are missing, stored. In distributed runs the first worker fills, since one server embeds for all.

Wrong: a batch that is answered with another number of ids, or that is not found again. It is tried again; after five
times the run ends, with exit code 1.

Leaves: N memories.

Does not see: memories of others in the same store; it takes the first ones for its own.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from typing import Any, ClassVar, NoReturn

from gevent.lock import BoundedSemaphore
from locust import events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import WorkerRunner

from loadtests import corpus
from loadtests.checked import CheckedUser, end_run, must, round_trip
from loadtests.mcp_wire import MissingError, WrongError

logger = logging.getLogger(__name__)
BATCH = 100
"""Memories of one call: as many as the server takes at once."""
UNCERTAIN = 64
"""Batches before the end of a store that was filled before: those that can have been on their way when it ended."""
ATTEMPTS = 5
"""At one batch."""
TOLD_SECONDS = 10.0
"""Between two lines of progress."""


class Progress:
    """Of this process: which batch is next, and how far it is."""

    def __init__(self, total: int, stored: int) -> None:
        self.total = total
        self.batches = -(-total // BATCH)
        first = max(0, min(stored // BATCH - UNCERTAIN, self.batches))
        self.left = deque(range(first, self.batches))
        """Batches that nobody has taken."""
        self.attempts: Counter[int] = Counter()
        self.unknown_until = min(self.batches, -(-stored // BATCH) + UNCERTAIN) if stored else 0
        """Batches before this one are looked for before they are stored."""
        self.done, self.stored = first, 0
        self.began = self.told = time.monotonic()

    def tell(self) -> None:
        """Log a line now and then."""
        now = time.monotonic()
        if now - self.told < TOLD_SECONDS and self.done < self.batches:
            return
        self.told, rate = now, self.stored / max(1e-9, now - self.began)
        left = (self.batches - self.done) * BATCH
        until = f"{left / rate:,.0f} s left" if rate and left else ""
        there = min(self.total, self.done * BATCH)
        logger.info("Fill: %s of %s memories, %s/s %s", f"{there:,}", f"{self.total:,}", f"{rate:,.0f}", until)


class Fill(CheckedUser):
    """Stores the next batch."""

    progress: ClassVar[Progress | None] = None
    every = 1
    """Of so many batches one is looked for after it was stored."""
    _beginning: ClassVar[BoundedSemaphore] = BoundedSemaphore(1)

    def on_start(self) -> None:
        """Look how much is there already: the first user does, for all."""
        super().on_start()
        self.every = int(getattr(self.environment.parsed_options, "verify_every", 1))
        runner = self.environment.runner
        fills = not isinstance(runner, WorkerRunner) or runner.worker_index == 0
        with self._beginning:
            if fills and self.progress is None:
                stored = self.tool("memory_stats")["memories"]
                type(self).progress = Progress(memories(self.environment), stored)

    @task
    @round_trip
    def stores(self) -> None:
        """A batch; at the end, the run ends."""
        progress = self.progress
        if progress is None or not progress.left:
            self.leave()
        batch = progress.left.popleft()
        try:
            self.store(progress, batch)
        except (MissingError, WrongError):
            progress.attempts[batch] += 1
            progress.left.appendleft(batch)
            if progress.attempts[batch] >= ATTEMPTS:
                end_run(self.environment, 1)
            raise

    def store(self, progress: Progress, batch: int) -> None:
        """Store one, unless it is there."""
        drafts = [corpus.memory(number) for number in range(batch * BATCH, min(progress.total, (batch + 1) * BATCH))]
        if batch >= progress.unknown_until or not self.is_there(drafts[-1]):
            ids = self.tool("memory_store_many", memories=drafts)["ids"]
            must(len(set(ids)) == len(drafts), f"{len(drafts)} memories were stored under {len(set(ids))} ids")
            if self.every and batch % self.every == 0:
                must(self.is_there(drafts[-1]), f"a memory of batch {batch} was stored and is not found")
            progress.stored += len(drafts)
        progress.done += 1
        progress.tell()

    def is_there(self, draft: dict[str, Any]) -> bool:
        """Whether the store finds this memory first: batches are stored as a whole."""
        found = self.tool("memory_search", query=draft["content"], limit=1)["memories"]
        return bool(found) and found[0]["content"] == draft["content"]

    def leave(self) -> NoReturn:
        """Stop this user; when nothing is on its way any more, the run ends."""
        if self.progress is not None and self.progress.done >= self.progress.batches:
            end_run(self.environment, 0)
        raise StopUser


def memories(environment: Environment) -> int:
    """How many memories of the corpus a run is about."""
    return int(environment.parsed_options.memories) if environment.parsed_options else 0


def add_options(parser: LocustArgumentParser) -> None:
    """Add --memories."""
    parser.add_argument(
        "--memories",
        metavar="N",
        type=int,
        default=10_000,
        env_var="MEMORIES",
        help="how many memories of the corpus are in the store, or are to be",
    )
    parser.add_argument(
        "--verify-every",
        metavar="N",
        type=int,
        default=1,
        env_var="VERIFY_EVERY",
        help="look for a memory of every N-th batch after it was stored; 0: of none",
    )


def forget(environment: Environment) -> None:  # noqa: ARG001 - what Locust fires
    """Each run looks anew."""
    Fill.progress = None


events.init_command_line_parser.add_listener(add_options)
events.test_start.add_listener(forget)
