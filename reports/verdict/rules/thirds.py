"""The lowest of the last third lies above the highest of the first third, in any resource.

Source: the comparison of the parts of a run that soak tests are often judged by; no one author.

Does not see: that growth stopped in between; rises below 3 pieces or 64 KiB.
"""

from __future__ import annotations

from series import Recorded

_FEWEST = 6


def rule(series: Recorded) -> str:
    """Fail if any resource is separated so."""
    third = len(series.seconds) // 3
    if len(series.seconds) < _FEWEST:
        return "undecided"
    risen = (
        series.grew_enough(name) and min(values[-third:]) > max(values[:third])
        for name, values in series.values.items()
    )
    return "leak" if any(risen) else "clean"
