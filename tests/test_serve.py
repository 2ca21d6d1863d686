"""What a watch serves over HTTP: the audit so far, OpenMetrics, the report; to this machine only, and at once."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from importlib.resources import files

import jsonschema
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from leakcheck.errors import UsageError
from leakcheck.model.audit import Audit
from leakcheck.model.event import Ended, Floor, Phase, Planned, Ready, TargetInfo
from leakcheck.model.finding import Verdict
from leakcheck.model.moment import Moment
from leakcheck.model.plan import AuditPlan, DriverKind
from leakcheck.model.reading import Process, ProcessReadings, Reading, Resource, Snapshot, Statistic
from leakcheck.model.wire import from_wire, to_wire
from leakcheck.render import openmetrics
from leakcheck.serving import Serving
from leakcheck.verdicts import conclude

SCHEMA = json.loads(files("leakcheck").joinpath("schema/audit.schema.json").read_text())
NASTY = 'metric.x{path="a\\b\n</script>\x1b[31m"}'
BEGAN = 1_795_000_000.0
"""When the watches here began, in Unix seconds."""
ROOT = Process(pid=7, started=7, role="server", command="server")
pytestmark = pytest.mark.share(2)


def resource(name, *, per_process=False):
    return Resource(name=name, unit="files", statistic=Statistic.COUNT, per_process=per_process)


def floor(at, held):
    return Floor(
        round=0,
        phase=Phase.QUIET,
        operations={},
        planned={},
        failed={},
        load_seconds=1.0,
        settle_seconds=0.0,
        settled=True,
        loaded={},
        before_undo={},
        snapshot=Snapshot(
            at_seconds=at,
            cost_seconds=0.001,
            processes=(ProcessReadings(process=ROOT, values={"fds.file": held}),),
            tree=(Reading(resource="processes", value=1.0), Reading(resource=NASTY, value=2.0)),
        ),
    )


def audit(count):
    """A watch that saw one file more each second."""
    target = TargetInfo(
        name="server\x1b[2J",
        command=("server",),
        pid=7,
        started=7,
        server="server",
        protocol="watched, not driven",
        ready_seconds=0.0,
        operations=(),
        not_played=(),
        root=ROOT,
    )
    known = (resource("fds.file", per_process=True), resource("processes"), resource(NASTY))
    plan = AuditPlan(command=None, pid=7, driver=DriverKind.NONE)
    return conclude(
        [
            Planned(schema=1, version="1", at="2026-11-22T00:00:00+00:00", plan=plan, environment={}),
            Ready(target=target, resources=known),
            *(floor(float(at), 10.0 + at) for at in range(count)),
            Ended(how="finished", wall_seconds=float(count), auditor_cpu_seconds=0.1, looking_cpu_seconds=0.1),
        ]
    )


def moment(seen, now=99.0):
    last = seen.rounds[-1] if seen.rounds else None
    return Moment(
        audit=seen,
        floor=floor(last.at_seconds, last.readings["fds.file"].total) if last else None,
        look=floor(now, 10.0 + now),
        first={"fds.file": 10.0},
        elapsed_seconds=now,
        unix_seconds=BEGAN + now,
        judged_seconds=last.at_seconds if last else 0.0,
        cpu_share=0.01,
        resident_bytes=50 << 20,
    )


@pytest.fixture
def served():
    with Serving("127.0.0.1", 0) as serving:
        serving.publish(moment(audit(60)))
        yield serving


def port_of(serving):
    return int(serving.url.rstrip("/").rpartition(":")[2])


def ask(serving, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port_of(serving), timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def raw(serving, text):
    with socket.create_connection(("127.0.0.1", port_of(serving)), timeout=10) as link:
        link.sendall(text)
        return b"".join(iter(lambda: link.recv(65536), b""))


def families(page):
    return {family.name: family for family in text_string_to_metric_families(page.decode())}


def test_the_audit_so_far_fits_the_schema_and_ends_with_the_latest_look(served):
    answer, body = ask(served, "/audit.json")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    data = json.loads(body)
    jsonschema.validate(data, SCHEMA)
    seen = from_wire(Audit, data)
    assert seen.verdict is Verdict.LEAK
    assert len(seen.rounds) == 61
    assert seen.rounds[-1].at_seconds == 99.0
    assert seen.rounds[-1].readings["fds.file"].total == 109.0
    assert seen.rounds[-1].readings["fds.file"].growth == 99.0
    assert replace(seen, rounds=seen.rounds[:-1]) == from_wire(Audit, to_wire(audit(60)))


def test_before_anything_was_judged_the_audit_fits_the_schema_too(served):
    served.publish(moment(audit(0)))
    data = json.loads(ask(served, "/audit.json")[1])
    jsonschema.validate(data, SCHEMA)
    assert [one["readings"]["fds.file"]["total"] for one in data["rounds"]] == [109]


def test_values_are_as_fresh_as_the_last_look_while_verdicts_stay(served):
    seen = audit(60)
    served.publish(moment(seen, 100.0))
    served.publish(moment(seen, 200.0))
    data = json.loads(ask(served, "/audit.json")[1])
    assert [one["at_seconds"] for one in data["rounds"][-2:]] == [59, 200]
    assert families(ask(served, "/metrics")[1])["leakcheck_elapsed_seconds"].samples[0].value == 200.0


def test_metrics_are_openmetrics_with_value_rate_verdict_and_forecast(served):
    answer, page = ask(served, "/metrics")
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert page.endswith(b"# EOF\n")
    found = families(page)
    value = {one.labels["resource"]: one.value for one in found["leakcheck_resource_value"].samples}
    assert value["fds.file"] == 109.0
    growth = {one.labels["resource"]: one for one in found["leakcheck_resource_growth"].samples}
    assert growth["fds.file"].value == pytest.approx(1.0)
    assert growth["fds.file"].labels["per"] == "second"
    states = {
        one.labels["leakcheck_resource_verdict"]: one.value
        for one in found["leakcheck_resource_verdict"].samples
        if one.labels["resource"] == "fds.file"
    }
    assert states == {"leak": 1.0, "clean": 0.0, "undecided": 0.0, "not_judged": 0.0}
    assert {one.labels["leakcheck_verdict"]: one.value for one in found["leakcheck_verdict"].samples}["leak"] == 1.0
    assert found["leakcheck_target"].samples[0].labels == {"name": "server\\x1b[2J", "pid": "7"}


def test_labels_are_bounded_and_hold_no_control_characters():
    long = {f"metric.{'x' * 500}{number}": 1.0 for number in range(600)}
    seen = audit(3)
    readings = {**seen.rounds[-1].readings, **dict.fromkeys(long, seen.rounds[-1].readings["processes"])}
    page = openmetrics.render(replace(seen, rounds=(replace(seen.rounds[-1], readings=readings),)))
    samples = [one for family in families(page).values() for one in family.samples]
    assert len(samples) < 1000
    for one in samples:
        for text in one.labels.values():
            assert len(text) <= 210
            assert text.isprintable()


def test_the_report_is_one_page_without_script(served):
    answer, page = ask(served, "/")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert b"LEAK" in page.upper()
    assert b"<script" not in page.lower()


def test_charts_are_a_fragment_and_a_page_that_move_with_each_look(served):
    seen, drawn = audit(60), []
    clock = f"since={BEGAN + 20}&from={BEGAN + 10}&to={BEGAN + 200}"
    for now in (100.0, 101.0, None):  # asked twice after the second look
        if now is not None:
            served.publish(moment(seen, now))
        answer, body = ask(served, f"/charts/fragment?{clock}")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        drawn.append(body)
    assert drawn[0] != drawn[1] == drawn[2]
    assert b"<b>110 files</b>" in drawn[0]
    assert b"<b>111 files</b>" in drawn[1]
    answer, page = ask(served, "/charts")
    assert b"<meta http-equiv=refresh content=2>" in page
    assert b"<b>111 files</b>" in page
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    for body in (*drawn, page):
        assert b"<script" not in body.lower()
        assert b"\x1b" not in body


def test_charts_on_a_clock_that_makes_no_sense_are_a_bad_request(served):
    answer, body = ask(served, "/charts/fragment?since=yesterday")
    assert (answer.status, answer.headers["Content-Type"]) == (400, "text/plain; charset=utf-8")
    assert body.startswith(b"since must be a time in Unix seconds")
    assert ask(served, "/charts?since=%ff%00&x")[0].status == 400


def test_only_get_and_head_are_answered(served):
    answer, body = ask(served, "/metrics", "HEAD")
    assert (answer.status, body) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 100
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
        answer, _ = ask(served, "/metrics", method)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_another_path_is_not_found_and_a_query_changes_nothing(served):
    assert ask(served, "/../etc/passwd")[0].status == 404
    assert ask(served, "/metrics?x=1")[0].status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost:x", ""])
def test_who_asks_under_another_name_is_turned_away(served, host):
    assert ask(served, "/audit.json", Host=host)[0].status == 421


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9400", "LOCALHOST", "[::1]:9400", "127.0.0.1:1"])
def test_every_name_of_this_machine_is_fine(served, host):
    assert ask(served, "/audit.json", Host=host)[0].status == 200


def test_two_host_headers_or_none_are_turned_away(served):
    assert b" 421 " in raw(served, b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n").split(b"\n")[0]
    assert b" 421 " in raw(served, b"GET / HTTP/1.0\r\n\r\n").split(b"\n")[0]


def test_no_page_of_another_origin_may_read_it_and_nothing_is_stored(served):
    answer, _ = ask(served, "/audit.json", Origin="https://evil.example")
    assert answer.headers["Cache-Control"] == "no-store"
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_garbage_is_refused_and_does_no_harm(served):
    for text in (b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 70000 + b"\r\n\r\n"):
        assert b" 200 " not in raw(served, text).split(b"\n")[0]
    assert ask(served, "/")[0].status == 200


def test_many_idle_connections_are_bounded_and_end(served, monkeypatch):
    monkeypatch.setattr("leakcheck.answering._Handler.timeout", 0.5)  # instead of 5 s
    before = threading.active_count()
    idle = [socket.create_connection(("127.0.0.1", port_of(served)), timeout=10) for _ in range(40)]
    try:
        for one in idle:
            one.sendall(b"GET / HT")
        for one in idle[16:]:
            assert one.recv(10) == b""
        assert threading.active_count() <= before + 16
        deadline = time.monotonic() + 15
        while True:
            try:
                if ask(served, "/")[0].status == 200:
                    break
            except (ConnectionError, http.client.HTTPException):
                assert time.monotonic() < deadline
                time.sleep(0.1)
    finally:
        for one in idle:
            one.close()


def test_a_taken_port_is_a_usage_error(served):
    with pytest.raises(UsageError, match="the address cannot be used"):
        Serving("127.0.0.1", port_of(served))


def test_before_the_first_look_it_says_so():
    with Serving("127.0.0.1", 0) as serving:
        answer, _ = ask(serving, "/metrics")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


def test_it_answers_in_milliseconds_while_verdicts_are_reached(served):
    done = threading.Event()
    seen = [audit(60), audit(240)]
    rounds = []

    def judge():
        while not done.is_set():
            rounds.append(audit(240))
            served.publish(moment(seen[len(rounds) % 2]))

    worker = threading.Thread(target=judge)
    worker.start()
    took = []
    try:
        for number in range(60):
            begun = time.perf_counter()
            status = ask(served, ("/audit.json", "/metrics", "/")[number % 3])[0].status
            took.append(time.perf_counter() - begun)
            assert status == 200
    finally:
        done.set()
        worker.join()
    assert rounds
    assert sorted(took)[30] < 0.2, sorted(took)  # 8 ms measured; the bound is for a machine shared by many


@contextmanager
def watching(*arguments, cwd):
    target = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    watcher = subprocess.Popen(
        ["leakcheck", "watch", str(target.pid), *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield watcher, target
    finally:
        for one in (watcher, target):
            one.kill()
            one.wait()
        watcher.stdout.close()
        watcher.stderr.close()


def test_a_watch_serves_while_it_looks_on_and_no_longer(tmp_path):
    with watching("--serve", "127.0.0.1:0", "--every", "0.5s", "--out", "w", cwd=tmp_path) as (watcher, target):
        line = watcher.stderr.readline()
        port = int(re.search(r"http://127\.0\.0\.1:(\d+)/", line).group(1))
        deadline = time.monotonic() + 20
        data = {"rounds": []}
        while len(data["rounds"]) < 4:
            assert time.monotonic() < deadline
            url = f"http://127.0.0.1:{port}/"
            body = subprocess.run(["curl", "-s", f"{url}audit.json"], capture_output=True, check=True).stdout
            data = json.loads(body) if body.startswith(b"{") else data
        page = subprocess.run(["curl", "-s", "--fail", f"{url}metrics"], capture_output=True, check=True).stdout
        assert "leakcheck_resource_value" in families(page)
        jsonschema.validate(data, SCHEMA)
        assert data["target"]["pid"] == target.pid
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait(timeout=20) in (0, 3)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("0.0.0.0:9400", "other machines"),
        ("example.org:9400", "other machines"),
        ("9400", "must be 127.0.0.1:PORT"),
        ("127.0.0.1:", "must be 127.0.0.1:PORT"),
        ("127.0.0.1:99999", "must be 127.0.0.1:PORT"),
    ],
)
def test_an_address_that_is_not_this_machine_s_own_is_refused(leakcheck, address, words):
    done = leakcheck("watch", os.getpid(), "--for", "1s", "--serve", address)
    assert done.returncode == 2
    assert words in done.stderr
