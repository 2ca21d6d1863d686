"""What a memory is, and what can be asked of and done to memories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float32]
"""One embedding: a unit vector."""
Vectors: TypeAlias = NDArray[np.float32]
"""One embedding a row."""


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
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """JSON, given back as it came."""
    embedding: Vector | None = None
    """None: made from the content."""
    created_at: float | None = None
    """Seconds since the epoch; None: now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """A memory as it is stored."""

    id: int
    content: str
    category: Category
    importance: float
    metadata: Mapping[str, Any]
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A memory found, with its likeness to the query."""

    memory: Memory
    similarity: float
    """Cosine, -1 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What to look for: a text or a vector, and which of the memories that are alike."""

    text: str | None = None
    vector: Vector | None = None
    limit: int = 10
    """Of one page."""
    cursor: str | None = None
    """`next_cursor` of the page before."""
    min_similarity: float = -1.0
    category: Category | None = None
    min_importance: float = 0.0
    max_importance: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some of the memories found: most alike first, equally alike ones by id."""

    hits: tuple[Hit, ...]
    next_cursor: str | None
    """None: there is no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Add:
    """Store all of them, or none. Every draft has its embedding and its time by now."""

    drafts: Sequence[Draft]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """Delete what any of the selectors names; without one nothing."""

    id: int | None = None
    category: Category | None = None
    everything: bool = False


class Order(StrEnum):
    """Who is forgotten first where there are too many."""

    IMPORTANCE = "importance"
    """The least important; of equally important ones the oldest."""
    AGE = "age"
    """The oldest, by the order in which they were stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retire:
    """Delete what is too old and what is too much, `limit` at most."""

    before: float | None
    """Seconds since the epoch: what is from before; None: nothing is too old."""
    most: int | None
    """How many may stay; None: any number."""
    order: Order
    limit: int


Change: TypeAlias = Add | Forget | Retire


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFacts:
    """How big the store is, as of the last commit."""

    memories: int
    live_bytes: int
    """Pages in use: (page_count - freelist_count) * page_size. The write-ahead log is not counted."""
    wal_bytes: int
    """Size of the write-ahead log's file, which is kept for the next writes."""
