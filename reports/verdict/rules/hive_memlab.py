"""The memory test of the GraphQL Hive gateway, and memlab's leak filter: what grew in every snapshot.

Source: github.com/graphql-hive/gateway, internal/perf (kinds of objects whose size grew between all consecutive heap
snapshots, five loads); facebook.github.io/memlab. A kind of object is here a resource, a snapshot the lowest reading
between two loads.

Does not see: a leak that pauses during one load; how much it is: one byte in each is enough.
"""

from __future__ import annotations

import numpy as np
from series import Recorded
from trends import blocks

_LOADS = 5


def rule(series: Recorded) -> str:
    """Fail if any resource grew in every load."""
    if len(series.seconds) < 2 * (_LOADS + 1):
        return "undecided"
    for name in series.values:
        snapshots = [float(part.min()) for part in blocks(series.array(name), _LOADS + 1)]
        if (np.diff(snapshots) > 0).all():
            return "leak"
    return "clean"
