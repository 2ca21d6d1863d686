"""Locust's own statistics, kept from growing with time in a run of hours: one import is enough.

Locust counts each row's requests by the second, and reads the last twelve of these seconds; here those of the last
two minutes are kept. It copies each row's table of response times every second and keeps twenty copies; with two
significant digits that table stays short, and has true values below 10 ms too, where Locust's own has whole
milliseconds.

Does not see: Locust's history for its charts, one entry each five seconds of a run.
"""

from __future__ import annotations

import time

import gevent
import locust.stats
from locust import events
from locust.env import Environment
from locust.stats import RequestStats

_KEPT_SECONDS = 120
"""Workers report every three seconds, and Locust's rate is of the twelve before the last request."""
_EVERY_SECONDS = 30.0


def two_digits(milliseconds: float) -> float:
    """A response time in milliseconds with two significant digits, for a row's table of times."""
    return float(f"{milliseconds:.2g}")


def forget_before(stats: RequestStats, second: int) -> None:
    """Forget what was counted in seconds (since the epoch) before this one."""
    for entry in (stats.total, *stats.entries.values()):
        for by_second in (entry.num_reqs_per_sec, entry.num_fail_per_sec):
            for old in [one for one in by_second if one < second]:
                del by_second[old]


def _keep_forgetting(environment: Environment, **_: object) -> None:
    def forget() -> None:
        while True:
            gevent.sleep(_EVERY_SECONDS)
            forget_before(environment.stats, int(time.time()) - _KEPT_SECONDS)

    gevent.spawn(forget)


events.init.add_listener(_keep_forgetting)
locust.stats.bucket_response_time = two_digits  # type: ignore[assignment] # Locust's own gives whole milliseconds
