"""What lies ahead: when a limit is hit if the load goes on as observed, and what would decide what is undecided."""

from __future__ import annotations

import math
from collections.abc import Sequence

from leakcheck.detect import Judgement
from leakcheck.detect.attribution import work_of
from leakcheck.model.event import Floor, Limit
from leakcheck.model.finding import Forecast, Per, Shape, Verdict
from leakcheck.model.kinds import ALL
from leakcheck.model.plan import AuditPlan, DriverKind
from leakcheck.model.series import Series

_WHAT_HAPPENS = {
    "RLIMIT_NOFILE": "EMFILE",
    "RLIMIT_NPROC": "EAGAIN on fork",
    "pid_max": "no pid left",
    "cgroup pids.max": "EAGAIN on fork",
    "cgroup memory.max": "OOM kill",
    "RAM": "out of memory",
}


def forecast(judgement: Judgement, series: Series, first: int, limits: tuple[Limit, ...]) -> Forecast | None:
    """Return the limit that a leak hits first, and when; None without a leak, a rate above zero, or a limit.

    Assumes the operations' rate over the judged rounds, pauses included. Does not see: limits inside the program.
    """
    rate = judgement.rate
    if judgement.verdict is not Verdict.LEAK or rate is None or rate.value <= 0:
        return None
    mine = [limit for limit in limits if series.resource.name.startswith(limit.resources)]
    pace = _pace(series, first, judgement.operation) if rate.per is Per.OPERATION else 1.0
    if not mine or pace <= 0:
        return None
    nearest = min(mine, key=lambda limit: limit.value - limit.now)
    room = max(0.0, nearest.value - nearest.now)
    soonest = room / rate.high
    latest = room / rate.low if rate.low > 0 else None
    by_operation = rate.per is Per.OPERATION
    hours_low, hours_high = soonest / pace / 3600, None if latest is None else latest / pace / 3600
    return Forecast(
        limit=nearest.name,
        limit_value=nearest.value,
        now=nearest.now,
        operations_low=soonest if by_operation else None,
        operations_high=latest if by_operation else None,
        hours_low=hours_low,
        hours_high=hours_high,
        sentence=_sentence(nearest, (hours_low, hours_high), pace if by_operation else None, (soonest, latest)),
    )


def needs(plan: AuditPlan, floors: Sequence[Floor], first: int, judgement: Judgement) -> str:
    """Say what would decide an undecided resource: so many more rounds, or such a budget; empty where it is decided."""
    judged = len(floors) - 1 - first
    if judgement.verdict is not Verdict.UNDECIDED or judgement.shape is Shape.STORED or not floors:
        return ""
    times = min(judgement.times_longer, _MOST_TIMES)
    more = max(1, math.ceil(max(1, judged) * (times - 1)))
    rounds = f"{more} more {'round' if more == 1 else 'rounds'}"
    if plan.driver is DriverKind.NONE:
        return f"{rounds} of watching"
    if plan.rounds is not None:
        return f"{rounds}: --rounds {plan.rounds + more}"
    return f"{rounds}, or --budget {_time(plan.budget_seconds * times)}"


_MOST_TIMES = 20.0
"""Beyond it the error of the estimate is larger than itself."""


def _time(seconds: float) -> str:
    """Write a time as --budget takes it, rounded up: `90s`, `4m`, `2h`."""
    for size, unit, until in ((1, "s", 120), (60, "m", 7200), (3600, "h", math.inf)):
        if seconds < until:
            return f"{math.ceil(seconds / size)}{unit}"
    raise ValueError(f"{seconds} s is no time")


def _pace(series: Series, first: int, operation: str | None) -> float:
    """Operations a second, of one kind or of all."""
    done = sum(work_of(series, index, operation or ALL) for index in range(first + 1, len(series.values)))
    seconds = series.seconds[-1] - series.seconds[first]
    return done / seconds if seconds > 0 else 0.0


def _sentence(
    limit: Limit, hours: tuple[float, float | None], pace: float | None, operations: tuple[float, float | None]
) -> str:
    what = _WHAT_HAPPENS.get(limit.name, f"{limit.name} reached")
    load = ""
    if pace is not None:
        shown = f"{pace:,.0f}" if pace >= 100 else f"{pace:.3g}"
        load = f" at {shown} operations/s ({_operations(*operations)})"
    in_bytes = limit.name in {"cgroup memory.max", "RAM"}
    value = f"{limit.value / (1 << 20):,.0f} MiB" if in_bytes else f"{limit.value:,.0f}"
    return f"{what} in {_span(*hours)}{load}, limit {value}"


def _operations(low: float, high: float | None) -> str:
    """Write how many operations are left, to two digits."""
    one = f"{float(f'{low:.2g}'):,.0f}"
    other = None if high is None else f"{float(f'{high:.2g}'):,.0f}"
    return f"{one} of them or more" if other is None else f"{one} of them" if one == other else f"{one}–{other} of them"


def _span(low: float, high: float | None) -> str:
    """Write a span of hours in the largest unit of which it has two."""
    unit, size = next(((unit, size) for unit, size in _UNITS if low >= 2 * size), _UNITS[-1])
    one = _short(low / size)
    if high is None:
        return f"{one} {unit} or more"
    other = _short(high / size)
    return f"{one} {unit}" if one == other else f"{one}–{other} {unit}"


_UNITS = (("days", 24.0), ("h", 1.0), ("min", 1 / 60), ("s", 1 / 3600))
"""Names of spans, in hours."""


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
