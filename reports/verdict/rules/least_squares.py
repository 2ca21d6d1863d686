"""Ordinary least squares against operations: a slope at p < 0.01, in any resource.

Source: the textbook test of a regression's slope (Student's t), residuals taken as independent.

Does not see: that readings depend on each other; that growth is filling a bound; rises below 3 pieces or 64 KiB.
"""

from __future__ import annotations

import numpy as np
from series import Recorded
from trends import line

_BY_CHANCE = 0.01
_FEWEST = 8


def rule(series: Recorded) -> str:
    """Fail if any resource rises."""
    if len(series.seconds) < _FEWEST:
        return "undecided"
    operations = np.array(series.operations)
    for name in series.values:
        fit = line(operations, series.array(name))
        if fit is not None and series.grew_enough(name) and fit.p < _BY_CHANCE / 2:
            return "leak"
    return "clean"
