"""Rounds of one suspected operation alone, and rounds of all but the suspected ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from leakcheck.model.event import Floor, Phase
from leakcheck.model.kinds import is_part_of
from leakcheck.schedule import Step

CYCLES = 4
"""Where --rounds fixes the judged ones; else as many as there is time for."""
FEWEST_CYCLES = 3
"""The rule needs as many rounds of each."""
SHARE = 0.15
"""Of the time for the judged rounds, kept back where somebody is suspected by then."""
MOST_SUSPECTS = 3
_BEYOND_MEAN = 1.5


def cycle(suspects: Sequence[str], kinds: Sequence[str], floors: Sequence[Floor]) -> list[Step]:
    """Return one round of each suspect alone, then one of all other kinds, with the judged rounds' high doses."""
    doses = _doses(kinds, floors)
    alone = [{kind: doses[kind] for kind in kinds if is_part_of(kind, suspect)} for suspect in suspects]
    others = {kind: doses[kind] for kind in kinds if not any(is_part_of(kind, suspect) for suspect in suspects)}
    return [Step(phase=Phase.CONFIRM, doses=chosen) for chosen in (*alone, others) if chosen]


def _doses(kinds: Sequence[str], floors: Sequence[Floor]) -> Mapping[str, int]:
    rounds = [floor.planned for floor in floors if floor.phase is Phase.MAIN]
    mean = {kind: sum(one.get(kind, 0) for one in rounds) / max(1, len(rounds)) for kind in kinds}
    return {kind: max(2, round(_BEYOND_MEAN * dose)) for kind, dose in mean.items()}
