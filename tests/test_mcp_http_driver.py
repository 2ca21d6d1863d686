"""The drivers with a Locust load process: what is planned, what is said, and that nothing is left."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from leakcheck.credentials import Secrets
from leakcheck.drivers import load_driver, load_process
from leakcheck.drivers.locustfile import LocustfileDriver
from leakcheck.drivers.mcp_http import McpHttpDriver
from leakcheck.drivers.ports import free_port
from leakcheck.errors import LeakcheckError, MissingExtra, NotReady, TargetDied, UsageError
from leakcheck.model.plan import AuditPlan, DriverKind, ToolChoice
from leakcheck.targets.spawn import Spawned

pytestmark = pytest.mark.share(3)

PROGRAMS = Path(__file__).parent / "programs"
SECRET = "s3cr3t-of-the-test-0123456789"
HANDSHAKE, MODERN = "2025-11-25", "2026-07-28"
URL = "http://127.0.0.1:81/mcp"
TARGET = SimpleNamespace(
    exit_code=lambda: None,
    members=lambda: ("alive",),
    last_lines=lambda: ("ready on port 81",),
    root=SimpleNamespace(role="python"),
)
GONE = SimpleNamespace(**{**vars(TARGET), "exit_code": lambda: 3, "members": lambda: ()})


def tool(name, *, read_only=True, **schema):
    return {
        "name": name,
        "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, **schema},
        "annotations": {"readOnlyHint": read_only, "openWorldHint": False},
    }


def era(version=HANDSHAKE, *, session=True, stream=True, tools=None):
    tools = [tool("echo"), tool("slow")] if tools is None else tools
    return {"version": version, "server": "Thing 1.0", "session": session, "stream": stream, "tools": tools}


def found(*eras, failures=None):
    return {"eras": list(eras), "failures": failures or {}, "warnings": []}


def planned(**changes):
    return AuditPlan(
        **{"command": ("x",), "pid": None, "driver": DriverKind.MCP_HTTP, "mcp_url": URL, "ready_timeout_seconds": 1.0}
        | changes
    )


@contextlib.contextmanager
def driving(tmp_path, script, *, headers=None, **changes):
    """An MCP driver over the fake load process, and what that was asked."""
    record = tmp_path / "asked"
    plan = planned(**changes)
    command = (sys.executable, str(PROGRAMS / "load_fake.py"), str(record), json.dumps(script))
    kinds = {DriverKind.MCP_HTTP: McpHttpDriver, DriverKind.LOCUST: LocustfileDriver}
    driver = kinds[plan.driver](plan, headers or {}, Secrets([SECRET]), command=command)
    try:
        yield driver, lambda: [json.loads(line) for line in record.read_text().splitlines()]
    finally:
        pids = driver.processes()
        driver.close()
        assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
        assert driver.processes() == ()


def plan_of(lines):
    return [line["plan"] for line in lines if "plan" in line][-1]


def reasons(opened):
    return {one.operation: one.reason for one in opened.not_played}


def test_a_server_of_one_era_with_sessions_has_every_kind_played_and_abandon_apart(tmp_path):
    script = {"discover": [found(era(), failures={MODERN: "answers 400: no"})], "took": {"call of 'slow'": 0.2}}
    with driving(tmp_path, script) as (driver, asked):
        opened = driver.open(TARGET)
        lines = asked()
    assert opened.operations == ("call:echo", "call:slow", "session", "reject", "disconnect", "cancel")
    assert opened.apart == ("abandon",)
    assert opened.protocol == "MCP 2025-11-25 over HTTP"
    assert opened.server == "Thing 1.0"
    assert opened.writes == ()
    assert reasons(opened) == {"MCP 2026-07-28": "not spoken: answers 400: no"}
    assert lines[0] == {"concurrency": 4, "mcp": {"url": URL, "headers": {}}}
    plan = plan_of(lines)
    assert list(plan) == [*opened.operations, *opened.apart]
    quick, slow = ({"method": "tools/call", "params": {"name": name, "arguments": {}}} for name in ("echo", "slow"))
    listing = {"method": "tools/list", "params": {}}
    assert [one["rpc"] for one in plan["session"] + plan["abandon"]] == [quick, listing]
    assert opened.invokes == {"session": ("call:echo",), "disconnect": ("call:slow",), "cancel": ("call:slow",)}
    assert [(one["variant"], one["rpc"]) for one in plan["disconnect"]] == [
        ("after_sending", slow),
        ("after_first_bytes", slow),
        ("stream", None),
    ]
    assert [(one["rpc"], one["expect"]) for one in plan["cancel"]] == [(slow, "answer")]
    assert plan["call:echo"] == [
        {"way": "call", "era": HANDSHAKE, "words": "call of 'echo'", "expect": "result", "rpc": quick, "variant": None}
    ]
    assert {one["words"]: (one["variant"], one["expect"]) for one in plan["reject"]} == {
        "an unknown method": (None, "error"),
        "a call of an unknown tool": (None, "error"),
        "a call with wrong arguments": (None, "error"),
        "a call without params": (None, "error"),
        "a read of an unknown resource": (None, "error"),
        "a wrong content type": ("wrong_content_type", "error"),
        "a GET without a session": ("get_without_session", "error"),
        "a request in an unknown session": ("unknown_session", "error"),
    }
    assert "params" not in next(one for one in plan["reject"] if one["words"] == "a call without params")["rpc"]
    assert sum("attempt" in line for line in lines) == sum(map(len, plan.values())), "each input is tried once"


def test_two_eras_have_operations_of_their_own_and_what_holds_in_both_is_said_once(tmp_path):
    tools = [tool("echo"), tool("wipe", read_only=False)]
    both = found(era(tools=tools), era(MODERN, session=False, tools=tools))
    with driving(tmp_path, {"discover": [both]}) as (driver, asked):
        opened = driver.open(TARGET)
        plan = plan_of(asked())
    assert opened.protocol == "MCP 2025-11-25 + 2026-07-28 over HTTP"
    assert opened.operations == (
        *(f"{kind}@{HANDSHAKE}" for kind in ("call:echo", "session", "reject", "disconnect", "cancel")),
        *(f"{kind}@{MODERN}" for kind in ("call:echo", "reject", "disconnect", "cancel")),
    )
    assert opened.apart == (f"abandon@{HANDSHAKE}",)
    assert all(one["era"] == kind.rpartition("@")[2] for kind, given in plan.items() for one in given)
    why = "the server keeps no sessions: MCP 2026-07-28 knows none"
    left_out = reasons(opened)
    assert "not declared read-only" in left_out.pop("call:wipe")
    assert left_out == {f"session@{MODERN}": why, f"abandon@{MODERN}": why}
    assert "get_without_session" not in {one["variant"] for one in plan[f"reject@{MODERN}"]}


def test_a_stateless_server_has_no_sessions_and_says_why(tmp_path):
    with driving(tmp_path, {"discover": [found(era(session=False, stream=False))]}) as (driver, asked):
        opened = driver.open(TARGET)
        plan = plan_of(asked())
    assert opened.operations == ("call:echo", "call:slow", "reject", "disconnect", "cancel")
    assert opened.apart == ()
    why = "the server keeps no sessions: it gives no Mcp-Session-Id"
    assert reasons(opened) == {"session": why, "abandon": why}
    assert {one["variant"] for one in plan["reject"]} == {None, "wrong_content_type"}
    assert {one["variant"] for one in plan["disconnect"]} == {"after_sending", "after_first_bytes"}


def test_what_fails_its_first_try_is_left_out_with_its_reason(tmp_path):
    script = {
        "discover": [found(era())],
        "problems": {
            "call of 'slow'": f"no answer within 2 s, key {SECRET}",
            "a wrong content type": "was accepted, where an error must come",
            "a session with call of 'echo'": "answers 500",
        },
    }
    with driving(tmp_path, script) as (driver, asked):
        opened = driver.open(TARGET)
        plan = plan_of(asked())
    assert opened.operations == ("call:echo", "reject", "disconnect", "cancel")
    assert reasons(opened) == {
        "call:slow": "tried once: call of 'slow': no answer within 2 s, key •••",
        "session": "tried once: a session with call of 'echo': answers 500",
    }
    assert opened.warnings == (
        "MCP 2025-11-25: reject, tried once, left out: a wrong content type: was accepted, where an error must come",
    )
    assert "wrong_content_type" not in {one["variant"] for one in plan["reject"]}
    assert plan["cancel"][0]["rpc"]["params"]["name"] == "echo", "only what works is used further"


def test_without_a_tool_that_may_be_called_the_list_of_tools_is_the_work(tmp_path):
    with driving(tmp_path, {"discover": [found(era(tools=[tool("w", read_only=False)]))]}) as (driver, asked):
        opened = driver.open(TARGET)
        plan = plan_of(asked())
    assert opened.operations == ("session", "reject", "disconnect", "cancel")
    assert "0 of 1 tools called" in reasons(opened)["call:*"]
    for kind in ("session", "cancel", "abandon"):
        assert plan[kind][0]["rpc"] == {"method": "tools/list", "params": {}}


def test_the_tools_of_the_plan_are_called_undone_and_named_as_writing(tmp_path):
    tools = [tool("add", read_only=False), tool("forget", read_only=False)]
    choice = ToolChoice(named=("add",), arguments={"add": {"text": "x"}}, undo={"forget": {}})
    script = {"discover": [found(era(tools=tools), era(MODERN, session=False, tools=tools))]}
    with driving(tmp_path, script, tools=choice) as (driver, asked):
        opened = driver.open(TARGET)
        assert driver.play({f"call:add@{MODERN}": 3}).done == {f"call:add@{MODERN}": 3}
        driver.undo()
        lines = asked()
    assert plan_of(lines)["undo:forget"][0]["rpc"]["params"] == {"name": "forget", "arguments": {}}
    assert lines[-1]["play"] == {"undo:forget": 1}
    assert not [kind for kind in opened.operations if "forget" in kind]
    assert set(opened.writes) == {
        f"{kind}@{version}"
        for version, kinds in (
            (HANDSHAKE, ("call:add", "session", "disconnect", "cancel")),
            (MODERN, ("call:add", "disconnect", "cancel")),
        )
        for kind in kinds
    }


def test_a_failed_undo_is_told_by_the_next_round(tmp_path):
    script = {"discover": [found(era(tools=[tool("add"), tool("forget")]))], "failed": {"undo:forget": 1}}
    with driving(tmp_path, script, tools=ToolChoice(undo={"forget": {}})) as (driver, _):
        driver.open(TARGET)
        driver.undo()
        assert driver.play({"call:add": 1}).problem == "undo: undo:forget: password=•••"
        assert driver.play({"call:add": 1}).problem is None


def test_a_tool_that_does_not_exist_is_a_usage_error(tmp_path):
    with (
        driving(tmp_path, {"discover": [found(era())]}, tools=ToolChoice(named=("nope",))) as (driver, _),
        pytest.raises(UsageError, match="--tool nope: the server has no such tool; it has echo, slow"),
    ):
        driver.open(TARGET)


def test_a_round_is_counted_bounded_and_its_cpu_time_known(tmp_path):
    script = {"discover": [found(era())], "failed": {"reject": 2}}
    with driving(tmp_path, script) as (driver, asked):
        driver.open(TARGET)
        played = driver.play({"call:echo": 7, "reject": 3, "session": 0, "abandon": 5})
        assert asked()[-1] == {"play": {"call:echo": 7, "reject": 3, "abandon": 5}, "seconds": 15.0}
        assert list(driver.copies(1.0)) == []
        with pytest.raises(ValueError, match="nothing"):
            driver.play({"nothing": 1})
    assert played.done == {"call:echo": 7, "reject": 3, "abandon": 5}
    assert played.failed == {"reject": 2}
    assert played.seconds["reject"] == 0.5
    assert played.cpu_seconds == 0.25
    assert played.problem == "reject: password=•••"


def test_headers_reach_the_load_process_and_stand_in_no_argv_and_no_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKEN_OF_THE_TEST", SECRET)
    with driving(tmp_path, {"discover": [found(era())]}, headers={"Authorization": SECRET}) as (driver, asked):
        driver.open(TARGET)
        (pid,) = driver.processes()
        visible = b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
        assert asked()[0]["mcp"]["headers"] == {"Authorization": SECRET}
    assert SECRET.encode() not in visible
    assert b"load_fake" in visible


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("refused", r"nothing listens on 127.0.0.1:81 after 1 s \(the words\); check that COMMAND serves that port"),
        ("silent", r"127.0.0.1:81 takes connections, but POST /mcp has no answer after 1 s \(the words\); check the"),
        ("closed", r"127.0.0.1:81 takes connections, but POST /mcp has no answer after 1 s \(the words\); check the"),
        ("garbage", r"127.0.0.1:81 answers, but not HTTP: the words; check port and scheme of --mcp"),
        ("tls", r"127.0.0.1:81 takes connections, but not for https: the words; say http:// if it is plain"),
        (
            "refusal",
            r"127.0.0.1:81 speaks HTTP, but POST /mcp is not answered as MCP: the words; check the path of --m",
        ),
    ],
)
def test_a_server_that_is_not_ready_is_said_with_the_cure_and_its_last_lines(kind, message, tmp_path):
    with driving(tmp_path, {"discover": [{"missing": kind, "words": "the words"}]}) as (driver, asked):
        with pytest.raises(NotReady, match=message) as raised:
            driver.open(TARGET)
        tries = sum("discover" in line for line in asked())
    assert str(raised.value).endswith("its last lines:\n  ready on port 81")
    assert (tries == 1) is (kind in {"garbage", "tls"})


def test_a_server_that_ends_before_its_first_answer_is_told_apart(tmp_path):
    with (
        driving(tmp_path, {"discover": [{"missing": "refused", "words": "x"}]}) as (driver, _),
        pytest.raises(TargetDied, match="ended with exit code 3 before its first answer; check COMMAND"),
    ):
        driver.open(GONE)


def test_a_server_that_comes_late_is_waited_for(tmp_path):
    late = [{"missing": "refused", "words": ""}, {"missing": "refusal", "words": "503"}, found(era())]
    with driving(tmp_path, {"discover": late}) as (driver, _):
        assert driver.open(TARGET).protocol == "MCP 2025-11-25 over HTTP"


def test_a_wrong_path_is_said_long_before_the_ready_timeout(tmp_path, monkeypatch):
    monkeypatch.setattr(load_driver, "_REFUSAL_SECONDS", 0.3)
    refusal = {"discover": [{"missing": "refusal", "words": "answers 404"}]}
    with driving(tmp_path, refusal, ready_timeout_seconds=60.0) as (driver, _):
        began = time.monotonic()
        with pytest.raises(NotReady, match="answers 404; check the path of --mcp"):
            driver.open(TARGET)
        assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("breaks", "error", "message"),
    [
        ("garbage", LeakcheckError, "the load process answered 'not JSON at all', which is no JSON object"),
        ("dies", LeakcheckError, r"the load process ended with code 1 \(OSError: token=••• no luck\)"),
    ],
)
def test_a_load_process_that_breaks_is_said_and_not_taken_for_the_target(breaks, error, message, tmp_path):
    with driving(tmp_path, {"discover": [found(era())], "breaks": breaks}) as (driver, _):
        driver.open(TARGET)
        with pytest.raises(error, match=message) as raised:
            driver.play({"call:echo": 1})
    assert not isinstance(raised.value, TargetDied)


def test_a_load_process_that_hangs_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(load_process, "_OVERDUE_SECONDS", 0.5)
    monkeypatch.setattr(load_process, "_END_SECONDS", 0.2)
    with driving(tmp_path, {"discover": [found(era())], "breaks": "hangs"}) as (driver, _):
        driver.open(TARGET)
        driver._play_seconds = 0.1
        with pytest.raises(LeakcheckError, match=r"the load process hangs: no answer 0.5 s after its time"):
            driver.play({"call:echo": 1})


def test_a_listener_that_goes_while_its_process_lives_is_target_died(tmp_path):
    with (
        driving(tmp_path, {"discover": [found(era())], "breaks": "gone"}) as (driver, _),
        pytest.raises(TargetDied, match=r"still runs, but nothing listens on 127\.0\.0\.1:81 any more"),
    ):
        driver.open(TARGET)


def test_a_load_process_that_prints_much_is_not_held_up_and_one_that_would_not_end_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(load_process, "_END_SECONDS", 1.0)
    with driving(tmp_path, {"discover": [found(era())], "noise": 300_000, "stays": 60}) as (driver, _):
        driver.open(TARGET)
        assert driver.play({"call:echo": 2}).done == {"call:echo": 2}


def test_opening_and_closing_leaves_no_descriptor_and_no_thread(tmp_path):
    def held():
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    before = held()
    for _ in range(3):
        with driving(tmp_path, {"discover": [found(era())]}) as (driver, _):
            driver.open(TARGET)
            driver.close()
    assert held() == before


LOCUST = {"driver": DriverKind.LOCUST, "mcp_url": None, "locustfile": "my.py"}
TASKS = {"operations": ["task:search"], "not_played": [], "hosts": ["http://127.0.0.1:81"]}


def test_the_tasks_of_a_locustfile_are_the_operations(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tasks = {**TASKS, "not_played": [{"operation": "task:x", "reason": "it never ends"}]}
    script = {"discover": [{"missing": "refused", "words": ""}, tasks]}
    with driving(tmp_path, script, headers={"PORT": "81"}, host="http://127.0.0.1:81", **LOCUST) as (driver, asked):
        opened = driver.open(TARGET)
        played = driver.play({"task:search": 6})
        (pid,) = driver.processes()
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        lines = asked()
    assert lines[0]["locustfile"] == {"path": f"{tmp_path}/my.py", "host": "http://127.0.0.1:81"}
    assert opened.operations == ("task:search",)
    assert reasons(opened) == {"task:x": "it never ends"}
    assert (opened.server, opened.protocol, opened.apart) == ("python", "driven by a locustfile", ())
    assert played.done == {"task:search": 6}
    assert b"PORT=81" in environment
    assert f"PATH={os.environ['PATH']}".encode() in environment


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ({"broken": "line 3: invalid syntax; correct it"}, UsageError, "--locustfile my.py: line 3: invalid syntax"),
        (
            {**TASKS, "hosts": ["https://staging.example.org"]},
            UsageError,
            "--locustfile my.py speaks to https://staging.example.org, another machine",
        ),
        ({"missing": "refused", "words": "x"}, NotReady, r"nothing listens on the host of 'my.py' after 1 s \(x\)"),
    ],
)
def test_a_locustfile_that_cannot_be_played_is_refused_with_the_cure(answer, error, message, tmp_path):
    with (
        driving(tmp_path, {"discover": [answer]}, **LOCUST) as (driver, _),
        pytest.raises(error, match=message),
    ):
        driver.open(TARGET)


def test_without_locust_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(load_process, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"--mcp http\S+ needs Locust, .* pip install 'mimo-leakcheck\[load\]'"):
        McpHttpDriver(planned(), {}, Secrets())


def test_a_header_that_would_break_requests_is_refused():
    with pytest.raises(UsageError, match="Content-Length"):
        McpHttpDriver(planned(), {"Content-Length": "3"}, Secrets())


def test_neither_locust_nor_gevent_is_loaded_into_the_auditor():
    code = (
        "import sys; import leakcheck.cli; from leakcheck.drivers.load_process import locust_command;"
        "locust_command('x'); sys.exit(any(name in sys.modules for name in ('locust', 'gevent', 'loadtests')))"
    )
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0


@contextlib.contextmanager
def serving(tmp_path, *argv, port):
    with Spawned(
        [sys.executable, *map(str, argv)],
        pipes=False,
        environment={},
        cwd=str(tmp_path),
        log_path=tmp_path / "target.log",
        secrets=Secrets(),
        grace_seconds=2.0,
    ) as target:
        yield target


@contextlib.contextmanager
def playing(tmp_path, *how, path="/mcp", **changes):
    """The official SDK's server, and a driver with the real load process."""
    port = free_port()
    driver = McpHttpDriver(planned(mcp_url=f"http://127.0.0.1:{port}{path}", **changes), {}, Secrets())
    with serving(tmp_path, PROGRAMS / "mcp_target_http.py", port, *how, port=port) as target:
        try:
            yield driver, target
        finally:
            (pid,) = driver.processes()
            driver.close()
            assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("how", [(), ("sse",), ("stateless",), ("stateless", "sse")])
def test_the_official_server_is_driven_with_known_numbers_in_every_kind(how, tmp_path):
    choice = ToolChoice(named=("add",), undo={"forget": {}})
    with playing(tmp_path, *how, tools=choice, ready_timeout_seconds=30.0) as (driver, target):
        opened = driver.open(target)
        kinds = (*opened.operations, *opened.apart)
        assert driver.play(dict.fromkeys(kinds, 2)).failed == {}
        driver.undo()
        played = driver.play(dict.fromkeys(kinds, 6))
    assert opened.server == "target 1.0"
    assert opened.protocol == "MCP 2025-11-25 + 2026-07-28 over HTTP"
    assert opened.warnings == ()
    eras = {
        kind: [version for version in (HANDSHAKE, MODERN) if f"{kind}@{version}" in kinds]
        for kind in ("call:echo", "call:nap", "call:add", "session", "reject", "disconnect", "cancel", "abandon")
    }
    sessions = [] if "stateless" in how else [HANDSHAKE]
    assert eras == {kind: sessions if kind in {"session", "abandon"} else [HANDSHAKE, MODERN] for kind in eras}
    assert {one.operation for one in opened.not_played} == {
        f"{kind}@{version}"
        for kind in ("session", "abandon")
        for version in (HANDSHAKE, MODERN)
        if version not in sessions
    }
    assert (played.done, played.failed, played.problem) == (dict.fromkeys(kinds, 6), {}, None)
    assert 0 < played.cpu_seconds < 5
    assert set(played.seconds) == set(kinds)


@pytest.mark.parametrize("path", ["/elsewhere", ""])
def test_a_path_without_mcp_is_said_with_what_it_answers(path, tmp_path, monkeypatch):
    monkeypatch.setattr(load_driver, "_REFUSAL_SECONDS", 0.2)
    with (
        playing(tmp_path, path=path, ready_timeout_seconds=30.0) as (driver, target),
        pytest.raises(NotReady, match=rf"speaks HTTP, but POST {path or '/'} is not answered as MCP: .*404"),
    ):
        driver.open(target)


def test_a_server_that_is_killed_in_mid_round_is_target_died(tmp_path):
    with playing(tmp_path, ready_timeout_seconds=30.0) as (driver, target):
        kinds = driver.open(target).operations
        killer = threading.Timer(0.3, os.kill, (target.root.pid, 9))
        killer.start()
        with pytest.raises(TargetDied, match=r"was ended by SIGKILL \(9\) while requests were sent to it"):
            driver.play(dict.fromkeys(kinds, 5000))
        killer.join()


def test_a_server_that_runs_already_is_audited_over_http(tmp_path, leakcheck):
    port = free_port()
    few = ("--rounds", 4, "--operations", 2, "--session-idle", "100ms", "--out", "a")
    with serving(tmp_path, PROGRAMS / "mcp_target_http.py", port, port=port) as target:
        url = f"http://127.0.0.1:{port}/mcp"
        done = leakcheck("audit", "--mcp", url, *few, "--pid", target.root.pid)
        assert target.exit_code() is None, "it is not ours to end"
    assert done.returncode in {1, 3}, done.stderr  # four rounds decide nothing; its sessions stay for 30 minutes
    assert "Traceback" not in done.stderr
    audit = json.loads((tmp_path / "a/audit.json").read_text())
    assert audit["tool"]["ended"] == "finished"
    assert audit["plan"]["mcp_url"] == url
    assert audit["plan"]["session_idle_seconds"] == 0.1
    assert audit["target"]["protocol"] == "MCP 2025-11-25 + 2026-07-28 over HTTP"
    assert audit["target"]["apart"] == [f"abandon@{HANDSHAKE}"]
    assert not any(one["failed"] for one in audit["rounds"])


LOCUSTFILE = """
import os
from locust import FastHttpUser, task

class Reader(FastHttpUser):
    @task
    def root(self):
        print("a stray print")
        self.client.get(f"/?port={os.environ['PORT']}")

    @task
    def missing(self):
        self.client.get("/404")
"""


def test_the_tasks_of_a_real_locustfile_are_played_in_known_numbers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.py").write_text(LOCUSTFILE)
    (tmp_path / "loadtests").mkdir()
    (tmp_path / "loadtests/__init__.py").write_text("raise ImportError('the wrong loadtests')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    port = free_port()
    plan = planned(**{**LOCUST, "host": f"http://127.0.0.1:{port}", "ready_timeout_seconds": 30.0})
    driver = LocustfileDriver(plan, {"PORT": str(port)}, Secrets())
    with serving(tmp_path, PROGRAMS / "http_service.py", port, port=port) as target:
        try:
            opened = driver.open(target)
            played = driver.play({"task:root": 12, "task:missing": 4})
        finally:
            driver.close()
    assert set(opened.operations) == {"task:root", "task:missing"}
    assert played.done == {"task:root": 12, "task:missing": 4}
    assert played.failed == {"task:missing": 4}
    assert "404" in played.problem
    assert played.cpu_seconds > 0


@pytest.mark.parametrize(
    ("text", "words"), [("def (", "my.py"), ("import locust", "my.py"), ("import nowhere_to_be_found", "nowhere")]
)
def test_a_locustfile_without_anything_to_play_is_a_usage_error(text, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.py").write_text(text)
    driver = LocustfileDriver(planned(**LOCUST), {}, Secrets())
    try:
        with pytest.raises(UsageError, match=words):
            driver.open(TARGET)
    finally:
        driver.close()
