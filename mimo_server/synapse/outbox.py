"""What waits to be written to one peer."""

from __future__ import annotations

import asyncio
from collections import deque

from mimo_server.synapse.router import Subscription


class Outbox:
    """Answers wait for room here, so whoever gives them waits too; messages of topics wait in their subscriptions.

    At most `limit` characters of answers (one answer may be longer, alone). JSON in ASCII: a character is a byte.
    """

    def __init__(self, *, limit: int = 1 << 18) -> None:
        self._limit = limit
        self._answers: deque[str] = deque()
        self._held = 0
        self._ended = False
        self._ready = asyncio.Event()
        self._room = asyncio.Event()
        self._subscriptions: deque[Subscription] = deque()

    def wake(self) -> None:
        """A subscription has a message."""
        self._ready.set()

    def follow(self, subscription: Subscription) -> None:
        """Take its messages too; twice is the same."""
        if subscription not in self._subscriptions:
            self._subscriptions.append(subscription)

    def unfollow(self, topic: str) -> None:
        """Take no more of that topic."""
        self._subscriptions = deque(one for one in self._subscriptions if one.topic != topic)

    def topics(self) -> tuple[str, ...]:
        """What it takes messages of."""
        return tuple(sorted(one.topic for one in self._subscriptions))

    async def put(self, text: str) -> None:
        """Wait for room, and leave it there."""
        while self._answers and self._held + len(text) > self._limit:
            self._room.clear()
            await self._room.wait()
        self._answers.append(text)
        self._held += len(text)
        self._ready.set()

    def end(self) -> None:
        """Nothing comes after the answers that wait now."""
        self._ended = True
        self._ready.set()

    async def take(self) -> str | None:
        """The next to be written, answers first; None at the end."""
        while (text := self._next()) is None and not self._ended:
            self._ready.clear()
            await self._ready.wait()
        return text

    def _next(self) -> str | None:
        if self._answers:
            text = self._answers.popleft()
            self._held -= len(text)
            self._room.set()
            return text
        for _ in range(0 if self._ended else len(self._subscriptions)):
            self._subscriptions.rotate(-1)  # each in turn: a busy topic must not silence a quiet one
            if (message := self._subscriptions[-1].take()) is not None:
                return message
        return None
