"""Open-loop arrivals for any locustfile: `--arrival-rate 50` begins 50 operations a second, whatever the server does.

One line is enough: `from loadtests import arrivals  # noqa: F401`. An operation is one task of a user. Its latency
counts from when it was intended to begin, so a server that stalls for two seconds is seen by all who came meanwhile;
a closed loop sends less in that time, and asks nobody. Users are those who can be on their way at once: with too few,
operations begin late, which is in their latency and is told. Locust's tables, its web UI and its CSV files show the
same values, with two digits.

Does not see: pauses (`wait_time`), which arrivals replace; a TaskSet with a `wait_time` of its own keeps to that.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
from pathlib import Path
from typing import Any

from locust import User, events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtests import bounded_stats  # noqa: F401 - a soak of hours must not grow
from loadtests.open_loop import OPERATIONS, OpenLoop, Requests

logger = logging.getLogger(__name__)
_MESSAGE = "arrivals"
"""Of the master to its workers, and the key of a worker's report."""
_MOST_SHOWN = 20
"""Rows of the table at the end; the file has all."""


class Arrivals:
    """The arrivals of this process' runs, one after the other."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.run = OpenLoop()
        self.is_open = False
        """Whether arrivals make the pace of the run."""
        self._wanted: float | None = None

    @property
    def rate(self) -> float:
        """As given on the command line, in the environment or, since, in the web form; 0 for a closed loop."""
        return float(getattr(self._environment.parsed_options, "arrival_rate", None) or 0.0)

    def want(self, rate: float) -> None:
        """So many operations a second, as soon as all users are there. Shapes call it; never on a worker."""
        self._wanted = rate
        if self.run.steps and self.run.steps[-1]["rate"] != rate:
            self._go(rate)

    def _go(self, rate: float) -> None:
        step = self.run.next_step(rate)
        runner = self._environment.runner
        if not isinstance(runner, MasterRunner):
            self.run.schedule.go(rate, step)
            return
        workers = [one.id for one in (*runner.clients.ready, *runner.clients.spawning, *runner.clients.running)]
        for number, worker in enumerate(workers):
            runner.send_message(_MESSAGE, {"rate": rate, "step": step, "share": [number, len(workers)]}, worker)

    def listen(self) -> None:
        """Take part in Locust's runs."""
        environment, run = self._environment, self.run
        environment.events.request = Requests(environment.events.request, run)
        environment.events.test_start.add_listener(self._begin)
        environment.events.test_stopping.add_listener(self._end)
        for user_class in environment.user_classes:
            self._pace(user_class)
        if isinstance(environment.runner, WorkerRunner):
            environment.runner.register_message(_MESSAGE, self._told)
            environment.events.report_to_master.add_listener(self._report)
            return
        environment.events.spawning_complete.add_listener(self._spawned)
        environment.events.quitting.add_listener(self._tell)
        if isinstance(environment.runner, MasterRunner):
            environment.events.worker_report.add_listener(self._reported)

    def _pace(self, user_class: type[User]) -> None:
        """Put arrivals in the place of the pauses of a class, and before a user's first task."""
        on_start, wait_time = user_class.on_start, user_class.wait_time

        @functools.wraps(on_start)
        def start(user: User) -> None:
            on_start(user)
            if self.is_open:
                self.run.wait(user)

        def wait(user: User) -> float:
            if not self.is_open:
                return float(wait_time(user))
            self.run.wait(user)
            return 0.0

        user_class.on_start = start  # type: ignore[method-assign, assignment]
        user_class.wait_time = wait

    def _begin(self, **_: object) -> None:
        self.run.clear()
        self.is_open = self.rate > 0

    def _spawned(self, **_: object) -> None:
        if self.is_open and not self.run.steps:
            self._go(self.rate if self._wanted is None else self._wanted)

    def _end(self, **_: object) -> None:
        self._wanted = None
        self.run.end_step()
        self.run.schedule.clear()

    def _told(self, msg: Any, **_: object) -> None:
        self.run.schedule.go(msg.data["rate"], msg.data["step"], tuple(msg.data["share"]))

    def _report(self, data: dict[str, Any], **_: object) -> None:
        data[_MESSAGE] = self.run.take()

    def _reported(self, data: dict[str, Any], **_: object) -> None:
        if _MESSAGE in data:
            self.run.merge(data[_MESSAGE])

    def _tell(self, **_: object) -> None:
        self._environment.events.quitting.remove_listener(self._tell)  # at SIGTERM Locust 2.47 fires this event twice
        self.run.end_step()
        told = self.run.as_json()
        for line in table(told):
            logger.info("%s", line)
        if path := getattr(self._environment.parsed_options, "latencies", None):
            Path(path).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def table(told: dict[str, Any]) -> list[str]:
    """What was achieved of the intended rate, and latencies in milliseconds from the intention, in lines."""
    lines = [
        f"Arrivals: {one['rate']:g}/s intended for {one['seconds']:.0f} s, {one['achieved_rate']:g}/s achieved; "
        f"{one['begun']:,} of {one['due'] + one['dropped']:,} begun, {one['late']:,} of them late; "
        f"{one['failed']:,} failed; p99 {one.get('p99_ms', 0.0):g} ms"
        for one in told["steps"]
    ]
    if not told["steps"] or not told["rows"][OPERATIONS]["from_intended"]["count"]:
        return lines
    heads = ("p50", "p90", "p95", "p99", "p99.9", "max")
    lines.append(f"{'ms from the intended start':<34}{'count':>8}" + "".join(f"{head:>9}" for head in heads))
    for name, row in list(told["rows"].items())[:_MOST_SHOWN]:
        found = row["from_intended"]
        values = "".join(f"{found[f'{head}_ms']:>9g}" for head in heads)
        lines.append(f"{name[:33]:<34}{found['count']:>8,}{values}")
    return lines


def rate(text: str) -> float:
    """A rate from the command line or the web form: a number above 0, or nothing."""
    if not text.strip():
        return 0.0
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no rate: give operations a second, as 50 or 0.5")
    return value


_of: dict[int, Arrivals] = {}
"""By the identity of an environment, for shapes: Locust gives those no other way to find it."""


def of(environment: Environment) -> Arrivals:
    """The arrivals of an environment."""
    return _of[id(environment)]


def _add_options(parser: LocustArgumentParser, **_: object) -> None:
    parser.add_argument(
        "--arrival-rate",
        metavar="N",
        type=rate,
        default=0.0,
        env_var="ARRIVAL_RATE",
        help="begin N operations a second, whatever the server does, and count latency from when each was intended; "
        "users are those who can be on their way at once. 0: each user goes on when it is done",
    )
    parser.add_argument(
        "--latencies",
        metavar="FILE",
        env_var="LATENCIES",
        include_in_web_ui=False,
        help="write achieved rates and latencies (HDR histograms, three digits) to FILE as JSON",
    )


def _listen(environment: Environment, **_: object) -> None:
    _of[id(environment)] = arrivals = Arrivals(environment)
    arrivals.listen()


events.init_command_line_parser.add_listener(_add_options)
events.init.add_listener(_listen)
