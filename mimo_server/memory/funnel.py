"""Search through three sieves: signs of all, more signs of some, the bytes of a few."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimo_server.memory import scan
from mimo_server.memory.index import Fitting, Numbers, Rank
from mimo_server.memory.record import Vector
from mimo_server.memory.signs import Codes, SignCoder
from mimo_server.memory.slots import DEAD, View, category_number

_EXACT = 512
"""So few are compared byte by byte at once."""
_HEADS, _HEADS_ROOT, _HEADS_EACH = 2000, 16, 20
"""Come through the first sieve: so many, or so many times the root of all, or so many for each that is wanted.

The more there are, the more lie between a query and its neighbours; what these numbers find, the bench says.
"""
_CODES, _CODES_ROOT, _CODES_EACH = 300, 1.4, 4
"""…and through the second."""
_BROAD = 0.15
"""Share of all from which on the codes of all are scanned, not copies of those that fit."""
_ERROR = 4e-6
"""Of a cosine in float32, several times over: 1536 products."""
_BLOCK = 256
"""Rows compared byte by byte at a time: 1.5 MB as float32 at 1536 dimensions, which a core's own cache holds."""


@dataclass(frozen=True, slots=True)
class _Among:
    """The slots that may be found."""

    mask: NDArray[np.bool_]
    count: int

    @classmethod
    def of(cls, view: View, fitting: Fitting) -> _Among:
        if fitting.category is None:
            mask = view.categories != DEAD
        else:
            mask = view.categories == category_number(fitting.category)
        if fitting.min_importance > 0.0:
            mask &= view.importances >= fitting.min_importance
        if fitting.max_importance < 1.0:
            mask &= view.importances <= fitting.max_importance
        return cls(mask, int(np.count_nonzero(mask)))


class Funnel:
    """The sieves of one index, for any thread."""

    def __init__(self, dimensions: int) -> None:
        self._coder = SignCoder(dimensions)

    def nearest(
        self,
        view: View,
        vector: Vector,
        limit: int,
        *,
        after: Rank | None = None,
        seen: int = 0,
        fitting: Fitting | None = None,
    ) -> list[Rank]:
        """The next `limit` that fit, in order: those that come after `after`.

        Fewer only where there are no more.

        Does not see: a vector that does not come through a sieve, though it is near (1 - recall, which the benchmark
        measures); on a later page it is not found either.
        """
        code = self._coder.codes(vector.reshape(1, -1))
        among = None if fitting is None else _Among.of(view, fitting)
        there = len(view.ids) - view.dead if among is None else among.count
        wanted = seen + limit
        while True:
            if there <= max(_EXACT, 4 * wanted):
                return _ranked(view, vector, _all(view, among), after, limit)
            heads = max(_HEADS, round(_HEADS_ROOT * math.sqrt(there)), _HEADS_EACH * wanted)
            slots, bits = _first(view, code, among, heads)
            codes = max(_CODES, round(_CODES_ROOT * math.sqrt(there)), _CODES_EACH * wanted)
            ranked = _ranked(view, vector, _second(view, code, slots, bits, codes), after, limit)
            if len(ranked) == limit:
                return ranked
            wanted *= 4


def _all(view: View, among: _Among | None) -> Numbers:
    return np.flatnonzero(view.categories != DEAD if among is None else among.mask)


def _first(view: View, code: Codes, among: _Among | None, wanted: int) -> tuple[Numbers, scan.Bits]:
    """The slots whose heads differ from the code's in the fewest bits, and in how many."""
    head = np.ascontiguousarray(code[:, : view.heads.shape[1]])
    if among is None:
        return scan.nearest(view.heads, head, wanted, view.categories != DEAD)
    if among.count >= _BROAD * len(view.ids):
        return scan.nearest(view.heads, head, wanted, among.mask)
    fitting = np.flatnonzero(among.mask)
    heads = view.heads.take(fitting, axis=0)
    places, bits = scan.nearest(heads, head, wanted, np.ones(len(fitting), np.bool_))
    return fitting[places], bits


def _second(view: View, code: Codes, slots: Numbers, bits: scan.Bits, wanted: int) -> Numbers:
    """Of these the slots whose whole codes differ in the fewest bits."""
    if len(slots) <= wanted:
        return slots
    tail = np.ascontiguousarray(code[:, view.heads.shape[1] :])
    return scan.fewest(bits + scan.differing(view.tails.take(slots, axis=0), tail), slots, wanted)


def _ranked(view: View, vector: Vector, slots: Numbers, after: Rank | None, limit: int) -> list[Rank]:
    """The next `limit` of these: cosines in float32 first, then those that may be among them in float64."""
    near = _cosines(view, vector, slots)
    left = np.arange(len(near)) if after is None else np.flatnonzero(near <= after.similarity + _ERROR)
    asked = limit
    while True:
        kept = left
        if len(left) > asked:
            least = np.partition(near[left], len(left) - asked)[len(left) - asked]
            kept = left[near[left] >= least - 2 * _ERROR]
        found = [one for one in _certain(view, vector, slots[kept]) if after is None or after.before(one)]
        if len(found) >= limit or len(kept) == len(left):
            return found[:limit]
        asked *= 2  # some of these are as alike as `after`, and come before it


def _cosines(view: View, vector: Vector, slots: Numbers) -> NDArray[np.float32]:
    parts = []
    for first in range(0, len(slots), _BLOCK):
        some = slots[first : first + _BLOCK]
        products = view.rows.take(some, axis=0).astype(np.float32) @ vector
        parts.append(products * view.marks["norm"][some])
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def _certain(view: View, vector: Vector, slots: Numbers) -> list[Rank]:
    return ranked(view.rows[slots], view.ids[slots], vector)


def ranked(rows: NDArray[np.int8], ids: Sequence[int] | Numbers, vector: Vector) -> list[Rank]:
    """In order, each cosine by itself in float64: equal vectors are equally alike wherever they lie."""
    exact = rows.astype(np.float64)
    cosines = (exact * vector.astype(np.float64)).sum(axis=1) / np.sqrt((exact * exact).sum(axis=1))
    cosines = np.clip(cosines, -1.0, 1.0)
    order: NDArray[Any] = np.lexsort((np.asarray(ids), -cosines))
    return [Rank(float(cosines[place]), int(ids[place])) for place in order]
