"""Searches a store that `fill` has filled with the first `--memories` of the corpus.

    locust -f loadtests/scenarios/search.py --host http://127.0.0.1:8000 --headless -u 50 --arrival-rate 100 -t 10m

Wrong: a memory that is not found by its own text, or not before all others; a page that is not full; answers out of
order.

Leaves: nothing.

Does not see: how good the ranking of texts is that have words in common by chance.
"""

from __future__ import annotations

import logging
import random
from itertools import pairwise
from typing import Any

from locust.exception import StopUser

from loadtests import corpus
from loadtests.checked import CheckedUser, end_run, must, round_trip
from loadtests.scenarios.fill import memories

SAME = 0.99
"""Similarity of a text with itself: the rest is for the rounding of a compressed vector."""
LIMIT = 10
logger = logging.getLogger(__name__)


class Searching(CheckedUser):
    """Can ask for what is there, and see that it is."""

    abstract = True
    stored = 0

    def on_start(self) -> None:
        """See that the corpus is there."""
        super().on_start()
        wanted, there = memories(self.environment), self.tool("memory_stats")["memories"]
        if there >= wanted:
            self.stored = wanted
        else:
            logger.error("%s memories are stored, of --memories %s: run fill first", f"{there:,}", f"{wanted:,}")
            end_run(self.environment, 1)

    @round_trip
    def exact(self) -> None:
        """A text is found by itself, first."""
        number = self.drawn()
        wanted = corpus.memory(number)
        first = self.found(wanted["content"])[0]
        got = {key: first.get(key) for key in wanted}
        must(got == wanted, f"memory {number} was asked for by its own text, and {got} came first")
        must(first["similarity"] >= SAME, f"a text is like itself by {first['similarity']}")

    @round_trip
    def partly(self) -> None:
        """Four words of a text fill a page, the most alike first."""
        self.found(corpus.part(self.drawn()))

    def drawn(self) -> int:
        """The number of a memory that is there. Raises StopUser where the corpus is not."""
        if not self.stored:
            raise StopUser
        return random.randrange(self.stored)  # noqa: S311 - no secret

    def found(self, query: str) -> list[dict[str, Any]]:
        """A page that is as full as it can be, in order."""
        page: list[dict[str, Any]] = self.tool("memory_search", query=query, limit=LIMIT)["memories"]
        must(len(page) == min(LIMIT, self.stored), f"{len(page)} of {self.stored:,} memories, where {LIMIT} were asked")
        alike = [one["similarity"] for one in page]
        must(all(one >= other for one, other in pairwise(alike)), f"similarities out of order: {alike}")
        return page


class Search(Searching):
    """One in five knows the whole text."""

    tasks: dict[Any, int] = {Searching.exact: 1, Searching.partly: 4}  # type: ignore[assignment] # noqa: RUF012 - as User declares it
