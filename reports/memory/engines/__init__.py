"""One file an engine: what a user would write with it, no more and no less."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]


class Engine(Protocol):
    """Keeps unit vectors of numbers 0, 1, 2 …, each with an importance; a folder that has been written is taken up."""

    is_kept: bool
    """Whether what was added is there again in a new process."""
    filters: bool
    """Whether it can search among those of an importance."""

    def __init__(self, folder: Path, dimensions: int) -> None:
        """Create, or open what is there."""

    def add(self, first: int, rows: Rows) -> None:
        """Add numbers `first`, `first + 1`, …; kept when this returns, where `is_kept`."""

    def search(self, query: Rows, k: int) -> Sequence[int]:
        """Numbers of the k nearest by cosine."""

    def search_among(self, query: Rows, k: int, least: float) -> Sequence[int]:
        """…of those whose importance is at least that."""

    def remove(self, numbers: Sequence[int]) -> None:
        """They are not found any more."""

    def close(self) -> None:
        """Write what is to be kept, and let go."""


def engine(name: str) -> type[Engine]:
    """The class Engine of a file in this folder."""
    found: type[Engine] = importlib.import_module(f"engines.{name}").Engine
    return found


def names() -> list[str]:
    """All of them."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")


def importance(numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Between 0 and 1, evenly, and of no order (Knuth's multiplicative hash)."""
    hashed = (numbers.astype(np.uint64) * np.uint64(2_654_435_761)) % np.uint64(1 << 32)
    return hashed / float(1 << 32)
