"""The test of Mann and Kendall with the variance of Hamed and Rao: a rise at p < 0.01, in any resource.

Source: Hamed and Rao, A modified Mann-Kendall trend test for autocorrelated data, Journal of Hydrology 204 (1998).

Does not see: that growth is filling a bound; rises below 3 pieces or 64 KiB.
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
        series.grew_enough(name) and mann_kendall(series.array(name), autocorrelated=True) < _BY_CHANCE / 2
        for name in series.values
    )
    return "leak" if any(rises) else "clean"
