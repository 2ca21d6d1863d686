"""What happened in the server: logged as one line each, counted by kind, the last ones kept, handed to listeners."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

_KEPT = 256
_LONGEST_FACT = 200
"""Characters: names and messages of others' programs stand in facts."""

_log = logging.getLogger("mimo_server.events")


class Kind(StrEnum):
    """Every kind there is: they are labels of a metric, so there is a fixed number of them."""

    ALERT = "alert"
    """A threshold was passed (resource, value, threshold), or is kept again (cleared)."""
    UNHEALTHY = "unhealthy"
    HEALTHY = "healthy"
    SKILL_STARTED = "skill_started"
    SKILL_ENDED = "skill_ended"
    SKILL_CHANGED = "skill_changed"
    """Its tools are not those that its catalog entry lists."""
    SKILL_CLOSED = "skill_closed"
    """Its restart budget is used up."""
    LATE_ANSWER = "late_answer"
    """An answer came for a request that had been given up; it was dropped."""
    SWEPT = "swept"
    """A registry held entries of an owner that had ended."""
    STORE = "store"
    """Something about the data: rebuilt, a corrupt row, went back in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened."""

    kind: Kind
    at: float
    """Seconds since the epoch."""
    facts: Mapping[str, str | int | float | bool]


class Events:
    """Used from the event loop's thread only."""

    def __init__(self) -> None:
        self.recent: deque[Event] = deque(maxlen=_KEPT)
        self.counts: Counter[Kind] = Counter()
        self.listeners: list[Callable[[Event], None]] = []
        """Called in order; none may block or raise."""

    def emit(self, kind: Kind, **facts: str | float | bool) -> None:
        """Say what happened. Texts are cut at 200 characters; the log line is JSON, so nothing in it can act."""
        short = {key: value[:_LONGEST_FACT] if isinstance(value, str) else value for key, value in facts.items()}
        event = Event(kind=kind, at=time.time(), facts=short)
        self.recent.append(event)
        self.counts[kind] += 1
        _log.info("%s", json.dumps({"event": kind, **short}))
        for listener in self.listeners:
            listener(event)
