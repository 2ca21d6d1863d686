"""What finds vectors: one small interface, so that another engine can take the place of the one here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mimo_server.memory.codec import Steps
from mimo_server.memory.record import Category, Vector

Numbers = NDArray[np.int64]


class Rank(NamedTuple):
    """A memory's place in an answer: higher similarity first, then lower id."""

    similarity: float
    id: int

    def before(self, other: Rank) -> bool:
        """Whether it comes earlier."""
        return (-self.similarity, self.id) < (-other.similarity, other.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """Which memories may be found."""

    category: Category | None = None
    min_importance: float = 0.0
    max_importance: float = 1.0

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return self == Fitting()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """Memories as an index needs them: N of each, ids ascending."""

    ids: Sequence[int]
    changes: Sequence[int]
    categories: Sequence[str]
    importances: Sequence[float]
    steps: Steps
    """N × d."""

    def __len__(self) -> int:
        return len(self.ids)

    def only(self, first: int, last: int) -> Entries:
        """Some of them."""
        some = slice(first, last)
        return Entries(
            ids=self.ids[some],
            changes=self.changes[some],
            categories=self.categories[some],
            importances=self.importances[some],
            steps=self.steps[some],
        )


class Truth(Protocol):
    """The rows that an index is derived from."""

    def numbers(self) -> tuple[Numbers, Numbers]:
        """Ids of all memories, ascending, and the change that wrote each."""

    def entries(self, ids: Sequence[int]) -> Entries:
        """Of those that are there and sound, ascending."""

    def there(self, ids: Sequence[int]) -> Numbers:
        """Those that are there, though `numbers` may not have said so: it reads less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What an index found of itself when it was opened."""

    kept: int = 0
    """Memories that it had."""
    damaged: int = 0
    """…and whose place in it was damaged: repaired from the truth."""
    lacking: int = 0
    """Memories that it did not have."""
    gone: int = 0
    """Had, but forgotten in the truth."""
    rebuilt: str | None = None
    """Why nothing of it could be used."""


class VectorIndex(Protocol):
    """Nearest vectors by cosine; all vectors are unit vectors.

    One thread opens, adds, removes and closes; searches come from any thread, at any time between.
    """

    trouble: str | None
    """Why it does not agree with the truth, though it should; None: it does, or will."""

    @property
    def waiting(self) -> int:
        """How many are `pending`; from any thread."""

    def open(self, folder: Path, truth: Truth) -> Found:
        """Take up what is in the folder and make it agree with the truth, now or in the background."""

    def reserve(self, more: int) -> None:
        """Make sure that so many can be added. Raises StoreError: then nothing has changed."""

    def add(self, entries: Entries) -> None:
        """Add them; their ids are above all that were added before."""

    def remove(self, ids: Sequence[int]) -> None:
        """Remove those ids; unknown ones are no error."""

    def nearest(
        self, vector: Vector, limit: int, *, after: Rank | None = None, seen: int = 0, fitting: Fitting | None = None
    ) -> list[Rank]:
        """The next `limit` that fit, in order: those that come after `after`.

        Fewer only where there are no more. `seen` is a guess of how many come up to `after`: it saves work.
        """

    def pending(self) -> Numbers:
        """Ids that it cannot find yet, and that must be looked at in the truth. Asked before `nearest`."""

    def close(self) -> None:
        """Let go of the folder. One that was never opened is no error."""
