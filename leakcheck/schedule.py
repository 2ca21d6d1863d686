"""Which operations a round plays, and how many: few enough to be safe, varied enough to tell one from another."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from leakcheck.model.event import Phase

PILOT_ROUNDS = 3
_PILOT_DOSE = 4
_MOST_ROUNDS = 120
_FEWEST_ROUNDS = 24
_ROUND_SECONDS = 1.0
"""Aimed at: 40 and more rounds in a minute, which memory needs, and still far longer than settling takes."""
_MOST_DOSE = 400
"""Half of plain HTTP requests open a connection of their own: 50 such rounds leave 10,000 in TIME_WAIT, of 28,000."""
_QUIET_EVERY = 7
"""One judged round in seven plays nothing, so that growth by time shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One round to play."""

    phase: Phase
    doses: Mapping[str, int]
    quiet_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What the pilot rounds taught."""

    seconds_per_operation: Mapping[str, float]
    """Wall time that one operation adds to a round, by kind."""
    overhead_seconds: float
    """Settling and looking, per round."""
    allowed_operations: float
    """So many operations of all kinds together may still be played before a limit comes near."""


def pilot(kinds: tuple[str, ...], operations: int | None) -> list[Step]:
    """Return the first rounds: small equal doses, to learn what an operation costs."""
    dose = min(_PILOT_DOSE, operations or _PILOT_DOSE)
    return [Step(phase=Phase.PILOT, doses=dict.fromkeys(kinds, dose)) for _ in range(PILOT_ROUNDS)]


def rounds(
    kinds: tuple[str, ...], costs: Costs, seconds: float, fixed: tuple[int | None, int | None], seed: int
) -> list[Step]:
    """Return the rounds that fill `seconds`: a third of them warm-up, the rest judged.

    `fixed`: `--rounds` and `--operations`. Each kind gets the same share of a round's time. A round plays each kind
    once or three times its base dose, drawn by `seed`, so that the doses form a matrix of full rank and growth can be
    put down to a kind. Always at least FEWEST rounds unless fixed: a run that would take longer than `seconds` is cut
    off by the clock, not here.
    """
    fixed_rounds, fixed_operations = fixed
    count = fixed_rounds or max(_FEWEST_ROUNDS, min(_MOST_ROUNDS, int(seconds / _ROUND_SECONDS)))
    load_seconds = max(0.05, seconds / count - costs.overhead_seconds)
    judged_from = max(2, count // 3)
    playing = count - (count - judged_from) // _QUIET_EVERY
    base = {kind: fixed_operations or _base_dose(kind, len(kinds), load_seconds, playing, costs) for kind in kinds}
    draw = random.Random(seed)  # noqa: S311 - a plan of doses, not a secret
    steps = []
    for index in range(count):
        phase = Phase.WARM_UP if index < judged_from else Phase.MAIN
        if phase is Phase.MAIN and (index - judged_from) % _QUIET_EVERY == _QUIET_EVERY - 1:
            steps.append(Step(phase=Phase.QUIET, doses={}, quiet_seconds=load_seconds))
            continue
        weights = _weights(kinds, draw)
        doses = {kind: max(1, round(base[kind] * weights[kind])) for kind in kinds}
        steps.append(Step(phase=phase, doses=doses))
    return steps


def _base_dose(kind: str, kinds: int, load_seconds: float, playing: int, costs: Costs) -> int:
    by_time = load_seconds / kinds / max(costs.seconds_per_operation.get(kind, 0.0), 1e-6)
    by_limit = costs.allowed_operations / kinds / playing
    return max(1, int(min(by_time, by_limit, _MOST_DOSE)))


def _weights(kinds: tuple[str, ...], draw: random.Random) -> dict[str, float]:
    return {kind: draw.choice((0.5, 1.5)) for kind in kinds}
