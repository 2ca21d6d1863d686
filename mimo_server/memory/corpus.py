"""Generated memories: sentences from a small vocabulary, the same for the same number."""

from __future__ import annotations

import random
from collections.abc import Iterator

from mimo_server.memory.record import Category, Draft

_SUBJECTS = ("the build", "a user", "the cache", "this agent", "the database", "an editor", "the network", "a customer")
_VERBS = ("needs", "prefers", "restarted", "forgot", "opened", "measured", "moved", "rejected", "reported", "planned")
_OBJECTS = ("a new key", "dark colours", "the nightly backup", "short answers", "port 8080", "an old invoice")
_PLACES = ("in Lisbon", "on staging", "before lunch", "after the review", "at the office", "during the outage")


def drafts(count: int, *, first: int = 0) -> Iterator[Draft]:
    """Memories number `first` to `first + count - 1`; streamed, so that the caller chooses how many to hold."""
    categories = tuple(Category)
    for number in range(first, first + count):
        chance = random.Random(number)  # noqa: S311 -- test data, not a secret
        words = (chance.choice(part) for part in (_SUBJECTS, _VERBS, _OBJECTS, _PLACES))
        yield Draft(
            content=f"{' '.join(words)}, note {number}",
            category=categories[number % len(categories)],
            importance=chance.randrange(101) / 100,
        )
