"""One resource as a curve: its floors against the operations done (or seconds), and the fitted line."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from leakcheck.model.audit import Audit, Round, Value
from leakcheck.model.event import Phase
from leakcheck.model.finding import Finding, Rate
from leakcheck.model.kinds import ALL, is_part_of
from leakcheck.render import _summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One floor."""

    x: float
    y: float
    """First floor's level plus the growth inside processes that lived on: what the detectors see."""
    total: float
    """The plain sum over the tree."""
    phase: Phase
    broken: bool
    peak: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The fitted line over floors that no break parts, through their mean; the ends of the interval likewise."""

    x: tuple[float, float]
    line: tuple[float, float]
    low: tuple[float, float]
    high: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What a chart draws. Never empty."""

    points: tuple[Point, ...]
    fits: tuple[Fit, ...]
    warm_up_end: float | None
    """Up to this x the rounds were not judged; None: there is no such round."""
    x_unit: str
    unit: str


_APART = {Phase.CONFIRM, Phase.IDLE, Phase.ABANDON, Phase.WAIT}
"""Rounds of another design: the curve and its line are those of the judged rounds."""


def curve_of(audit: Audit, finding: Finding) -> Curve | None:
    """Collect a finding's curve; None when its resource was read on fewer than two floors."""
    by_time = _summary.by_time(finding)
    operation = finding.operation
    kinds = {kind for one in audit.rounds for kind in one.operations}
    known = operation is not None and any(is_part_of(kind, operation) for kind in kinds)
    points = tuple(_points(audit.rounds, finding.resource, None if by_time else operation if known else "", by_time))
    if len(points) < 2:
        return None
    early = [point.x for point in points if point.phase in {Phase.PILOT, Phase.WARM_UP}]
    fits = tuple(_fits(points, finding.rate)) if finding.rate is not None else ()
    return Curve(
        points=points,
        fits=fits,
        warm_up_end=max(early) if early else None,
        x_unit="seconds" if by_time else operation if known and operation else "operations",
        unit=finding.unit,
    )


def by_seconds(rounds: tuple[Round, ...], resource: str) -> tuple[Point, ...]:
    """A resource's floors on the clock, in seconds, whatever its growth is counted by; empty where it was not read.

    Does not see: rounds of another design, as in every curve.
    """
    return tuple(_points(rounds, resource, None, by_time=True))


def thinned(points: tuple[Point, ...], most: int) -> tuple[Point, ...]:
    """At most about `most` of the points, evenly: the ends, and those at a break or in a quiet round, always stay."""
    if len(points) <= most:
        return points
    step = (len(points) - 1) / max(1, most - 1)
    kept = {round(index * step) for index in range(most)} | {0, len(points) - 1}
    telling = [i for i, point in enumerate(points) if point.broken or point.phase is Phase.QUIET]
    kept |= set(telling[: most // 2])
    return tuple(points[index] for index in sorted(kept))


def _points(rounds: tuple[Round, ...], resource: str, operation: str | None, by_time: bool) -> Iterator[Point]:
    done = 0.0
    first: Value | None = None
    for one in rounds:
        if one.phase in _APART:
            continue
        done += sum(count for kind, count in one.operations.items() if is_part_of(kind, operation or ALL))
        value = one.readings.get(resource)
        if value is None:
            continue
        first = first or value
        y = first.total + value.growth - first.growth
        x = one.at_seconds if by_time else done
        if all(map(math.isfinite, (x, y, value.total))):
            yield Point(x=x, y=y, total=value.total, phase=one.phase, broken=value.broken, peak=value.peak)


def _fits(points: tuple[Point, ...], rate: Rate) -> Iterator[Fit]:
    judged = [point for point in points if point.phase is Phase.MAIN]
    run: list[Point] = []
    for point in judged:
        if point.broken:
            yield from _fit(run, rate)
            run = []
        run.append(point)
    yield from _fit(run, rate)


def _fit(run: list[Point], rate: Rate) -> Iterator[Fit]:
    slopes = (rate.value, rate.low, rate.high)
    if len(run) < 2 or run[0].x == run[-1].x or not all(map(math.isfinite, slopes)):
        return
    middle_x = sum(point.x for point in run) / len(run)
    middle_y = sum(point.y for point in run) / len(run)
    ends = (run[0].x, run[-1].x)
    line, low, high = (
        (middle_y + slope * (ends[0] - middle_x), middle_y + slope * (ends[1] - middle_x)) for slope in slopes
    )
    yield Fit(x=ends, line=line, low=low, high=high)
