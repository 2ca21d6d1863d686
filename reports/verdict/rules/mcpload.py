"""mcpload 0.5/0.6: slope and R² of memory's lower envelope, with a clamp on what is retained; descriptors likewise.

Source: github.com/atul121001/mcpload, cmd/mcpload/internal/analysis/analysis.go, its description and default limits.
Its waits (60 s to settle, 120 s of load at least, 120 s of baseline) would skip every run of a minute, so they are
shortened in the proportion of the run to the ten minutes that it advises; its limits are kept. What it reads in its
cool-down are here the last three readings.

Does not see: memory that grows by less than 5 MiB in the run or 1 MiB a minute; fewer than 6 descriptors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from series import Recorded
from trends import Line, line

_MIB = float(1 << 20)
_ADVISED_MINUTES = 10.0
_SETTLE, _BASELINE = 1.0, 2.0
"""Minutes."""
_LEAST_R2 = 0.7
_MEMORY_PER_MINUTE, _MEMORY_FLOOR, _MOST_RETAINED = 1 * _MIB, 5 * _MIB, 10 * _MIB
_RECOVERED = 0.2
_DESCRIPTORS_PER_MINUTE, _DESCRIPTORS_FLOOR, _DESCRIPTORS_RETAINED = 1.0, 5.0, 5.0
_COOL = 3
_FEWEST = 6


def rule(series: Recorded) -> str:
    """Fail on memory or on descriptors."""
    minutes = series.minutes
    if len(minutes) < _FEWEST + _COOL:
        return "undecided"
    shorter = min(1.0, float(minutes[-1] - minutes[0]) / _ADVISED_MINUTES)
    used = minutes - minutes[0] >= _SETTLE * shorter
    used[-_COOL:] = False
    memory, descriptors = series.memory(), series.descriptors()
    leaks = (memory is not None and _memory(minutes, memory, used, _BASELINE * shorter)) or (
        descriptors is not None and _descriptors(minutes, descriptors, used)
    )
    return "leak" if leaks else "clean"


def _memory(
    minutes: NDArray[np.float64], memory: NDArray[np.float64], used: NDArray[np.bool_], baseline_minutes: float
) -> bool:
    xs, ys = minutes[used], memory[used]
    lowest = np.array([ys[max(0, at - 1) : at + 2].min() for at in range(len(ys))])
    fit, raw = line(xs, lowest), line(xs, ys)
    if fit is None or raw is None:
        return False
    span = float(xs[-1] - xs[0])
    if _trends(fit, span, _MEMORY_PER_MINUTE, _MEMORY_FLOOR):
        return True
    retained = float(memory[-_COOL:].mean() - ys[xs < xs[0] + baseline_minutes].mean())
    tolerated = max(_RECOVERED * max(fit.slope * span, 0.0), 2 * raw.residual)
    allowed = min(max(_MEMORY_PER_MINUTE * span, _MEMORY_FLOOR), _MOST_RETAINED)
    return retained > tolerated and retained > allowed


def _descriptors(minutes: NDArray[np.float64], count: NDArray[np.float64], used: NDArray[np.bool_]) -> bool:
    xs = minutes[used]
    fit = line(xs, count[used])
    if fit is not None and _trends(fit, float(xs[-1] - xs[0]), _DESCRIPTORS_PER_MINUTE, _DESCRIPTORS_FLOOR):
        return True
    return float(count[-_COOL:].min() - count[0]) > _DESCRIPTORS_RETAINED


def _trends(fit: Line, span: float, per_minute: float, floor: float) -> bool:
    return fit.slope > per_minute and fit.r2 >= _LEAST_R2 and fit.slope * span >= floor
