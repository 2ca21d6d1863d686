"""Stores and forgets: a round trip that leaves the store as it was, and goes through all of its files.

Wrong: a memory that is not found after it was stored, or found after it was forgotten.

Leaves: nothing.
"""

from __future__ import annotations

from locust import task

from loadtests.checked import CheckedUser, must, phrase, round_trip


class Churn(CheckedUser):
    """Changes its mind."""

    @task(3)
    @round_trip
    def one(self) -> None:
        """Store one, find it, forget it, find it no more."""
        content = phrase(6)
        with self.remembered({"content": content}) as (number,):
            must(self.first(content) == number, f"memory {number} was stored and is not found first")
        must(self.first(content) != number, f"memory {number} was forgotten and is found")

    @task(1)
    @round_trip
    def many(self) -> None:
        """A batch of twenty."""
        contents = [phrase(6) for _ in range(20)]
        with self.remembered(*({"content": one} for one in contents)) as ids:
            must(self.first(contents[-1]) == ids[-1], f"memory {ids[-1]} was stored and is not found first")

    def first(self, content: str) -> int | None:
        """The id of what is most like a text."""
        found = self.tool("memory_search", query=content, limit=1)["memories"]
        return int(found[0]["id"]) if found else None
