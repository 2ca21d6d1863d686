"""The straight line of a sweep: every variant at every size, smallest first, each run kept as it ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from leakcheck.model.sweep import Outcome, Point
from leakcheck.sweep.measuring import Bench, measure
from leakcheck.sweep.plan import Variant
from leakcheck.sweep.points import Points


class Listener(Protocol):
    """Who is told what happens."""

    def begins(self, variant: str, size: int, repeat: int) -> None:
        """Say that a run begins."""

    def ended(self, point: Point, *, kept: bool) -> None:
        """Say how a run ended; `kept`: it is an earlier one."""


def planned(bench: Bench) -> int:
    """Return how many runs there are, if none is stopped."""
    return sum(len(variant.runs) for variant in bench.plan.variants) * bench.plan.repeats


def sweep(bench: Bench, points: Points, listener: Listener, *, again: bool) -> Iterator[Point]:
    """Give each run as it ends, kept by then. With `again` earlier ones are measured anew.

    A size that passes the cap is the variant's last: a larger one would pass it as well.
    """
    for variant in bench.plan.variants:
        for size in variant.runs:
            stopped = False
            for repeat in range(1, bench.plan.repeats + 1):
                point = _one(bench, points, listener, (variant, size, repeat), again=again)
                yield point
                stopped = stopped or point.outcome is Outcome.STOPPED
            if stopped:
                break


def _one(bench: Bench, points: Points, listener: Listener, which: tuple[Variant, int, int], *, again: bool) -> Point:
    variant, size, repeat = which
    known = None if again else points.find(bench.plan.digest(variant), variant.name, size, repeat)
    if known is not None:
        listener.ended(known, kept=True)
        return known
    listener.begins(variant.name, size, repeat)
    point = measure(bench, variant, size, repeat)
    points.keep(point)
    listener.ended(point, kept=False)
    return point
