"""The reference server over HTTP, from outside: the SDK's own client in both eras, and raw sockets."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import mcp
import pytest

from mimo_server.settings import Address
from mimo_server.supervision.refusals import Refusals
from mimo_server.supervision.registry import Registry
from mimo_server.surface import exchange

pytestmark = pytest.mark.share(3)
SERVER = [sys.executable, "-P", "-m", "mimo_server", "--http", "127.0.0.1:0"]
HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
MODERN = "2026-07-28"
META = "io.modelcontextprotocol/"
HEAD = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
IDS = itertools.count(1)


def wait_until(condition, seconds=5.0):
    deadline, pause = time.monotonic() + seconds, 0.005
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(pause)
        pause = min(2 * pause, 0.2)


class Live:
    """A server process and its port."""

    def __init__(self, process, port):
        self.process, self.pid, self.port = process, process.pid, port
        self.url = f"http://127.0.0.1:{port}/mcp"

    @contextmanager
    def client(self):
        with closing(Wire(self.port)) as wire:
            yield wire

    def socket(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def metrics(self):
        with self.client() as wire:
            status, _, text = wire.get("/metrics")
        assert status == 200
        lines = text.decode().splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}

    def bound(self, name, what="entries"):
        return self.metrics()[f'mimo_registry_{what}{{registry="{name}"}}']

    def links(self):
        found = []
        for entry in os.scandir(f"/proc/{self.pid}/fd"):
            with suppress(FileNotFoundError):
                found.append(os.readlink(entry.path))  # noqa: PTH115 -- the target is no path
        return found

    def descendants(self):
        found, generation = set(), {self.pid}
        while generation:
            lists = [Path(f"/proc/{pid}/task/{pid}/children") for pid in generation]
            generation = {int(child) for one in lists if one.exists() for child in one.read_text().split()}
            found |= generation
        return found

    def files(self):
        return sum(target.startswith("/") for target in self.links())


class Wire:
    """One keep-alive connection."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self.close = self.connection.close

    def answer(self):
        response = self.connection.getresponse()
        return response.status, response.headers, response.read()

    def get(self, path, **headers):
        self.connection.request("GET", path, headers=headers)
        return self.answer()

    def send(self, method, params=None, *, session=None, modern=False, **headers):
        """A request without its answer; a notification when the method says so."""
        message = {"jsonrpc": "2.0", "method": method, "params": dict(params or {})}
        if not method.startswith("notifications/"):
            message["id"] = next(IDS)
        sent = dict(HEADERS)
        if session:
            sent |= {"Mcp-Session-Id": session, "MCP-Protocol-Version": "2025-11-25"}
        if modern:
            sent |= {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
            sent |= {"Mcp-Name": params["name"]} if "name" in message["params"] else {}
            message["params"]["_meta"] = message["params"].get("_meta", {}) | {
                f"{META}protocolVersion": MODERN,
                f"{META}clientInfo": {"name": "test", "version": "1"},
                f"{META}clientCapabilities": {},
            }
        self.connection.request("POST", "/mcp", json.dumps(message), sent | headers)

    def rpc(self, *arguments, **options):
        self.send(*arguments, **options)
        status, headers, body = self.answer()
        return status, headers, json.loads(body) if body else None

    def open(self):
        status, headers, body = self.rpc("initialize", HELLO)
        assert (status, "result" in body) == (200, True), body
        session = headers["mcp-session-id"]
        assert self.rpc("notifications/initialized", session=session)[0] == 202
        return session

    def end(self, session):
        self.connection.request("DELETE", "/mcp", headers={"Mcp-Session-Id": session})
        return self.answer()[0]

    def call(self, tool, *, session=None, modern=False, **arguments):
        return self.rpc("tools/call", {"name": tool, "arguments": arguments}, session=session, modern=modern)

    def stream(self, session):
        """Open the GET stream; the answer's head has come."""
        self.connection.request("GET", "/mcp", headers={"Accept": "text/event-stream", "Mcp-Session-Id": session})
        response = self.connection.getresponse()
        return response.status, response


@contextmanager
def live(tmp_path, *options):
    """A server; at its end it is asked to go and must, with exit code 0, an empty folder and no traceback."""
    with subprocess.Popen(
        [*SERVER, *options], stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(tmp_path)}
    ) as process:
        log = []
        try:
            for line in process.stderr:
                log.append(line)
                if found := re.search(r"MCP on http://127\.0\.0\.1:(\d+)/mcp", line):
                    break
            assert found, log
            reader = threading.Thread(target=lambda: log.extend(process.stderr))
            reader.start()
            yield Live(process, int(found[1]))
            process.terminate()
            assert process.wait(timeout=8) == 0
            reader.join()
            assert "Traceback" not in "".join(log)
        finally:
            process.kill()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One for all tests that leave it as they found it."""
    with live(tmp_path_factory.mktemp("server"), "--read-timeout", "60s") as server:  # slow machines: keep idle ones
        yield server


@pytest.mark.parametrize("mode", ["legacy", MODERN])
def test_the_sdks_client_lists_and_calls_tools_in_both_eras(server, mode):
    highest = server.bound("sessions", "high_water")

    async def scenario():
        async with mcp.Client(server.url, mode=mode) as client:
            assert server.bound("sessions") == (1 if mode == "legacy" else 0)
            assert client.protocol_version == ("2025-11-25" if mode == "legacy" else MODERN)
            names = {tool.name for tool in (await client.list_tools()).tools}
            assert {"memory_search", "agent_ping", "skill_echo"} <= names
            stored = await client.call_tool("memory_store", {"content": "The red key opens the cellar"})
            found = await client.call_tool("memory_search", {"query": "red key"})
            ids = [memory["id"] for memory in found.structured_content["memories"]]
            assert stored.structured_content["id"] in ids
            assert (await client.call_tool("skill_echo", {"text": "a"})).structured_content == {"text": "a"}

    asyncio.run(scenario())
    assert server.bound("sessions") == 0  # the client sent DELETE
    assert server.bound("sessions", "high_water") == max(highest, 1 if mode == "legacy" else 0)


def test_a_session_is_counted_from_initialize_to_delete_and_is_unknown_afterwards(server):
    with server.client() as wire:
        session = wire.open()
        assert wire.call("agent_ping", session=session)[2]["result"]["structuredContent"] == {"reply": "a heard ping"}
        assert server.bound("sessions") == 1
        assert wire.end(session) == 200
        assert server.bound("sessions") == 0
        assert wire.call("agent_ping", session=session)[0] == 404


def test_a_refused_initialize_and_a_request_without_a_session_leave_no_session(server):
    with server.client() as wire:
        status, _, body = wire.rpc("initialize", {})
        assert (status, "error" in body) == (200, True)
        assert wire.rpc("tools/list")[0] == 400
        assert wire.get("/mcp", Accept="text/event-stream")[0] == 400
    assert server.bound("sessions") == 0


def test_an_abandoned_session_ends_after_its_idle_time_and_an_open_stream_keeps_it(tmp_path):
    with live(tmp_path, "--session-idle", "0.5s") as server, server.client() as wire, server.client() as reader:
        kept = wire.open()
        status, _ = reader.stream(kept)
        assert status == 200
        for _ in range(5):
            with server.client() as other:
                other.open()
        assert server.bound("sessions") >= 2
        wait_until(lambda: server.bound("sessions") == 1)
        assert wire.call("memory_stats", session=kept)[0] == 200


def test_a_full_table_answers_503_and_counts_it_and_has_room_again_after_a_close(tmp_path):
    with live(tmp_path, "--max-sessions", "2") as server, server.client() as wire:
        session, _ = wire.open(), wire.open()
        assert wire.rpc("initialize", HELLO)[0] == 503
        assert server.bound("sessions", "rejected_total") == 1
        assert server.bound("sessions", "limit") == server.bound("sessions", "high_water") == 2
        assert wire.call("agent_ping", modern=True)[0] == 200
        assert wire.end(session) == 200
        wire.open()


def test_health_costs_no_store_and_metrics_is_the_page_of_the_metrics_port(tmp_path):
    with live(tmp_path, "--metrics-port", "0") as server, server.client() as wire:
        wire.open()
        status, headers, body = wire.get("/health")
        assert (status, headers["content-type"]) == (200, "application/json")
        health = json.loads(body)
        assert health["status"] == "ok"
        assert health["sessions"] == 1
        assert set(health["checks"]) == {"store", "skills", "agents", "procedures", "process", "loop"}
        assert all(check["problem"] is None for check in health["checks"].values())
        assert 0 <= health["uptime_seconds"] < 60
        status, headers, body = wire.get("/metrics")
        assert headers["content-type"].startswith("application/openmetrics-text")
        assert body.endswith(b"# EOF\n")
        assert wire.get("/nothing")[0] == 404


HOSTS = (
    ("/mcp", {"Host": "evil.example"}, 421),
    ("/mcp", {"Origin": "http://evil.example"}, 403),
    ("/metrics", {"Host": "evil.example"}, 421),
    ("/health", {"Origin": "https://evil.example:1"}, 403),
    ("/health", {"Host": "localhost:1", "Origin": "http://localhost:1"}, 200),
)


def test_host_and_origin_are_checked_on_every_path(server):
    with server.client() as wire:
        for path, headers, status in HOSTS:
            assert wire.get(path, Accept="text/event-stream", **headers)[0] == status, (path, headers)


def test_a_body_above_4_mib_is_refused_before_it_is_read(server):
    with server.client() as wire:
        wire.connection.putrequest("POST", "/mcp")
        for name, value in (HEADERS | {"Content-Length": str((4 << 20) + 1)}).items():
            wire.connection.putheader(name, value)
        wire.connection.endheaders()
        assert wire.answer()[0] == 413


SLOW = {"no byte": b"", "half a head": HEAD[:30], "no body": HEAD, "half a body": HEAD + b"{" * 20}


def trickled(slow, sent):
    """Seconds until the server drops the connection, to which a byte goes every 0.1 s after the first ones."""
    started = time.monotonic()
    slow.settimeout(0.1)
    with suppress(ConnectionError):
        slow.sendall(sent)
        while time.monotonic() < started + 8:
            with suppress(TimeoutError):
                if not slow.recv(4096):
                    break
            if sent:
                slow.sendall(b"x")  # each byte would stop uvicorn's own timer
    return time.monotonic() - started


@pytest.mark.parametrize("reused", [False, True], ids=["first request", "second request"])
def test_a_request_that_does_not_come_is_dropped_even_if_it_trickles(tmp_path, reused):
    with live(tmp_path, "--read-timeout", "0.5s") as server:
        for kind, sent in SLOW.items():
            with server.socket() as slow:
                if reused:
                    slow.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                    assert slow.recv(4096).startswith(b"HTTP/1.1 200")
                assert 0.2 < trickled(slow, sent) < 5, kind
        wait_until(lambda: server.bound("http_connections") == 1)  # the one that asks


def test_the_read_timeout_touches_no_answer_and_no_stream(tmp_path):
    with live(tmp_path, "--read-timeout", "0.3s") as server, server.client() as wire:
        session = wire.open()
        status, response = wire.stream(session)
        assert status == 200
        response.fp.raw._sock.settimeout(1)
        with pytest.raises(TimeoutError):  # still open, and silent
            response.read(1)


def test_more_connections_than_allowed_are_told_so_and_counted(tmp_path):
    def admitted():
        with server.client() as wire:
            return wire.get("/health")[0] == 200

    with live(tmp_path, "--max-connections", "8", "--read-timeout", "60s") as server:
        held = [server.socket() for _ in range(7)]
        try:
            wait_until(lambda: server.bound("http_connections") == 8)
            with server.socket() as first, server.socket() as second:
                assert second.recv(4096).startswith(b"HTTP/1.1 503")
                del first  # it found the last place
        finally:
            for one in held:
                one.close()
        wait_until(admitted)
        wait_until(lambda: server.bound("http_connections") == 1)
        assert server.bound("http_connections", "rejected_total") >= 1
        assert server.bound("http_connections", "high_water") == server.bound("http_connections", "limit") == 8


def test_dropped_streams_answers_and_half_requests_give_everything_back(server):
    with server.client() as wire:
        session = wire.open()
        wire.call("skill_echo", session=session, text="a")
        descriptors = len(server.links())
        for _ in range(20):
            with server.client() as stream:
                wait_until(lambda stream=stream: stream.stream(session)[0] == 200)
            with server.client() as listener:
                listener.send("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, modern=True)
                assert listener.connection.getresponse().readline() == b"event: message\r\n"  # it is acknowledged
            with server.client() as answer:
                answer.send("tools/call", {"name": "memory_search", "arguments": {"query": "a"}}, session=session)
            with server.socket() as half:
                half.sendall(HEAD + b"{")
        wait_until(lambda: server.bound("http_connections") == 2)
        wait_until(lambda: server.bound("subscriptions") == server.bound("calls") == 0)
        assert server.bound("subscriptions", "high_water") >= 1
        wait_until(lambda: len(server.links()) <= descriptors)
        assert wire.call("memory_stats", session=session)[0] == 200
        assert wire.end(session) == 200
    assert server.bound("sessions") == 0


def test_requests_with_one_id_hang_no_longer_than_their_clients(server):
    """The SDK answers one of them only; here the others end with their connections, and the session can be idle."""
    body = {"jsonrpc": "2.0", "id": 7, "method": "tools/call"}
    body["params"] = {"name": "skill_echo", "arguments": {"text": "a"}}
    with server.client() as wire:
        session = wire.open()
        same = [Wire(server.port) for _ in range(10)]
        for one in same:
            one.connection.request("POST", "/mcp", json.dumps(body), HEADERS | {"Mcp-Session-Id": session})
        time.sleep(0.5)  # a hang cannot be waited for
        for one in same:
            one.close()
        wait_until(lambda: server.bound("http_connections") == 2)
        assert wire.call("memory_stats", session=session)[0] == 200
        assert wire.end(session) == 200


def test_a_request_that_is_never_answered_gets_504_and_is_given_up(monkeypatch):
    given_up, sent = [], []

    async def never(scope, receive, send):
        try:
            await asyncio.Event().wait()
        finally:
            given_up.append(scope["path"])

    async def receive():
        if not received:
            received.append(True)
            return {"type": "http.request", "body": b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}'}
        return await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    monkeypatch.setattr(exchange, "_LONGER", 0.0)
    refusals, requests, received = Refusals(), Registry("requests", limit=1), []
    application = exchange.exchanges(never, refusals, requests, call_timeout=0.05)
    scope = {"type": "http", "method": "POST", "path": "/mcp", "headers": [(b"mcp-session-id", b"a")]}
    asyncio.run(application(scope, receive, send))
    assert sent[0]["status"] == 504
    assert given_up == ["/mcp"]
    assert refusals.count == 1
    assert (requests.bound().size, requests.bound().high_water) == (0, 1)


def test_a_call_that_takes_too_long_is_an_error_that_says_which_option_to_raise(tmp_path):
    with live(tmp_path, "--call-timeout", "0.2s") as server, server.client() as wire:
        wire.call("skill_echo", session=wire.open(), text="a")
        result = wire.call("skill_delay", modern=True, text="a", milliseconds=5000)[2]["result"]
        assert result["isError"]
        assert "--call-timeout" in result["content"][0]["text"]
        assert server.bound("calls") == server.bound("skill_calls") == 0


def asked_to_wait(wire, milliseconds):
    wire.call("skill_echo", modern=True, text="a")
    given = {"text": "waited", "milliseconds": milliseconds}
    wire.send("tools/call", {"name": "skill_delay", "arguments": given}, modern=True)


@pytest.mark.parametrize("grace", [5.0, 1.0], ids=["call within the grace", "call beyond it"])
def test_sigterm_in_mid_call_waits_for_it_within_the_grace_and_takes_no_new_one(tmp_path, grace):
    with live(tmp_path, "--grace", f"{grace:g}s") as server, server.client() as wire, server.client() as idle:
        assert idle.get("/health")[0] == 200
        asked_to_wait(wire, 800 if grace == 5.0 else 20_000)
        wait_until(lambda: server.bound("calls") == 1)
        family = server.descendants()
        assert family
        started = time.monotonic()
        server.process.terminate()
        wait_until(lambda: refuses(server))
        with pytest.raises(OSError):  # noqa: PT011 -- closed, reset or refused
            idle.call("memory_stats", modern=True)
        if grace == 5.0:
            status, _, body = wire.answer()
            assert status == 200
            assert json.loads(body)["result"]["structuredContent"] == {"text": "waited"}
        else:
            with pytest.raises((OSError, http.client.HTTPException)):
                assert wire.answer()[0] == 200
        assert server.process.wait(timeout=8) == 0
        assert time.monotonic() - started < 8
    assert not any(is_running(pid) for pid in family)


def refuses(server):
    try:
        with server.socket():
            return False
    except ConnectionRefusedError:
        return True


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


MANY = {"name": "memory_store_many", "arguments": {"memories": [{"content": "a"}, {"content": "b"}]}}


@pytest.mark.parametrize("modern", [False, True], ids=["handshake era", "modern era"])
def test_who_asks_for_progress_gets_a_stream_with_it_and_who_does_not_gets_json(server, modern):
    with server.client() as wire:
        session = None if modern else wire.open()
        wire.send("tools/call", MANY | {"_meta": {"progressToken": "p"}}, session=session, modern=modern)
        status, headers, body = wire.answer()
        assert (status, headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
        events = [json.loads(row[6:]) for row in body.decode().splitlines() if row.startswith("data: {")]
        told = [one["params"] for one in events if one.get("method") == "notifications/progress"]
        assert [(one["progressToken"], one["progress"], one["total"]) for one in told] == [("p", 0, 2), ("p", 2, 2)]
        assert len(events[-1]["result"]["structuredContent"]["ids"]) == 2
        status, headers, body = wire.rpc("tools/call", MANY, session=session, modern=modern)
        assert (status, headers["content-type"]) == (200, "application/json")
        assert len(body["result"]["structuredContent"]["ids"]) == 2
        assert modern or wire.end(session) == 200


@pytest.mark.parametrize("mode", ["legacy", MODERN])
def test_the_sdks_client_is_told_of_progress(server, mode):
    told = []

    async def note(done, total, message):
        told.append((done, total, message))

    async def scenario():
        async with mcp.Client(server.url, mode=mode) as client:
            answer = await client.call_tool(MANY["name"], MANY["arguments"], progress_callback=note)
            assert len(answer.structured_content["ids"]) == 2

    asyncio.run(scenario())
    assert told == [(0, 2, "storing"), (2, 2, "stored")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_with_open_streams_and_half_sent_requests(tmp_path, number):
    with live(tmp_path) as server, server.client() as wire, server.client() as get, server.client() as listener:
        session = wire.open()
        wire.call("skill_echo", session=session, text="a")
        assert get.stream(session)[0] == 200
        listener.send("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, modern=True)
        streaming = listener.connection.getresponse()
        assert streaming.headers["content-type"] == "text/event-stream"
        with server.socket() as head, server.socket() as body, server.socket() as silent:
            head.sendall(HEAD[:30])
            body.sendall(HEAD + b"{")
            wait_until(lambda: server.bound("http_connections") == 7)
            started = time.monotonic()
            server.process.send_signal(number)
            assert server.process.wait(timeout=5) == 0
            assert time.monotonic() - started < 4
            assert b'"result"' in streaming.read()  # its last frame
            del silent


REJECTS = {
    "wrong arguments": lambda wire, session: wire.call("agent_ping", session=session, agent="../a"),
    "unknown tool": lambda wire, session: wire.call("nope", session=session),
    "unknown method": lambda wire, session: wire.rpc("nope", session=session),
    "wrong content type": lambda wire, session: wire.rpc("ping", session=session, **{"Content-Type": "text/plain"}),
    "unknown session": lambda wire, _: wire.rpc("ping", session="0" * 32),
    "GET without a session": lambda wire, _: wire.get("/mcp", Accept="text/event-stream"),
    "GET of an unknown session": lambda wire, _: wire.stream("0" * 32)[1].read(),
    "modern wrong arguments": lambda wire, _: wire.call("agent_ping", modern=True, agent="../a"),
    "modern unknown tool": lambda wire, _: wire.call("nope", modern=True),
    "modern unknown method": lambda wire, _: wire.rpc("nope", modern=True),
    "initialize without its arguments": lambda wire, _: wire.rpc("initialize", {}),
    "unknown path": lambda wire, _: wire.get("/nothing"),
}


def played(server, wire, session):
    """Files and counted refusals that each kind adds in ten requests."""
    grown = {}
    for kind, reject in REJECTS.items():
        files, refused = server.files(), server.metrics()["mimo_refused_requests_total"]
        for _ in range(10):
            with suppress(json.JSONDecodeError):  # some refusals are plain text
                reject(wire, session)
        grown[kind] = server.files() - files, server.metrics()["mimo_refused_requests_total"] - refused
    return grown


def test_the_correct_server_counts_each_kind_of_refusal_and_keeps_nothing(server):
    with server.client() as wire:
        session = wire.open()
        assert played(server, wire, session) == dict.fromkeys(REJECTS, (0, 10))
        assert wire.end(session) == 200


def test_kept_rejects_leaves_one_open_file_per_refusal_of_every_kind_and_none_otherwise(tmp_path):
    with live(tmp_path, "--defect", "kept_rejects") as server, server.client() as wire:
        session = wire.open()
        wire.call("memory_store", session=session, content="a")
        assert played(server, wire, session) == dict.fromkeys(REJECTS, (10, 10))
        files = server.files()
        for _ in range(10):
            assert wire.call("agent_ping", session=session)[0] == 200
            assert wire.end(wire.open()) == 200
        assert server.files() == files


def test_kept_session_keeps_one_entry_per_close_for_ever_and_no_abandoned_one(tmp_path):
    with live(tmp_path, "--defect", "kept_session", "--session-idle", "0.3s", "--max-sessions", "5") as server:
        with server.client() as wire:
            for _ in range(10):  # more than --max-sessions: the leak is not turned into refusals
                session = wire.open()
                assert wire.end(session) == 200
                assert wire.call("agent_ping", session=session)[0] == 404
            wire.open()
            assert server.bound("sessions") == 11
            wait_until(lambda: server.bound("sessions") == 10)
            for _ in range(3):
                assert wire.rpc("tools/list")[0] == 400
                assert wire.call("agent_ping", modern=True)[0] == 200
        assert server.bound("sessions") == 10
        assert server.bound("http_connections") == 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--http", "0.0.0.0:0"], "'0.0.0.0' is no loopback host"),
        (["--http", "example.org:80"], "'example.org' is no loopback host"),
        (["--http", "8080"], "'8080' is no HOST:PORT"),
        (["--http", "127.0.0.1:65536"], "is no HOST:PORT"),
        (["--session-idle", "5"], "'5' is no time from 0.1s to 24h"),
        (["--session-idle", "0s"], "'0s' is no time"),
        (["--read-timeout", "25h"], "'25h' is no time"),
        (["--max-sessions", "0"], "'0' is no whole number from 1"),
    ],
)
def test_a_wrong_option_exits_2_and_says_what_to_do(options, named):
    done = subprocess.run([*SERVER, *options], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert named in done.stderr


def test_a_port_that_is_taken_exits_2_and_names_it():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            [*SERVER, "--http", address], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    assert f"--http {address} cannot be opened" in done.stderr


def test_addresses_are_read_as_people_write_them():
    assert str(Address.parse("localhost:80")) == "127.0.0.1:80"
    assert str(Address.parse("[::1]:8080")) == "[::1]:8080"
