"""One resource over rounds, as plain numbers: all that a detector sees."""

from __future__ import annotations

from dataclasses import dataclass

from leakcheck.model.reading import Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One resource at each floor, with the operations done in between."""

    resource: Resource
    values: tuple[float, ...]
    """R floors, in the resource's unit: growth inside living processes, added to the first floor's level."""
    totals: tuple[float, ...]
    """R floors: the plain sum over the tree, births and deaths included."""
    operations: tuple[tuple[int, ...], ...]
    """R × K: operations of each kind played in the round that ends at each floor (row 0 is the warm-up before it)."""
    kinds: tuple[str, ...]
    """K names."""
    seconds: tuple[float, ...]
    """R: time of each floor since ready."""
    bound: float | None = None
    """The most that all processes together can hold of it, where that is known."""
    breaks: tuple[int, ...] = ()
    """Indices whose increment from the floor before means nothing: a process was replaced, a reading missing."""
    peaks: tuple[float, ...] = ()
    """R: highest value under load, where it was watched."""
    before_undo: tuple[float, ...] = ()
    """R: value after the load and before the undoing calls; the floor itself in a round without such calls."""
    invokes: tuple[tuple[int, int], ...] = ()
    """(i, j): operations of kind i may do what those of kind j, a call, do as well."""
