"""`leakcheck selftest`: what it plants is what it says, what it finds is told, and it leaves nothing behind."""

import http.client
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

import pytest

from leakcheck import selftest
from leakcheck.errors import TargetError, UsageError
from leakcheck.selftest import Plant

PLANTED = Path(selftest.__file__).with_name("planted.py")
CALL = "import sys; from leakcheck.selftest import selftest; sys.exit(selftest(tuple(sys.argv[1:]), True))"


def wait_for(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the moment to wait for never came"
        time.sleep(0.02)


def marked(token, word):
    """Processes that have the token in their environment, the word in their command line, and have not ended."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            state = (folder / "stat").read_bytes().rpartition(b")")[2].split()[0]
            is_ours = token.encode() in (folder / "environ").read_bytes()
            if state not in {b"Z", b"X"} and is_ours and word.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


@contextmanager
def planted(*options):
    """The server with its pid, and a way to ask it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([sys.executable, PLANTED, str(port), *options], stdin=subprocess.DEVNULL)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def ask(path, times):
        for _ in range(times):
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
        return answer.status

    def answers():
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_for(answers)
        ask("/clean", 1)
        yield server.pid, ask
    finally:
        connection.close()
        server.kill()
        server.wait()


def counted(pid):
    """Descriptors without sockets, threads, and zombies that it has not waited for."""
    links = [str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir()]
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    states = [Path(f"/proc/{child}/stat").read_bytes().rpartition(b")")[2].split()[0] for child in children]
    return {
        "descriptor": sum(not link.startswith("socket:") for link in links),
        "thread": len(list(Path(f"/proc/{pid}/task").iterdir())),
        "child": states.count(b"Z"),
    }


@pytest.mark.parametrize(("leak", "each"), [("descriptor", 1), ("thread", 50), ("child", 50)])
def test_each_planted_leak_leaks_what_it_says_and_nothing_else(leak, each):
    with planted("--leak", leak) as (pid, ask):
        before = counted(pid)
        assert ask("/clean", 100) == 200
        assert counted(pid) == before
        assert ask("/leak", 100) == 200
        expected = before | {leak: before[leak] + 100 // each}
        wait_for(lambda: counted(pid) == expected)  # a child takes its time to end


def test_without_a_leak_the_same_request_leaks_nothing_and_others_are_unknown():
    with planted() as (pid, ask):
        before = counted(pid)
        assert ask("/leak", 100) == 200
        assert ask("/other", 1) == 404
        assert counted(pid) == before


def test_what_is_kept_in_memory_is_as_large_as_it_says():
    server = runpy.run_path(str(PLANTED))
    server["registry"](7)
    server["heap"](7)
    assert server["SESSIONS"] == {7: "guest"}
    assert [sys.getsizeof(one) for one in server["KEPT"]] == [256]


def test_there_is_a_leak_in_the_server_for_each_plant_but_the_clean_one():
    assert {*runpy.run_path(str(PLANTED))["LEAKS"], "clean"} == {plant.name for plant in selftest.PLANTS}


@pytest.mark.parametrize("options", [("x",), (), ("0", "--leak", "money")])
def test_the_planted_server_refuses_what_it_does_not_know(options):
    done = subprocess.run([sys.executable, PLANTED, *options], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "error:" in done.stderr


@pytest.mark.parametrize("name", ["money", "", "Descriptor", "descriptor,heap"])
def test_an_unknown_name_is_told_with_the_known_ones(name):
    with pytest.raises(UsageError, match=rf"called '{name}'; there are: descriptor, registry, heap, child, thread, cl"):
        selftest.selftest(("heap", name), False)


def test_an_audit_that_could_not_be_made_is_an_error_and_no_verdict(monkeypatch):
    monkeypatch.setattr(selftest, "PLANTS", (Plant(name="nonsense", rates={"fds.file": 1.0}),))
    with pytest.raises(TargetError, match=r"planted leak 'nonsense' ended with exit code 2: .*run it yourself: leakch"):
        selftest.selftest((), False)


@pytest.mark.parametrize(
    ("planted_rate", "measured", "wrong", "outcome"),
    [
        (1.0, 1.0, (), "found"),
        (1.0, 0.7, (), "found"),
        (1.0, 0.6, (), "wrong rate"),
        (0.02, 0.04, (), "wrong rate"),
        (1.0, None, (), "missed"),
        (1.0, 1.0, ("another",), "accused"),
        (None, None, (), "clean"),
        (None, None, ("any",), "accused"),
    ],
)
def test_an_outcome_needs_the_rate_and_nothing_accused_beside_it(planted_rate, measured, wrong, outcome):
    assert selftest._outcome(planted_rate, measured, wrong) == outcome


@pytest.mark.slow
@pytest.mark.share(4)
def test_a_planted_leak_is_found_and_the_clean_server_is_not_accused(tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", CALL, "descriptor", "clean"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200, env=environment)
    document = json.loads(done.stdout)
    assert done.returncode == 0, document
    assert document["passed"] is True
    leak, clean = document["results"]
    assert (leak["name"], leak["outcome"], leak["resource"]) == ("descriptor", "found", "fds.file")
    assert leak["measured"] == pytest.approx(leak["planted"], rel=0.1)
    assert leak["seconds"] > 0
    assert (clean["name"], clean["outcome"], clean["accused"]) == ("clean", "clean", [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.share(4)
def test_a_leak_that_is_missed_and_one_that_should_not_be_there_fail_and_tell_of_the_machine(monkeypatch, capsys):
    wrong = (Plant(name="clean", rates={"fds.file": 1.0}), Plant(name="descriptor", rates={}))
    monkeypatch.setattr(selftest, "PLANTS", wrong)
    assert selftest.selftest((), False) == 1
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [
        ["plant", "outcome"],
        ["clean", "missed"],
        ["descriptor", "accused"],
    ]
    assert max(map(len, lines)) <= 80
    assert "fds.file by request:GET /leak" in said
    assert f"{os.cpu_count()} cores" in said.replace("\n", " ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_leaves_neither_process_nor_folder(number, tmp_path):
    token = f"leakcheck-test-{uuid.uuid4().hex}"
    environment = {**os.environ, "TMPDIR": str(tmp_path), "TEST_TOKEN": token}
    running = subprocess.Popen(
        [sys.executable, "-c", CALL, "descriptor"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: marked(token, "--leak"))
        running.send_signal(number)
        running.send_signal(number)  # an impatient user: no harm
        said, problems = running.communicate(timeout=60)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 130, problems
    assert said == ""
    assert "Traceback" not in problems
    assert marked(token, "") == []
    assert list(tmp_path.iterdir()) == []
