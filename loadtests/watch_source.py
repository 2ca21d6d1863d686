"""What `leakcheck watch PID --serve 127.0.0.1:PORT` has seen, read over loopback: one document for the tab."""

from __future__ import annotations

import argparse
import http.client
import ipaddress
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from urllib.parse import urlsplit

import gevent
from locust.env import Environment

from loadtests.watched import DASH, Row, Watched, quantity, visible, watched

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
START = "start: leakcheck watch PID --serve 127.0.0.1:{port}"


class NotReadError(Exception):
    """The document could not be read; the message says why and what to do."""


class Source:
    """Where the table's rows come from: the last document, and what has gone wrong since.

    Does not see: what was between two readings.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._options = environment.parsed_options
        self._from = ""
        """The address that was read last."""
        self._seen: Watched | None = None
        self._at = 0.0
        """When it was first seen, by the monotonic clock, and as people say it."""
        self._clock = ""
        self._problem = "not read yet"
        self._before: Mapping[str, tuple[float, str]] = {}
        """Growth up to when the run began, or its counts were reset."""
        self._requests = 0
        """Of the run, when the last document was read."""
        for event in (environment.events.test_start, environment.events.reset_stats):
            event.add_listener(self._begin)

    @property
    def url(self) -> str:
        """As given on the command line, in the environment or, since, in the web form."""
        return str(getattr(self._options, "resources_url", None) or "").strip()

    @property
    def verdict(self) -> str:
        """The last one that was read, `LEAK` to `NOT JUDGED`; empty: none was."""
        return self._seen.verdict if self._seen else ""

    @property
    def problem(self) -> str:
        """Why nothing could be read the last time; empty: it could."""
        return self._problem

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
            self._from, self._seen, self._before = url, None, {}
        try:
            seen = _read(url)
        except NotReadError as error:
            self._problem = str(error)
            return
        if self._seen is None or seen.looked_at != self._seen.looked_at:
            self._at, self._clock = time.monotonic(), f"{datetime.now().astimezone():%H:%M:%S}"
        self._seen, self._problem = seen, ""
        self._requests = int(self._environment.stats.total.num_requests)

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
            return (state, *self._told(seen))
        old = f"{age:,.0f} s old"
        return tuple(
            replace(row, now=f"{row.now}, {old}", verdict=f"{row.verdict}, {old}") for row in (state, *self._told(seen))
        )

    def _begin(self, **_: object) -> None:
        self._before = self._seen.growths if self._seen else {}
        self._requests = 0

    def _told(self, seen: Watched) -> Iterator[Row]:
        """Give the rows, with the growth per request of this run beside each rate, which is one of time."""
        for row in seen.rows:
            was, now = self._before.get(row.resource), seen.growths.get(row.resource)
            if row.rate == DASH or was is None or now is None or not self._requests:
                yield row
                continue
            each = quantity(float(f"{(now[0] - was[0]) / self._requests:.2g}"), now[1], sign="+")
            yield replace(row, rate=f"{row.rate}, {each} per request")

    def table(self) -> list[dict[str, str]]:
        """The rows as Locust's page takes them: sorted by `name`, which is no column."""
        return [{"name": f"{number:04}", **asdict(row)} for number, row in enumerate(self.rows())]


def loopback(url: str) -> str:
    """Give `url` back if it is one of this machine's own: http://127.0.0.1:PORT, with a port, without a path.

    Raises argparse.ArgumentTypeError, which says what to give. Does not see: who listens there.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    bare = not (parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc)
    if bare and port and parts.scheme == "http" and (host == "localhost" or is_address(host, "is_loopback")):
        return url.strip()
    raise argparse.ArgumentTypeError(
        f"{visible(url)!r} is not http://127.0.0.1:PORT, an address of this machine; {START.format(port='PORT')}"
    )


def is_address(host: str, quality: str = "version") -> bool:
    """Whether `host` is an IP address, and one with this quality (a property of `ipaddress`' objects).

    Does not see: names; `localhost` is none.
    """
    try:
        return bool(getattr(ipaddress.ip_address(host), quality))
    except ValueError:
        return False


def fetch(url: str, path: str, largest: int) -> bytes:
    """GET `path`, at most `largest` bytes, within PATIENCE seconds: no proxy, no redirect.

    Raises NotReadError, which says why and what to do. Does not see: whether a watch has answered.
    """
    if not url:
        raise NotReadError(
            f"no address yet; {START.format(port='PORT')}, then give --resources-url http://127.0.0.1:PORT"
        )
    try:
        parts = urlsplit(loopback(url))
    except argparse.ArgumentTypeError as error:
        raise NotReadError(str(error)) from None
    start, bare = START.format(port=parts.port), path.partition("?")[0]
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=PATIENCE)
    try:
        with gevent.Timeout(PATIENCE, TimeoutError(f"no whole answer within {PATIENCE:.0f} s")):
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read(largest + 1)
    except (OSError, http.client.HTTPException) as error:
        raise NotReadError(f"nothing answers at {url} ({_why(error)}); {start}") from None
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise NotReadError(f"{url} answers {answer.status} to GET {bare}, so no watch listens there; {start}")
    if len(body) > largest:
        raise NotReadError(f"{url}{bare} is larger than {_size(largest)}; watch fewer resources (--exclude)")
    return body


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 2**20 else f"{count >> 10} KiB"


def _read(url: str) -> Watched:
    body = fetch(url, "/audit.json", LARGEST)
    try:
        return watched(body)
    except ValueError as error:
        start = START.format(port=urlsplit(url).port)
        raise NotReadError(f"{url}/audit.json is {visible(error)}; {start}, of the same release") from None


def _why(error: Exception) -> str:
    said = error.strerror if isinstance(error, OSError) else ""
    return visible(said or error) or type(error).__name__
