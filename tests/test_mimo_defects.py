"""Each defect from outside: with it the truth that it states holds, and without it nothing of the kind happens.

One server each, spoken to over HTTP without the SDK; what grows is read from /proc and from the metrics page.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import websocket

from leakcheck.model.finding import Shape
from mimo_server.defects import PROFILES, Leak, LookAlike, WrongAnswer, defects, names, rate_keys
from mimo_server.skills import echo

pytestmark = [pytest.mark.slow, pytest.mark.share(3)]

COMMAND = [sys.executable, "-P", "-m", "mimo_server"]
SERVER = [*COMMAND, "--http", "127.0.0.1:0", "--read-timeout", "120s"]  # idle connections of tests must not be lost
ROOT = Path(__file__).parents[1]
MODERN = "2026-07-28"
META = "io.modelcontextprotocol/"
IDS = itertools.count(1)
RESET = struct.pack("ii", 1, 0)
TRUTHS = {name: entry.defect.truth for name, entry in defects().items()}
EXTRAS = {"kept_rejects", "kept_session"}
"""In no profile: what the toolkit's audits over stdio and over HTTP are measured against."""


def of_kind(kind):
    return [name for name, truth in TRUTHS.items() if isinstance(truth, kind)]


def wait_until(condition, seconds=8.0):
    deadline, pause = time.monotonic() + seconds, 0.005
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(pause)
        pause = min(2 * pause, 0.2)


def status_of(pid):
    """The fields of /proc/PID/stat from the state on: state, parent, ...; none when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


class Live:
    """A server process, its figures, and a keep-alive connection to it."""

    def __init__(self, pid, port):
        self.pid, self.port = pid, port
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def ask(self, method, path, body=None, **headers):
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        return response.status, response.headers, response.read()

    def rpc(self, method, params, headers):
        message = {"jsonrpc": "2.0", "id": next(IDS), "method": method, "params": params}
        told = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"} | headers
        status, headers, body = self.ask("POST", "/mcp", json.dumps(message), **told)
        return status, headers, json.loads(body)

    def modern(self, method, params=None, **more):
        headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method, **more}
        about = {"clientInfo": {"name": "test", "version": "1"}, "clientCapabilities": {}, "protocolVersion": MODERN}
        meta = {"_meta": {META + key: value for key, value in about.items()}}
        _, _, answer = self.rpc(method, {**(params or {}), **meta}, headers)
        assert "result" in answer, answer
        return answer["result"]

    def result(self, tool, headers=None, **arguments):
        return self.modern(
            "tools/call", {"name": tool, "arguments": arguments}, **{"Mcp-Name": tool, **(headers or {})}
        )

    def call(self, tool, **arguments):
        result = self.result(tool, **arguments)
        assert not result.get("isError"), result["content"]
        return result["structuredContent"]

    def found(self, query, **given):
        return self.call("memory_search", query=query, **given)["memories"]

    def session(self):
        """Open one of the handshake era and close it."""
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        status, headers, _ = self.rpc("initialize", hello, {})
        assert status == 200
        assert self.ask("DELETE", "/mcp", **{"Mcp-Session-Id": headers["mcp-session-id"]})[0] == 200

    def reject(self):
        assert self.result("agent_ping", agent="../a")["isError"]

    def drop(self):
        """An agent that joins, subscribes, asks, and is gone without a word."""
        agent = websocket.create_connection(f"ws://127.0.0.1:{self.port}/synapse", timeout=10, suppress_origin=True)
        agent.send(json.dumps({"type": "hello", "agent": f"a{next(IDS)}"}))
        assert json.loads(agent.recv())["type"] == "welcome"
        agent.send(json.dumps({"type": "subscribe", "topics": ["system:alert"]}))
        assert json.loads(agent.recv())["type"] == "topics"
        agent.send(json.dumps({"type": "query", "ref": "q", "query": "a"}))
        agent.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        agent.shutdown()

    def forward(self):
        """A call that says to come from a place that nobody has come from before."""
        self.result("agent_ping", headers={"X-Forwarded-For": f"10.0.0.{next(IDS)}"})

    def metrics(self):
        lines = self.ask("GET", "/metrics")[2].decode().splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}

    def entries(self, name):
        return self.metrics()[f'mimo_registry_entries{{registry="{name}"}}']

    def descriptors(self):
        """Open ones by kind: file, socket, pipe, anon; but none of connections between us and the server."""
        kinds = Counter()
        for entry in os.scandir(f"/proc/{self.pid}/fd"):
            with suppress(FileNotFoundError):
                target = os.readlink(entry.path)  # noqa: PTH115 -- the target is no path
                kinds["file" if target[0] == "/" else target.partition(":")[0].removesuffix("_inode")] += 1
        return kinds

    def family(self):
        """Processes below the server: parent and state by number."""
        numbers = [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdecimal()]
        known = {pid: stat for pid in numbers if (stat := status_of(pid))}
        below, generation = {}, {self.pid}
        while generation := {pid for pid, stat in known.items() if int(stat[1]) in generation}:
            below |= {pid: known[pid][0] for pid in generation}
        return below

    def anonymous(self):
        """Bytes."""
        rows = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        return next(int(row.split()[1]) * 1024 for row in rows if row.startswith("Anonymous:"))

    def cpu_seconds(self):
        return sum(map(int, status_of(self.pid)[11:13])) / os.sysconf("SC_CLK_TCK")

    def read(self, resource):
        """A resource as the toolkit names it."""
        kind, _, name = resource.partition(".")
        match kind:
            case "metric":
                return self.metrics().get(name, 0.0)
            case "fds":
                return self.descriptors()[name]
            case "processes":
                return sum(state != "Z" for state in self.family().values())
            case "zombies":
                return sum(state == "Z" for state in self.family().values())
            case "memory":
                return self.anonymous()
        raise AssertionError(f"no probe here for {resource}")


def end(processes):
    for pid in processes:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    processes.clear()


@contextmanager
def live(folder, *options):
    """A server; at its end it goes as it is asked to, whatever its defect. What it leaves behind is ended here."""
    folder.mkdir(exist_ok=True)
    environment = os.environ | {"TMPDIR": str(folder)}
    with subprocess.Popen([*SERVER, *options], stderr=subprocess.PIPE, text=True, env=environment) as process:
        log, left = [], {}
        reader = threading.Thread(target=lambda: log.extend(process.stderr))
        try:
            for line in process.stderr:
                log.append(line)
                if found := re.search(r"MCP on http://127\.0\.0\.1:(\d+)/mcp", line):
                    break
            assert found, log
            reader.start()
            server = Live(process.pid, int(found[1]))
            try:
                with closing(server.connection):
                    yield server
            finally:
                left.update(server.family())
            process.terminate()
            assert process.wait(timeout=15) == 0, log
            end(left)
            reader.join()
            assert "Traceback" not in "".join(log), log
            assert list(folder.iterdir()) == []
        finally:
            process.kill()
            end(left)
            if reader.ident is not None:
                reader.join()


def options_of(name):
    """As its audit starts it, with the defect."""
    served = defects()[name].defect.serve
    kept = [pair for pair in zip(served[::2], served[1::2], strict=True) if "{port}" not in pair[1]]
    return [*itertools.chain(*kept), "--defect", name]


@pytest.fixture(scope="module")
def correct(tmp_path_factory):
    """The server without defects, for all of this file."""
    with live(tmp_path_factory.mktemp("correct"), "--seed-memories", "200") as server:
        yield server


def searched(server):
    server.call("memory_search", query="the cache moved")


OPERATIONS = {
    "call:skill_echo": lambda server: server.call("skill_echo", text="a"),
    "call:agent_ping": lambda server: server.call("agent_ping"),
    "call:interrupt_check": lambda server: server.call("interrupt_check"),
    "call:memory_search": searched,
    "session": Live.session,
    "reject": Live.reject,
    "task:drops": Live.drop,
    "task:runs": lambda server: server.call("procedure_run", name="remember_and_find", context={"content": "a"}),
    "task:starts": lambda server: server.call("procedure_run", name="wait_in_vain", wait=False),
}
IN_VAIN_SECONDS = 0.5
"""The procedure wait_in_vain has 0.1 s; after that none may run."""


def grown(server, truth, times):
    """A reading of what each resource has grown by over so many operations, after two that start what starts once."""
    play, before = OPERATIONS[truth.operation], {}
    for count in (2, times):
        before = {resource: server.read(resource) for resource in truth.resources}
        for _ in range(count):
            play(server)
        if truth.operation == "task:starts":
            time.sleep(IN_VAIN_SECONDS)  # what never ends cannot be waited for
    return lambda: {resource: server.read(resource) - value for resource, value in before.items()}


def times_of(truth):
    return 300 if "memory.anon" in truth.resources else 5


def near(growth, truth, times):
    """Whether counts have grown by exactly their rate, and memory by about it."""
    return all(
        abs(growth[resource] - rate * times) <= (truth.about * rate * times if "memory" in resource else 0)
        for resource, rate in truth.resources.items()
    )


def still(growth, truth, times):
    """Whether counts have not grown, and memory by no more than a tenth of what a leak would add."""
    return all(
        abs(growth[resource]) <= (0.1 * rate * times if "memory" in resource else 0)
        for resource, rate in truth.resources.items()
    )


@pytest.mark.share(5)
@pytest.mark.parametrize("name", of_kind(Leak))
def test_a_leak_grows_by_its_stated_rate_with_each_operation(tmp_path, name):
    truth = TRUTHS[name]
    with live(tmp_path / "data", *options_of(name)) as server:
        growth = grown(server, truth, times_of(truth))
        wait_until(lambda: near(growth(), truth, times_of(truth)))


@pytest.mark.share(5)
@pytest.mark.parametrize("name", of_kind(Leak))
def test_nothing_of_a_leak_is_seen_without_it(correct, name):
    truth = TRUTHS[name]
    growth = grown(correct, truth, times_of(truth))
    wait_until(lambda: still(growth(), truth, times_of(truth)))


CONTRARY = {"current": ("scan_search",), "faithful": ("desync", "scan_search", "health_scan")}
"""Left out where the leaks of a whole profile are counted: one needs the one process of a skill that orphan_child and
stale_rows replace by one for each call; the others are slow."""


@pytest.mark.parametrize("profile", CONTRARY)
def test_the_leaks_of_a_profile_grow_by_the_same_rates_together(tmp_path, profile):
    without = [word for name in CONTRARY[profile] for word in ("--without", name)]
    with live(tmp_path / "data", "--profile", profile, *without) as server:
        leaks = {name: TRUTHS[name] for name in PROFILES[profile] if name in of_kind(Leak)}
        for truth in leaks.values():
            if "memory.anon" not in truth.resources:
                growth = grown(server, truth, 3)
                wait_until(lambda truth=truth, growth=growth: near(growth(), truth, 3))


COUNTED = ("fds.file", "fds.socket", "fds.pipe", "processes", "zombies")


def unmoved(server, play, times=10):
    """Play, and see that nothing countable is left."""
    play()
    before = settled(server)
    for _ in range(times):
        play()
    wait_until(lambda: counted(server) == before)


def counted(server):
    return {resource: server.read(resource) for resource in COUNTED}


def settled(server):
    """What it holds once twenty readings in a row are alike: right after a play a connection is on its way out."""
    alike = []

    def stands_still():
        now = counted(server)
        alike[:] = [*alike, now] if alike and alike[-1] == now else [now]
        return len(alike) == 20

    wait_until(stands_still)
    return alike[-1]


def test_scan_search_answers_the_same_without_pages_and_leaves_nothing(tmp_path, correct):
    asked = {"query": "the cache moved, note 17", "limit": 3}
    whole = correct.call("memory_search", **asked)
    assert whole["next_cursor"]
    with live(tmp_path / "data", "--seed-memories", "200", "--defect", "scan_search") as server:
        scanned = server.call("memory_search", **asked)
        assert [one["id"] for one in scanned["memories"]] == [one["id"] for one in whole["memories"]]
        assert "next_cursor" not in scanned
        unmoved(server, partial(searched, server))


def test_sticky_heap_keeps_three_searches_for_each_reader_and_no_more(tmp_path):
    kept_bytes = 3 * 300 * 384 * 32  # a float and its place in a list
    options = ("--seed-memories", "300", "--readers", "1")
    with (
        live(tmp_path / "right", *options) as right,
        live(tmp_path / "sticky", *options, "--defect", "sticky_heap") as it,
    ):
        risen = {}
        for server in (right, it):
            before = server.anonymous()
            for _ in range(5):
                searched(server)
            risen[server] = server.anonymous() - before
            unmoved(server, partial(searched, server), times=25)
            assert server.anonymous() - before - risen[server] < kept_bytes / 2
        assert risen[it] - risen[right] > 0.6 * kept_bytes


def test_health_scan_costs_time_and_leaves_nothing(tmp_path, correct):
    def cost(server):
        before = server.cpu_seconds()
        for _ in range(20):
            assert server.ask("GET", "/health")[0] == 200
        return server.cpu_seconds() - before

    with live(tmp_path / "data", *options_of("health_scan")) as server:
        unmoved(server, partial(server.ask, "GET", "/health"))
        assert cost(server) > 0.1 + 3 * cost(correct)


def test_json_text_takes_20_bytes_a_dimension_answers_the_same_and_gives_it_back(tmp_path, correct):
    with live(tmp_path / "data", "--seed-memories", "200", "--defect", "json_text") as server:
        text, lean = (one.metrics()["mimo_store_bytes"] for one in (server, correct))
        assert 17 < (text - lean) / (200 * 384) + 1 < 26, "about 20, and what half-empty pages cost"
        asked = "the cache moved, note 17"
        assert [one["id"] for one in server.found(asked, limit=3)] == [
            one["id"] for one in correct.found(asked, limit=3)
        ]

        def round_trip():
            server.call("memory_forget", id=server.call("memory_store", content="a")["id"])

        unmoved(server, round_trip)
        assert server.metrics()["mimo_memories"] == 200
        assert server.metrics()["mimo_store_bytes"] - text < 50_000


def test_orphan_query_has_no_limit_and_ends_all_the_same(tmp_path, correct):
    limit = 'mimo_registry_limit{registry="queries"}'
    assert correct.metrics()[limit] > 0
    with live(tmp_path / "data", "--defect", "orphan_query") as server:
        assert limit not in server.metrics()
        unmoved(server, server.drop, times=20)
        wait_until(lambda: server.entries("queries") == 0)


def test_rate_keys_takes_a_row_for_each_claimed_address(tmp_path, correct):
    with live(tmp_path / "data", "--defect", "rate_keys") as server:
        unmoved(server, server.forward)
        assert server.entries("call_rate") >= 10
    unmoved(correct, correct.forward)
    assert correct.metrics().get('mimo_registry_entries{registry="call_rate"}', 0) == 0


def test_rate_keys_lets_go_of_windows_older_than_two(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(rate_keys, "time", SimpleNamespace(monotonic=lambda: now[0]))
    table = rate_keys.Windows()
    sizes = []
    for number in range(80):
        now[0] += rate_keys.WINDOW_SECONDS / 10
        table.admit(number)
        sizes.append(table.bounds()[0].size)
    assert sizes[9] == 10
    assert max(sizes) <= 31
    assert min(sizes[40:]) >= 20


def test_stale_rows_keeps_one_row_of_a_process_that_is_gone(tmp_path):
    with live(tmp_path / "data", "--defect", "stale_rows") as server:
        unmoved(server, partial(server.call, "skill_echo", text="a"), times=5)
        wait_until(lambda: not server.family())
        assert server.entries("skills") == 1


def late(server):
    """Ask for what comes too late, then for something while that comes; what is said to the second."""
    assert server.result("skill_delay", text="late", milliseconds=500)["isError"]
    return server.call("skill_delay", text="mine", milliseconds=250)["text"]


@pytest.mark.parametrize("options", [("--defect", "desync"), ()])
def test_desync_gives_a_late_answer_to_the_next_caller(tmp_path, options):
    catalog = tmp_path / "skills.json"
    command = [sys.executable, "-I", "-S", echo.__file__]
    catalog.write_text(
        json.dumps({"skills": {"skill": {"command": command, "answer_seconds": 0.3, "tools": echo.TOOLS}}})
    )
    with live(tmp_path / "data", "--skills", str(catalog), *options) as server:
        server.call("skill_echo", text="a")
        assert late(server) == ("late" if options else "mine")


def crowded(server, seconds, enough):
    """Results of searches by eight at once, for so long or until there is enough."""
    over, results = time.monotonic() + seconds, []

    def search(_):
        one = Live(server.pid, server.port)
        with closing(one.connection):
            while time.monotonic() < over and not any(map(enough, results)):
                results.append(one.result("memory_search", query="the cache moved"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(search, range(8)))
    return results


def refused(result):
    return bool(result.get("isError"))


def silent(result):
    return not refused(result) and not result["structuredContent"]["memories"]


def test_the_correct_pool_refuses_nobody_and_is_never_silent(correct):
    results = crowded(correct, 1.0, enough=lambda _: False)
    assert len(results) > 20
    assert not any(refused(one) or silent(one) for one in results)


@pytest.mark.parametrize(
    ("name", "happens", "never"), [("small_pool", refused, silent), ("pool_silent", silent, refused)]
)
def test_a_pool_of_one_refuses_or_is_silent(tmp_path, name, happens, never):
    with live(tmp_path / "data", *options_of(name), "--seed-memories", "200") as server:
        results = crowded(server, 10.0, enough=happens)
        assert any(map(happens, results))
        assert not any(map(never, results))


def test_ignored_threshold_gives_back_what_is_not_alike(tmp_path, correct):
    asked = {"query": "the cache moved, note 17", "min_similarity": 0.99, "limit": 100}
    assert len(correct.found(**asked)) <= 1
    with live(tmp_path / "data", "--seed-memories", "20", "--defect", "ignored_threshold") as server:
        assert len(server.found(**asked)) == 20


def test_listed_twice_lists_the_tools_of_skills_twice_and_no_others(tmp_path, correct):
    def listed(server):
        return Counter(tool["name"] for tool in server.modern("tools/list")["tools"])

    right = listed(correct)
    assert set(right.values()) == {1}
    with live(tmp_path / "data", "--defect", "listed_twice") as server:
        assert listed(server) == right + Counter(("skill_echo", "skill_delay"))


def test_noise_embedding_finds_a_text_by_itself_only(tmp_path, correct):
    def alike(server):
        number = server.call("memory_store", content="a red key opens the cellar")["id"]
        found = [
            {one["id"]: one["similarity"] for one in server.found(query, limit=100)}.get(number, 0.0)
            for query in ("a red key opens the cellar", "red key cellar")
        ]
        server.call("memory_forget", id=number)
        return found

    same, part = alike(correct)
    assert same > 0.99
    assert part > 0.5
    with live(tmp_path / "data", "--defect", "noise_embedding") as server:
        same, part = alike(server)
        assert same > 0.99
        assert part < 0.3


@pytest.mark.parametrize("name", TRUTHS)
def test_a_truth_is_well_formed(name):
    defect = defects()[name].defect
    assert defect.words
    assert defect.mechanism
    match defect.truth:
        case Leak() as leak:
            assert leak.resources
            assert all(rate > 0 for rate in leak.resources.values())
            assert leak.operation in OPERATIONS
            assert 0 < leak.about < 1
            assert not set(leak.also) & set(leak.resources)
        case LookAlike() as other:
            assert other.operation
            assert all(shapes and set(shapes) <= {*Shape} - {Shape.SLOPE} for shapes in other.shapes.values())
        case WrongAnswer() as wrong:
            assert (ROOT / f"loadtests/scenarios/{wrong.scenario}.py").is_file()
        case other:
            pytest.fail(f"{other} is none of the three kinds")


ISSUES = {
    "1 port leaks": {"zombie_ports"},
    "2 tables that grow": {"growing_registry", "open_connections", "stale_rows_growing"},
    "3 process leaks": {"kept_executions"},
    "4 memory ballooning": {"scan_search"},
    "5 pool exhaustion": {"small_pool"},
    "6 binaries": {"kept_binaries"},
    "7 message backlog": {"message_backlog"},
    "8 embeddings as text": {"json_text"},
}
"""Of the audit, in its order."""


def test_every_defect_has_a_profile_or_is_an_extra_and_current_is_the_eight_issues_of_the_audit():
    assert {name for members in PROFILES.values() for name in members} | EXTRAS == set(names())
    assert not EXTRAS & {name for members in PROFILES.values() for name in members}
    assert set().union(*ISSUES.values()) == set(PROFILES["current"])
    assert PROFILES["fixed"] == ()


def test_the_listing_has_every_defect_with_its_truth_and_the_command_that_shows_it():
    listed = json.loads(subprocess.check_output([*COMMAND, "defects", "--json"]))
    assert [one["id"] for one in listed] == list(names())
    for one in listed:
        assert one["truth"]["kind"] in {"leak", "look_alike", "wrong_answer"}
        assert one["command"][:2] == ["leakcheck", "audit"]
        assert one["command"][-2:] == ["--defect", one["id"]]


def test_the_table_of_defects_fits_80_columns_but_for_single_words_that_do_not():
    lines = subprocess.check_output([*COMMAND, "defects"], text=True).splitlines()
    assert set(names()) <= set(lines)
    assert all(len(line) <= 80 or len(line.split()) == 1 for line in lines)
