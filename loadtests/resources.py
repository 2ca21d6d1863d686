"""A tab "Resources" in Locust's own web UI, and live charts at /resources: what a `leakcheck watch` has seen so far.

One line in a locustfile is enough: `from loadtests import resources  # noqa: F401`. What
`leakcheck watch PID --serve 127.0.0.1:PORT` serves is read over loopback every two seconds, by the master or the single
process, never by a worker. Locust's tables have no colour and are sorted by a row's `name`: that is the rank here, so
the state of the source stands first and leaks stand above the rest. When Locust ends, the verdicts are logged and a
leak makes its exit code 1.
Does not see: what was between two readings. Locust's page asks for its tables only while users run, so the tab stands
still after Stop (the time in its first row says since when); /resources and /resources.json never do.
"""

from __future__ import annotations

import logging

import gevent
from locust import events, log
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtests.live_charts import LiveCharts
from loadtests.resource_pages import add_pages
from loadtests.watch_source import Source, loopback

logger = logging.getLogger(__name__)
_FAILS = {"never": (), "leak": ("LEAK",), "undecided": ("LEAK", "UNDECIDED", "NOT JUDGED", "")}
"""The verdicts that fail a run, by what was asked for; the empty one is that no watch could be read."""
_CODES = {"LEAK": 1}
_UNDECIDED = 3
"""As the exit codes of leakcheck itself."""
_sources: dict[Environment, Source] = {}
"""Whose end is still to be told."""


@events.init_command_line_parser.add_listener
def _add_options(parser: LocustArgumentParser, **_: object) -> None:
    parser.set_defaults(web_host="127.0.0.1")  # Locust's own default is every interface, without a password
    parser.add_argument(
        "--resources-url",
        metavar="URL",
        type=loopback,
        env_var="LEAKCHECK_RESOURCES_URL",
        help="address of `leakcheck watch PID --serve 127.0.0.1:PORT`, for the tab Resources",
    )
    parser.add_argument(
        "--resources-fail-on",
        choices=tuple(_FAILS),
        default="leak",
        env_var="LEAKCHECK_RESOURCES_FAIL_ON",
        include_in_web_ui=False,
        help="with --resources-url: on which verdict of the watch Locust's exit code is 1 (leak) or 3 (undecided, or "
        "no watch to be read) instead of 0; default: leak",
    )


@events.init.add_listener
def _begin(environment: Environment, **_: object) -> None:
    if isinstance(environment.runner, WorkerRunner):
        return
    source, web_ui = Source(environment), environment.web_ui
    _sources[environment] = source
    if web_ui is not None and web_ui.app is not None:
        prefix = str(getattr(environment.parsed_options, "web_base_path", "") or "")
        charts = LiveCharts(environment, source)
        add_pages(web_ui, web_ui.app, source, charts, prefix)
        gevent.spawn(source.follow)
        gevent.spawn(charts.sample)
        scheme, host = "https" if web_ui.tls_cert else "http", web_ui.host or "127.0.0.1"
        logger.info("Resources: live charts at %s://%s:%s%s/resources", scheme, host, web_ui.port, prefix)


@events.quitting.add_listener
def _end(environment: Environment, **_: object) -> None:
    """Tell the verdicts, and let a leak fail the run.

    Locust calls what was added last first: as this is added on import, code of the locustfile that sets an exit code
    of its own has done so by now.
    """
    source = _sources.pop(environment, None)  # at SIGTERM Locust 2.47 fires this event twice
    if source is None or not source.url:
        return
    source.read()
    for row in source.rows():
        told = (row.verdict, row.resource, row.now, row.growth, row.rate, row.forecast)
        logger.info("Resources: %s", " | ".join(text for text in told if text))
    fail_on = str(getattr(environment.parsed_options, "resources_fail_on", "leak"))
    if source.verdict not in _FAILS[fail_on]:
        return
    code, words = _CODES.get(source.verdict, _UNDECIDED), source.verdict or "no verdict"
    if _fails_already(environment):
        logger.error("Resources: %s; the exit code is Locust's own, which is a failure already", words)
    else:
        environment.process_exit_code = code
        logger.error("Resources: %s, so the exit code is %d (--resources-fail-on %s)", words, code, fail_on)


def _fails_already(environment: Environment) -> bool:
    """Whether Locust would end with another code than 0 by itself, as its main function decides it afterwards."""
    if environment.process_exit_code is not None:
        return environment.process_exit_code != 0
    runner, options = environment.runner, environment.parsed_options
    if runner is not None and (len(runner.errors) or len(runner.exceptions)):
        return bool(getattr(options, "exit_code_on_error", 1))
    return bool(log.unhandled_greenlet_exception)
