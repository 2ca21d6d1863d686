"""A tab "Resources" in Locust's own web UI: what `leakcheck watch PID --serve 127.0.0.1:PORT` has seen so far.

One line in a locustfile is enough: `from loadtests import resources  # noqa: F401`. The document is read over loopback
every two seconds, by the master or the single process, never by a worker. Locust's tables have no colour and are sorted
by a row's `name`: that is the rank here, so the state of the source stands first and leaks stand above the rest.
Does not see: what was between two readings. Locust's page asks for its tables only while users run, so the tab stands
still after Stop (the time in its first row says since when); /resources.json never does.
"""

from __future__ import annotations

import argparse
import http.client
import ipaddress
import logging
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from urllib.parse import urlsplit

import gevent
from flask import Blueprint, Flask, Response, jsonify, request
from flask_cors import cross_origin
from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import WorkerRunner
from locust.web import WebUI

from loadtests.watched import COLUMNS, Row, Watched, visible, watched

logger = logging.getLogger(__name__)

EVERY = 2.0
"""Seconds between two readings, as often as Locust's page asks."""
SHARE = 0.01
"""Of this process' time for reading documents: while one is taken apart, no user of Locust's gets to run."""
PATIENCE = 2.0
"""Seconds for one answer, from connecting to the last byte."""
OLD = 10.0
"""Seconds after which values are marked as old: five readings, or looks, that brought nothing new."""
LARGEST = 8 * 2**20
"""Bytes of one document: nine times those of a watch at its longest, 240 floors, over 26 resources."""
KEY = "resources"
"""Of the tab and of its table."""
START = "start: leakcheck watch PID --serve 127.0.0.1:{port}"


class NotReadError(Exception):
    """The document could not be read; the message says why and what to do."""


class Source:
    """Where the table's rows come from: the last document, and what has gone wrong since."""

    def __init__(self, environment: Environment) -> None:
        self._options = environment.parsed_options
        self._from = ""
        """The address that was read last."""
        self._seen: Watched | None = None
        self._at = 0.0
        """When it was first seen, by the monotonic clock, and as people say it."""
        self._clock = ""
        self._problem = "not read yet"

    @property
    def url(self) -> str:
        """As given on the command line, in the environment or, since, in the web form."""
        return str(getattr(self._options, "resources_url", None) or "").strip()

    def follow(self) -> None:
        """Read again and again, for ever."""
        while True:
            began = time.thread_time()
            self.read()
            gevent.sleep(max(EVERY, (time.thread_time() - began) / SHARE))

    def read(self) -> None:
        """Read once; what goes wrong becomes a sentence for the table."""
        url = self.url
        if url != self._from:
            self._from, self._seen = url, None
        try:
            seen = _read(url)
        except NotReadError as error:
            self._problem = str(error)
            return
        if self._seen is None or seen.looked_at != self._seen.looked_at:
            self._at, self._clock = time.monotonic(), f"{datetime.now().astimezone():%H:%M:%S}"
        self._seen, self._problem = seen, ""

    def rows(self) -> tuple[Row, ...]:
        """The state of the source, then one row per resource; old values are marked as such, whatever the reason."""
        seen = self._seen
        if seen is None:
            return (Row(resource=self._problem),)
        state = Row(
            resource=self._problem or f"all of {seen.target}", now=f"seen at {self._clock}", verdict=seen.verdict
        )
        age = time.monotonic() - self._at
        if not self._problem and age < OLD:
            return (state, *seen.rows)
        old = f"{age:,.0f} s old"
        return tuple(
            replace(row, now=f"{row.now}, {old}", verdict=f"{row.verdict}, {old}") for row in (state, *seen.rows)
        )

    def table(self) -> list[dict[str, str]]:
        """The rows as Locust's page takes them: sorted by `name`, which is no column."""
        return [{"name": f"{number:04}", **asdict(row)} for number, row in enumerate(self.rows())]


def loopback(url: str) -> str:
    """Give `url` back if it is one of this machine's own: http://127.0.0.1:PORT, with a port, without a path."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    bare = not (parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc)
    if bare and port and parts.scheme == "http" and (host == "localhost" or _address(host, "is_loopback")):
        return url.strip()
    raise argparse.ArgumentTypeError(
        f"{visible(url)!r} is not http://127.0.0.1:PORT, an address of this machine; {START.format(port='PORT')}"
    )


def _address(host: str, quality: str = "version") -> bool:
    """Whether `host` is an IP address, and one with this quality (a property of `ipaddress`' objects)."""
    try:
        return bool(getattr(ipaddress.ip_address(host), quality))
    except ValueError:
        return False


def _read(url: str) -> Watched:
    """GET /audit.json: no proxy, no redirect, bounded in time and size."""
    if not url:
        raise NotReadError(
            f"no address yet; {START.format(port='PORT')}, then give --resources-url http://127.0.0.1:PORT"
        )
    try:
        parts = urlsplit(loopback(url))
    except argparse.ArgumentTypeError as error:
        raise NotReadError(str(error)) from None
    start = START.format(port=parts.port)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=PATIENCE)
    try:
        with gevent.Timeout(PATIENCE, TimeoutError(f"no whole answer within {PATIENCE:.0f} s")):
            connection.request("GET", "/audit.json", headers={"Accept": "application/json"})
            answer = connection.getresponse()
            body = answer.read(LARGEST + 1)
    except (OSError, http.client.HTTPException) as error:
        raise NotReadError(f"nothing answers at {url} ({_why(error)}); {start}") from None
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise NotReadError(f"{url} answers {answer.status} to GET /audit.json, so no watch listens there; {start}")
    if len(body) > LARGEST:
        raise NotReadError(f"{url}/audit.json is larger than {LARGEST >> 20} MiB; watch fewer resources (--exclude)")
    try:
        return watched(body)
    except ValueError as error:
        raise NotReadError(f"{url}/audit.json is {visible(error)}; {start}, of the same release") from None


def _why(error: Exception) -> str:
    said = error.strerror if isinstance(error, OSError) else ""
    return visible(said or error) or type(error).__name__


def _foreign(web_ui: WebUI) -> bool:
    """Whether a page of somebody else asks: another Origin, or a Host whose name was made to point here.

    Locust's own routes answer every Origin (flask-cors without limits). An address as Host is always well: only
    a name can be made to point elsewhere.
    """
    host = urlsplit(f"//{request.host}").hostname or ""
    origin = request.headers.get("Origin")
    ours = {"localhost", socket.gethostname().lower(), web_ui.host.lower()}
    return not (_address(host) or host in ours) or (origin is not None and urlsplit(origin).netloc != request.host)


def _add_tab(web_ui: WebUI, app: Flask, source: Source, prefix: str) -> None:
    """Locust's extension points for a table of one's own; what others have put there stays."""
    extensions: dict[str, Mapping[str, object]] = {
        "extended_tabs": {"title": "Resources", "key": KEY},
        "extended_tables": {"key": KEY, "structure": [{"key": key, "title": title} for key, title in COLUMNS.items()]},
        "extended_csv_files": {"href": "./resources.json", "title": "Download resources JSON"},
    }
    for name, extension in extensions.items():
        web_ui.template_args[name] = [*web_ui.template_args.get(name, []), extension]

    def with_rows(response: Response) -> Response:
        """Put the rows into Locust's own answer, for its own page only, and on a copy: Locust repeats that object."""
        if request.path != f"{prefix}/stats/requests" or response.status_code != http.client.OK or _foreign(web_ui):
            return response
        report = response.get_json()
        rows = {"key": KEY, "data": source.table()}
        return jsonify({**report, "extended_stats": [*report.get("extended_stats", ()), rows]})

    app.after_request(with_rows)


def _add_route(web_ui: WebUI, app: Flask, source: Source, prefix: str) -> None:
    """GET /resources.json: the same rows, also while no users run."""
    routes = Blueprint("leakcheck_resources", __name__, url_prefix=prefix or None)

    @routes.get("/resources.json")
    @cross_origin(origins=[])  # overrides Locust's own for this route
    @web_ui.auth_required_if_enabled
    def resources() -> Response:
        if _foreign(web_ui):
            words = "only Locust's own page, under this machine's own name, is answered here\n"
            return Response(words, status=http.client.FORBIDDEN, mimetype="text/plain")
        response = jsonify({"source": source.url, "rows": [asdict(row) for row in source.rows()]})
        response.headers["Cache-Control"] = "no-store"
        return response

    app.register_blueprint(routes)


def _tell_at_the_end(environment: Environment, source: Source) -> None:
    """Log the verdicts when Locust quits; its exit code stays its own."""
    quitting = environment.events.quitting

    def tell(**_: object) -> None:
        quitting.remove_listener(tell)  # at SIGTERM Locust 2.47 fires this event twice
        source.read()
        for row in source.rows():
            told = (row.verdict, row.resource, row.now, row.growth, row.rate, row.forecast)
            logger.info("Resources: %s", " | ".join(text for text in told if text))

    quitting.add_listener(tell)


@events.init_command_line_parser.add_listener
def _add_option(parser: LocustArgumentParser, **_: object) -> None:
    parser.set_defaults(web_host="127.0.0.1")  # Locust's own default is every interface, without a password
    parser.add_argument(
        "--resources-url",
        metavar="URL",
        type=loopback,
        env_var="LEAKCHECK_RESOURCES_URL",
        help="address of `leakcheck watch PID --serve 127.0.0.1:PORT`, for the tab Resources",
    )


@events.init.add_listener
def _begin(environment: Environment, **_: object) -> None:
    if isinstance(environment.runner, WorkerRunner):
        return
    source, web_ui = Source(environment), environment.web_ui
    if web_ui is not None and web_ui.app is not None:
        prefix = str(getattr(environment.parsed_options, "web_base_path", ""))
        _add_tab(web_ui, web_ui.app, source, prefix)
        _add_route(web_ui, web_ui.app, source, prefix)
        gevent.spawn(source.follow)
    elif source.url:
        _tell_at_the_end(environment, source)
