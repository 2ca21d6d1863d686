"""The reference server from outside: over stdio with the SDK's own client, through /proc and its metrics page."""

from __future__ import annotations

import asyncio
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

import numpy as np
import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.shared.exceptions import MCPError

from mimo_server.defects import PROFILES, defects
from mimo_server.errors import LimitError, SettingsError
from mimo_server.memory.codec import Int8Codec
from mimo_server.memory.embed import LexicalEmbedder
from mimo_server.memory.index import FlatIndex
from mimo_server.memory.record import Category, Draft
from mimo_server.memory.store import SqliteStore
from mimo_server.supervision.registry import Registry

SERVER = [sys.executable, "-P", "-m", "mimo_server"]
SMALLEST = {
    "memory_search": {"query": "a"},
    "memory_stats": {},
    "memory_store": {"content": "a"},
    "memory_forget": {},
    "skill_echo": {"text": "a"},
    "agent_ping": {},
    "interrupt_check": {},
}
READING = ("memory_search", "memory_stats", "skill_echo", "agent_ping", "interrupt_check")


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
        async with live(tmp_path) as server:
            tools = {tool.name: tool for tool in (await server.session.list_tools()).tools}
            assert set(tools) == set(SMALLEST)
            for name, arguments in SMALLEST.items():
                await server.call(name, **arguments)  # the client checks the answer against the output schema
                assert tools[name].input_schema["additionalProperties"] is False
            for name, tool in tools.items():
                assert tool.annotations.read_only_hint is (name in READING)
                assert tool.annotations.open_world_hint is False
            assert tools["memory_forget"].annotations.destructive_hint is True

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
    ("memory_forget", {"id": 0}, "id"),
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
    """What `read` rose by over the calls, after one call that starts whatever is started lazily."""
    await server.call(tool, **SMALLEST[tool])
    before = read()
    await asyncio.gather(*(server.call(tool, **SMALLEST[tool]) for _ in range(calls)))
    return read() - before


STORED = ("mimo_memories", "mimo_store_bytes", "mimo_connections", "mimo_skill_processes")
INTERRUPTS = 'mimo_registry_entries{registry="interrupts"}'


def test_the_correct_server_leaves_nothing_behind_by_any_reading_tool(tmp_path):
    async def scenario():
        async with live(tmp_path) as server:
            for tool in READING:
                assert await growth(server, tool, lambda: len(links(server.pid))) == 0
                assert await growth(server, tool, lambda: len(children(server.pid))) == 0
            figures = server.metrics()
            assert figures["mimo_skill_processes"] == len(children(server.pid)) == 1
            assert figures["mimo_connections"] == figures[INTERRUPTS] == 0
            assert figures['mimo_registry_high_water{registry="interrupts"}'] >= 1
            assert figures['mimo_registry_limit{registry="connections"}'] == 64

    asyncio.run(scenario())


def test_orphan_child_leaves_one_process_per_call_and_none_of_our_descriptors(tmp_path, orphans):
    async def scenario():
        async with live(tmp_path, "--defect", "orphan_child") as server:
            sockets = server.sockets()
            grown = await growth(server, "skill_echo", lambda: len(children(server.pid)))
            orphans.update(children(server.pid))
            assert grown == 20
            assert server.sockets() == sockets
            assert await growth(server, "agent_ping", server.sockets) == 0
            assert server.metrics()["mimo_skill_processes"] == 0

    asyncio.run(scenario())
    assert len(orphans) == 21
    assert not any(ended(pid) for pid in orphans), "an orphan has to outlive its server to be one"


def test_open_connections_leaves_one_socket_per_call(tmp_path):
    async def scenario():
        async with live(tmp_path, "--defect", "open_connections") as server:
            assert await growth(server, "agent_ping", server.sockets) == 20
            assert server.metrics()["mimo_connections"] == 21
            assert await growth(server, "skill_echo", lambda: len(links(server.pid))) == 0
            assert await growth(server, "interrupt_check", lambda: server.metrics()[INTERRUPTS]) == 0

    asyncio.run(scenario())


def test_growing_registry_keeps_one_entry_per_call(tmp_path):
    async def scenario():
        async with live(tmp_path, "--defect", "growing_registry") as server:
            assert await growth(server, "interrupt_check", lambda: server.metrics()[INTERRUPTS]) == 20
            assert await growth(server, "agent_ping", server.sockets) == 0
            assert len(children(server.pid)) == 0

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


def test_json_text_scan_stores_more_answers_the_same_and_leaves_nothing(tmp_path):
    async def scenario(*options):
        async with live(tmp_path, "--seed-memories", "200", *options) as server:
            figures = server.metrics()
            found = (await server.call("memory_search", query="the cache moved, note 17"))["memories"]
            assert await growth(server, "memory_search", lambda: len(links(server.pid))) == 0
            after = server.metrics()
            assert [after[name] for name in STORED] == [figures[name] for name in STORED]
            assert figures["mimo_memories"] == 200
            return figures["mimo_store_bytes"], [memory["id"] for memory in found[:3]]

    lean, expected = asyncio.run(scenario())
    text, found = asyncio.run(scenario("--defect", "json_text_scan"))
    assert found == expected
    assert 17 < (text - lean) / (200 * 384) + 1 < 26, "about 20 bytes a dimension, and what half-empty pages cost"


def test_profile_current_has_all_of_its_defects_but_those_left_out(tmp_path, orphans):
    async def scenario():
        started = time.monotonic()
        async with live(tmp_path, "--profile", "current", "--without", "growing_registry") as server:
            assert time.monotonic() - started < 6  # 2 s on an idle machine
            assert server.metrics()["mimo_memories"] == 1000
            assert await growth(server, "agent_ping", server.sockets, calls=3) == 3
            assert await growth(server, "interrupt_check", lambda: server.metrics()[INTERRUPTS], calls=3) == 0
            grown = await growth(server, "skill_echo", lambda: len(children(server.pid)), calls=3)
            orphans.update(children(server.pid))
            assert grown == 3

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
    answers = []
    for number in (3, 4):  # the first call may be the one that notices
        raw.process.stdin.write(line("tools/call", number, name="skill_echo", arguments={"text": "b"}))
        raw.process.stdin.flush()
        answers.append(json.loads(raw.process.stdout.readline())["result"])
    assert answers[-1]["structuredContent"] == {"text": "b"}
    assert len(children(raw.process.pid)) == 1


def test_lines_that_are_no_messages_are_answered_and_the_conversation_goes_on(raw):
    raw.process.stdin.write(b'garbage\n{"no": "message"}\n' + line("ping", 3))
    raw.process.stdin.flush()
    answers = [json.loads(raw.process.stdout.readline()) for _ in range(3)]
    assert {answer.get("error", {}).get("code") for answer in answers} == {-32700, -32600, None}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--defect", "nope"], "there is no defect 'nope'; choose from growing_registry"),
        (["--metrics-port", "70000"], "'70000' is no whole number from 0 to 65535"),
        (["--dimensions", "many"], "'many' is no whole number from 8 to 4096"),
        (["--profile", "perfect"], "'perfect'"),
        (["--port", "1"], "--port 1"),
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


def test_the_listing_has_every_defect_with_its_truth():
    listed = json.loads(subprocess.check_output([*SERVER, "defects", "--json"]))
    assert {defect["id"]: defect["truth"]["kind"] for defect in listed} == {
        "growing_registry": "leak",
        "json_text_scan": "look_alike",
        "kept_rejects": "leak",
        "kept_session": "leak",
        "open_connections": "leak",
        "orphan_child": "leak",
    }
    for defect in listed:
        assert defect["words"]
        assert defect["truth"]["operation"].removeprefix("call:") in {*READING, "session", "reject"}
    table = subprocess.check_output([*SERVER, "defects"], text=True)
    assert all(f"\n{name}\n" in f"\n{table}" for name in defects())
    assert max(map(len, table.splitlines())) <= 80


def test_profiles_name_only_defects_that_exist():
    assert PROFILES["fixed"] == ()
    assert set(PROFILES["current"]) <= set(defects())


def test_the_server_never_imports_the_toolkit():
    program = (
        "import sys, mimo_server.surface.server as _; print([m for m in sys.modules if m.startswith('leakcheck')])"
    )
    assert subprocess.check_output([sys.executable, "-P", "-c", program], text=True) == "[]\n"


@pytest.fixture
def store(tmp_path) -> Iterator[SqliteStore]:
    store = SqliteStore(64)
    store.open(tmp_path / "m.sqlite3")
    yield store
    store.close()


def draft(content, category=Category.FACT):
    return Draft(content=content, category=category, importance=0.5)


def test_the_file_shrinks_when_memories_are_forgotten(store, tmp_path):
    empty = store.facts().live_bytes
    store.add([draft("word " * 200 + str(number)) for number in range(2000)])
    full = store.facts().live_bytes
    assert store.forget(everything=True) == 2000
    assert store.facts().live_bytes <= empty + 4096
    assert sum(file.stat().st_size for file in tmp_path.glob("m.sqlite3*") if file.suffix != ".sqlite3-shm") < full / 10


def test_a_store_opened_again_finds_the_same_with_the_same_similarity(tmp_path):
    answers = []
    for _ in range(2):
        store = SqliteStore(64)
        store.open(tmp_path / "m.sqlite3")
        if not answers:
            store.add([draft("a red key"), draft("a blue door")])
        answers.append(store.search("red", 2, 0.0))
        store.close()
    assert answers[0] == answers[1]
    other = SqliteStore(32)
    with pytest.raises(SettingsError, match=r"int8/64.*int8/32"):
        other.open(tmp_path / "m.sqlite3")
    other.close()


def test_an_int8_embedding_is_within_half_a_step_of_the_exact_one():
    vector = LexicalEmbedder(384).embed(["the quick brown fox jumps over the lazy dog"])[0]
    stored = Int8Codec().encode(vector)
    assert len(stored) == 4 + 384
    assert np.abs(Int8Codec().decode(stored) - vector).max() <= np.abs(vector).max() / 254 * 1.001


@pytest.mark.parametrize("dimensions", [8, 9, 384, 1536])
def test_embeddings_are_dense_unit_vectors_and_likeness_follows_shared_words(dimensions):
    near, far, base = LexicalEmbedder(dimensions).embed(["a red key", "umbrella weather", "the red key"])
    assert np.linalg.norm(base) == pytest.approx(1, abs=1e-5)
    assert np.count_nonzero(base) >= dimensions - 1
    assert near @ base > far @ base


def test_an_index_forgets_what_was_removed_and_keeps_the_rest_across_its_shrinking():
    vectors = np.eye(8, dtype=np.float32)
    index = FlatIndex(8)
    index.add(list(range(10, 18)), vectors)
    index.remove([10, 11, 12, 13, 14])
    assert [number for number, similarity in index.nearest(vectors[7], 8) if similarity > 0.5] == [17]
    assert {number for number, _ in index.nearest(vectors[7], 8)} == {15, 16, 17}


def test_a_full_registry_turns_away_and_counts_it():
    registry: Registry[str] = Registry("seats", limit=1)
    with registry.holding("first"):
        with pytest.raises(LimitError, match="seats: 1 at once"):
            registry.add("second")
        assert len(registry) == 1
    bound = registry.bound()
    assert (bound.size, bound.high_water, bound.rejected) == (0, 1, 1)
