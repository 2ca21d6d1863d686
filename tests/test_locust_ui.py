"""The tab Resources in Locust's own web UI and its live charts: over HTTP, and in a real browser."""

import base64
import contextlib
import copy
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import pytest
import websocket

from leakcheck.model.audit import Audit
from leakcheck.model.moment import Moment
from leakcheck.model.wire import from_wire
from leakcheck.render._axis import Asked
from leakcheck.render.watch_charts import fragment

pytestmark = pytest.mark.share(3)

AUDIT = Path(__file__).parents[1] / "reports/2026-11-22-line/current/audit.json"
START = "start: leakcheck watch PID --serve 127.0.0.1:"


def until(condition, seconds=30):
    """The first true value of `condition`, asked more and more rarely."""
    deadline, pause = time.monotonic() + seconds, 0.02
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)
    return value


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def ask(port, path, headers=None, method="GET", body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@contextlib.contextmanager
def running(*command, log, cwd):
    """A command with a process group of its own, which is ended whole; what it says goes to `log`."""
    with log.open("wb") as said:
        process = subprocess.Popen(
            [*map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
            cwd=cwd,
        )
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)


@pytest.fixture
def document():
    """A real audit: 9 leaks of 23 findings."""
    return json.loads(AUDIT.read_text())


CHARTS = b"""<style>.live{color:red}</style>
<article class="live leak" id=r-1><h3>open sockets</h3><p class=now>drawn %d times</p><svg><path d="M0 0L1 1"/></svg>
<details id="r-1-why"><summary>Why</summary><p>it grows</p></details></article>"""
"""As a watch draws them."""


class StandIn(BaseHTTPRequestHandler):
    """Serves what its server's `reply` gives: a status and a body, or None for silence; counts what is asked."""

    def do_GET(self):
        self.server.asked += self.path == "/audit.json"
        status, body = self.server.reply(self)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the reader may have had enough
            self.wfile.write(body)

    def log_message(self, *_):
        pass


class FakeWatch:
    """A document that grows with each reading, at one port, which can be closed and opened again."""

    def __init__(self, document):
        self.document, self.port = document, free_port()
        self.charts, self.queries = CHARTS, []
        self.released = threading.Event()
        self.server = self.thread = None

    def grow(self, handler):
        path, _, query = handler.path.partition("?")
        if path == "/charts/fragment":
            self.queries.append(dict(parse_qsl(query)))
            return 200, self.charts % len(self.queries)
        latest = self.document["rounds"][-1]
        latest["at_seconds"] += 1
        latest["readings"]["fds.socket"]["total"] += 1
        return 200, json.dumps(self.document).encode()

    def silent(self, _):
        self.released.wait(30)
        return 200, b""

    def open(self):
        self.released.clear()
        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), StandIn)
        self.server.asked, self.server.reply = 0, self.grow
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        return self

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def fake(document):
    one = FakeWatch(document).open()
    yield one
    one.close()


class LocustUi:
    """A running Locust and what can be asked of its web server."""

    def __init__(self, port, process, log):
        self.port, self.process, self.log = port, process, log
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path, headers=None, method="GET", body=None):
        return ask(self.port, path, headers, method, body)

    def rows(self):
        return json.loads(self.ask("/resources.json")[2])["rows"]

    def first(self):
        return self.rows()[0]["resource"]

    def charts(self):
        return json.loads(self.ask("/resources/charts")[2])["html"]

    def swarm(self, host, **others):
        form = urlencode({"user_count": 2, "spawn_rate": 2, "host": host, **others})
        answer = self.ask("/swarm", {"Content-Type": "application/x-www-form-urlencoded"}, "POST", form)
        assert json.loads(answer[2])["success"]

    def table(self):
        stats = json.loads(self.ask("/stats/requests")[2]).get("extended_stats", [])
        return [row for one in stats if one["key"] == "resources" for row in one["data"]]


@pytest.fixture
def locust_ui(tmp_path, programs):
    """Start Locust with its web UI; every process of it is ended afterwards."""
    with contextlib.ExitStack() as all_of_them:

        def start(*options, ready="/"):
            port, log = free_port(), tmp_path / "locust.log"
            command = (sys.executable, "-m", "locust", "-f", programs / "locustfile_resources.py", "--web-port", port)
            process = all_of_them.enter_context(running(*command, *options, log=log, cwd=tmp_path))
            until(lambda: process.poll() is not None or listens(port), 60)
            assert process.poll() is None, log.read_text()
            one = LocustUi(port, process, log)
            assert one.ask(ready)[0] in {200, 302}
            return one

        yield start


@pytest.fixture
def headless(tmp_path, programs):
    """Run Locust without its web UI, and end it as a CI job would, once `enough`; its exit code and what it said."""

    log = tmp_path / "headless.log"

    def run(*options, enough):
        command = (sys.executable, "-m", "locust", "-f", programs / "locustfile_resources.py", "--headless", "-u", 2)
        with running(*command, *options, log=log, cwd=tmp_path) as process:
            until(lambda: process.poll() is not None or enough(), 60)
            process.terminate()
            return process.wait(60), log.read_text()

    run.log = log
    return run


def log_of(headless):
    return headless.log.read_text()


def two_workers():
    """Options for two further processes at a port of their own: the usual one may be taken."""
    port = free_port()
    return "--processes", "2", "--master-bind-port", port, "--master-port", port


def row_of(rows, resource):
    return next((row for row in rows if row["resource"] == resource), None)


def address(fake):
    return f"http://127.0.0.1:{fake.port}"


def test_locusts_page_and_the_route_get_the_same_rows_and_they_move(locust_ui, fake):
    ui = locust_ui("--resources-url", address(fake))
    first = until(lambda: row_of(ui.rows(), "open sockets"))
    assert first["verdict"] == "LEAK"
    until(lambda: row_of(ui.rows(), "open sockets")["now"] > first["now"])
    until(lambda: row_of(ui.table(), "open sockets")["now"] > first["now"])
    table = [{key: value for key, value in row.items() if key != "name"} for row in ui.table()]
    assert table[0]["resource"].startswith("all of mimo-server current")
    assert [row["resource"] for row in table] == [row["resource"] for row in ui.rows()]
    assert [row["name"] for row in ui.table()] == sorted(row["name"] for row in ui.table())
    page = ui.ask("/")[2].decode()
    assert '"title": "Resources"' in page
    assert "./resources.json" in page


def test_a_foreign_page_gets_nothing_from_us(locust_ui, fake):
    ui = locust_ui("--resources-url", address(fake))
    until(lambda: len(ui.rows()) > 1)
    assert "open sockets" in ui.charts()
    ours = ("/resources.json", "/resources/charts", "/resources")
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://127.0.0.1:{ui.port + 1}"},
        {"Host": f"evil.example:{ui.port}"},
        {"Host": ""},
    ):
        for path in ours:
            status, got, body = ui.ask(path, headers)
            assert (status, got["Access-Control-Allow-Origin"]) == (403, None), headers
            assert b"sockets" not in body
        assert b"sockets" not in ui.ask("/stats/requests", headers)[2], headers
    for headers in ({"Origin": ui.url}, {"Host": f"localhost:{ui.port}"}, {"Host": f"[::1]:{ui.port}"}):
        for path in ours:
            status, got, body = ui.ask(path, headers)
            assert (status, got["Access-Control-Allow-Origin"], got["Cache-Control"]) == (200, None, "no-store")
            assert b"sockets" in body
    for path in ours:
        preflight = ui.ask(path, {"Origin": "http://evil.example"}, method="OPTIONS")[1]
        assert preflight["Access-Control-Allow-Origin"] is None


def test_it_listens_on_127_0_0_1_unless_told_otherwise(locust_ui):
    for options, heard in (((), False), (("--web-host", "*"), True)):
        ui = locust_ui(*options)
        with contextlib.closing(socket.socket()) as other:
            other.settimeout(5)
            assert (other.connect_ex(("127.0.0.2", ui.port)) == 0) is heard


def test_rows_stand_behind_the_login(locust_ui, fake):
    ui = locust_ui("--resources-url", address(fake), "--web-login", ready="/login")
    until(lambda: fake.server.asked > 1)
    for path in ("/resources.json", "/resources/charts", "/resources", "/stats/requests"):
        status, headers, body = ui.ask(path)
        assert (status, "/login" in headers["Location"]) == (302, True)
        assert b"sockets" not in body


def test_a_base_path_is_kept(locust_ui, fake):
    ui = locust_ui("--resources-url", address(fake), "--web-base-path", "/load", ready="/load/")
    until(lambda: b"open sockets" in ui.ask("/load/resources.json")[2])
    for path in ("stats/requests", "resources/charts", "resources"):
        assert b"open sockets" in ui.ask(f"/load/{path}")[2]
    assert f"live charts: {ui.url}/load/resources" in ui.ask("/load/stats/requests")[2].decode()
    assert ui.ask("/resources.json")[0] == 404


def test_old_values_are_marked_when_nothing_answers_any_more(locust_ui, fake):
    ui = locust_ui("--resources-url", address(fake))
    until(lambda: len(ui.rows()) > 1)
    fake.close()
    try:
        state, *old = until(lambda: rows if "nothing answers" in (rows := ui.rows())[0]["resource"] else None)
        assert state["resource"] == (f"nothing answers at {address(fake)} (Connection refused); {START}{fake.port}")
        assert old
        assert re.match(r"seen at \d\d:\d\d:\d\d, ", state["now"])
        assert all(re.search(r", \d+ s old$", row[key]) for row in (state, *old) for key in ("now", "verdict"))
    finally:
        fake.open()
    assert until(lambda: rows if (rows := ui.rows())[0]["verdict"] == "LEAK" else None)[1]["verdict"] == "LEAK"


@pytest.mark.share(2)
def test_values_are_marked_as_old_when_the_watch_looks_no_more(locust_ui, fake):
    ui = locust_ui("--resources-url", address(fake))
    until(lambda: len(ui.rows()) > 1)
    same = json.dumps(fake.document).encode()
    fake.server.reply = lambda _: (200, same)
    state, first, *_ = until(lambda: rows if "old" in (rows := ui.rows())[0]["now"] else None)
    assert state["resource"].startswith("all of mimo-server")
    assert re.fullmatch(r"LEAK, \d+ s old", first["verdict"])


@pytest.mark.share(2)
def test_whatever_answers_there_becomes_one_sentence(locust_ui, fake, document):
    other_schema = {**copy.deepcopy(document), "schema": 7}
    answers = {
        "answers 404 to GET /audit.json, so no watch listens there": lambda _: (404, b"no"),
        "is no audit of schema 1 (TypeError": lambda _: (200, b"[]"),
        "is no audit of schema 1 (JSONDecodeError: Expecting value": lambda _: (200, b"<html>"),
        "no audit of schema 1 (ValueError: its schema is 7)": lambda _: (200, json.dumps(other_schema).encode()),
        "is larger than 8 MiB": lambda _: (200, b" " * (9 << 20)),
        "(no whole answer within 2 s)": fake.silent,
    }
    fake.server.reply = answers["is no audit of schema 1 (TypeError"]
    ui = locust_ui("--resources-url", address(fake))
    for words, reply in answers.items():
        fake.server.reply = reply
        until(lambda words=words: words in ui.first())
        assert len(ui.rows()) == 1
    fake.released.set()


def test_an_address_may_come_from_the_form_and_only_be_this_machines(locust_ui, fake):
    ui = locust_ui()
    until(lambda: f"no address yet; {START}PORT" in ui.first())
    assert f"no address yet; {START}PORT" in ui.charts()

    def fill(url):
        ui.swarm(address(fake), resources_url=url)

    fill(address(fake))
    until(lambda: ui.first().startswith("all of mimo-server"))
    fill("http://192.0.2.1:80")
    until(lambda: "is not http://127.0.0.1:PORT, an address of this machine" in ui.first())
    assert len(ui.rows()) == 1


@pytest.mark.parametrize(
    "url",
    ["http://192.0.2.1:80", "127.0.0.1:80", "https://127.0.0.1:80", "http://127.0.0.1", "http://a@127.0.0.1:1", "x"],
)
def test_an_address_elsewhere_is_refused_on_the_command_line(headless, url):
    code, said = headless("--resources-url", url, enough=lambda: False)
    assert code == 2
    assert "is not http://127.0.0.1:PORT, an address of this machine" in said


def test_only_the_master_reads(locust_ui, fake):
    ui = locust_ui("--resources-url", address(fake), *two_workers())
    until(lambda: json.loads(ui.ask("/stats/requests")[2])["worker_count"] == 2, 30)
    until(lambda: ui.first().startswith("all of mimo-server"))
    begun, before = time.monotonic(), fake.server.asked
    until(lambda: fake.server.asked >= before + 3)
    assert fake.server.asked - before <= (time.monotonic() - begun) / 2 + 1


def test_live_charts_are_there_before_during_and_after_a_run_with_workers(locust_ui, fake):
    ui = locust_ui("--resources-url", address(fake), *two_workers())
    until(lambda: json.loads(ui.ask("/stats/requests")[2])["worker_count"] == 2)
    page, policy = (got := ui.ask("/resources"))[2].decode(), got[1]["Content-Security-Policy"]
    (nonce,) = set(re.findall(r'nonce="([^"]+)"', page))
    assert f"script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'" in policy
    assert "unsafe-inline" not in policy.replace("style-src-attr 'unsafe-inline'", "")
    assert nonce not in ui.ask("/resources")[2].decode()
    assert "<noscript><meta http-equiv=refresh content=2></noscript>" in page
    assert "No run yet" in page
    assert ".live{color:red}" in page
    assert '<article class="live leak" id=r-1><h3>open sockets</h3>' in page
    assert "since" not in fake.queries[-1]
    ui.swarm(address(fake))
    until(lambda: "The load runs" in ui.charts() and "<b>2</b> <span class=soft>users" in ui.charts())
    until(lambda: ui.charts() and "operations" in fake.queries[-1])
    asked = {name: float(value) for name, value in fake.queries[-1].items()}
    assert asked["from"] <= asked["since"] <= asked["to"] <= time.time()
    assert asked["operations"] > 0
    assert "until" not in asked
    assert ui.ask("/stop", method="POST")[0] == 200
    until(lambda: "The load has ended after" in ui.charts() and "<b>0</b> <span class=soft>users" in ui.charts())
    until(lambda: ui.charts() and "until" in fake.queries[-1])
    fake.charts = CHARTS + b"<script></script>"
    until(lambda: "is no fragment of plain elements" in ui.charts())
    old = ui.charts()
    assert re.search(r"What stands below is \d+ s old", old)
    assert "<div class='untrusted old' id=charts>" in old
    assert "open sockets" in old
    assert "<script>" not in old


@pytest.mark.parametrize(("verdict", "expected"), [("leak", 1), ("clean", 0)])
def test_verdicts_are_logged_once_at_the_end_and_a_leak_makes_the_exit_code_1(headless, fake, verdict, expected):
    fake.document["verdict"] = verdict
    before = fake.server.asked
    code, said = headless(
        "--host", address(fake), "--resources-url", address(fake), *(two_workers() if expected else ()),
        enough=lambda: "All users spawned" in log_of(headless),
    )  # fmt: skip
    assert (code, fake.server.asked) == (expected, before + 1), said
    (once,) = re.findall(r"Resources: .* open sockets .*", said)
    assert re.match(r"Resources: LEAK \| open sockets \| \d+ sockets \| \+289 sockets", once)
    assert ("Resources: LEAK, so the exit code is 1" in said) is bool(expected)


def test_without_an_address_nothing_is_said_and_the_exit_code_is_locusts(headless, fake):
    fake.server.reply = lambda _: (500, b"")
    code, said = headless("--host", address(fake), enough=lambda: "All users spawned" in log_of(headless))
    assert "Resources:" not in said
    assert code in {0, 1}


ENDS = """
import json, sys, types
from locust import log
from locust.env import Environment
from loadtests import resources

for verdict, fail_on, own, errors, unhandled in json.load(sys.stdin):
    environment = Environment()
    options = types.SimpleNamespace(resources_fail_on=fail_on, exit_code_on_error=4)
    environment.parsed_options, environment.process_exit_code = options, own
    environment.create_local_runner().stats.errors.update(dict.fromkeys(range(errors)))
    log.unhandled_greenlet_exception = unhandled
    source = types.SimpleNamespace(url="x", verdict=verdict, read=lambda: None, rows=lambda: ())
    resources._sources[environment] = source
    resources._end(environment)
    resources._end(environment)
    print(environment.process_exit_code)
"""


def test_a_leak_fails_what_would_succeed_and_never_hides_another_failure():
    cases = {
        ("LEAK", "leak", None, 0, False): 1,
        ("LEAK", "leak", 0, 0, False): 1,
        ("LEAK", "undecided", None, 0, False): 1,
        ("LEAK", "never", None, 0, False): None,
        ("LEAK", "leak", 7, 0, False): 7,
        ("LEAK", "leak", None, 1, False): None,
        ("LEAK", "leak", None, 0, True): None,
        ("CLEAN", "undecided", None, 0, False): None,
        ("UNDECIDED", "leak", None, 0, False): None,
        ("UNDECIDED", "undecided", None, 0, False): 3,
        ("NOT JUDGED", "undecided", 0, 0, False): 3,
        ("", "leak", None, 0, False): None,
        ("", "undecided", None, 0, False): 3,
    }
    command, given = [sys.executable, "-c", ENDS], json.dumps(list(cases))
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(code) for code in cases.values()], done.stderr


class Page:
    """One page of a headless Chromium, driven by its DevTools protocol: real clicks, real keys, real pictures."""

    def __init__(self, debugger):
        self._socket = websocket.create_connection(debugger, suppress_origin=True, timeout=30)
        self._number = 0
        self.ask("Page.enable")

    def close(self):
        self._socket.close()

    def ask(self, method, **parameters):
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv())).get("id") != self._number:
            pass  # events, which nobody here waits for
        assert "error" not in answer, answer
        return answer["result"]

    def value(self, expression):
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def click(self, element):
        """Press the mouse in the middle of the JavaScript `element`, once it is there, uncovered and at rest."""
        middle = f"""(e => {{
            if (!e) return null;
            e.scrollIntoView({{block: 'center'}});
            const box = e.getBoundingClientRect(), x = box.x + box.width / 2, y = box.y + box.height / 2;
            return e.contains(document.elementFromPoint(x, y)) ? [x, y] : null;
        }})({element})"""
        seen = [None]

        def resting():
            seen.append(self.value(middle))
            return seen[-1] == seen[-2] and seen[-1]

        x, y = until(resting)
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def fill(self, name, text):
        field = f"document.querySelector('input[name={name}]')"
        self.click(field)
        until(lambda: self.value(f"document.activeElement === {field}"))
        self.value(f"{field}.select()")
        self.ask("Input.insertText", text=text)

    def press(self, role, text):
        self.click(f"[...document.querySelectorAll('{role}')].find(e => e.textContent.trim() === '{text}')")

    def cells(self):
        """The table as the page shows it."""
        return self.value("[...document.querySelectorAll('table tr')].map(r => [...r.children].map(c => c.innerText))")

    def picture(self, path):
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot")["data"]))


@pytest.fixture
def page(tmp_path):
    assert shutil.which("chromium"), "run `nox -s browser`: it installs Debian's Chromium"
    profile = tmp_path / "profile"
    command = (
        *("chromium", "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
        *("--disable-component-update", "--disable-sync", "--window-size=1280,900", "--remote-debugging-port=0"),
        *(("--no-sandbox",) if os.geteuid() == 0 else ()),
        *(f"--user-data-dir={profile}", "about:blank"),
    )
    with running(*command, log=tmp_path / "chromium.log", cwd=tmp_path):
        told = profile / "DevToolsActivePort"
        port = until(lambda: told.exists() and told.read_text().partition("\n")[0], 60)
        targets = json.loads(ask(int(port), "/json/list")[2])
        one = Page(next(target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page"))
        yield one
        one.close()


def start_from_the_form(page, ui, host, resources_url=None):
    page.ask("Page.navigate", url=ui.url)
    page.fill("userCount", "2")
    page.fill("spawnRate", "2")
    page.fill("host", host)
    if resources_url:
        page.press("p, span, h6, div", "Custom parameters")
        page.fill("resourcesUrl", resources_url)
    page.press("button", "Start")
    page.press("button", "Resources")


@pytest.mark.browser
@pytest.mark.parametrize(("most", "scheme", "word"), [(800, "light", "Leak"), (0, "dark", "Clean")])
def test_a_run_is_started_watched_and_judged_in_locusts_own_pages(
    page, locust_ui, programs, tmp_path, most, scheme, word
):
    port, serving = free_port(), free_port()
    program = (sys.executable, programs / "http_keeper.py", port, most)
    page.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    with running(*program, log=tmp_path / "target.log", cwd=tmp_path) as server:
        until(lambda: listens(port))
        command = ("leakcheck", "watch", server.pid, "--every", "0.5s", "--serve", f"127.0.0.1:{serving}")
        with running(*command, log=tmp_path / "watch.log", cwd=tmp_path) as watch:
            until(lambda: watch.poll() is not None or listens(serving), 60)
            assert watch.poll() is None, (tmp_path / "watch.log").read_text()
            ui = locust_ui("--resources-url", f"http://127.0.0.1:{serving}")
            start_from_the_form(page, ui, f"http://127.0.0.1:{port}")
            files = until(lambda: cells_of(page, "open files"), 60)
            if most:
                until(lambda: cells_of(page, "open files")[1] != files[1], 60)
            judged = until(lambda: row if (row := cells_of(page, "open files"))[4] == word.upper() else None, 120)
            page.picture(tmp_path / "tab.png")
            assert page.cells()[0] == ["Resource", "Now", "Since start", "Rate", "Verdict", "Forecast"]
            assert page.cells()[1][5] == f"live charts: {ui.url}/resources"
            if most:
                assert judged[2].startswith("+")
                assert re.fullmatch(r"\+\S+ files per hour, \+\S+ files per request", judged[3])
            see_the_charts(page, ui, word, tmp_path)


def see_the_charts(page, ui, word, tmp_path):
    """Watch the card of open files move, read its verdict, and see what the reader has opened stay open."""
    page.ask("Page.navigate", url=f"{ui.url}/resources")
    card = "[...document.querySelectorAll('article')].find(e => e.querySelector('h3').textContent === 'open files')"
    until(lambda: page.value(f"!!({card})"))
    assert page.value(f"({card}).querySelector('.badge').textContent") == word
    assert page.value("getComputedStyle(document.querySelector('#verdict')).borderTopWidth") == "5px"
    page.click(f"({card}).querySelector('summary')")
    page.value(f"window.before = {card}")
    for what in (
        f"({card}).querySelector('path.fit, path.look').parentNode",
        "document.querySelector('#r-load-requests svg')",
    ):
        drawn = page.value(f"({what}).innerHTML")
        until(lambda what=what, drawn=drawn: page.value(f"({what}).innerHTML") != drawn)
    assert page.value(f"({card}) === window.before && window.before.querySelector('details').open")
    assert page.value("document.querySelector('#live').textContent.includes('The load runs')")
    if word == "Leak":
        assert page.value("document.title").startswith("LEAK")
        assert re.search(r"\+\d+, \S+ per request since the load began", page.value(f"({card}).textContent"))
    page.picture(tmp_path / "charts.png")
    assert ui.ask("/stop", method="POST")[0] == 200
    until(lambda: page.value("document.querySelector('#live').textContent.includes('The load has ended after')"))
    ui.process.terminate()
    until(lambda: page.value("!document.querySelector('#gone').hidden"))
    assert ui.process.wait(30) == (1 if word == "Leak" else 0)


def cells_of(page, resource):
    return next((row for row in page.cells() if row[0] == resource), None)


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_hostile_text_is_only_text_and_an_address_comes_from_the_form(page, locust_ui, fake, tmp_path, scheme):
    hostile = "<script>window.owned = 1</script><img src=x onerror='window.owned = 1'>\u202e"
    sockets = next(one for one in fake.document["resources"] if one["name"] == "fds.socket")
    sockets["title"] = fake.document["findings"][0]["title"] = hostile
    fake.document["target"]["name"] = hostile
    page.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    ui = locust_ui()
    start_from_the_form(page, ui, address(fake), address(fake))
    shown = hostile.replace("\u202e", "\\u202e")
    row = until(lambda: cells_of(page, shown))
    assert cells_of(page, f"all of {shown}")
    until(lambda: cells_of(page, shown)[1] != row[1])
    assert page.value("window.owned") is None
    page.picture(tmp_path / "hostile.png")
    background = page.value("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") is (scheme == "light")
    fake.close()
    try:
        until(lambda: any("nothing answers at" in cells[0] for cells in page.cells()), 30)
        page.picture(tmp_path / "gone.png")
        assert re.search(r", \d+ s old$", cells_of(page, shown)[1])
    finally:
        fake.open()
    fake.charts = charts_of(fake.document)
    page.ask("Page.navigate", url=f"{ui.url}/resources")
    until(lambda: page.value(f"[...document.querySelectorAll('h3')].some(e => e.textContent === {json.dumps(shown)})"))
    assert page.value("document.querySelector('#verdict b').textContent") == shown
    assert page.value("window.owned") is None
    assert page.value("document.querySelectorAll('#live script, #live img').length") == 0
    page.picture(tmp_path / "hostile_charts.png")


def charts_of(document):
    """What a watch would draw of this audit."""
    audit = from_wire(Audit, document)
    at = audit.rounds[-1].at_seconds
    moment = Moment(
        audit=audit, floor=None, look=None, first={}, elapsed_seconds=at, unix_seconds=time.time(), judged_seconds=at,
        cpu_share=0.0, resident_bytes=0,
    )  # fmt: skip
    return fragment(moment, (), Asked()).replace(b"%", b"%%") + b"<p>drawn %d times</p>"
