"""Vectors with the statistics of text embeddings, the same for the same number, made block by block.

A tree of topics in a latent space whose axes matter less and less (variances fall as a power), Zipf popularity of
topics, spread around each leaf, noise; then into d dimensions and to length 1. Two sets: `easy` has a fixed number of
topics, so that a million vectors crowd in them and every index that clusters looks good; `hard` has topics that grow
with the number of vectors, as a memory that goes on meeting new things.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]

DIMENSIONS = 1536
BLOCK = 10_000
_LATENT = 320
_QUERIES = 1 << 30
"""Blocks from here on are queries: no vector of any set."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How a set is made."""

    name: str
    seed: int
    fall: float
    """Exponent with which the variances of the latent axes fall."""
    topics: tuple[int, int, int]
    """Of the three levels; the last one is of a million vectors where it grows."""
    grows: bool
    spread: tuple[float, float, float]
    """Of the second level about the first, of the third about the second, of vectors about the third."""
    noise: float
    zipf: float


EASY = Kind(
    name="easy",
    seed=20261127,
    fall=0.55,
    topics=(60, 1_200, 9_000),
    grows=False,
    spread=(0.75, 0.6, 0.55),
    noise=0.15,
    zipf=0.9,
)
HARD = Kind(
    name="hard",
    seed=20261128,
    fall=0.85,
    topics=(200, 9_000, 400_000),
    grows=True,
    spread=(1.0, 1.2, 2.0),
    noise=0.2,
    zipf=0.6,
)
KINDS = {kind.name: kind for kind in (EASY, HARD)}


class Vectors:
    """One set of `count` vectors."""

    def __init__(self, kind: Kind, count: int, dimensions: int = DIMENSIONS) -> None:
        self.kind, self.count, self.dimensions = kind, count, dimensions
        first, second, third = kind.topics
        if kind.grows:
            third = max(1_000, round(third * count / 1_000_000))
            second = max(200, round(second * min(1.0, (count / 1_000_000) ** 0.5)))
        self._topics = first, second, third

    @cached_property
    def _scale(self) -> Rows:
        variances = np.arange(1, _LATENT + 1) ** -self.kind.fall
        return np.sqrt(variances / variances.sum()).astype(np.float32)

    @cached_property
    def _leaves(self) -> Rows:
        """The third level's centres: up to 400,000 x 320 float32."""
        random = np.random.default_rng([self.kind.seed, 1])
        first, second, third = self._topics
        one, two, _ = self.kind.spread
        top = self._latent(random, first)
        middle = top[random.integers(first, size=second)] + one * self._latent(random, second)
        leaves = middle[random.integers(second, size=third)]
        for begin in range(0, third, BLOCK):
            leaves[begin : begin + BLOCK] += two * self._latent(random, len(leaves[begin : begin + BLOCK]))
        return leaves

    @cached_property
    def _chances(self) -> NDArray[np.float64]:
        weights = np.arange(1, self._topics[2] + 1, dtype=np.float64) ** -self.kind.zipf
        return np.cumsum(weights / weights.sum())

    @cached_property
    def _map(self) -> Rows:
        random = np.random.default_rng([self.kind.seed, 2])
        made: Rows = random.normal(size=(_LATENT, self.dimensions)).astype(np.float32)
        return made / np.float32(np.sqrt(self.dimensions))

    def _latent(self, random: np.random.Generator, count: int) -> Rows:
        return random.standard_normal((count, _LATENT), dtype=np.float32) * self._scale

    def _made(self, block: int, count: int) -> Rows:
        random = np.random.default_rng([self.kind.seed, 3, block])
        leaf = np.searchsorted(self._chances, random.random(count)).clip(max=self._topics[2] - 1)
        each = random.lognormal(0.0, 0.25, size=(count, 1)).astype(np.float32)
        latent = self._leaves[leaf] + self.kind.spread[2] * each * self._latent(random, count)
        rows = latent @ self._map
        rows += self.kind.noise * random.standard_normal(rows.shape, dtype=np.float32) / np.sqrt(self.dimensions)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows

    def blocks(self) -> Iterator[Rows]:
        """All vectors, 10,000 at a time."""
        for first in range(0, self.count, BLOCK):
            yield self._made(first // BLOCK, min(BLOCK, self.count - first))

    def queries(self, count: int) -> Rows:
        """More vectors of the same kind, none of which is in the set."""
        return self._made(_QUERIES, count)
