"""Who holds more than before: holders and roles at the first judged floor against the last."""

from __future__ import annotations

from dataclasses import dataclass

from leakcheck.model.audit import Audit, Round
from leakcheck.model.event import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """One holder or role, at the first judged floor and at the last."""

    name: str
    before: float
    after: float


def grown(audit: Audit, resource: str, most: int = 5) -> tuple[Grown, ...]:
    """Holders that hold more at the last floor than at the first judged one, largest growth first.

    Does not see: holders beyond those that a reading keeps (12 names).
    """
    held = [one for one in audit.rounds if resource in one.readings and one.readings[resource].holders]
    if len(held) < 2:
        return ()
    first, last = _holders(held[0], resource), _holders(held[-1], resource)
    changes = [Grown(name=name, before=first.get(name, 0), after=count) for name, count in last.items()]
    rising = sorted((one for one in changes if one.after > one.before), key=lambda one: one.before - one.after)
    return tuple(rising[:most])


def grown_roles(audit: Audit, resource: str, most: int = 5) -> tuple[Grown, ...]:
    """The total by role at the first judged floor and the last one; empty when there is only one role."""
    rounds = [one for one in audit.rounds if one.phase is Phase.MAIN and resource in one.readings]
    if len(rounds) < 2:
        return ()
    first, last = (rounds[index].readings[resource].roles for index in (0, -1))
    names = list(last) + [name for name in first if name not in last]
    if len(names) < 2:
        return ()
    changes = [Grown(name=name, before=first.get(name, 0), after=last.get(name, 0)) for name in names]
    return tuple(sorted(changes, key=lambda one: one.before - one.after)[:most])


def _holders(one: Round, resource: str) -> dict[str, float]:
    counts: dict[str, float] = {}
    for holder in one.readings[resource].holders:
        counts[holder.name] = counts.get(holder.name, 0) + holder.count
    return counts
