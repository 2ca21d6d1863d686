"""The rule for abandoned sessions: a server rightly holds them, but not beyond what it declares.

Sessions are abandoned in waves, with nothing else played. Held is what a wave added; kept is what is still there once
the declared idle time has passed, or beyond the declared limit. The first wave is never judged: a table that grew, an
arena, a high-water mark stay after it in a healthy server. What a later wave adds and leaves is beyond what the server
declares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leakcheck.detect import Judgement, amount
from leakcheck.model.finding import Per, Rate, Shape, Verdict
from leakcheck.model.reading import Resource

_FEWEST_PIECES = 3.0
_SHARE = 0.05
"""Of a wave's sessions that kept a piece: below it, a straggler that had just been used."""
_LEAST = {"bytes": float(1 << 20), "blocks": 2000.0}
"""Memory that a wave must keep, by its unit: one pymalloc arena comes and goes, and so do free lists."""
_MOST_OF_FIRST = 0.4
"""Of what the first wave added: memory that a later wave must add and keep."""
_HELD_PIECES = 0.5
"""Pieces per session, and memory by its unit, from which on something counts as held."""
_HELD = {"bytes": 1024.0, "blocks": 16.0}
_WAVES_FOR_MEMORY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """Sessions abandoned in one go, and one resource before, after, and after the wait."""

    sessions: int
    before: float
    after: float
    waited: float
    """The reading once the idle time had passed; the same as `after` where nothing was waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One resource through all waves."""

    resource: Resource
    waves: tuple[Wave, ...]

    @property
    def each(self) -> float:
        """What one session of the first wave held."""
        return (self.waves[0].after - self.waves[0].before) / max(1, self.waves[0].sessions)

    @property
    def noticeable(self) -> bool:
        """Whether that is more than nothing."""
        return self.each >= _HELD.get(self.resource.unit, _HELD_PIECES)


def judge_abandoned(held: Held, declared: str) -> Judgement | None:
    """Judge one resource against what was declared (`idle time of 5 s`, in words); None where nothing was kept.

    What comes up only while nothing is played (a clock, a timer's work) is not the sessions'.

    Does not see: a leak of memory below 1 MiB or two fifths of the first wave, in each wave; one of fewer than one
    session in twenty.
    """
    later = [(min(wave.waited, wave.after) - wave.before, wave.sessions) for wave in held.waves[1:]]
    if not later:
        return None
    unit = held.resource.unit
    needed = [_needed(held, sessions) for _, sessions in later]
    keeping = sum(1 for (kept, _), least in zip(later, needed, strict=True) if kept >= least)
    total, sessions = sum(kept for kept, _ in later), sum(count for _, count in later)
    if keeping < len(later) and total < sum(needed):
        return None  # one wave's step, such as an arena
    what = f"{amount(total, unit)} of {sessions:,} abandoned sessions outlived the declared {declared}"
    enough = keeping == len(later) and (unit not in _LEAST or len(held.waves) >= _WAVES_FOR_MEMORY)
    low, high = min(kept / count for kept, count in later), max(kept / count for kept, count in later)
    return Judgement(
        verdict=Verdict.LEAK if enough else Verdict.UNDECIDED,
        shape=Shape.SLOPE if enough else None,
        evidence=f"{what}, in {keeping} of {len(later)} waves after the first.",
        operation="abandon",
        rate=Rate(value=total / sessions, low=low, high=high, unit=unit, per=Per.OPERATION),
    )


def _needed(held: Held, sessions: int) -> float:
    if held.resource.unit in _LEAST:
        return max(_LEAST[held.resource.unit], _MOST_OF_FIRST * held.each * sessions)
    return max(_FEWEST_PIECES, _SHARE * sessions)


def all_given_back(everything: Sequence[Held], declared: str) -> Judgement:
    """Return the one judgement of a server that kept nothing beyond what it declared."""
    sessions = sum(wave.sessions for wave in everything[0].waves)
    evidence = (
        f"{sessions:,} abandoned sessions {_holding(everything)}; nothing of the later waves outlived the declared "
        f"{declared}."
    )
    return Judgement(verdict=Verdict.CLEAN, shape=Shape.SAWTOOTH, evidence=evidence, operation="abandon")


def only_held(everything: Sequence[Held], waited_seconds: float, why: str) -> Judgement:
    """Return the judgement where nothing was declared, or what was could not be reached (`why`): NOT JUDGED.

    Where the wait saw everything come back, that is said, and it is clean.
    """
    sessions = sum(wave.sessions for wave in everything[0].waves)
    counted = [held for held in everything if held.noticeable and held.resource.unit not in _LEAST]
    if counted and all(_returned(held) for held in counted):
        evidence = f"{sessions:,} abandoned sessions {_holding(everything)}; released within {waited_seconds:.0f} s."
        return Judgement(verdict=Verdict.CLEAN, shape=Shape.SAWTOOTH, evidence=evidence, operation="abandon")
    unseen = f"not seen released within {waited_seconds:.0f} s"
    evidence = f"{sessions:,} abandoned sessions {_holding(everything)}, {unseen}. {why}"
    return Judgement(verdict=Verdict.NOT_JUDGED, shape=None, evidence=evidence, operation="abandon")


def _returned(held: Held) -> bool:
    return all(wave.waited - wave.before < _needed(held, wave.sessions) for wave in held.waves)


def _holding(everything: Sequence[Held]) -> str:
    """Say what one session held: `held 41 KiB of memory and 1 socket each`."""
    parts = [
        f"{amount(held.each, held.resource.unit)}{' of memory' if held.resource.unit == 'bytes' else ''}"
        for held in sorted(everything, key=lambda one: one.resource.name)
        if held.noticeable
    ]
    if not parts:
        return "held nothing that was seen"
    return f"held {', '.join(parts[:4])} each"
