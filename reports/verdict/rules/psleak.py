"""psleak 0.1.6: memory that grows in each of several reruns by more than noise and does not fade; counts over one call.

Source: github.com/giampaolo/psleak, psleak.py and README.md: ten reruns at most, each of more calls than the one
before; growth up to 16 bytes a call is noise; growth a call that fades by a fifth or more twice is no leak; descriptors
and threads are counted before and after one call. It calls functions in its own process; here a rerun is a part of the
recorded operations, and a count leaks where the whole run grew by one or more a call.

Does not see: counts that grow in some calls only (its own limit as well); leaks below 16 bytes a call.
"""

from __future__ import annotations

import numpy as np
from series import Recorded

_RERUNS = 5
"""Of its ten: a minute's operations are too few for parts that grow ten times."""
_NOISE = 16.0
_FADING = 0.8


def rule(series: Recorded) -> str:
    """Fail on a count of one a call, or on memory in every rerun."""
    calls = np.array(series.operations)
    memory = series.memory()
    if memory is None or len(calls) < 2 * _RERUNS or calls[-1] <= calls[0]:
        return "undecided"
    for name in (name for name in series.values if name == "threads" or name.startswith("fds")):
        count = series.array(name)
        if count[-1] - count[0] >= calls[-1] - calls[0]:
            return "leak"
    ends = np.cumsum(np.arange(_RERUNS + 1)) / sum(range(_RERUNS + 1))  # each rerun has more calls than the last
    at = np.minimum(np.searchsorted(calls, calls[0] + ends * (calls[-1] - calls[0])), len(calls) - 1)
    spent = np.diff(calls[at])
    if (spent <= 0).any():
        return "undecided"
    per_call = np.diff(memory[at]) / spent
    if (per_call <= _NOISE).any():
        return "clean"
    return "clean" if (per_call[1:] <= _FADING * per_call[:-1]).sum() >= 2 else "leak"
