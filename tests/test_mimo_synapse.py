"""Agents over websockets: a real server on a port, real clients, and raw sockets that break off."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import socket
import struct
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import uvicorn
import websocket
from mcp.server.transport_security import TransportSecuritySettings
from starlette.responses import PlainTextResponse

from mimo_server.errors import InvalidError, LimitError, StoreError
from mimo_server.supervision.events import Events, Kind
from mimo_server.supervision.owner import Owner
from mimo_server.supervision.rates import RateLimit
from mimo_server.supervision.refusals import Refusals
from mimo_server.supervision.registry import Registry
from mimo_server.surface.auth import authorized
from mimo_server.surface.connection import connections
from mimo_server.surface.websocket import OPTIONS, with_synapse
from mimo_server.synapse import queries
from mimo_server.synapse.agent import Waits
from mimo_server.synapse.interrupts import Interrupted, Interrupts
from mimo_server.synapse.outbox import Outbox
from mimo_server.synapse.router import Router
from mimo_server.synapse.synapse import Synapse

pytestmark = pytest.mark.share(2)

HOSTS = TransportSecuritySettings(allowed_hosts=["127.0.0.1:*"], allowed_origins=["http://127.0.0.1:*"])
KEY = "A" * 22 + "=="


def wait_until(condition, seconds=10.0):
    deadline, pause = time.monotonic() + seconds, 0.005
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(pause)
        pause = min(2 * pause, 0.2)


class Running:
    """A server on a thread of its own; `ask` plays a function there."""

    def __init__(self, **options):
        self.token = options.pop("token", None)
        self.read_seconds = options.pop("read_seconds", 60)
        self.waits = options.pop("waits", Waits())
        self.options = options
        self.events, self.refusals = Events(), Refusals()
        self.places = Registry("http_connections", limit=256)
        self.searching = self.ended = 0
        self.eight = asyncio.Event()
        self.synapse = Synapse(self.events, search=self.search, **options)
        self.synapse.waits = self.waits
        self.problems = []

    async def search(self, query, limit):
        if query == "broken":
            raise StoreError("the disk is full")
        if query == "bug":
            raise ZeroDivisionError
        self.searching += 1
        try:
            if query == "slow":
                await asyncio.Event().wait()
            if query == "eight":  # of these, the first eight are in flight at once, whatever the machine does
                if self.searching == 8:
                    self.eight.set()
                await self.eight.wait()
            size = {"big": 800, "eight": 500, "huge": 4000}.get(query, 1)
            return [{"id": number, "content": query * size} for number in range(limit)]
        finally:
            self.searching -= 1
            self.ended += 1

    async def page(self, scope, receive, send):
        await PlainTextResponse("a page")(scope, receive, send)

    @contextmanager
    def live(self):
        thread = threading.Thread(target=lambda: asyncio.run(self.main()))
        self.ready = threading.Event()
        thread.start()
        try:
            assert self.ready.wait(10)
            yield self
        finally:
            self.loop.call_soon_threadsafe(self.stop.set)
            thread.join(20)
        assert not thread.is_alive()
        assert self.problems == []
        assert len(self.places) == 0

    async def main(self):
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
        self.loop.set_exception_handler(lambda _, context: self.problems.append(context))
        app = authorized(with_synapse(self.page, self.synapse, HOSTS, self.refusals), self.token, self.refusals)
        http = connections(self.places, self.read_seconds)
        config = uvicorn.Config(app, http=http, lifespan="off", log_config=None, timeout_graceful_shutdown=2, **OPTIONS)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)  # else the kernel takes megabytes
            server = uvicorn.Server(config)
            server.capture_signals = suppress  # on a thread there are none
            async with self.synapse:
                serving = asyncio.create_task(server.serve([listener]))
                while not server.started:  # noqa: ASYNC110 -- uvicorn tells nobody
                    await asyncio.sleep(0.001)
                self.ready.set()
                await self.stop.wait()
                server.should_exit = True
                await serving
            left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            assert left == []

    def ask(self, function):
        async def play():
            return function()

        return asyncio.run_coroutine_threadsafe(play(), self.loop).result(10)

    def bound(self, name):
        return next(bound for bound in self.ask(self.synapse.bounds) if bound.name == name)

    def standing(self):
        """What an agent leaves nothing of."""
        return self.ask(
            lambda: (
                {bound.name: bound.size for bound in self.synapse.bounds()}
                | {"http": len(self.places), "tasks": len(asyncio.all_tasks()), "searching": self.searching}
            )
        )

    def connect(self, **options):
        options.setdefault("timeout", 10)
        return websocket.create_connection(f"ws://127.0.0.1:{self.port}/synapse", **options)

    def upgrade(self, headers, path="/synapse"):
        """The status of the answer to an opening request, and what follows."""
        lines = [
            f"GET {path} HTTP/1.1",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {'A' * 22}==",
        ]
        if not any(header.startswith("Sec-WebSocket-Version") for header in headers):
            lines.append("Sec-WebSocket-Version: 13")
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as wire:
            wire.sendall("\r\n".join([*lines, *headers, "", ""]).encode())
            with wire.makefile("rb") as answer:
                status = int(answer.readline().split()[1])
                return status, b"" if status == 101 else answer.read()

    @contextmanager
    def agent(self, name="a", **options):
        wire = self.connect(**options)
        try:
            say(wire, type="hello", agent=name)
            assert hear(wire) == {"type": "welcome", "agent": name}
            yield wire
        finally:
            wire.close()
            wire.shutdown()  # `close` leaves the socket when the server closed first


@pytest.fixture
def running():
    with Running().live() as running:
        yield running


def say(wire, **message):
    wire.send(json.dumps(message))


def hear(wire):
    return json.loads(wire.recv())


def asked(wire, **message):
    say(wire, **message)
    return hear(wire)


def frame(payload, opcode=1, *, final=True, head=None):
    """As a client sends it, masked with zeros; `head` may lie about the length."""
    length = head if head is not None else len(payload)
    size = bytes([128 | length]) if length < 126 else b"\xff" + struct.pack("!Q", length)
    return bytes([128 * final | opcode]) + size + bytes(4) + payload


def closed(wire):
    """The code and reason with which the server closes, whatever it says before."""
    while True:
        opcode, frame = wire.recv_data_frame(control_frame=True)
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            return struct.unpack("!H", frame.data[:2])[0], frame.data[2:].decode()


def reset(wire):
    """Break off as a killed client's machine may: RST, no close."""
    wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.sock.close()


def test_a_query_is_accepted_and_then_answered_and_leaves_nothing(running):
    before = running.standing()
    with running.agent() as wire:
        assert asked(wire, type="query", ref="1", query="key", limit=2) == {"type": "accepted", "ref": "1"}
        found = [{"id": 0, "content": "key"}, {"id": 1, "content": "key"}]
        assert hear(wire) == {"type": "result", "ref": "1", "memories": found}
        assert asked(wire, type="ping") == {"type": "pong"}
    wait_until(lambda: running.standing() == before)


def test_an_interrupt_ends_the_search_and_its_waiter_hears_why(running):
    with running.agent() as wire:
        assert asked(wire, type="ping") == {"type": "pong"}  # the first message makes a row of the rate limit
        idle = running.standing()
        assert asked(wire, type="query", ref="1", query="slow", timeout_ms=60_000)["type"] == "accepted"
        wait_until(lambda: running.searching == 1)
        answer = asked(wire, type="interrupt", ref="1", reason="enough")
        assert answer == {"type": "interrupted", "ref": "1", "reason": "enough"}
        wait_until(lambda: running.standing() == idle)
        assert running.ended == 1
        assert asked(wire, type="interrupt", ref="1", reason="again")["code"] == "not_found"


def test_an_interrupt_sent_right_behind_its_query_still_counts(running):
    with running.agent() as wire:
        for number in range(20):
            say(wire, type="query", ref=str(number), query="slow")
            say(wire, type="interrupt", ref=str(number), reason="now")
            heard = [hear(wire)]
            while heard[-1]["type"] == "accepted":
                heard.append(hear(wire))
            assert heard[-1] == {"type": "interrupted", "ref": str(number), "reason": "now"}


def test_one_connection_cannot_interrupt_the_query_of_another(running):
    with running.agent("a") as one, running.agent("a") as other:
        assert asked(one, type="query", ref="1", query="slow")["type"] == "accepted"
        assert asked(other, type="interrupt", ref="1", reason="")["code"] == "not_found"
        assert running.searching == 1


def test_a_query_ends_when_its_time_is_over(running):
    with running.agent() as wire:
        assert asked(wire, type="query", ref="1", query="slow", timeout_ms=30)["type"] == "accepted"
        assert hear(wire) | {"message": ""} == {"type": "error", "ref": "1", "code": "late", "message": ""}
        wait_until(lambda: running.searching == 0)


def test_queries_beyond_eight_of_a_connection_and_a_reference_in_use_are_refused(running):
    with running.agent() as wire:
        for number in range(8):
            assert asked(wire, type="query", ref=str(number), query="slow")["type"] == "accepted"
        assert asked(wire, type="query", ref="8", query="x")["code"] == "limit"
        assert asked(wire, type="query", ref="1", query="x")["code"] == "invalid"
        assert running.bound("queries").size == running.bound("interrupts").size == 8
    wait_until(lambda: running.bound("queries").size == running.bound("interrupts").size == 0)


def test_the_limit_of_all_queries_together_is_counted(running):
    running.ask(lambda: setattr(running.synapse.queries, "table", Registry("queries", limit=1)))
    with running.agent("a") as one, running.agent("b") as other:
        assert asked(one, type="query", ref="1", query="slow")["type"] == "accepted"
        assert asked(other, type="query", ref="1", query="x")["code"] == "limit"
        assert (running.bound("queries").rejected, running.bound("interrupts").size) == (1, 1)


WRONG = [
    ("{", "no JSON"),
    ("", "no JSON"),
    ("[" * 100_00, "no JSON"),
    ('{"type": "ping", "x": NaN}', "no JSON"),
    ('{"type": "\\ud800"}', "no JSON"),
    ("[1]", "not a list"),
    ("null", "not a NoneType"),
    ("{}", "type"),
    ('{"type": "constructor"}', "does not match any of the expected tags"),
    ('{"type": "ping", "extra": 1}', "Extra inputs"),
    ('{"type": "query", "ref": "1", "query": "x", "priority": 1}', "priority: Extra inputs"),
    ('{"type": "query", "ref": 1, "query": "x"}', "valid string"),
    ('{"type": "query", "ref": "", "query": "x"}', "at least 1"),
    ('{"type": "query", "ref": "1", "query": "x", "limit": true}', "valid integer"),
    ('{"type": "query", "ref": "1", "query": "x", "limit": 0}', "greater than"),
    ('{"type": "query", "ref": "1", "query": "x", "timeout_ms": 1e9}', "valid integer"),
    ('{"type": "query", "ref": "1", "query": "x", "timeout_ms": 60001}', "less than"),
    ('{"type": "hello", "agent": "b"}', "is a's already"),
    ('{"type": "subscribe", "topics": ["system:nothing"]}', "is no topic"),
    ('{"type": "subscribe", "topics": ["agent:b"]}', "another agent's"),
    ('{"type": "send", "to": "../b", "message": ""}', "pattern"),
]


def test_a_message_that_is_wrong_is_answered_with_what_is_wrong_and_the_conversation_goes_on(running):
    with running.agent() as wire:
        for text, problem in WRONG:
            wire.send(text)
            answer = hear(wire)
            assert (answer["type"], answer["code"]) == ("error", "invalid"), text
            assert problem in answer["message"], text
        assert asked(wire, type="query", ref="7", query="x", priority=1)["ref"] == "7"
        assert asked(wire, type="ping") == {"type": "pong"}


def test_a_search_that_fails_is_answered_with_the_kind_of_failure(running, caplog):
    with running.agent() as wire:
        for query, code in (("broken", "store"), ("bug", "internal"), ("huge", "limit")):
            assert asked(wire, type="query", ref="1", query=query, limit=100)["type"] == "accepted"
            assert hear(wire)["code"] == code
        assert asked(wire, type="ping") == {"type": "pong"}
    assert "ZeroDivisionError" in caplog.text


FIRST = [
    (b'{"type": "ping"}', 1, 1008, "must be a hello, not ping"),
    (b"junk", 1, 1008, "must be a hello; no JSON"),
    (b'{"type": "hello", "agent": ""}', 1, 1008, "must be a hello"),
    (b'{"type": "hello", "agent": "a b"}', 1, 1008, "must be a hello"),
    (b"\x00\x01", 2, 1003, "text frames"),
    (b"\xff\xfe", 1, 1007, ""),
    (b"x" * (1 << 20), 1, 1009, "maximum size"),
    (b"x" * (1 << 20), 2, 1009, "maximum size"),
    (b"", 3, 1002, ""),
]


@pytest.mark.parametrize(("payload", "opcode", "code", "reason"), FIRST)
def test_what_is_no_hello_closes_the_connection_with_a_code(running, payload, opcode, code, reason):
    before = running.standing()
    wire = running.connect()
    with suppress(ConnectionError):
        wire.sock.sendall(frame(payload, opcode))
    with suppress(ConnectionError):  # a megabyte that was never read can turn the close into a reset
        got, said = closed(wire)
        assert got == code
        assert reason in said
    wire.shutdown()
    wait_until(lambda: running.standing() == before)


def test_who_does_not_say_hello_in_time_is_let_go():
    with Running(waits=Waits(hello=0.1)).live() as running, running.agent() as other:
        silent = running.connect()
        assert closed(silent) == (1008, "no hello within 0.1 s")
        silent.shutdown()
        assert asked(other, type="ping") == {"type": "pong"}


HOST, TOKEN = "Host: 127.0.0.1:1", "Authorization: Bearer secret"
ENTRY = [
    (["Host: evil.example", TOKEN], 421),
    (["Host: 127.0.0.1.evil.example", TOKEN], 421),
    ([HOST, TOKEN, "Origin: http://evil.example"], 403),
    ([HOST, TOKEN, "Origin: null"], 403),
    ([HOST], 401),
    ([HOST, "Authorization: Bearer wrong"], 401),
    ([HOST, TOKEN, "Sec-WebSocket-Version: 12"], 426),
    ([HOST, TOKEN], 101),
    ([HOST, TOKEN, "Origin: http://127.0.0.1:8000"], 101),
]


def test_a_wrong_host_origin_or_token_is_refused_before_the_upgrade():
    with Running(token="secret").live() as running:
        for headers, status in ENTRY:
            assert running.upgrade(headers)[0] == status, headers
        assert running.refusals.count == 6  # all but the one that is no websocket
        wait_until(lambda: running.standing()["http"] == 0)
        assert running.upgrade([HOST, TOKEN], path="/nothing")[0] == 403


def test_one_connection_too_many_is_refused_with_503():
    with Running(max_connections=1).live() as running:
        with running.agent():
            status, rest = running.upgrade([HOST])
            assert (status, b"connections: 1 at once are in use" in rest) == (503, True)
            assert running.bound("connections").rejected == 1
        wait_until(lambda: running.bound("connections").size == 0)
        with running.agent():
            pass


def descriptors():
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def test_fifty_connections_that_break_off_in_mid_query_leave_nothing(running):
    with running.agent() as wire:
        assert asked(wire, type="ping") == {"type": "pong"}
        before, files = running.standing(), descriptors()
        for _ in range(2):
            wires = []
            for number in range(50):
                wires.append(running.connect())
                say(wires[-1], type="hello", agent=f"agent-{number % 10}")
                say(wires[-1], type="subscribe", topics=["system:alert", "system:swept"])
                for ref in range(3):
                    say(wires[-1], type="query", ref=str(ref), query="slow", timeout_ms=60_000)
            wait_until(lambda: running.searching == 150 - 86)  # 64 at once are the limit of all queries
            wait_until(lambda: running.bound("topic_subscriptions").size == 151)
            assert running.bound("connections").size == 51
            for one in wires:
                reset(one)
            wait_until(lambda: running.standing() == before)
            wait_until(lambda: descriptors() == files)
        assert asked(wire, type="query", ref="1", query="key")["type"] == "accepted"
        assert running.ask(running.synapse.connections.agents) == ("a",)


def test_a_search_that_will_not_be_cancelled_is_named_by_the_check(running, monkeypatch):
    monkeypatch.setattr(queries, "_CANCEL_SECONDS", 0.2)

    async def deaf(_, __):
        running.deaf = asyncio.Event()
        while not running.deaf.is_set():
            with suppress(asyncio.CancelledError):
                await running.deaf.wait()
        return []

    running.ask(lambda: setattr(running.synapse, "search", deaf))
    with running.agent() as wire:
        assert asked(wire, type="query", ref="1", query="x")["type"] == "accepted"
        assert asyncio.run_coroutine_threadsafe(running.synapse.check(), running.loop).result() is None
        reset(wire)
        wait_until(lambda: asyncio.run_coroutine_threadsafe(running.synapse.check(), running.loop).result() is not None)
        assert running.bound("queries").size == 1
    running.ask(running.deaf.set)
    wait_until(lambda: running.bound("queries").size == 0)


def test_an_agent_that_joins_again_keeps_its_row_when_its_old_connection_dies(running):
    old = running.connect()
    say(old, type="hello", agent="a")
    assert hear(old)["type"] == "welcome"
    with running.agent("a") as new, running.agent("b") as other:
        assert asked(other, type="send", to="a", message="x") == {"type": "sent", "to": "a", "connections": 2}
        reset(old)
        wait_until(lambda: running.bound("connections").size == 2)
        assert running.ask(running.synapse.connections.agents) == ("a", "b")
        assert asked(other, type="send", to="a", message="y") == {"type": "sent", "to": "a", "connections": 1}
        heard = [hear(new), hear(new)]
        assert heard == [{"topic": "agent:a", "type": "message", "from": "b", "message": text} for text in ("x", "y")]
        assert asked(other, type="send", to="c", message="z")["code"] == "not_found"


def test_events_of_the_server_reach_those_who_asked_for_their_kind_once(running):
    with running.agent() as wire:
        for _ in range(3):
            answer = asked(wire, type="subscribe", topics=["system:alert"])
            assert answer == {"type": "topics", "topics": ["agent:a", "system:alert"]}
        assert running.bound("topic_subscriptions").size == 2
        running.ask(lambda: running.events.emit(Kind.SWEPT, count=1))
        running.ask(lambda: running.events.emit(Kind.ALERT, resource="fds", value=7))
        heard = hear(wire)
        assert (heard["topic"], heard["facts"]) == ("system:alert", {"resource": "fds", "value": 7})
        assert asked(wire, type="unsubscribe", topics=["system:alert"])["topics"] == ["agent:a"]
        running.ask(lambda: running.events.emit(Kind.ALERT, resource="fds", value=8))
        assert asked(wire, type="ping") == {"type": "pong"}
        assert running.bound("topic_subscriptions").size == 1


def test_who_is_too_fast_is_told_and_in_the_end_closed(running):
    running.ask(lambda: setattr(running.synapse, "rates", RateLimit("message_rate", per_second=0.5, burst=5, keys=9)))
    with running.agent("a") as fast, running.agent("b") as other:
        for _ in range(5):
            assert asked(fast, type="ping") == {"type": "pong"}
        answer = asked(fast, type="ping")
        assert answer["code"] == "limit"
        assert "try again in" in answer["message"]
        for _ in range(20):
            say(fast, type="ping")
        code, reason = closed(fast)
        assert (code, "message_rate" in reason) == (1008, True)
        assert asked(other, type="ping") == {"type": "pong"}
        wait_until(lambda: running.bound("message_rate").size == 1)
        assert running.bound("message_rate").rejected == 21


def test_a_peer_that_reads_nothing_is_bounded_and_dropped_and_disturbs_nobody():
    with Running(waits=Waits(write=2.0)).live() as running, running.agent("b") as other:
        assert asked(other, type="ping") == {"type": "pong"}
        before, begun = running.standing(), time.monotonic()
        slow = running.connect(sockopt=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)])
        say(slow, type="hello", agent="slow")
        for ref in range(90):  # a result is 243 KB
            say(slow, type="query", ref=str(ref), query="eight", limit=100)
        wait_until(lambda: running.bound("queries").high_water == 8)
        delays = []
        while running.standing() != before:
            sent = time.monotonic()
            assert asked(other, type="query", ref="1", query="x")["type"] == "accepted"
            assert hear(other)["type"] == "result"
            delays.append(time.monotonic() - sent)
            assert running.bound("queries").size <= 9
            assert time.monotonic() - begun < 10
            time.sleep(0.04)  # half of the rate that `other` may have
        assert len(delays) > 5
        assert sorted(delays)[len(delays) // 2] < 0.5
        assert running.bound("connections").size == 1
        slow.shutdown()


def test_pings_that_are_never_read_fill_no_buffer():
    with Running().live() as running, running.agent("b") as other:
        slow = running.connect(timeout=1, sockopt=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)])
        slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sent, pings = 0, frame(b"x" * 125, 9) * 64
        with suppress(TimeoutError):
            while sent < 64 << 20:
                sent += slow.sock.send(pings)
        assert sent < 4 << 20  # what the buffers of the two sockets hold, and then nothing more is read
        assert asked(other, type="ping") == {"type": "pong"}
        reset(slow)
        wait_until(lambda: running.bound("connections").size == 1)


def test_tiny_messages_beyond_a_number_in_one_read_end_the_connection(running):
    wire = running.connect()
    say(wire, type="hello", agent="a")
    assert hear(wire)["type"] == "welcome"
    wire.sock.sendall(frame(b"") * 20_000)
    assert closed(wire) == (1008, "more than 128 messages at once")
    wire.shutdown()
    wait_until(lambda: running.bound("connections").size == 0)


def test_fragments_without_end_hold_no_memory(running):
    with running.agent("b") as other:
        wire = running.connect()
        wire.sock.sendall(frame(b"", final=False))
        for _ in range(20):
            wire.sock.sendall(frame(b"", 0, final=False) * 1000)
        assert asked(other, type="ping") == {"type": "pong"}
        wire.sock.sendall(frame(json.dumps({"type": "hello", "agent": "a"}).encode(), 0))
        assert hear(wire)["type"] == "welcome"
        wire.close()


def test_an_upgraded_connection_stays_counted_and_outlives_the_time_limit_of_requests():
    with Running(read_seconds=0.1).live() as running, running.agent() as wire:
        held = socket.create_connection(("127.0.0.1", running.port))
        held.settimeout(10)
        assert held.recv(1) == b""  # the limit came, for one that is no websocket
        held.close()
        assert running.standing()["http"] == 1
        assert asked(wire, type="ping") == {"type": "pong"}


def test_the_end_of_the_server_ends_queries_and_connections_that_are_there():
    with Running().live() as running:
        wires = [running.connect() for _ in range(3)]
        for number, wire in enumerate(wires):
            say(wire, type="hello", agent=str(number))
            assert hear(wire)["type"] == "welcome"
            assert asked(wire, type="query", ref="1", query="slow")["type"] == "accepted"
        wait_until(lambda: running.searching == 3)
    assert [closed(wire)[0] for wire in wires] == [1012] * 3  # service restart
    for wire in wires:
        wire.shutdown()
    assert running.searching == 0
    assert {bound.name: bound.size for bound in running.synapse.bounds()} == dict.fromkeys(
        [bound.name for bound in running.synapse.bounds()], 0
    )


def bounds(thing):
    return {bound.name: bound for bound in thing.bounds()}


def test_a_slow_subscriber_loses_the_oldest_is_told_and_costs_a_bounded_queue():
    router, owner, woken = Router(), Owner("slow"), []
    slow = router.subscribe("system:alert", owner, lambda: woken.append(1))
    for number in range(1000):
        assert router.publish("system:alert", {"number": number}) == 1
        assert len(slow) <= 64
    assert len(woken) == 1000
    queued = bounds(router)["queued_messages"]
    assert (queued.size, queued.high_water, queued.rejected) == (64, 64, 936)
    assert json.loads(slow.take()) == {"type": "lagged", "topic": "system:alert", "lost": 936}
    taken = [json.loads(slow.take())["number"] for _ in range(64)]
    assert taken == list(range(936, 1000))
    assert slow.take() is None
    router.publish("system:alert", {})
    owner.end()
    assert [bound.size for bound in router.bounds()] == [0, 0]
    assert router.publish("system:alert", {}) == 0


def test_answers_wait_for_room_and_topics_take_turns():
    async def scenario():
        outbox, router, owner = Outbox(limit=10), Router(), Owner("a")
        await outbox.put("x" * 20)  # alone, one may be longer
        second = asyncio.create_task(outbox.put("y" * 8))
        third = asyncio.create_task(outbox.put("z" * 8))
        for topic in ("agent:a", "agent:b"):
            outbox.follow(router.subscribe(topic, owner, outbox.wake))
            router.publish(topic, {})
            router.publish(topic, {})
        await asyncio.sleep(0)
        assert (second.done(), third.done()) == (False, False)
        assert await outbox.take() == "x" * 20
        await second
        assert not third.done()
        assert await outbox.take() == "y" * 8
        await third
        assert await outbox.take() == "z" * 8
        assert [json.loads(await outbox.take())["topic"] for _ in range(3)] == ["agent:a", "agent:b", "agent:a"]
        await outbox.put("last")
        outbox.end()
        assert [await outbox.take(), await outbox.take()] == ["last", None]

    asyncio.run(asyncio.wait_for(scenario(), 10))


def test_subscriptions_are_bounded_and_coming_and_going_leaves_nothing_with_the_owner():
    router, owner = Router(limit=2), Owner("busy")
    first = router.subscribe("agent:a", owner, lambda: None)
    assert router.subscribe("agent:a", owner, lambda: None) is first
    for _ in range(100):
        router.subscribe("agent:b", owner, lambda: None)
        router.unsubscribe("agent:b", owner)
    router.unsubscribe("agent:b", owner)
    assert len(owner) == 1
    router.subscribe("agent:b", owner, lambda: None)
    with pytest.raises(LimitError, match="2 at once"):
        router.subscribe("agent:c", owner, lambda: None)
    subscriptions = bounds(router)["topic_subscriptions"]
    assert (subscriptions.size, subscriptions.high_water, subscriptions.rejected) == (2, 2, 1)
    owner.end()
    assert bounds(router)["topic_subscriptions"].size == 0


@pytest.mark.parametrize("topic", ["", "agent:", "agent:../x", "agent:a b", "agent:" + "a" * 65, "system:no", "other"])
def test_a_topic_that_cannot_be_is_refused(topic):
    with pytest.raises(InvalidError, match="is no topic"):
        Router().subscribe(topic, Owner("a"), lambda: None)


def test_random_comings_and_goings_keep_the_routers_counts_true():
    rng = random.Random(7)
    router, owners = Router(limit=40, queue_limit=3), [Owner(str(number)) for number in range(10)]
    held = {}
    for _ in range(5000):
        owner, topic = rng.choice(owners), f"agent:{rng.randrange(6)}"
        match rng.randrange(5):
            case 0:
                with suppress(LimitError):
                    held[owner, topic] = router.subscribe(topic, owner, lambda: None)
            case 1:
                router.unsubscribe(topic, owner)
                held.pop((owner, topic), None)
            case 2:
                router.publish(topic, {})
            case 3 if (owner, topic) in held:
                held[owner, topic].take()
            case 4 if rng.random() < 0.05:
                owner.end()
                owners[owners.index(owner)] = Owner("new")
                held = {key: value for key, value in held.items() if key[0] is not owner}
        assert bounds(router)["topic_subscriptions"].size == len(held) <= 40
        assert bounds(router)["queued_messages"].size == sum(map(len, held.values())) <= 120


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_a_bucket_holds_a_burst_and_fills_at_its_rate():
    clock = Clock()
    rates = RateLimit("rate", per_second=2.0, burst=3, keys=8, now=clock)
    for _ in range(3):
        rates.admit("a")
    with pytest.raises(LimitError, match=r"try again in 0\.500 s"):
        rates.admit("a")
    rates.admit("b")
    clock.now = 0.5
    rates.admit("a")
    with pytest.raises(LimitError):
        rates.admit("a")
    clock.now = 1e6
    for _ in range(3):
        rates.admit("a")
    with pytest.raises(LimitError):
        rates.admit("a")
    (bound,) = rates.bounds()
    assert (bound.size, bound.rejected) == (2, 3)


def test_ten_thousand_keys_keep_no_more_than_the_limit_and_the_one_in_use():
    rates = RateLimit("rate", per_second=1.0, burst=1, keys=100, now=Clock())
    rates.admit("mine")
    for number in range(10_000):
        rates.admit(number)
        with pytest.raises(LimitError):
            rates.admit("mine")
    (bound,) = rates.bounds()
    assert (bound.size, bound.limit, bound.high_water, bound.rejected) == (100, 100, 100, 10_000)
    rates.forget("mine")
    rates.forget("mine")
    assert rates.bounds()[0].size == 99


def test_interrupted_work_is_cancelled_and_its_entry_never_outlives_it_or_its_owner():
    async def scenario():
        interrupts, owner = Interrupts(Registry("interrupts", limit=2)), Owner("a")
        waiting = asyncio.create_task(interrupts.run(asyncio.sleep(60), ref="x", owner=owner))
        await asyncio.sleep(0)
        with pytest.raises(InvalidError):
            await interrupts.run(asyncio.sleep(60), ref="x")
        assert interrupts.interrupt("x", "first")
        assert interrupts.interrupt("x", "second")
        with pytest.raises(Interrupted, match="first"):
            await waiting
        assert not interrupts.interrupt("x", "late")
        assert await interrupts.run(asyncio.sleep(0, "done"), ref="x") == "done"
        with pytest.raises(TimeoutError, match=r"0\.01 s"):
            await interrupts.run(asyncio.sleep(60), ref="x", seconds=0.01)
        with pytest.raises(ZeroDivisionError):
            await interrupts.run(failing(), ref="x")
        interrupts.register("pending", owner)
        assert interrupts.bound().size == 1
        owner.end()
        assert interrupts.raise_and_check("why")
        assert (interrupts.bound().size, interrupts.bound().high_water) == (0, 1)

    async def failing():
        raise ZeroDivisionError

    asyncio.run(scenario())


@pytest.mark.parametrize("problem", [None, ZeroDivisionError, TimeoutError])
def test_agents_in_this_process_answer_and_are_released_however_it_ends(running, problem):
    async def play():
        async with asyncio.timeout(0 if problem is TimeoutError else None):
            async with running.synapse.connections.to("a") as connection:
                assert running.synapse.connections.count() == 1
                if problem is ZeroDivisionError:
                    raise problem
                return await connection.ask("ping")

    files = descriptors()
    future = asyncio.run_coroutine_threadsafe(play(), running.loop)
    if problem is None:
        assert future.result(10) == "a heard ping"
    else:
        with pytest.raises(problem):
            future.result(10)
    assert running.bound("connections").size == 0
    assert descriptors() == files
