"""mcp-loadtest 0.2: the least-squares slope of resident memory, over a limit.

Source: github.com/Teerapat-Vatpitak/mcp-loadtest, crates/engine/src/scenario/soak/leak_detect.rs. The limit is the
user's (`rss_leak_mb_per_sec`, off by default); 1 MiB a minute is taken, as its peers do.

Does not see: anything but memory; leaks below the limit; that a steep start is a warm-up.
"""

from __future__ import annotations

from series import Recorded
from trends import line

_PER_MINUTE = float(1 << 20)


def rule(series: Recorded) -> str:
    """Fail on the slope of all samples."""
    memory = series.memory()
    fit = None if memory is None else line(series.minutes, memory)
    if fit is None:
        return "undecided"
    return "leak" if fit.slope > _PER_MINUTE else "clean"
