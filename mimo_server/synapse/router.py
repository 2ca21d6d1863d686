"""The message router: topics, and who gets them, each with a queue that is bounded."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable
from typing import Any

from mimo_server.errors import InvalidError, LimitError
from mimo_server.supervision.events import Event, Events, Kind
from mimo_server.supervision.owner import Owner
from mimo_server.supervision.registry import Bound

AGENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}", re.ASCII)
"""What an agent may be called."""
SYSTEM_TOPICS = frozenset(f"system:{kind}" for kind in Kind)


class Depth:
    """Messages that wait in all queues together."""

    def __init__(self) -> None:
        self.size = self.high_water = self.dropped = 0

    def add(self, count: int) -> None:
        """So many more wait (or fewer)."""
        self.size += count
        self.high_water = max(self.high_water, self.size)


class Subscription:
    """What one owner has not yet taken of one topic.

    The oldest makes room for the newest; the owner is told of how many it lost before it gets the next.
    """

    def __init__(self, topic: str, *, limit: int | None, wake: Callable[[], None], depth: Depth) -> None:
        self.topic = topic
        self.limit = limit
        self._wake = wake
        self._depth = depth
        self._waiting: deque[str] = deque()
        self._lost = 0
        self.disown: Callable[[], None] = lambda: None
        """Takes back what its owner was told to release."""

    def put(self, text: str) -> None:
        """Never blocks, never refuses."""
        if self.limit is not None and len(self._waiting) >= self.limit:
            self.make_room()
        self._waiting.append(text)
        self._depth.add(1)
        self._wake()

    def make_room(self) -> None:
        """It is full: lose the oldest."""
        self._waiting.popleft()
        self._lost += 1
        self._depth.dropped += 1
        self._depth.add(-1)

    def take(self) -> str | None:
        """The next message as JSON; None when nothing waits."""
        if self._lost:
            lost, self._lost = self._lost, 0
            return json.dumps({"type": "lagged", "topic": self.topic, "lost": lost})
        if not self._waiting:
            return None
        self._depth.add(-1)
        return self._waiting.popleft()

    def clear(self) -> None:
        """Nobody will take the rest."""
        self._depth.add(-len(self._waiting))
        self._waiting.clear()

    def __len__(self) -> int:
        return len(self._waiting)


class Router:
    """Hands each message to those who have subscribed to its topic. Used from the event loop's thread only.

    A topic is `agent:<id>` or `system:<kind of event>`, and is there while somebody has subscribed to it: there are
    never more topics than subscriptions, and of these at most `limit`.
    """

    def __init__(self, *, limit: int | None = 512, queue_limit: int | None = 64) -> None:
        self.limit, self.queue_limit = limit, queue_limit
        self.subscription: type[Subscription] = Subscription
        self._topics: dict[str, dict[Owner, Subscription]] = {}
        self._depth = Depth()
        self._count = self._high_water = self._rejected = 0

    def subscribe(self, topic: str, owner: Owner, wake: Callable[[], None]) -> Subscription:
        """From now until the owner's end or `unsubscribe`; `wake` is called for each message. A second one is the same.

        Raises InvalidError for a topic that cannot be, LimitError when there are too many subscriptions.
        """
        check_topic(topic)
        if (found := self._topics.get(topic, {}).get(owner)) is not None:
            return found
        if self.limit is not None and self._count >= self.limit:
            self._rejected += 1
            raise LimitError(f"subscriptions: {self.limit} at once are in use; give one up, or try again later")
        made = self.subscription(topic, limit=self.queue_limit, wake=wake, depth=self._depth)
        self._topics.setdefault(topic, {})[owner] = made
        self._count += 1
        self._high_water = max(self._high_water, self._count)
        made.disown = owner.at_end(lambda: self.release(topic, owner))
        return made

    def release(self, topic: str, owner: Owner) -> None:
        """The owner has ended."""
        self.unsubscribe(topic, owner)

    def unsubscribe(self, topic: str, owner: Owner) -> None:
        """Give one subscription up, and what waits in it; one that is not there is no error."""
        owners = self._topics.get(topic, {})
        if (found := owners.pop(owner, None)) is None:
            return
        found.disown()
        found.clear()
        self._count -= 1
        if not owners:
            del self._topics[topic]

    def publish(self, topic: str, message: dict[str, Any]) -> int:
        """Hand it to everybody who has subscribed; how many that were. Never waits for any of them."""
        owners = self._topics.get(topic)
        if not owners:
            return 0
        text = json.dumps({"topic": topic, **message})  # once, and shared by all queues
        for subscription in owners.values():
            subscription.put(text)
        return len(owners)

    def listen(self, events: Events) -> Callable[[], None]:
        """Publish each event as `system:<kind>` from now on. Returns a function that ends this."""

        def heard(event: Event) -> None:
            self.publish(f"system:{event.kind}", {"type": "event", "at": event.at, "facts": dict(event.facts)})

        events.listeners.append(heard)
        return lambda: events.listeners.remove(heard)

    def bounds(self) -> tuple[Bound, ...]:
        """Subscriptions, and the messages that wait in them; those dropped count as rejected."""
        unlimited = self.limit is None or self.queue_limit is None
        return (
            Bound(
                name="topic_subscriptions",
                size=self._count,
                limit=self.limit,
                high_water=self._high_water,
                rejected=self._rejected,
            ),
            Bound(
                name="queued_messages",
                size=self._depth.size,
                limit=None if unlimited else (self.limit or 0) * (self.queue_limit or 0),
                high_water=self._depth.high_water,
                rejected=self._depth.dropped,
            ),
        )


def check_topic(topic: str) -> None:
    """Raises InvalidError for a topic that nothing is ever published to."""
    if topic in SYSTEM_TOPICS or (topic.startswith("agent:") and AGENT.fullmatch(topic.removeprefix("agent:"))):
        return
    raise InvalidError(f"{topic[:80]!r} is no topic; there are agent:<id> and {', '.join(sorted(SYSTEM_TOPICS))}")
