"""What the page of live charts shows now: the load by Locust's own counts, and below it what a watch draws."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from urllib.parse import urlencode

import gevent
from gevent.lock import BoundedSemaphore
from locust.env import Environment
from locust.runners import DistributedRunner
from markupsafe import escape

from loadtests.load_charts import panels
from loadtests.load_history import History
from loadtests.watch_fragment import LARGEST, Fragment, tame
from loadtests.watch_source import EVERY, START, NotReadError, Source, fetch
from loadtests.watched import visible

_REPORTS = 6.0
"""Seconds: two reports of workers, which come every three."""
_FRESH = 1.0
"""Seconds in which several readers get the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The changing part of the page."""

    title: str
    style: str
    html: str
    """Safe: made here, or of the one narrow form that `tame` lets through."""


class LiveCharts:
    """Samples the load for ever, and asks the watch for its charts when somebody looks.

    Does not see: the load between two samples, two seconds apart.
    """

    def __init__(self, environment: Environment, source: Source) -> None:
        self._environment, self._source = environment, source
        self._history = History()
        self._fragment: Fragment | None = None
        self._from, self._read_at, self._problem = "", 0.0, ""
        """Of the last fragment: the address, when it came by the monotonic clock, and why none came since."""
        self._asked_at = float("-inf")
        self._one_at_a_time = BoundedSemaphore()
        environment.events.test_start.add_listener(lambda **_: self._history.begin(time.time()))
        environment.events.test_stop.add_listener(self._end)

    def sample(self) -> None:
        """Note the load every two seconds, for ever."""
        while True:
            self._note()
            gevent.sleep(EVERY)

    def now(self) -> Shown:
        """Give what is to be shown; where the watch can't be read it says why, and shows what was read last as old."""
        with self._one_at_a_time:
            if time.monotonic() - self._asked_at >= _FRESH:
                self._read()
                self._asked_at = time.monotonic()
        least = _REPORTS if isinstance(self._environment.runner, DistributedRunner) else EVERY
        load = panels(self._history, time.time(), least * 0.9)
        fragment, told = self._fragment, self._told()
        style, charts = (fragment.style, fragment.html) if fragment else ("", "")
        old = " old" if self._problem else ""
        return Shown(
            title=f"{self._source.verdict or 'Resources'} · Locust",
            style=style,
            html=f"{told}<div id=load>{load}</div><div class='untrusted{old}' id=charts>{charts}</div>",
        )

    def as_json(self) -> dict[str, str]:
        """Give the same for the page's script."""
        return asdict(self.now())

    def _told(self) -> str:
        run = self._history.runs[-1] if self._history.runs else None
        if run is None:
            state = "No run yet: start one on Locust's own page, and it begins here at zero."
        elif run.ended is None:
            state = f"The load runs, {run.requests:,} requests so far."
        else:
            state = f"The load has ended after {run.ended - run.began:,.0f} s and {run.requests:,} requests."
        age = f" What stands below is {time.monotonic() - self._read_at:,.0f} s old." if self._fragment else ""
        problem = f"<p class=problem>{escape(self._problem + '.' + age)}</p>" if self._problem else ""
        return f"<h2>The load</h2><p class=soft>{state}</p>{problem}"

    def _end(self, **_: object) -> None:
        self._note()
        self._history.end(time.time())

    def _note(self) -> None:
        runner = self._environment.runner
        total = self._environment.stats.total
        users = runner.user_count if runner else 0
        self._history.add(time.time(), users, total.num_requests, total.num_failures)

    def _read(self) -> None:
        url = self._source.url
        if url != self._from:
            self._from, self._fragment = url, None
        try:
            body = fetch(url, f"/charts/fragment?{self._query()}", LARGEST)
        except NotReadError as error:
            self._problem = str(error)
            return
        try:
            self._fragment = tame(body)
        except ValueError as error:
            self._problem = (
                f"{url}/charts/fragment is {visible(error)}; {START.format(port='PORT')}, of the same release"
            )
            return
        self._problem, self._read_at = "", time.monotonic()

    def _query(self) -> str:
        """Say in Unix seconds, which both processes know, what time is shown, and when the load began and ended."""
        if not self._history.runs:
            return ""
        run = self._history.runs[-1]
        start, end = self._history.window(time.time())
        given = {"since": run.began, "until": run.ended, "from": start, "to": end}
        if run.requests:
            given |= {"operations": run.requests, "counted": self._history.samples[-1].at}
        return urlencode({name: round(value, 3) for name, value in given.items() if value is not None})
