"""The means of six consecutive parts of the run rise from each to the next, in any resource.

Source: a rule of thumb of soak tests ("six in a row"); no one author.

Does not see: a leak that pauses for a sixth of the run; rises below 3 pieces or 64 KiB.
"""

from __future__ import annotations

import numpy as np
from series import Recorded
from trends import blocks

_PARTS = 6


def rule(series: Recorded) -> str:
    """Fail if any resource rises through all parts."""
    if len(series.seconds) < 2 * _PARTS:
        return "undecided"
    for name in series.values:
        means = [float(part.mean()) for part in blocks(series.array(name), _PARTS)]
        if series.grew_enough(name) and (np.diff(means) > 0).all():
            return "leak"
    return "clean"
