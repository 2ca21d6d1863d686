"""The plain test of Mann (1945) and Kendall (1975): a rise at p < 0.01, in any resource.

Source: the textbook test, as pymannkendall's `original_test`. Machida, Andrzejak, Matias and Vicente (ISSREW 2013)
found that alone it raises many false alarms.

Does not see: that readings depend on each other; that growth is filling a bound; rises below 3 pieces or 64 KiB.
"""

from __future__ import annotations

from series import Recorded
from trends import mann_kendall

_BY_CHANCE = 0.01
_FEWEST = 8


def rule(series: Recorded) -> str:
    """Fail if any resource rises."""
    if len(series.seconds) < _FEWEST:
        return "undecided"
    rises = (
        series.grew_enough(name) and mann_kendall(series.array(name)) < _BY_CHANCE / 2 for name in series.values
    )  # two-sided p below 0.01, and upwards
    return "leak" if any(rises) else "clean"
