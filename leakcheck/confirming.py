"""Fresh rounds once a leak was seen: one suspected operation alone, all but the suspected, and then nothing at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from leakcheck.model.event import Floor, Phase
from leakcheck.model.kinds import is_part_of
from leakcheck.model.reading import REGISTRY, totals
from leakcheck.schedule import Step

CYCLES = 4
"""Where --rounds fixes the judged ones, and time is no matter."""
FEWEST_CYCLES = 3
"""The rule needs as many rounds of each."""
SHARE = 0.2
"""Of the time for the judged rounds, kept back for these."""
SHORTEST_IDLE = 3.0
_LONGEST_IDLE = 12.0
_OF_BEFORE = 0.35
"""The quiet is as long as this share of all that came before it, within those two: what is kept for a fixed time, and
was seen to grow for so long, starts to come back in it if that time is no longer than both together."""
SHORTEST_PROOF = 17.0
"""Seconds since the first answer, where there is so much time: connections are kept alive for five, ten, fifteen."""
_STILL_FALLING = 60.0
"""…and this long where more and more comes back."""
_FELL = 0.01
_IDLE_SECONDS = 1.0
"""Of one floor."""
MOST_SUSPECTS = 3
_BEYOND_MEAN = 1.5


def cycle(suspects: Sequence[str], kinds: Sequence[str], floors: Sequence[Floor]) -> list[Step]:
    """Return one round of each suspect alone, then one of all other kinds, with the judged rounds' high doses.

    Where nobody is suspected, or there is only one kind, two rounds of everything.
    """
    doses = _doses(kinds, floors)
    suspects = [suspect for suspect in suspects if not all(is_part_of(kind, suspect) for kind in kinds)]
    if not suspects:
        return [Step(phase=Phase.CONFIRM, doses=doses), Step(phase=Phase.CONFIRM, doses=doses)] if doses else []
    alone = [{kind: doses[kind] for kind in kinds if is_part_of(kind, suspect)} for suspect in suspects]
    others = {kind: doses[kind] for kind in kinds if not any(is_part_of(kind, suspect) for suspect in suspects)}
    return [Step(phase=Phase.CONFIRM, doses=chosen) for chosen in (*alone, others) if chosen]


def idle(floors: Sequence[Floor], elapsed: Callable[[], float], most: float, *, least: float = 0.0) -> Iterator[Step]:
    """Yield floors at which nothing was played; longer, up to `most` seconds, while counts of pieces still fall.

    `least`: so many seconds at any rate, within the longest quiet.
    """
    wanted = min(_LONGEST_IDLE, max(SHORTEST_IDLE, _OF_BEFORE * floors[-1].snapshot.at_seconds, least))
    while elapsed() < wanted:
        yield Step(phase=Phase.IDLE, doses={}, quiet_seconds=_IDLE_SECONDS)
        if elapsed() >= wanted and _falls(floors):
            wanted = min(most, _STILL_FALLING, wanted + 3 * _IDLE_SECONDS)


def _falls(floors: Sequence[Floor]) -> bool:
    """Whether anything counted in pieces fell over the last three floors, by more than a hundredth of what it is."""
    if len(floors) < 4:
        return False
    before, after = totals(floors[-4].snapshot), totals(floors[-1].snapshot)
    return any(
        value - after.get(name, value) > max(2.0, _FELL * value)
        for name, value in before.items()
        if name.startswith(_PIECES)
    )


_PIECES = ("fds.", REGISTRY, "metric.", "processes", "threads", "tasks", "files.", "node.entries", "node.handles")


def _doses(kinds: Sequence[str], floors: Sequence[Floor]) -> Mapping[str, int]:
    rounds = [floor.planned for floor in floors if floor.phase is Phase.MAIN]
    mean = {kind: sum(one.get(kind, 0) for one in rounds) / max(1, len(rounds)) for kind in kinds}
    return {kind: max(2, round(_BEYOND_MEAN * dose)) for kind, dose in mean.items()}
