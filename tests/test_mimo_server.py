"""The reference server from outside: over stdio with the SDK's own client, through /proc and its metrics page."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.shared.exceptions import MCPError

SERVER = [sys.executable, "-P", "-m", "mimo_server"]
SMALLEST = {
    "memory_search": {"query": "a"},
    "memory_search_many": {"searches": [{"query": "a"}]},
    "memory_nearest": {"embedding": [1.0] * 384},
    "memory_get": {"id": 1},
    "memory_stats": {},
    "memory_store": {"content": "a"},
    "memory_store_many": {"memories": [{"content": "a"}]},
    "memory_forget": {},
    "skills_reload": {},
    "skill_echo": {"text": "a"},
    "skill_delay": {"text": "a", "milliseconds": 0},
    "agent_ping": {},
    "interrupt_check": {},
    "procedure_list": {},
    "procedure_run": {"name": "remember_and_find", "context": {"content": "a"}},
    "procedure_status": {},
    "procedure_send": {"event": "go"},
    "procedure_interrupt": {},
}
"""What is not known before there is a server is added in the test: the id of an execution."""
READING = (
    *("memory_search", "memory_search_many", "memory_nearest", "memory_get", "memory_stats"),
    *("procedure_list", "procedure_status", "skill_echo", "skill_delay", "agent_ping", "interrupt_check"),
)

pytestmark = pytest.mark.share(2)


@dataclass
class Live:
    session: ClientSession
    pid: int
    port: int

    async def call(self, tool, **arguments):
        answer = await self.session.call_tool(tool, arguments)
        assert not answer.is_error, answer.content
        return answer.structured_content

    def sockets(self):
        return sum(target.startswith("socket:") for target in links(self.pid))

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as page:
            lines = page.read().decode().splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def links(pid):
    found = []
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):
            found.append(os.readlink(entry.path))  # noqa: PTH115 -- the target is no path
    return found


def children(pid):
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def wait_until(condition, seconds=2.0):
    deadline, pause = time.monotonic() + seconds, 0.005
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(pause)
        pause *= 2


def ended(pid):
    """Gone, or a zombie that only waits for its new parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@asynccontextmanager
async def live(tmp_path, *options) -> AsyncIterator[Live]:
    log = tmp_path / "server.log"
    parameters = StdioServerParameters(
        command=SERVER[0], args=[*SERVER[1:], "--metrics-port", "0", *options], env={"TMPDIR": str(tmp_path)}
    )
    before = set(children(os.getpid()))
    with log.open("w") as errors:
        async with stdio_client(parameters, errlog=errors) as streams, ClientSession(*streams) as session:
            await session.initialize()
            (pid,) = set(children(os.getpid())) - before
            port = int(log.read_text().partition("http://127.0.0.1:")[2].partition("/")[0])
            yield Live(session, pid, port)


@pytest.fixture
def orphans() -> Iterator[set[int]]:
    """Processes that a defect leaves behind: ended here, one by one."""
    found: set[int] = set()
    yield found
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_every_tool_works_with_its_smallest_arguments_and_answers_as_its_schema_says(tmp_path):
    async def scenario():
        async with live(tmp_path, "--seed-memories", "1") as server:
            tools = {tool.name: tool for tool in (await server.session.list_tools()).tools}
            assert set(tools) == set(SMALLEST)
            run = (await server.call("procedure_run", name="wait_for_event", wait=False))["id"]
            for name, arguments in SMALLEST.items():
                which = {"id": run} if "id" in tools[name].input_schema.get("required", ()) else {}
                await server.call(name, **(which | arguments))  # the client checks the answer against its schema
                assert tools[name].input_schema["additionalProperties"] is False
            for name, tool in tools.items():
                assert tool.annotations.read_only_hint is (name in READING)
                assert tool.annotations.open_world_hint is False
            assert [name for name, tool in tools.items() if tool.annotations.destructive_hint] == ["memory_forget"]

    asyncio.run(scenario())


def test_what_was_stored_is_found_and_what_was_forgotten_is_not(tmp_path):
    async def scenario():
        async with live(tmp_path) as server:
            keys = (await server.call("memory_store", content="The red key opens the cellar", category="fact"))["id"]
            await server.call("memory_store", content="Lunch is at noon", category="plan")
            found = (await server.call("memory_search", query="red cellar key"))["memories"]
            assert found[0]["id"] == keys
            assert found[0]["category"] == "fact"
            assert found[0]["similarity"] > 0.5 > found[1]["similarity"]
            only = await server.call("memory_search", query="red cellar key", limit=1, min_similarity=0.5)
            assert [memory["id"] for memory in only["memories"]] == [keys]
            assert await server.call("memory_forget") == {"forgotten": 0}
            assert await server.call("memory_forget", id=keys) == {"forgotten": 1}
            assert await server.call("memory_forget", id=keys) == {"forgotten": 0}
            assert await server.call("memory_forget", category="plan") == {"forgotten": 1}
            assert (await server.call("memory_search", query="red cellar key"))["memories"] == []
            assert (await server.call("memory_stats"))["memories"] == 0

    asyncio.run(scenario())


WRONG = (
    ("memory_search", {}, "query"),
    ("memory_search", {"query": ""}, "query"),
    ("memory_search", {"query": "a", "limit": 101}, "limit"),
    ("memory_search", {"query": "a", "limit": "10"}, "limit"),
    ("memory_search", {"query": "a", "other": 1}, "other"),
    ("memory_store", {"content": "a", "category": "gossip"}, "category"),
    ("memory_store", {"content": "a", "importance": 1.5}, "importance"),
    ("memory_store", {"content": "a", "embedding": [1.0, "2"]}, "embedding"),
    ("memory_nearest", {"embedding": [1.0]}, "384"),
    ("memory_get", {"id": 10**6}, "1000000"),
    ("memory_get", {"id": True}, "id"),
    ("memory_forget", {"id": 0}, "id"),
    ("procedure_run", {"name": "nope"}, "nope"),
    ("procedure_status", {"id": "nope"}, "nope"),
    ("skill_echo", {}, "text"),
    ("agent_ping", {"agent": "../a"}, "agent"),
)


def test_wrong_arguments_and_unknown_tools_are_errors_that_name_them(tmp_path):
    async def scenario():
        async with live(tmp_path) as server:
            for tool, arguments, named in WRONG:
                answer = await server.session.call_tool(tool, arguments)
                assert answer.is_error, (tool, arguments)
                assert named in answer.content[0].text
            with pytest.raises(MCPError, match="no tool 'nope'"):
                await server.session.call_tool("nope", {})

    asyncio.run(scenario())


async def growth(server, tool, read, calls=20):
    """What `read` rose by over the calls, after one call that starts whatever is started lazily.

    Five at once: from the ninth on a skill would get a second process.
    """
    await server.call(tool, **SMALLEST[tool])
    before = read()
    for done in range(0, calls, 5):
        await asyncio.gather(*(server.call(tool, **SMALLEST[tool]) for _ in range(min(5, calls - done))))
    return read() - before


def of_registry(name, what="entries"):
    return f'mimo_registry_{what}{{registry="{name}"}}'


def test_the_correct_server_leaves_nothing_behind_by_any_reading_tool(tmp_path):
    async def scenario():
        async with live(tmp_path, "--seed-memories", "1") as server:
            for tool in set(READING) - {"procedure_status"}:
                assert await growth(server, tool, lambda: len(links(server.pid))) == 0
                assert await growth(server, tool, lambda: len(children(server.pid))) == 0
            figures = server.metrics()
            assert figures[of_registry("skills")] == len(children(server.pid)) == 1
            for name in ("connections", "interrupts", "queries", "executions", "calls", "topic_subscriptions"):
                assert figures[of_registry(name)] == 0
            assert figures[of_registry("interrupts", "high_water")] >= 1
            assert figures[of_registry("connections", "limit")] == 64

    asyncio.run(scenario())


def test_orphans_outlive_their_server(tmp_path, orphans):
    async def scenario():
        async with live(tmp_path, "--defect", "orphan_child") as server:
            sockets = server.sockets()
            grown = await growth(server, "skill_echo", lambda: len(children(server.pid)), calls=5)
            orphans.update(children(server.pid))
            assert grown == 5
            assert server.sockets() == sockets
            assert server.metrics()[of_registry("skills")] == 0

    asyncio.run(scenario())
    assert len(orphans) == 6
    assert not any(ended(pid) for pid in orphans), "an orphan has to outlive its server to be one"


def test_open_connections_leaves_one_socket_per_call_and_none_for_other_tools(tmp_path):
    async def scenario():
        async with live(tmp_path, "--defect", "open_connections") as server:
            assert await growth(server, "agent_ping", server.sockets) == 20
            assert server.metrics()[of_registry("connections")] == 21
            assert await growth(server, "skill_echo", lambda: len(links(server.pid))) == 0
            assert await growth(server, "interrupt_check", lambda: server.metrics()[of_registry("interrupts")]) == 0

    asyncio.run(scenario())


def test_kept_rejects_leaves_one_open_file_per_refusal_over_stdio_too(tmp_path):
    async def scenario():
        async with live(tmp_path, "--defect", "kept_rejects") as server:
            await server.call("memory_stats")
            before = sum(target.startswith("/") for target in links(server.pid))
            for _ in range(5):
                assert (await server.session.call_tool("agent_ping", {"agent": "../a"})).is_error
                with pytest.raises(MCPError):
                    await server.session.call_tool("nope", {})
                await server.call("agent_ping")
            assert sum(target.startswith("/") for target in links(server.pid)) - before == 10
            assert server.metrics()["mimo_refused_requests_total"] == 10

    asyncio.run(scenario())


def test_a_profile_has_its_defects_but_those_left_out(tmp_path):
    async def scenario():
        async with live(tmp_path, "--profile", "current", "--without", "growing_registry") as server:
            assert server.metrics()["mimo_memories"] == 1000  # for scan_search to have something to scan
            assert await growth(server, "agent_ping", server.sockets, calls=3) == 3
            assert await growth(server, "interrupt_check", lambda: server.metrics()[of_registry("interrupts")]) == 0

    asyncio.run(scenario())


def line(method, number=None, **params):
    message = {"jsonrpc": "2.0", "method": method, "params": params} | ({} if number is None else {"id": number})
    return json.dumps(message).encode() + b"\n"


HELLO = line(
    "initialize", 1, protocolVersion="2025-06-18", capabilities={}, clientInfo={"name": "test", "version": "1"}
) + line("notifications/initialized")


@dataclass
class Raw:
    process: subprocess.Popen
    child: int


@pytest.fixture
def raw(tmp_path) -> Iterator[Raw]:
    """A server with one skill process, spoken to without the SDK."""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        SERVER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        try:
            process.stdin.write(HELLO + line("tools/call", 2, name="skill_echo", arguments={"text": "a"}))
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["id"] == 1
            assert json.loads(process.stdout.readline())["result"]["structuredContent"] == {"text": "a"}
            (child,) = children(process.pid)
            assert list(tmp_path.iterdir()), "the memories are in a private folder"
            yield Raw(process, child)
        finally:
            process.kill()


def test_it_ends_with_its_stdin_and_leaves_no_process_and_no_file(raw, tmp_path):
    raw.process.stdin.write(b"".join(line("tools/call", n, name="memory_stats", arguments={}) for n in range(3, 40)))
    raw.process.stdin.close()  # in mid-call
    assert raw.process.wait(timeout=2) == 0
    assert ended(raw.child)
    assert list(tmp_path.iterdir()) == []


def test_it_ends_on_sigterm_while_the_client_is_silent(raw, tmp_path):
    raw.process.terminate()
    assert raw.process.wait(timeout=2) == 0
    assert ended(raw.child)
    assert list(tmp_path.iterdir()) == []


def test_a_skill_that_was_killed_is_started_again(raw):
    os.kill(raw.child, signal.SIGKILL)
    wait_until(lambda: ended(raw.child))
    numbers, failures = itertools.count(3), []

    def answered():
        raw.process.stdin.write(line("tools/call", next(numbers), name="skill_echo", arguments={"text": "b"}))
        raw.process.stdin.flush()
        result = json.loads(raw.process.stdout.readline())["result"]
        if result.get("isError"):
            failures.append(result["content"][0]["text"])
        return result.get("structuredContent") == {"text": "b"}

    wait_until(answered, 5.0)
    assert all("the next call starts it again" in failure for failure in failures)
    wait_until(lambda: len(children(raw.process.pid)) == 1)


def test_lines_that_are_no_messages_are_answered_and_the_conversation_goes_on(raw):
    raw.process.stdin.write(b'garbage\n{"no": "message"}\n' + line("ping", 3))
    raw.process.stdin.flush()
    answers = [json.loads(raw.process.stdout.readline()) for _ in range(3)]
    assert {answer.get("error", {}).get("code") for answer in answers} == {-32700, -32600, None}


def asked_to_wait(tmp_path, milliseconds, *options):
    """A server over stdio that has been asked for a delayed answer and, in that call, to end."""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    pipe = subprocess.PIPE
    process = subprocess.Popen([*SERVER, *options], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environment)
    process.stdin.write(HELLO + line("tools/call", 2, name="skill_echo", arguments={"text": "a"}))
    process.stdin.flush()
    assert [json.loads(process.stdout.readline())["id"] for _ in range(2)] == [1, 2]
    (child,) = children(process.pid)
    given = {"text": "waited", "milliseconds": milliseconds}
    process.stdin.write(line("tools/call", 3, name="skill_delay", arguments=given) + line("ping", 4))
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["id"] == 4  # so 3 has been read
    process.terminate()
    return Raw(process, child)


def test_sigterm_over_stdio_lets_a_call_finish_and_takes_no_new_one(tmp_path):
    server = asked_to_wait(tmp_path, 500)
    with server.process as process:
        time.sleep(0.1)  # it has no way to say that it has stopped to read
        process.stdin.write(line("tools/call", 5, name="memory_stats", arguments={}))
        process.stdin.flush()
        answers = [json.loads(answer) for answer in process.stdout]
        assert [answer["id"] for answer in answers] == [3]
        assert answers[0]["result"]["structuredContent"] == {"text": "waited"}
        assert process.wait(timeout=5) == 0
    assert ended(server.child)
    assert list(tmp_path.iterdir()) == []


def test_sigterm_over_stdio_gives_up_a_call_that_is_longer_than_the_grace(tmp_path):
    server = asked_to_wait(tmp_path, 8000, "--grace", "0.5s")
    started = time.monotonic()
    with server.process as process:
        assert not any("result" in json.loads(answer) for answer in process.stdout)
        assert process.wait(timeout=5) == 0
        assert 0.4 < time.monotonic() - started < 4
    assert ended(server.child)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--defect", "nope"], "there is no defect 'nope'; choose from "),
        (["--metrics-port", "70000"], "'70000' is no whole number from 0 to 65535"),
        (["--dimensions", "many"], "'many' is no whole number from 8 to 4096"),
        (["--profile", "perfect"], "'perfect'"),
        (["--port", "1"], "there is no '--port' here; the nearest is --"),
        (["defects", "--yaml"], "--yaml"),
        (["--data", "/dev/null/x"], "choose one that you may write"),
    ],
)
def test_a_wrong_option_exits_2_and_says_what_to_do(options, named):
    done = subprocess.run([*SERVER, *options], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert named in done.stderr
    assert done.stdout == ""


def test_a_metrics_port_that_is_taken_exits_2(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [*SERVER, "--metrics-port", port], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    assert f"--metrics-port {port} on 127.0.0.1 cannot be opened" in done.stderr


def test_the_server_never_imports_the_toolkit():
    program = (
        "import sys, mimo_server.surface.server as _; print([m for m in sys.modules if m.startswith('leakcheck')])"
    )
    assert subprocess.check_output([sys.executable, "-P", "-c", program], text=True) == "[]\n"
