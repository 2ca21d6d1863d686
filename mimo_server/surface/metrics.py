"""The metrics page: GET /metrics, read from the components at the moment of the request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from mimo_server.app import App
from mimo_server.errors import SettingsError
from mimo_server.memory.record import StoreFacts
from mimo_server.supervision.events import Kind
from mimo_server.supervision.registry import Bound

_REQUEST_SECONDS = 5.0
_LONGEST_REQUEST = 8192

_log = logging.getLogger(__name__)


class _Page(Collector):
    """One reading of the server as metric families.

    The names are fixed; labels are the names of bounds, kinds of event and checks, of which there is a fixed number.
    """

    def __init__(self, app: App, store: StoreFacts) -> None:
        self._app = app
        self._store = store

    def collect(self) -> Iterable[Metric]:
        app = self._app
        yield GaugeMetricFamily("mimo_memories", "Memories stored", self._store.memories)
        yield GaugeMetricFamily("mimo_store_bytes", "Pages of the store in use", self._store.live_bytes)
        yield GaugeMetricFamily("mimo_index_waiting", "Memories that the index lacks", app.memories.waiting)
        yield CounterMetricFamily("mimo_refused_requests", "Requests answered with an error", app.refusals.count)
        yield from _bounds(app.bounds())
        events = CounterMetricFamily("mimo_events", "What happened", labels=["kind"])
        for kind in Kind:
            events.add_metric([kind], app.events.counts[kind])
        yield events
        well = GaugeMetricFamily("mimo_check_ok", "1 where the last check found nothing", labels=["check"])
        for name, finding in app.health.report().checks.items():
            well.add_metric([name], float(finding.problem is None))
        yield well
        yield GaugeMetricFamily("mimo_tasks", "Tasks on the event loop", len(asyncio.all_tasks()))


def _bounds(bounds: Iterable[Bound]) -> Iterable[Metric]:
    entries = GaugeMetricFamily("mimo_registry_entries", "Entries now", labels=["registry"])
    limits = GaugeMetricFamily("mimo_registry_limit", "Most entries at once", labels=["registry"])
    highest = GaugeMetricFamily("mimo_registry_high_water", "Most entries so far", labels=["registry"])
    rejected = CounterMetricFamily("mimo_registry_rejected", "Entries turned away", labels=["registry"])
    evicted = CounterMetricFamily("mimo_registry_evicted", "Oldest entries dropped for newer", labels=["registry"])
    for bound in bounds:
        entries.add_metric([bound.name], bound.size)
        highest.add_metric([bound.name], bound.high_water)
        rejected.add_metric([bound.name], bound.rejected)
        if bound.limit is not None:
            limits.add_metric([bound.name], bound.limit)
        if bound.evicted is not None:
            evicted.add_metric([bound.name], bound.evicted)
    return (entries, limits, highest, rejected, evicted)


async def rendered(app: App) -> bytes:
    """The page as OpenMetrics text."""
    registry = CollectorRegistry()  # not the process-wide one: its collectors are not ours to show
    registry.register(_Page(app, await app.memories.facts()))
    page: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return page


@asynccontextmanager
async def metrics_page(app: App, port: int) -> AsyncIterator[int]:
    """Serve the page at a port of 127.0.0.1 and yield that. Raises SettingsError when it cannot be had."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await _response(app, head))
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ConnectionError) as error:
            _log.debug("metrics: a request was dropped: %r", error)
        finally:
            writer.close()

    try:
        server = await asyncio.start_server(answer, "127.0.0.1", port, limit=_LONGEST_REQUEST)
    except OSError as error:
        raise SettingsError(
            f"--metrics-port {port} on 127.0.0.1 cannot be opened ({error.strerror}); choose a free port, or 0 for any"
        ) from error
    try:
        got: int = server.sockets[0].getsockname()[1]
        _log.info("metrics on http://127.0.0.1:%d/metrics", got)
        yield got
    finally:
        server.close()  # requests in progress end with the event loop, which cancels them


async def _response(app: App, head: bytes) -> bytes:
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    if path != b"/metrics":
        return _http(b"404 Not Found", b"text/plain", b"the page is /metrics\n")
    if method != b"GET":
        return _http(b"405 Method Not Allowed", b"text/plain", b"GET only\n")
    return _http(b"200 OK", CONTENT_TYPE_LATEST.encode(), await rendered(app))


def _http(status: bytes, kind: bytes, body: bytes) -> bytes:
    length = str(len(body)).encode()
    head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %b\r\nConnection: close\r\n\r\n" % (
        status,
        kind,
        length,
    )
    return head + body
