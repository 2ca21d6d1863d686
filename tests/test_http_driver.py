import contextlib
import dataclasses
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from leakcheck.credentials import Secrets
from leakcheck.drivers.http import HttpDriver
from leakcheck.drivers.http_load import _written
from leakcheck.drivers.http_request import wire_request
from leakcheck.drivers.ports import free_port, port_is_taken
from leakcheck.errors import LeakcheckError, NotReady, TargetDied, UsageError
from leakcheck.model.plan import AuditPlan, DriverKind, Request
from leakcheck.targets.spawn import Spawned

PROGRAMS = Path(__file__).parent / "programs"
SECRET = "Bearer s3cr3t-of-the-test-0123456789"
ROOT = "request:GET /"


@contextlib.contextmanager
def spawned(tmp_path, *argv, port, grace=1.0):
    filled = [str(argument).replace("{port}", str(port)) for argument in argv]
    with Spawned(
        [sys.executable, *filled],
        pipes=False,
        environment={},
        cwd=str(tmp_path),
        log_path=tmp_path / "target.log",
        secrets=Secrets(),
        grace_seconds=grace,
    ) as target:
        yield target


@contextlib.contextmanager
def driving(tmp_path, argv, *requests, headers=None, ready=10.0):
    """A target, its driver, and their plan's port; both are gone afterwards."""
    port = free_port()
    plan = planned(*requests, port=port, ready=ready)
    driver = HttpDriver(plan, headers or {}, Secrets((headers or {}).values()))
    with spawned(tmp_path, *argv, port=port) as target:
        try:
            yield driver, target, port
        finally:
            pids = driver.processes()
            driver.close()
            assert driver.processes() == ()
            assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def planned(*requests, port, ready=10.0):
    return AuditPlan(
        command=("x",),
        pid=None,
        driver=DriverKind.HTTP,
        requests=tuple(
            Request(method=method, url=f"http://127.0.0.1:{port}{path}", body=body) for method, path, body in requests
        ),
        ready_timeout_seconds=ready,
    )


def get(path):
    return ("GET", path, None)


SERVICE = (PROGRAMS / "http_service.py", "{port}")


def seen(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/seen")
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def seen_when(port, condition):
    """What the server has seen once the condition holds: it notices closed connections a moment later."""
    deadline = time.monotonic() + 5
    while not condition(now := seen(port)):
        assert time.monotonic() < deadline, now
    return now


def test_the_standard_library_server_is_driven_with_known_numbers(tmp_path):
    argv = ("-m", "http.server", "--bind", "127.0.0.1", "{port}")
    with driving(tmp_path, argv, get("/")) as (driver, target, _):
        opened = driver.open(target)
        played = driver.play({ROOT: 40})
    assert opened.server.startswith("SimpleHTTP/")
    assert opened.protocol == "HTTP/1.1"
    assert opened.operations == (ROOT,)
    assert opened.warnings == ()
    assert {one.operation for one in opened.not_played} == {"session", "abandon", "cancel", "reject", "disconnect"}
    assert played.done == {ROOT: 40}
    assert played.failed == {}
    assert played.problem is None
    assert played.seconds[ROOT] > 0
    assert list(driver.copies(1.0)) == []


def test_half_of_the_requests_go_over_four_kept_connections_and_half_close_theirs(tmp_path):
    with driving(tmp_path, SERVICE, get("/")) as (driver, target, port):
        driver.open(target)
        before = seen_when(port, lambda now: now["open"] == 5)  # four kept ones, and the one that asks
        for _ in range(2):
            assert driver.play({ROOT: 40}).done == {ROOT: 40}
        after = seen_when(port, lambda now: now["open"] == 5)
    assert after["requests"]["GET /"] - before["requests"]["GET /"] == 80
    assert after["closing"] - before["closing"] == 40
    asked = after["requests"]["GET /seen"] - before["requests"]["GET /seen"]
    assert after["connections"] - before["connections"] == 40 + asked


def test_kept_connections_that_the_server_closed_while_idle_are_replaced_without_a_failure(tmp_path):
    source = tmp_path / "impatient.py"
    source.write_text(
        f"import sys; sys.path.insert(0, {str(PROGRAMS)!r})\n"
        "from http_service import Handler, Server\n"
        "Handler.timeout = 0.1\n"
        "Server(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()\n"
    )
    with driving(tmp_path, (source, "{port}"), get("/")) as (driver, target, port):
        driver.open(target)
        for _ in range(3):
            played = driver.play({ROOT: 16})
            assert (played.done, played.failed) == ({ROOT: 16}, {})
            seen_when(port, lambda now: now["open"] == 1)


def test_requests_with_the_same_label_are_one_operation_that_alternates(tmp_path):
    requests = (get("/a?x=1"), get("/a?x=2"), ("POST", "/b", '{"é": 1}'))
    with driving(tmp_path, SERVICE, *requests) as (driver, target, port):
        opened = driver.open(target)
        before = seen(port)["requests"]
        played = driver.play({"request:GET /a": 12, "request:POST /b": 3})
        after = seen(port)
    assert opened.operations == ("request:GET /a", "request:POST /b")
    assert played.done == {"request:GET /a": 12, "request:POST /b": 3}
    for path, count in (("GET /a?x=1", 6), ("GET /a?x=2", 6), ("POST /b", 3)):
        assert after["requests"][path] - before[path] == count
    assert '{"é": 1}' in after["bodies"]


@pytest.mark.parametrize("request_line", [get("/chunked"), ("HEAD", "/", None), get("/204"), get("/304")])
def test_every_way_to_end_a_body_leaves_the_connection_usable(tmp_path, request_line):
    with driving(tmp_path, SERVICE, request_line) as (driver, target, port):
        operation = driver.open(target).operations[0]
        connections = seen(port)["connections"]
        played = driver.play({operation: 8})
        after = seen(port)["connections"]
    assert (played.done, played.failed) == ({operation: 8}, {})
    assert after - connections == 4 + 1


def test_an_endless_answer_is_dropped_after_its_first_event_and_counted_as_disconnect(tmp_path):
    with driving(tmp_path, SERVICE, get("/"), get("/events")) as (driver, target, port):
        opened = driver.open(target)
        began = time.monotonic()
        played = driver.play({ROOT: 8, "disconnect": 8})
        took = time.monotonic() - began
        after = seen_when(port, lambda now: now["dropped"] == 9)
    assert opened.operations == (ROOT, "disconnect")
    assert "disconnect" not in {one.operation for one in opened.not_played}
    assert opened.warnings == (
        "GET /events has no end: dropped after its first event or a second, counted as disconnect",
    )
    assert played.done == {ROOT: 8, "disconnect": 8}
    assert played.failed == {}
    assert took < 1.0, "the first event comes at once: nothing to wait for"
    assert after["requests"]["GET /events"] == 9


def test_a_server_error_is_a_failure_and_said_in_words(tmp_path):
    with driving(tmp_path, SERVICE, get("/flaky")) as (driver, target, _):
        driver.open(target)  # four of the 20 good answers
        played = driver.play({"request:GET /flaky": 40})
    assert played.done == {"request:GET /flaky": 40}
    assert played.failed == {"request:GET /flaky": 24}
    assert played.problem == "GET /flaky was answered with status 500"


def test_a_404_from_the_first_try_on_is_the_usual_answer_with_a_warning(tmp_path):
    with driving(tmp_path, SERVICE, get("/404"), get("/500"), get("/forgets")) as (driver, target, _):
        opened = driver.open(target)
        played = driver.play({"request:GET /404": 6, "request:GET /500": 6, "request:GET /forgets": 30})
    assert opened.warnings == (
        "GET /404 answers 404: taken for its usual answer",
        "GET /500 answers 500: each one is counted as failed",
    )
    assert played.failed == {"request:GET /500": 6, "request:GET /forgets": 14}


def test_headers_reach_the_server_and_stand_in_no_argv_and_no_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKEN_OF_THE_TEST", SECRET)
    with driving(tmp_path, SERVICE, get("/"), headers={"Authorization": SECRET}) as (driver, target, port):
        driver.open(target)
        driver.play({ROOT: 4})
        (pid,) = driver.processes()
        shown = b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
        headers = seen(port)["headers"]
    assert headers["Authorization"] == SECRET
    assert headers["Host"] == f"127.0.0.1:{port}"
    assert b"s3cr3t" not in shown
    assert b"http_load" in shown


def test_a_server_that_dies_in_mid_round_is_target_died_with_its_exit_code(tmp_path):
    with driving(tmp_path, SERVICE, get("/die")) as (driver, target, _):
        driver.open(target)
        with pytest.raises(TargetDied, match="ended with exit code 3 while requests were sent to it"):
            driver.play({"request:GET /die": 500})


def test_a_server_that_dies_before_its_first_answer_is_told_apart_from_a_slow_one(tmp_path):
    argv = ("-c", "import sys; print('no such table: users', flush=True); sys.exit(7)")
    with driving(tmp_path, argv, get("/")) as (driver, target, _):
        began = time.monotonic()
        with pytest.raises(TargetDied, match=r"exit code 7 before its first answer(.|\n)*no such table: users"):
            driver.open(target)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("garbage", r"answers, but not HTTP: 'SSH-2.0-Odd_1.0 token=•••"),
        ("half", r"answers, but not HTTP: 'HTTP/1.1 200 O'"),
        ("silent", r"GET / has no answer after 1 s \(no complete answer in time\)"),
        ("closes", r"GET / has no answer after 1 s \(closed without an answer\)"),
        ("short", r"GET / has no answer after 1 s \(closed in mid-answer\)"),
    ],
)
def test_a_server_without_a_valid_answer_is_not_ready_and_its_last_lines_are_shown(tmp_path, how, message):
    with driving(tmp_path, (PROGRAMS / "http_odd.py", "{port}", how), get("/"), ready=1.0) as (driver, target, _):
        began = time.monotonic()
        with pytest.raises(NotReady, match=message) as raised:
            driver.open(target)
        assert time.monotonic() - began < 3
    assert "listening, password=•••" in str(raised.value)
    assert "abcdef123456" not in str(raised.value)


def test_https_to_a_plain_server_is_said_at_once(tmp_path):
    port = free_port()
    plan = planned(port=port)
    secure = Request(method="GET", url=f"https://127.0.0.1:{port}/")
    driver = HttpDriver(AuditPlan(**{**_fields(plan), "requests": (secure,)}), {}, Secrets())
    with spawned(tmp_path, *SERVICE, port=port) as target:
        try:
            with pytest.raises(NotReady, match=r"takes connections, but not for https: (.|\n)*say http://"):
                driver.open(target)
        finally:
            driver.close()


def test_nothing_that_listens_is_said_with_the_port_and_the_cure(tmp_path):
    argv = ("-c", "import time; print('started', flush=True); time.sleep(60)")
    with (
        driving(tmp_path, argv, get("/"), ready=0.5) as (driver, target, port),
        pytest.raises(NotReady, match=rf"nothing listens on 127.0.0.1:{port} after 0.5 s") as raised,
    ):
        driver.open(target)
    assert "--ready-timeout" in str(raised.value)
    assert "started" in str(raised.value)


def test_one_unanswered_request_among_others_is_left_out_by_name(tmp_path):
    port, other = free_port(), free_port()
    plan = planned(get("/"), port=port)
    nobody = Request(method="GET", url=f"http://127.0.0.1:{other}/nobody")
    driver = HttpDriver(AuditPlan(**{**_fields(plan), "requests": (*plan.requests, nobody)}), {}, Secrets())
    with spawned(tmp_path, *SERVICE, port=port) as target:
        try:
            opened = driver.open(target)
            assert driver.play({ROOT: 4}).done == {ROOT: 4}
        finally:
            driver.close()
    assert opened.operations == (ROOT,)
    assert opened.not_played[0].operation == "request:GET /nobody"
    assert "refused" in opened.not_played[0].reason
    assert len(opened.warnings) == 1


def _fields(plan):
    return {name: getattr(plan, name) for name in plan.__dataclass_fields__}


def test_a_listener_that_goes_while_its_process_lives_is_reported_not_played_on(tmp_path):
    source = tmp_path / "leaves.py"
    source.write_text(
        f"import sys, time, threading; sys.path.insert(0, {str(PROGRAMS)!r})\n"
        "from http_service import Handler, Server, SEEN\n"
        "server = Server(('127.0.0.1', int(sys.argv[1])), Handler)\n"
        "threading.Thread(target=server.serve_forever, daemon=True).start()\n"
        "while SEEN['requests'].get('GET /', 0) < 20: time.sleep(0.01)\n"
        "server.shutdown(); server.server_close(); time.sleep(60)\n"
    )
    with driving(tmp_path, (source, "{port}"), get("/")) as (driver, target, _):
        driver.open(target)
        with pytest.raises(TargetDied, match="still runs, but nothing listens"):
            driver.play({ROOT: 100000})


def test_the_load_process_ends_when_the_auditor_is_killed_even_in_mid_round(tmp_path):
    port = free_port()
    source = (
        "import sys\n"
        "from types import SimpleNamespace as N\n"
        "from leakcheck.credentials import Secrets\n"
        "from leakcheck.drivers.http import HttpDriver\n"
        "from leakcheck.model.plan import AuditPlan, DriverKind, Request\n"
        f"plan = AuditPlan(command=None, pid=1, driver=DriverKind.HTTP, requests=(Request(method='GET', url='http://127.0.0.1:{port}/'),))\n"
        "driver = HttpDriver(plan, {}, Secrets())\n"
        "driver.open(N(exit_code=lambda: None, members=lambda: (1,), last_lines=lambda: (), root=N(role='x')))\n"
        "print(*driver.processes(), flush=True)\n"
        "driver.play({'request:GET /': 10**5})\n"
    )
    with spawned(tmp_path, *SERVICE, port=port):
        auditor = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE)
        try:
            with auditor.stdout as said:
                load = int(said.readline())
            at_first = seen(port)["requests"]["GET /"]
            seen_when(port, lambda now: now["requests"]["GET /"] > at_first + 10)
        finally:
            auditor.kill()
            auditor.wait()
        deadline = time.monotonic() + 5
        while _runs(load):
            assert time.monotonic() < deadline


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_load_process_that_breaks_is_said_and_not_taken_for_the_target(tmp_path):
    with driving(tmp_path, SERVICE, get("/")) as (driver, target, _):
        driver.open(target)
        os.kill(driver.processes()[0], 9)
        with pytest.raises(LeakcheckError, match="the load process ended with code -9"):
            driver.play({ROOT: 4})


def test_opening_and_closing_leaves_no_descriptor_and_no_thread(tmp_path):
    port = free_port()
    with spawned(tmp_path, *SERVICE, port=port) as target:
        before = (len(list(Path("/proc/self/fd").iterdir())), threading.active_count())
        for _ in range(3):
            driver = HttpDriver(planned(get("/"), port=port), {}, Secrets())
            driver.open(target)
            driver.play({ROOT: 8})
            driver.close()
            driver.close()
        assert (len(list(Path("/proc/self/fd").iterdir())), threading.active_count()) == before
        seen_when(port, lambda now: now["open"] == 1)


def test_an_unknown_operation_is_refused(tmp_path):
    with driving(tmp_path, SERVICE, get("/")) as (driver, target, _):
        driver.open(target)
        with pytest.raises(ValueError, match="session"):
            driver.play({"session": 1})


@pytest.mark.parametrize(
    ("method", "url", "message"),
    [
        ("GET", "http://example.com/", r"host 'example.com': leakcheck sends load to this machine only"),
        ("GET", "http://127.0.0.1.example.com/", "this machine only"),
        ("GET", "ftp://127.0.0.1/", "scheme 'ftp'"),
        ("GET", "127.0.0.1:80/", "write METHOD http"),
        ("GET", "http://127.0.0.1:{port}/", "no valid URL"),
        ("GET", "http://127.0.0.1:99999/", "no valid URL"),
        ("GET", "http://me:hunter2@127.0.0.1/", "credentials in its URL"),
        ("GET\r\nX:", "http://127.0.0.1/", "no HTTP method"),
        ("CONNECT", "http://127.0.0.1/", "no HTTP method"),
    ],
)
def test_a_request_that_cannot_be_sent_is_refused_with_the_cure(method, url, message):
    with pytest.raises(UsageError, match=message) as raised:
        wire_request(Request(method=method, url=url), {})
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value"), [("X", "a\r\nY: b"), ("a b", "c"), ("", "c"), ("Content-Length", "9"), ("connection", "close")]
)
def test_a_header_that_would_break_the_request_is_refused_without_its_value(name, value):
    with pytest.raises(UsageError) as raised:
        wire_request(Request(method="GET", url="http://localhost/"), {name: value})
    assert "Y: b" not in str(raised.value)


def test_hosts_and_targets_are_written_as_http_wants_them():
    wired = wire_request(Request(method="PUT", url="http://[::1]:81/ä b?q=%20 ü#x"), {"user-agent": "mine"})
    assert (wired.host, wired.port, wired.place) == ("::1", 81, "[::1]:81")
    assert wired.head.startswith("PUT /%C3%A4%20b?q=%20%20%C3%BC HTTP/1.1\r\nHost: [::1]:81\r\n")
    assert "leakcheck" not in wired.head
    assert wired.sized
    assert "Content-Length" not in wired.head  # the load writes it: with {n} in the body it differs
    assert not wire_request(Request(method="GET", url="http://[::1]:81/"), {}).sized


def test_the_number_of_an_input_is_filled_in_and_each_body_has_its_own_length():
    request = Request(method="POST", url="http://127.0.0.1:81/item/{n}?page={n}", body='{"n": {n}}')
    lines = [one.decode() for one in _written(dataclasses.asdict(wire_request(request, {})), "close")]
    assert len(lines) == len(set(lines)) == 200
    assert lines[6].startswith("POST /item/7?page=7 HTTP/1.1\r\n")
    assert lines[6].endswith('Content-Length: 8\r\nConnection: close\r\n\r\n{"n": 7}')
    assert lines[199].endswith('Content-Length: 10\r\nConnection: close\r\n\r\n{"n": 200}')
    plain = Request(method="GET", url="http://127.0.0.1:81/")
    assert len(_written(dataclasses.asdict(wire_request(plain, {})), "close")) == 1


def test_no_request_is_a_usage_error():
    with pytest.raises(UsageError, match="--request"):
        HttpDriver(planned(port=1), {}, Secrets())


def test_a_taken_port_is_known_before_the_target_starts():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert port_is_taken(f"http://127.0.0.1:{server.getsockname()[1]}/x")
    assert not port_is_taken(f"http://localhost:{free_port()}/")
    with pytest.raises(UsageError, match="names no host and port"):
        port_is_taken("http://127.0.0.1:{port}/")


def test_a_free_port_can_be_bound_and_is_not_one_that_the_kernel_hands_out():
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in {free_port() for _ in range(20)}:
        assert port < first
        with socket.create_server(("127.0.0.1", port)):
            assert port_is_taken(f"http://127.0.0.1:{port}")
