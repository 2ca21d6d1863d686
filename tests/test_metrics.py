"""A metrics page: which gauges become resources, and which of them make room for newer entries at a ceiling."""

import http.server
import threading

import pytest

from leakcheck.probes import Setting, TreeView
from leakcheck.probes.metrics import Probe

VIEW = TreeView(members=(), looks={}, parents={}, zombies=frozenset())
EVICTING = """\
# TYPE cache_entries gauge
cache_entries{cache="a"} 7
cache_entries{cache="b"} 8
# TYPE cache_limit gauge
cache_limit{cache="a"} 1000
cache_limit{cache="b"} 2000
# TYPE cache_evicted_total counter
cache_evicted_total{cache="a"} 0
"""


@pytest.fixture
def page():
    """A page of that text: what the probe finds on it."""
    servers = []

    def found(text, *, kind="text/plain; version=0.0.4"):
        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *words):
                """Nothing of it is for the test's output."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=server.serve_forever).start()
        servers.append(server)
        probe = Probe(Setting(metrics_url=f"http://127.0.0.1:{server.server_port}/metrics"))
        readings = {one.resource: one.value for one in probe.read_tree(VIEW)}
        assert {one.name for one in probe.resources()} == readings.keys()
        return readings, {one.name: (one.bound, one.bound_by) for one in probe.resources()}

    yield found
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_ceiling_with_evictions_bounds_the_gauge_of_the_same_labels_alone(page):
    readings, bounds = page(EVICTING)
    assert readings == {'metric.cache_entries{cache="a"}': 7.0, 'metric.cache_entries{cache="b"}': 8.0}
    assert bounds == {
        'metric.cache_entries{cache="a"}': (1000.0, "cache_limit"),
        'metric.cache_entries{cache="b"}': (None, ""),
    }


@pytest.mark.parametrize("held", ["cache_size", "cache_items", "cache"])
@pytest.mark.parametrize("ceiling", ["cache_max", "cache_max_entries", "cache_max_size", "cache_capacity"])
def test_the_names_that_pages_use(page, held, ceiling):
    text = EVICTING.replace("cache_entries", held).replace("cache_limit", ceiling)
    text = text.replace("cache_evicted_total{", 'cache_evictions_total{cause="size",').replace("evicted", "evictions")
    _, bounds = page(text)
    assert bounds[f'metric.{held}{{cache="a"}}'] == (1000.0, ceiling)


@pytest.mark.parametrize(
    "text",
    [
        EVICTING.replace("cache_evicted_total", "cache_rejected_total"),
        EVICTING.replace("cache_limit", "pool_limit"),
        EVICTING.replace("cache_entries", "cache_busy"),
        EVICTING.replace("1000", "0"),
        EVICTING.replace("1000", "+Inf"),
        EVICTING.replace("1000", "NaN"),
    ],
)
def test_without_all_three_of_one_name_nothing_is_bounded(page, text):
    _, bounds = page(text)
    assert all(bound is None for bound, _ in bounds.values())


def test_an_openmetrics_page_says_the_same(page):
    text = EVICTING.replace("TYPE cache_evicted_total", "TYPE cache_evicted") + "# EOF\n"
    _, bounds = page(text, kind="application/openmetrics-text; version=1.0.0")
    assert bounds['metric.cache_entries{cache="a"}'] == (1000.0, "cache_limit")
