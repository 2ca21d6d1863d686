"""navian-memcheck 0.1: the slope of resident memory over the back half of a soak, over 1 MiB a minute.

Source: its documentation, as read in 2026 (back-half slope; exit 2 for "inconclusive"). When it is inconclusive is not
documented; here: with fewer than five readings in the back half.

Does not see: anything but memory; leaks below the limit; a jump in the back half is a slope to it.
"""

from __future__ import annotations

from series import Recorded
from trends import line

_PER_MINUTE = float(1 << 20)
_FEWEST = 5


def rule(series: Recorded) -> str:
    """Fail on the slope of the back half."""
    memory = series.memory()
    half = len(series.seconds) // 2
    if memory is None or len(memory) - half < _FEWEST:
        return "undecided"
    fit = line(series.minutes[half:], memory[half:])
    if fit is None:
        return "undecided"
    return "leak" if fit.slope > _PER_MINUTE else "clean"
