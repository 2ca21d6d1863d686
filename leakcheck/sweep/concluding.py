"""From runs to a Sweep: figures by size, growth, projections, and what that says of the claims."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from leakcheck import __version__, conduct
from leakcheck.credentials import Secrets
from leakcheck.model.sweep import (
    SWEEP_SCHEMA,
    Amount,
    Cell,
    Origin,
    Outcome,
    Point,
    Sweep,
    SweepSeries,
    SweptVariant,
)
from leakcheck.sweep.claims import Key, judge_claims
from leakcheck.sweep.growth import growth, resolution
from leakcheck.sweep.plan import CommandWork, SweepPlan, Variant, Work
from leakcheck.sweep.projecting import Projection, project

_ABOVE_EMPTY = ("filled", "fill", "peak", "rest", "reopened")
"""Moments whose growth is that above the empty server."""
_EMPTY = ".empty"


def conclude(plan: SweepPlan, points: Sequence[Point], ended: str, secrets: Secrets) -> Sweep:
    """Return all that a sweep says. The same plan and points give the same, but for the date.

    Does not see: whether the machine was busy with other work while the times were taken.
    """
    series: dict[Key, SweepSeries] = {}
    for variant in plan.variants:
        own = [point for point in points if point.variant == variant.name]
        for one in _series(plan, variant, own):
            series[one.variant, one.quantity] = one
    claims, shapes = judge_claims(plan.claims, series)
    return Sweep(
        schema=SWEEP_SCHEMA,
        version=__version__,
        name=plan.name,
        at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        ended=ended,
        plan=Path(plan.file).name,
        environment=conduct.environment(),
        cap_bytes=plan.cap_bytes,
        repeats=plan.repeats,
        quiet_seconds=plan.quiet_seconds,
        variants=tuple(_shown(variant, secrets) for variant in plan.variants),
        series=tuple(series.values()),
        claims=claims,
        shapes=shapes,
        points=tuple(points),
    )


def _series(plan: SweepPlan, variant: Variant, points: Sequence[Point]) -> list[SweepSeries]:
    names = dict.fromkeys(name for point in points for name in point.amounts)
    return [
        _one_series(plan, variant, name, points)
        for name in names
        if not (variant.seeded and name.endswith(_EMPTY))  # a seeded server is never empty but at size 0
    ]


def _one_series(plan: SweepPlan, variant: Variant, name: str, points: Sequence[Point]) -> SweepSeries:
    read: dict[int, list[Amount]] = {}
    for point in points:
        if point.size > 0 and name in point.amounts:  # what was read before it was stopped or failed is as good
            read.setdefault(point.size, []).append(point.amounts[name])
    unit = next((one.unit for amounts in read.values() for one in amounts), "")
    runs = [(size, one.value) for size, amounts in sorted(read.items()) for one in amounts]
    base = _base(variant, name, points)
    claimed = {one.size for one in plan.claims if (one.variant, one.quantity) == (variant.name, name)}
    smallest = resolution(name, unit)

    def beyond(size: int) -> Cell:
        return _projected(size, *project(runs, base, smallest, size), _why(size, points))

    cells = tuple(
        _measured(size, read[size]) if size in read else beyond(size) for size in sorted({*variant.sizes, *claimed})
    )
    return SweepSeries(variant=variant.name, quantity=name, unit=unit, cells=cells, growth=growth(runs, base, smallest))


def _base(variant: Variant, name: str, points: Sequence[Point]) -> float:
    """The empty server's value: of its own run at size 0 where it fills itself, else read before each fill."""
    quantity, _, moment = name.rpartition(".")
    if moment not in _ABOVE_EMPTY:
        return 0.0
    wanted = f"{quantity}.filled" if variant.seeded else f"{quantity}{_EMPTY}"
    values = [
        point.amounts[wanted].value
        for point in points
        if wanted in point.amounts and (point.size == 0 or not variant.seeded)
    ]
    return sum(values) / len(values) if values else 0.0


def _measured(size: int, amounts: Sequence[Amount]) -> Cell:
    """One figure of all repeats: their mean, from the least that any may have been to the most."""
    return Cell(
        size=size,
        origin=Origin.MEASURED,
        value=sum(one.value for one in amounts) / len(amounts),
        low=min(one.low for one in amounts),
        high=max(one.high for one in amounts),
        runs=len(amounts),
    )


def _projected(size: int, found: Projection | None, problem: str, why: str) -> Cell:
    if found is None:
        return Cell(size=size, origin=Origin.MISSING, reason=f"{why}; not projected: {problem}")
    return Cell(size=size, origin=Origin.PROJECTED, value=found.value, low=found.low, high=found.high, reason=why)


def _why(size: int, points: Sequence[Point]) -> str:
    """Say why a size has no figure."""
    here = next((point for point in points if point.size == size and point.outcome is not Outcome.DONE), None)
    if here is not None:
        at = f" with {here.items:,} items stored" if here.items is not None else ""
        return f"stopped{at}: {here.reason}" if here.outcome is Outcome.STOPPED else here.reason
    stopped = next((point for point in points if point.outcome is Outcome.STOPPED and point.size < size), None)
    return f"not run: {stopped.size:,} was stopped at the cap" if stopped else "this size was not run"


def _shown(variant: Variant, secrets: Secrets) -> SweptVariant:
    return SweptVariant(
        name=variant.name,
        command=secrets.hide_command(variant.command),
        sizes=variant.sizes,
        fill="the server fills itself" if variant.fill is None else _words(variant.fill, secrets),
        measure="nothing" if variant.measure is None else _words(variant.measure, secrets),
    )


def _words(work: Work, secrets: Secrets) -> str:
    if isinstance(work, CommandWork):
        return " ".join(secrets.hide_command(work.command))
    batch = f", {work.batch} items each" if work.batch > 1 else ""
    times = f", {work.times} times" if work.times > 1 else ""
    flight = f", {work.in_flight} at once" if work.in_flight > 1 else ""
    return f"calls of {work.tool}{times}{batch}{flight}"
