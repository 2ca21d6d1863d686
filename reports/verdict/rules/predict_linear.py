"""The alert that Prometheus' documentation shows: predict_linear() reaches a limit within a day.

Source: prometheus.io/docs/prometheus/latest/querying/functions (predict_linear: simple linear regression). The limits
taken: 1,024 descriptors (the usual soft RLIMIT_NOFILE) and 2 GiB of memory (a usual container). The load of the audit
goes on for the whole day in this prediction, which is heavier than most days.

Does not see: resources without a limit to alert on; a leak too slow for its limit; that growth has stopped is seen only
as far as the line through the whole window bends.
"""

from __future__ import annotations

from series import Recorded
from trends import line

_DAY_MINUTES = 24 * 60.0
_LIMITS = {"descriptors": 1024.0, "memory": float(2 << 30)}


def rule(series: Recorded) -> str:
    """Alert on descriptors or memory."""
    read = {"descriptors": series.descriptors(), "memory": series.memory()}
    judged = 0
    for name, values in read.items():
        fit = None if values is None else line(series.minutes, values)
        if fit is not None:
            judged += 1
            if fit.at_end + fit.slope * _DAY_MINUTES > _LIMITS[name]:
                return "leak"
    return "clean" if judged else "undecided"
