"""A day's work: of ten operations seven search, two store, one asks for the server's health.

    locust -f loadtests/scenarios/mixed.py --host http://127.0.0.1:8000 --headless -u 50 --arrival-rate 100 -t 10m

Wrong: what `search` says; a memory that was stored and is not found; a health that is not that of a living server.

Leaves: one memory for each `stores`. With a limit (`mimo-server --max-memories`) the store stays as large as it is.
"""

from __future__ import annotations

from typing import Any

from loadtests.checked import must, phrase, round_trip
from loadtests.scenarios.search import Searching


class Mixed(Searching):
    """Searches most of the time."""

    @round_trip
    def stores(self) -> None:
        """A text that nobody else has; the search that follows finds it."""
        content = phrase(8)
        number = self.tool("memory_store", content=content, category="observation")["id"]
        first = self.found(content)[0]
        must((first["id"], first["content"]) == (number, content), f"memory {number} was stored, and {first} is found")

    @round_trip
    def health(self) -> None:
        """What the server says of itself."""
        said = self.page("/health")
        must(isinstance(said, dict) and said.get("status") in {"ok", "degraded"}, f"GET /health says {said}")

    tasks: dict[Any, int] = {Searching.exact: 2, Searching.partly: 5, stores: 2, health: 1}  # type: ignore[assignment] # noqa: RUF012 - as User declares it
