"""Scalene 2.4: Laplace's rule of succession over what was allocated at new peaks and not freed, at 95 %.

Source: github.com/plasma-umass/scalene, scalene/scalene_leak_analysis.py and its documentation. It samples one
allocation of a line whenever the footprint has a new peak, and notes whether it was freed by the next. From outside:
each new peak of memory is an allocation, which counts as freed if memory has gone back below where it stood before that
peak by the time of the next. It reports nothing unless the footprint grows by 1 % or more (per time of the profile).

Does not see: anything but memory; fewer than 18 peaks without one freed are below its 95 %.
"""

from __future__ import annotations

from series import Recorded
from trends import line

_LEAST_GROWTH = 0.01
_LIKELY = 0.95


def rule(series: Recorded) -> str:
    """Report a leak by its likelihood."""
    memory = series.memory()
    fit = None if memory is None else line(series.minutes, memory)
    if memory is None or fit is None:
        return "undecided"
    span = float(series.minutes[-1] - series.minutes[0])
    if fit.slope * span / max(float(memory[0]), 1.0) < _LEAST_GROWTH:
        return "clean"
    allocated = freed = 0
    peak, before, lowest = float(memory[0]), None, float(memory[0])
    for value in map(float, memory[1:]):
        lowest = min(lowest, value)
        if value > peak:
            allocated += 1
            freed += before is not None and lowest <= before
            peak, before, lowest = value, peak, value
    likelihood = 1 - (freed + 1) / (allocated - freed + 2)
    return "leak" if likelihood >= _LIKELY else "clean"
