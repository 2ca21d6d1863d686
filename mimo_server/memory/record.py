"""What a memory is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Category(StrEnum):
    """What kind of thing is remembered."""

    FACT = "fact"
    ACTION = "action"
    OBSERVATION = "observation"
    PLAN = "plan"
    EPISODE = "episode"
    PROCEDURE = "procedure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A memory before it is stored."""

    content: str
    category: Category
    importance: float
    """0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A memory found, with its likeness to the query."""

    id: int
    content: str
    category: Category
    importance: float
    similarity: float
    """Cosine, -1 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFacts:
    """How big the store is."""

    memories: int
    live_bytes: int
    """Pages in use: (page_count - freelist_count) * page_size. The write-ahead log is not counted."""
