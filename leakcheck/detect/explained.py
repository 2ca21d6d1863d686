"""The rule for memory that is held by something known: a container that fills up to its bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from leakcheck.detect import Judgement, amount
from leakcheck.detect.levels import judge_level
from leakcheck.model.finding import Detectable, Shape, Verdict
from leakcheck.model.reading import REGISTRY
from leakcheck.model.series import Series

Filler = tuple[Series, int]
_FEWEST_FLOORS = 5
_EXPLAINED = 0.8
"""Share of the growth that the containers must account for."""
_FAR_LESS = 0.5
"""Of the squares that the containers leave unexplained."""
_OF_PAGES = 0.5
"""…where pages are counted: the allocator adds to what is held."""
_AT_FIRST = 1e3
"""Of containers that gained in the same rounds, least squares gives the growth to the one with the larger numbers."""


def explain(
    judgement: Judgement,
    series: Series,
    first: int,
    fillers: Sequence[Filler],
    leaking: Sequence[Series],
    by_chance: float,
) -> Judgement:
    """Put growth of memory down to containers that fill up to their bounds, and judge what is left of it.

    `fillers`: each with the floor from which on it was read; what is judged is where all of them were. `leaking`:
    containers that leak.

    Each round's growth is regressed on what the containers gained in it (least squares, no weight below zero); what
    those that leak may hold is put down to them. Where those that fill account for four fifths of the growth and what
    is left beside them is no leak, the memory is clean as they are: it is full when they are; undecided, where a bound
    is there and its height is not known. Anything but a leak or an undecided rise is returned as it is.

    Does not see: a leak that grows in step with a container that fills, until that is full.
    """
    if judgement.verdict not in {Verdict.LEAK, Verdict.UNDECIDED} or not fillers:
        return judgement
    first = max(first, *(since for _, since in fillers))
    floors = _floors(series, first)
    held = [_floors(one, first) for one, _ in fillers]
    rise = float(floors[-1] - floors[0]) if len(floors) >= _FEWEST_FLOORS else 0.0
    gains = np.column_stack([np.diff(one) for one in (*held, *(_floors(one, first) * _AT_FIRST for one in leaking))])
    pages = series.resource.name.startswith("memory.")
    weights, error = _fit(np.diff(floors), gains, None if pages else _work(series, first))
    weights = weights[: len(held)]
    explained = sum(float(weight * (one[-1] - one[0])) for weight, one in zip(weights, held, strict=True))
    least = _OF_PAGES if pages else _EXPLAINED
    if rise <= 0 or explained < least * rise:
        return judgement
    beside = floors - np.sum([weight * one for weight, one in zip(weights, held, strict=True)], axis=0)
    left = judge_level(
        replace(series, values=(*series.values[:first], *map(float, beside + _held_at_first(weights, held)))),
        first,
        by_chance,
    )
    if left.verdict is Verdict.LEAK:
        return judgement
    detectable = _with_error(left.detectable or judgement.detectable, error)
    return replace(_filling(judgement, series, rise, fillers, weights), detectable=detectable)


def _filling(
    judgement: Judgement, series: Series, rise: float, fillers: Sequence[Filler], weights: NDArray[np.float64]
) -> Judgement:
    """Return the judgement of memory that is held by containers which fill up, and how much is still to come."""
    names = ", ".join(one.resource.name.removeprefix(REGISTRY) for one, _ in fillers[:3])
    told = f"Rose by {amount(rise, series.resource.unit)} with {names}"
    filling = replace(judgement, shape=Shape.FILLING, rate=None, operation=None, suspects=())
    to_come = 0.0
    for weight, (one, _) in zip(weights, fillers, strict=True):
        if one.bound is None:
            evidence = f"{told}, which has a bound that could not be read."
            return replace(filling, verdict=Verdict.UNDECIDED, evidence=evidence)
        to_come += float(weight) * max(0.0, one.bound - one.totals[-1])
    ends = "which fills up to its bound" if len(fillers) == 1 else "which fill up to their bounds"
    evidence = f"{told}, {ends}: {amount(to_come, series.resource.unit)} more until then."
    return replace(filling, verdict=Verdict.CLEAN, evidence=evidence)


def _with_error(detectable: Detectable | None, error: float) -> Detectable | None:
    return None if detectable is None else replace(detectable, value=detectable.value + error)


def _work(series: Series, first: int) -> NDArray[np.float64]:
    """Return what each round did beside: its operations, or its seconds where none were played."""
    played = np.array([float(sum(row)) for row in series.operations[first + 1 :]])
    return played if played.any() else np.diff(np.array(series.seconds[first:], dtype=np.float64))


def _held_at_first(weights: NDArray[np.float64], held: Sequence[NDArray[np.float64]]) -> float:
    """Return what the containers account for at the first floor: added to the rest, it keeps the level's size."""
    return float(sum(weight * one[0] for weight, one in zip(weights, held, strict=True)))


def _floors(series: Series, first: int) -> NDArray[np.float64]:
    return np.array(series.values[first:], dtype=np.float64)


def _fit(
    growth: NDArray[np.float64], gains: NDArray[np.float64], work: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], float]:
    """Return each container's weight, and the error of what they explain together, in one unit of work.

    Growth by the work itself is a cause beside them where it explains what they leave by far; where they and the work
    are the same, it cannot. None: not asked for, where an allocator adds to everything that is held.
    """
    alone = _weights(growth, gains)
    if work is None:
        return alone, 0.0
    left = growth - gains @ alone
    with_work = _weights(growth, np.column_stack([gains, work]))
    beside = growth - np.column_stack([gains, work]) @ with_work
    better = float(beside @ beside) < _FAR_LESS * float(left @ left)
    weights, left = (with_work[:-1], beside) if better else (alone, left)
    spread = float(np.std(left)) * float(np.sqrt(len(growth))) / max(float(work.sum()), 1.0)
    return weights, 2 * spread


def _weights(growth: NDArray[np.float64], gains: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least squares with weights of zero or more: causes with a negative one are left out, until none is left."""
    weights = np.zeros(gains.shape[1])
    used = [column for column in range(gains.shape[1]) if gains[:, column].any()]
    while used:
        found, *_ = np.linalg.lstsq(gains[:, used], growth, rcond=None)
        if (found >= 0).all():
            weights[used] = found
            break
        used = [column for column, weight in zip(used, found, strict=True) if weight > 0]
    return weights
