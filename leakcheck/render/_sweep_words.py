"""What the outputs of a sweep share: names, figures, sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from leakcheck.model.sweep import (
    Cell,
    Claim,
    ClaimVerdict,
    Growth,
    JudgedClaim,
    Origin,
    Outcome,
    Point,
    Sweep,
    SweepSeries,
)
from leakcheck.render import figures

TITLES = {
    "memory.anon.filled": "memory filled",
    "memory.anon.peak": "memory peak",
    "memory.anon.rise": "peak above filled",
    "memory.anon.rest": "memory at rest",
    "memory.anon.reopened": "memory reopened",
    "memory.pss.rest": "PSS at rest",
    "memory.rss.rest": "RSS at rest",
    "memory.file.rest": "file pages at rest",
    "disk.rest": "disk",
    "seconds.ready": "time to start",
    "seconds.reopen": "time to reopen",
    "seconds.fill": "time to fill",
    "seconds.call": "time of a call",
    "seconds.measure": "time to measure",
    "fds.rest": "descriptors",
    "threads.rest": "further threads",
    "processes.rest": "processes",
}
"""The quantities that are shown first, in this order."""
DRAWN = (
    *("memory.anon.rest", "memory.anon.peak", "memory.anon.rise", "memory.anon.reopened", "disk.rest"),
    *("seconds.ready", "seconds.reopen", "seconds.fill", "seconds.call"),
)
_COUNTED = ("descriptors", "threads", "processes")
_BEND = 0.15
"""From so much on the exponent between the two largest sizes is shown beside the whole one."""
_PARTS = ("memory", "disk", "fds", "processes", "threads", "seconds")


def title(quantity: str) -> str:
    """Return what a quantity is called; its own name where it has no other."""
    return TITLES.get(quantity, quantity)


def main_series(sweep: Sweep, variant: str) -> tuple[SweepSeries, ...]:
    """Return the series of a variant that are shown first: the known ones that are not all 0, and what drivers gave."""
    own = {one.quantity: one for one in sweep.series if one.variant == variant}
    first = [own[name] for name in TITLES if name in own and any(cell.value for cell in own[name].cells)]
    others = [one for name, one in own.items() if name.partition(".")[0] not in _PARTS]
    return (*first, *others)


def figure(value: float, unit: str) -> str:
    """Return a value with its unit: `4.2 MiB`, `1.2 s`, `0.9 share`; a bare number for what is counted."""
    if unit == "s":
        return _seconds(value)
    if unit == "bytes":
        return figures.quantity(value, "bytes")
    if unit in _COUNTED:
        return figures.plain(round(value, 1))
    return f"{figures.plain(value)} {unit}"


def as_claimed(value: float, unit: str) -> str:
    """Return a value in units that claims are made in: bytes as kB, MB, GB (powers of 1,000)."""
    if unit != "bytes":
        return figure(value, unit)
    power = min(4, max(0, math.floor(math.log10(value) / 3))) if value >= 1 else 0
    return f"{figures.plain(value / 1000.0**power)} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def _seconds(value: float) -> str:
    """Three digits of a duration; minutes and hours above 120 s."""
    if value >= 120:
        return figures.seconds(value)
    factor, name = next(((f, n) for f, n in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")) if value * f >= 0.9995), (1e9, "ns"))
    return f"{figures.plain(value * factor)} {name}"


def cell(one: Cell, unit: str) -> str:
    """Return a figure; a projected one is marked with `~`, a missing one with a dash."""
    if one.value is None:
        return figures.DASH
    return f"{'~' if one.origin is Origin.PROJECTED else ''}{figure(one.value, unit)}"


def interval(one: Cell, unit: str, figure: Callable[[float, str], str] = figure) -> str:
    """Return the ends of an interval, or nothing where it has none or they look alike."""
    if one.low is None or one.high is None:
        return ""
    low, high = figure(one.low, unit), figure(one.high, unit)
    return "" if low == high else f"{low} {figures.DASH} {high}"


def exponent(growth: Growth | None) -> str:
    """Return how it grows: `size^1.02 (0.98–1.06)`, `flat`."""
    if growth is None or (growth.exponent is None and not growth.flat):
        return figures.DASH
    if growth.flat:
        return "flat"
    shown = f"size^{growth.exponent:.2f}".replace("-", figures.MINUS)
    if growth.exponent_low is None or growth.exponent_high is None:
        return f"{shown} (no interval)"
    told = f"{shown} ({growth.exponent_low:.2f} to {growth.exponent_high:.2f}{_bend(growth)})"
    return told.replace("-", figures.MINUS)


def _bend(growth: Growth) -> str:
    """Tell of a growth that is another one between the largest sizes."""
    last, whole = growth.last_exponent, growth.exponent
    if last is None or whole is None or not (growth.bends or abs(last - whole) >= _BEND):
        return ""
    return f"; {'bends, ' if growth.bends else ''}{last:.2f} at the end"


def per_item(growth: Growth | None, unit: str) -> str:
    """Return the slope of the straight line; nothing where the growth is flat or the slope may as well be 0."""
    if growth is None or growth.flat or growth.per_item is None or min(growth.per_item, growth.per_item_low or 0.0) < 0:
        return ""
    return figure(growth.per_item, unit)


def about(one: JudgedClaim) -> str:
    """Return what a claim speaks of, in its own words if it has any."""
    told = "; ".join(text for text in (one.claim.words, one.claim.source) if text)
    return f"{one.claim.variant}: {title(one.claim.quantity)}" + (f" ({told})" if told else "")


def claimed(claim: Claim) -> str:
    """Return what is claimed."""
    low, high = as_claimed(claim.low, claim.unit), as_claimed(claim.high, claim.unit)
    return low if claim.low == claim.high else f"{low} {figures.DASH} {high}"


def verdict(one: JudgedClaim) -> str:
    """Return the verdict with its factor: `understated 3.1 times`."""
    factor = f" {figures.plain(one.factor)} times" if one.factor is not None else ""
    return f"{one.verdict.value}{factor}"


def measured(one: JudgedClaim) -> str:
    """Return the figure that a claim was held against."""
    return f"{middle(one)} ({ends(one)})" if ends(one) else middle(one)


def ends(one: JudgedClaim) -> str:
    """Return the interval of that figure; nothing where it has none."""
    return interval(one.cell, one.claim.unit, as_claimed) if one.cell else ""


def middle(one: JudgedClaim) -> str:
    """Return that figure without its interval."""
    if one.cell is None or one.cell.value is None:
        return figures.DASH
    mark = "~" if one.cell.origin is Origin.PROJECTED else ""
    return f"{mark}{as_claimed(one.cell.value, one.claim.unit)}"


def headline(sweep: Sweep) -> str:
    """Return the one sentence of a sweep: its claims counted by verdict, or what was measured."""
    counts = {kind: sum(one.verdict is kind for one in sweep.claims) for kind in ClaimVerdict}
    if sweep.claims:
        told = [f"{number} {kind.value}" for kind, number in counts.items() if number]
        return f"{figures.counted(len(sweep.claims), 'claim')}: {', '.join(told)}."
    sizes = sorted({size for variant in sweep.variants for size in variant.sizes})
    return (
        f"{figures.counted(len(sweep.variants), 'variant')} measured at "
        f"{figures.counted(len(sizes), 'size')}, {sizes[0]:,} to {sizes[-1]:,} items."
    )


def not_done(sweep: Sweep) -> list[str]:
    """Return a sentence for each size that was stopped or failed, and one where the sweep was interrupted."""
    found: dict[tuple[str, int], list[Point]] = {}
    for point in sweep.points:
        if point.outcome is not Outcome.DONE:
            found.setdefault((point.variant, point.size), []).append(point)
    told = [_not_done(sweep, points) for points in found.values()]
    return [*told, *(["Interrupted: what was measured until then is shown."] if sweep.ended != "finished" else [])]


def _not_done(sweep: Sweep, points: Sequence[Point]) -> str:
    first = points[0]
    stored = f" with {first.items:,} items stored" if first.items is not None else ""
    often = f" ({len(points)} of {sweep.repeats} runs)" if sweep.repeats > 1 else ""
    return f"{first.variant} at {first.size:,}: {first.outcome.value}{often}{stored}: {first.reason}"


def notes(sweep: Sweep) -> tuple[str, ...]:
    """Return how the figures are to be read."""
    several = (
        f"Each size was run {sweep.repeats} times: a figure is the mean, its interval the least and the most."
        if sweep.repeats > 1
        else "Each size was run once: an interval is what looks at that one run saw, not what a second would give."
    )
    return (
        several,
        "Memory is anonymous memory of the whole process tree (RssAnon); a peak is the kernel's own.",
        (
            "Growth is fitted on log–log scales to what is above the empty server, with its interval at 95 %; fewer "
            "than three sizes give none. Flat: it changes by too little to be told from none. Bends: no exponent fits "
            "all sizes; the one between the two largest is shown."
        ),
        "~ marks a projection to a size that was not measured, by the laws that fit those that were.",
        f"A run is stopped when its memory passes {figures.quantity(sweep.cap_bytes, 'bytes')}.",
        (
            f"At rest is {figures.seconds(sweep.quiet_seconds)} after the measure; filling may have left garbage and "
            "caches. Reopened is another start on what is stored, without them."
        ),
    )


def shown_sizes(sizes: Sequence[int], most: int) -> tuple[int, ...]:
    """Return at most so many sizes, the first and the last among them."""
    if len(sizes) <= most:
        return tuple(sizes)
    return tuple(sizes[round(index * (len(sizes) - 1) / (most - 1))] for index in range(most))
