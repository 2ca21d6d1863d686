"""The load process: MCP over HTTP and a user's own locustfile, against real servers.

Locust patches the standard library, so nothing of it is imported here: everything runs as a process.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.share(3)

INSTALLED = Path(find_spec("loadtests").origin).parent
HANDSHAKE, MODERN = "2025-11-25", "2026-07-28"
ECHO = {"method": "tools/call", "params": {"name": "echo", "arguments": {"text": "hi"}}}
SLOW = {"method": "tools/call", "params": {"name": "slow", "arguments": {"seconds": 0.03}}}


class Load:
    """One load process, spoken with by JSON lines."""

    def __init__(self, **configuration):
        command = [sys.executable, "-P", "-m", "loadtests.play"]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self.process = subprocess.Popen(command, text=True, **pipes)
        self.printed = []
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        if configuration:
            self.tell({"concurrency": 4, **configuration})

    def _listen(self):
        self.printed += self.process.stderr

    def tell(self, line):
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()

    def ask(self, **line):
        self.tell(line)
        return json.loads(self.process.stdout.readline())

    def discover(self, seconds=5):
        return self.ask(discover={"seconds": seconds})

    def attempt(self, kind, index=0, seconds=2):
        return self.ask(attempt={"kind": kind, "index": index, "seconds": seconds})

    def play(self, seconds=30, **doses):
        return self.ask(play=doses, seconds=seconds)

    def end(self):
        """Close its stdin; return its exit code and what it printed."""
        self.process.stdin.close()
        code = self.process.wait(10)
        self._listener.join(10)
        return code, "".join(self.printed)

    def close(self):
        self.process.kill()
        self.process.wait()
        self._listener.join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if not pipe.closed:
                pipe.close()


@pytest.fixture
def load():
    """Start load processes; they are gone afterwards."""
    started = []

    def start(**configuration):
        started.append(Load(**configuration))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def server(programs):
    """Start target programs, each on its own port; they are gone afterwards."""
    started = []

    def start(program, *arguments):
        command = [sys.executable, "-W", "ignore", programs / program, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        started.append(process)
        process.port = int(process.stdout.readline())
        process.url = f"http://127.0.0.1:{process.port}/mcp"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def mcp(url, **headers):
    return {"mcp": {"url": url, "headers": headers}}


def given(way, rpc=None, expect="result", era=HANDSHAKE, variant=None):
    words = f"{way} {variant or (rpc or {}).get('method')}"
    return {"way": way, "era": era, "words": words, "expect": expect, "rpc": rpc, "variant": variant}


def every_way(era):
    """Return a plan with all that can be played in an era, as the driver writes it."""
    version, stateful = era["version"], era["session"]

    def one(way, rpc=None, expect="result", variant=None):
        return given(way, rpc, expect, version, variant)

    calls = [{"name": "talk", "arguments": {}}, {"name": "where", "arguments": {"region": "Zürich "}}]
    nobody = {"method": "tools/call", "params": {"name": "nobody", "arguments": {}}}
    plan = {
        "call": [one("call", {"method": "tools/call", "params": rpc}) for rpc in (ECHO["params"], *calls)],
        "reject": [
            one("reject", {"method": "no/such", "params": {}}, "error"),
            one("reject", nobody, "error"),
            one("reject", {"method": "tools/call", "params": None}, "error"),
            one("reject", None, "error", "wrong_content_type"),
        ],
        "disconnect": [
            one("disconnect", SLOW, "answer", "after_sending"),
            one("disconnect", SLOW, "answer", "after_first_bytes"),
        ],
        "cancel": [one("cancel", SLOW, "answer")],
    }
    if era["stream"]:
        plan["disconnect"].append(one("disconnect", None, "answer", "stream"))
    if stateful:
        plan["reject"] += [one("reject", None, "error", v) for v in ("get_without_session", "unknown_session")]
        plan["session"] = [one("session", ECHO)]
        plan["abandon"] = [one("abandon", ECHO)]
    return {f"{kind}@{version}": inputs for kind, inputs in plan.items()}


def sessions(target):
    with urllib.request.urlopen(f"http://127.0.0.1:{target.port}/sessions", timeout=5) as answer:
        return json.load(answer)


def until(condition, seconds=10):
    """Wait with back-off until `condition` holds."""
    deadline, pause = time.monotonic() + seconds, 0.01
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(pause)
        pause = min(2 * pause, 0.5)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.mark.parametrize("ways", [(), ("sse",), ("stateless",), ("stateless", "sse")], ids=" ".join)
def test_every_way_of_both_eras_is_played_in_exactly_the_dose_that_was_asked(load, server, ways):
    target = server("mcp_http_sdk.py", *ways)
    one = load(**mcp(target.url))
    found = one.discover()
    assert [era["version"] for era in found["eras"]] == [HANDSHAKE, MODERN]
    assert found["failures"] == {}
    assert [era["session"] for era in found["eras"]] == ["stateless" not in ways, False]
    assert [era["stream"] for era in found["eras"]] == ["stateless" not in ways, True]
    assert {tool["name"] for tool in found["eras"][1]["tools"]} >= {"echo", "slow"}
    assert found["eras"][0]["server"] == found["eras"][1]["server"] == "sdk 1.2"
    plan = {}
    for era in found["eras"]:
        plan |= every_way(era)
    assert one.ask(plan=plan) == {"planned": True}
    for kind, inputs in plan.items():
        for index in range(len(inputs)):
            tried = one.attempt(kind, index)
            assert (tried["problem"], tried["gone"]) == (None, False), (kind, index)
            assert tried["took"] > 0
    doses = {kind: 7 + 2 * rank for rank, kind in enumerate(plan)}
    played = one.play(**doses)
    assert played["done"] == doses
    assert (played["failed"], played["problem"], played["gone"]) == ({}, None, False)
    assert played["cpu_seconds"] > 0
    assert all(seconds > 0 for seconds in played["seconds"].values())
    assert one.end() == (0, "")


def test_abandoned_sessions_stay_and_closed_ones_go(load, server):
    target = server("mcp_http_sdk.py")
    one = load(**mcp(target.url))
    one.discover()
    until(lambda: sessions(target) == 0)  # discovering leaves nothing
    one.ask(
        plan={"session": [given("session", ECHO)], "abandon": [given("abandon", ECHO)], "call": [given("call", ECHO)]}
    )
    assert sessions(target) == 4  # one for each player, opened before anything is played
    assert one.play(session=25, call=25)["failed"] == {}
    until(lambda: sessions(target) == 4)
    assert one.play(abandon=13)["done"] == {"abandon": 13}
    assert sessions(target) == 17
    assert one.end() == (0, "")
    assert sessions(target) == 13  # the players closed theirs


def test_a_session_that_the_server_let_go_is_opened_again(load, server):
    target = server("mcp_http_sdk.py", "idle=0.5")
    one = load(**mcp(target.url))
    one.discover()
    plan = {
        "call": [given("call", ECHO)],
        "reject": [given("reject", {"method": "no/such", "params": {}}, "error")],
        "disconnect": [given("disconnect", None, "answer", variant="stream")],
        "cancel": [given("cancel", SLOW, "answer")],
    }
    one.ask(plan=plan)
    for kind in plan:
        until(lambda: sessions(target) == 0)
        played = one.play(**{kind: 8})
        assert (played["done"], played["failed"], played["problem"]) == ({kind: 8}, {}, None)
        assert 0 < sessions(target) <= 4


STOPS = """
import sys
from locust import events
from locust.env import Environment
from loadtests.mcp_user import McpUser, WrongError

class Visitor(McpUser):
    host = sys.argv[1]

user = Visitor(Environment(user_classes=[Visitor], events=events))
session = user.kept("2025-11-25")
user.close_session(session)
events.request.add_listener(lambda name, exception, **_: print(name, exception))
user.on_stop()
try:
    user.close_session(session)
except WrongError:
    print("refused")
"""


def test_a_session_that_is_over_when_its_user_stops_is_no_failure_and_elsewhere_it_is(server):
    target = server("mcp_http_sdk.py")
    done = subprocess.run(
        [sys.executable, "-c", STOPS, target.url.removesuffix("/mcp")], capture_output=True, text=True, check=True
    )
    at_stop, elsewhere, refused = done.stdout.splitlines()
    assert at_stop == "DELETE session None"
    assert elsewhere.startswith("DELETE session the server does not know its session any more (404")
    assert refused == "refused"


WRONG = {
    "is_error": "isError: out of\\x1b[31m paper",
    "wrong_id": "an answer to id",
    "text_id": "an answer to id",
    "no_result": "neither result nor error",
    "malformed": "no JSON:",
    "no_jsonrpc": "no JSON-RPC message",
    "a_number": "no JSON-RPC message: 17",
    "asks_more": "asks for more (input_required)",
    "html": "text/html instead of JSON",
    "status_500": "answers 500: sorry",
    "closes": "closed before the answer was complete",
    "cut": "closed before the answer was complete",
    "silent": "no answer within 1 s",
}
RIGHT = ("good", "a_list", "stream", "stays_open")


def test_an_answer_with_the_wrong_content_is_a_failure(load, server):
    one = load(**mcp(server("mcp_http_odd.py").url))
    one.discover()
    calls = {tool: {"method": "tools/call", "params": {"name": tool}} for tool in (*WRONG, *RIGHT)}
    one.ask(plan={tool: [given("call", rpc, era="2025-06-18")] for tool, rpc in calls.items()})
    problems = {tool: one.attempt(tool, seconds=1)["problem"] for tool in calls}
    for tool, words in WRONG.items():
        assert problems[tool].startswith("call tools/call: "), tool
        assert words in problems[tool]
    assert [problems[tool] for tool in RIGHT] == [None] * 4
    doses = dict.fromkeys(calls.keys() - {"silent"}, 3)
    played = one.play(**doses)
    assert played["done"] == doses
    assert played["failed"] == dict.fromkeys(WRONG.keys() - {"silent"}, 3)


def test_failures_are_counted_beside_what_went_well(load, server):
    one = load(**mcp(server("mcp_http_sdk.py").url))
    one.discover()
    fail = {"method": "tools/call", "params": {"name": "fail", "arguments": {}}}
    one.ask(
        plan={
            "call:fail": [given("call", fail)],
            "call:echo": [given("call", ECHO)],
            "reject": [given("reject", ECHO, "error")],
        }
    )
    played = one.play(**{"call:fail": 6, "call:echo": 5, "reject": 3})
    assert played["done"] == {"call:fail": 6, "call:echo": 5, "reject": 3}
    assert played["failed"] == {"call:fail": 6, "reject": 3}
    assert re.search("isError: Error executing tool fail|was accepted, where an error must come", played["problem"])


def test_requests_of_the_server_within_a_stream_are_answered_and_not_taken_for_the_answer(load, server):
    one = load(**mcp(server("mcp_http_odd.py").url))
    one.discover()
    asks = {"method": "tools/call", "params": {"name": "asks"}}
    one.ask(plan={"call": [given("call", asks, era="2025-06-18")]})
    began = time.monotonic()
    assert one.attempt("call", seconds=4)["problem"] is None
    assert time.monotonic() - began < 3  # the server waited for both replies, and not for its 5 s


def test_an_older_version_all_pages_of_tools_and_a_server_without_delete_are_taken(load, server):
    one = load(**mcp(server("mcp_http_odd.py", "no_delete").url))
    found = one.discover()
    (era,) = found["eras"]
    assert (era["version"], era["server"], era["session"], era["stream"]) == ("2025-06-18", "odd", True, False)
    assert [tool["name"] for tool in era["tools"]] == ["page0", "page1", "page2"]
    assert found["failures"] == {MODERN: "answers 400: error -32000: too new"}
    one.ask(plan={"session": [given("session", {"method": "ping"}, era="2025-06-18")]})
    assert one.play(session=5)["failed"] == {}


def test_a_token_goes_with_every_request_and_stands_in_no_argument(load, server):
    target = server("mcp_http_odd.py", "token=sesame")
    assert load(**mcp(target.url)).discover() == {
        "missing": "refusal",
        "words": "; ".join(f'{era}: answers 401: {{"error": "who are you?"}}' for era in (HANDSHAKE, MODERN)),
    }
    one = load(**mcp(target.url, Authorization="Bearer sesame"))
    assert len(one.discover()["eras"]) == 1
    drop = [given("disconnect", ECHO, "answer", "2025-06-18", v) for v in ("after_sending", "after_first_bytes")]
    one.ask(plan={"call": [given("call", ECHO, era="2025-06-18")], "disconnect": drop})
    assert one.play(call=4, disconnect=4)["failed"] == {}
    for name in ("cmdline", "environ"):
        assert b"sesame" not in Path(f"/proc/{one.process.pid}/{name}").read_bytes()


@pytest.mark.parametrize(
    ("kind", "answer"),
    [("refused", None), ("silent", b""), ("closed", b"!"), ("garbage", b"hello, who is there?\r\n\r\n"),
     ("refusal", b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nno")],
)  # fmt: skip
def test_what_is_no_mcp_server_is_said_by_kind_and_asked_again(load, kind, answer):
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                peer.recv(65536)
                peer.sendall(answer.strip(b"!"))
                if not answer:
                    peer.recv(1)

    thread = threading.Thread(target=serve)
    if answer is not None:
        listener.listen()
        thread.start()
    try:
        one = load(**mcp(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"))
        for _ in range(2):
            found = one.discover(seconds=0.5)
            assert found["missing"] == kind
            assert found["words"]
    finally:
        if answer is not None:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
        listener.close()


def test_https_to_a_server_without_it_is_said_as_tls(load, server):
    target = server("mcp_http_odd.py")
    assert load(**mcp(target.url.replace("http", "https"))).discover()["missing"] == "tls"


def test_a_server_that_dies_in_mid_play_is_gone_and_what_was_not_played_is_not_done(load, server):
    target = server("mcp_http_sdk.py")
    one = load(**mcp(target.url))
    one.discover()
    die = {"method": "tools/call", "params": {"name": "die", "arguments": {}}}
    one.ask(plan={"call": [given("call", ECHO)], "last": [given("call", die)]})
    played = one.play(call=400, last=1)
    assert played["gone"]
    assert played["problem"]
    assert 0 < sum(played["done"].values()) < 401
    assert one.attempt("call")["gone"]
    assert one.end()[0] == 0


def test_a_server_that_comes_back_within_five_seconds_is_played_on(load, server, programs):
    target = server("mcp_http_sdk.py")
    one = load(**mcp(target.url))
    one.discover()
    one.ask(plan={"call": [given("call", ECHO)]})
    target.kill()
    target.wait()
    one.tell({"play": {"call": 20}, "seconds": 30})
    again = subprocess.Popen(
        [sys.executable, programs / "mcp_http_sdk.py"],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PORT": str(target.port)},
    )
    try:
        played = json.loads(one.process.stdout.readline())
        assert (played["done"], played["failed"], played["gone"]) == ({"call": 20}, {}, False)
    finally:
        again.kill()
        again.wait()


def test_a_play_ends_in_time_and_says_what_was_begun(load, server):
    one = load(**mcp(server("mcp_http_sdk.py").url))
    one.discover()
    slow = {"method": "tools/call", "params": {"name": "slow", "arguments": {"seconds": 0.5}}}
    one.ask(plan={"call": [given("call", slow)], "quick": [given("call", ECHO)]})
    began = time.monotonic()
    played = one.play(call=400, seconds=1.2)
    assert time.monotonic() - began < 5
    assert 4 <= played["done"]["call"] <= 16
    assert played["failed"] == {}
    assert one.play(quick=9)["done"] == {"quick": 9}  # nothing of the last play is left over


def test_it_ends_when_stdin_does_also_in_mid_play(load, server):
    target = server("mcp_http_sdk.py")
    one = load(**mcp(target.url))
    one.discover()
    one.ask(plan={"call": [given("call", SLOW)]})
    one.tell({"play": {"call": 100000}, "seconds": 60})
    until(lambda: sessions(target) == 4)
    began = time.monotonic()
    assert one.end()[0] == 0
    assert time.monotonic() - began < 4
    assert sessions(target) == 0


def test_ctrl_c_is_left_to_the_auditor(load, server):
    one = load(**mcp(server("mcp_http_sdk.py").url))
    one.discover()
    one.process.send_signal(signal.SIGINT)
    one.ask(plan={"call": [given("call", ECHO)]})
    assert one.play(call=3)["done"] == {"call": 3}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"concurrency": 4, "mcp": {"headers": {"Authorization": "Bearer sesame"}}}, "lacks 'url'"),
        ({"mcp": {"url": "http://127.0.0.1:1/mcp", "headers": {"Authorization": "sesame"}}}, "lacks 'concurrency'"),
        ({"concurrency": 0, "mcp": {"url": "http://127.0.0.1:1/"}}, "concurrency 0: give a whole number from 1 on"),
        ({"concurrency": 4}, "lacks 'locustfile'"),
        ("sesame", "lacks"),
    ],
)
def test_a_wrong_configuration_is_refused_without_a_word_of_what_is_secret(load, line, words):
    one = load()
    one.tell(line)
    assert one.process.wait(20) == 2
    code, printed = one.end()
    assert code == 2
    assert words in printed
    assert "sesame" not in printed


def test_an_input_that_is_not_known_ends_the_process_with_its_name(load, server):
    one = load(**mcp(server("mcp_http_odd.py").url))
    one.discover()
    one.tell({"plan": {"x": [given("reject", ECHO, "error", "2025-06-18", "upside_down")]}})
    assert one.process.wait(20) == 1
    assert "upside_down" in one.end()[1]


# --- a user's own locustfile ---

SHOP = """
import gevent
from locust import FastHttpUser, HttpUser, SequentialTaskSet, TaskSet, User, between, events, task
from locust.exception import StopUser

print("printed by the locustfile")
log = open({log!r}, "a", buffering=1)

@events.init_command_line_parser.add_listener
def options(parser):
    parser.add_argument("--colour", default="red")

@events.test_start.add_listener
def begin(environment, **_):
    log.write(f"test_start {{environment.parsed_options.colour}}\\n")

@events.quitting.add_listener
def quit(environment, **_):
    log.write("quitting\\n")

class Buyer(HttpUser):
    wait_time = between(50, 60)

    def on_start(self):
        log.write("on_start\\n")

    def on_stop(self):
        log.write("on_stop\\n")

    @task(9)
    def look(self):
        log.write("look\\n")
        self.client.get("/sessions")

    @task
    def lost(self):
        self.client.get("/nowhere")

    @task
    def disliked(self):
        with self.client.get("/sessions", catch_response=True) as answer:
            answer.failure("not what was ordered")

    @task
    def breaks(self):
        raise KeyError("a bug of its own")

    @task
    class Basket(TaskSet):
        def on_start(self):
            log.write("basket entered\\n")

        @task
        def put(self):
            self.client.get("/sessions")
            self.interrupt()

    @task
    class Checkout(SequentialTaskSet):
        @task
        def first(self):
            log.write("first\\n")

        @task
        class Pay(TaskSet):
            wait_time = between(50, 60)

            @task
            def pay(self):
                log.write("pay\\n")
                self.interrupt()

        @task
        def last(self):
            log.write("last\\n")

    @task
    class Endless(SequentialTaskSet):
        @task
        class Loop(TaskSet):
            @task
            def again(self):
                pass

class Guest(FastHttpUser):
    @task
    def look(self):
        self.client.get("/sessions")

    @task
    def leaves(self):
        log.write("leaves\\n")
        raise StopUser

    @task
    def child(self):
        gevent.spawn(self.client.get, "/nowhere").join()
"""


@pytest.fixture
def locustfile(tmp_path):
    def write(text, name="mine.py"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def test_the_tasks_of_a_locustfile_are_played_as_operations(load, server, locustfile, tmp_path):
    target = server("mcp_http_sdk.py")
    log = tmp_path / "log"
    path = locustfile(SHOP.format(log=str(log)))
    one = load(locustfile={"path": path, "host": f"http://127.0.0.1:{target.port}"})
    found = one.discover()
    good = ["task:Buyer.look", "task:put", "task:Checkout", "task:Guest.look", "task:leaves"]
    bad = ["task:lost", "task:disliked", "task:breaks", "task:child"]
    assert sorted(found["operations"]) == sorted(good + bad)
    assert found["hosts"] == [f"http://127.0.0.1:{target.port}"]
    (left_out,) = found["not_played"]
    assert left_out["operation"] == "task:Endless"
    assert "Loop below a SequentialTaskSet never calls self.interrupt()" in left_out["reason"]
    problems = {kind: one.attempt(kind)["problem"] for kind in found["operations"]}
    assert {kind for kind, problem in problems.items() if problem} == set(bad)
    assert "404" in problems["task:lost"]
    assert "not what was ordered" in problems["task:disliked"]
    assert re.search(r"KeyError: 'a bug of its own' \(.*mine.py, line \d+\)", problems["task:breaks"])
    assert "/nowhere" in problems["task:child"]
    doses = {kind: 10 + rank for rank, kind in enumerate(found["operations"])}
    before = log.read_text().count("look\n")
    played = one.play(**doses)
    assert played["done"] == doses
    assert played["failed"] == {kind: dose for kind, dose in doses.items() if kind in bad}
    assert log.read_text().count("look\n") - before == doses["task:Buyer.look"]
    code, printed = one.end()
    assert code == 0
    assert "printed by the locustfile" in printed
    said = log.read_text().splitlines()
    assert (said[0], said[-1]) == ("test_start red", "quitting")
    assert said.count("on_start") == said.count("on_stop") == 4
    assert 1 <= said.count("basket entered") <= 4
    assert said.count("first") == said.count("pay") == said.count("last") == doses["task:Checkout"] + 1


def test_a_host_of_its_own_is_kept_and_a_dead_one_is_missing_and_then_gone(load, server, locustfile):
    target = server("mcp_http_sdk.py")
    text = "from locust import HttpUser, task\nclass A(HttpUser):\n    host = 'http://127.0.0.1:{}'\n"
    text += "    @task\n    def look(self):\n        self.client.get('/sessions')\n"
    dead = load(locustfile={"path": locustfile(text.format(free_port()), "dead.py"), "host": None})
    assert dead.discover(seconds=0.2)["missing"] == "refused"
    own = f"http://127.0.0.1:{target.port}"
    one = load(locustfile={"path": locustfile(text.format(target.port)), "host": "http://127.0.0.1:9"})
    assert one.discover()["hosts"] == [own]
    assert one.play(**{"task:look": 12})["done"] == {"task:look": 12}
    target.kill()
    target.wait()
    played = one.play(**{"task:look": 500})
    assert played["gone"]
    assert played["done"]["task:look"] < 500
    assert "refused" in played["problem"]


USER = "from locust import HttpUser, User, task\nclass A(User):\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def broken(:\n", r"SyntaxError: .*mine\.py, line 1\); see that `locust -f .*mine\.py` runs"),
        ("import no_such_module\n", r"ModuleNotFoundError: No module named 'no_such_module' \(.*mine\.py, line 1\)"),
        ("x = 1\nraise SystemExit('away')\n", r"SystemExit: away \(.*mine\.py, line 2\)"),
        ("x = 1\n", "has no user class: give it a subclass"),
        (USER + "    pass\n", "has no task that can be played: mark methods of its users with @task"),
        (USER.replace("(User)", "(HttpUser)") + "    @task\n    def a(self): pass\n", "the user class A has no host"),
    ],
)
def test_a_locustfile_that_cannot_be_used_is_said_with_what_to_do(load, locustfile, text, words):
    one = load(locustfile={"path": locustfile(text), "host": None})
    assert re.search(words, one.discover()["broken"])
    assert one.end()[0] == 0


def test_a_locustfile_that_is_not_there_is_said(load, tmp_path):
    one = load(locustfile={"path": str(tmp_path / "none.py"), "host": None})
    assert "there is no locustfile at" in one.discover()["broken"]


def test_a_user_that_cannot_start_is_the_problem_and_nothing_is_done(load, locustfile):
    text = USER + "    def on_start(self):\n        raise OSError('no login')\n    @task\n    def a(self): pass\n"
    one = load(locustfile={"path": locustfile(text), "host": None})
    assert one.discover()["operations"] == ["task:a"]
    played = one.play(**{"task:a": 5}, seconds=3)
    assert played["done"] == {}
    assert re.search(r"on_start of A failed: OSError: no login \(.*mine\.py, line 4\)", played["problem"])


def test_a_task_that_does_not_end_is_ended(load, locustfile):
    text = USER + "    @task\n    def a(self):\n        import gevent\n        gevent.sleep(100)\n"
    one = load(locustfile={"path": locustfile(text), "host": None})
    one.discover()
    assert one.attempt("task:a", seconds=0.5)["problem"] == "task:a: it did not end within 0.5 s"


# --- for people ---


def by_hand(command, folder):
    """Run the `locust` command."""
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=90, check=False)


@pytest.mark.parametrize("more", [(), ("--processes", "2")], ids=["one process", "two workers"])
def test_the_locustfile_for_people_plays_without_a_failure(server, tmp_path, more):
    target = server("mcp_http_sdk.py")
    port = str(free_port())
    ports = ("--master-bind-port", port, "--master-port", port) if more else ()
    command = [
        "locust", "-f", INSTALLED / "locustfile.py", "--host", f"http://127.0.0.1:{target.port}", "--headless",
        "-u", "4", "-r", "4", "-t", "5s", "--only-summary", "--json-file", "stats", "--mcp-tool", "echo",
        "--mcp-arguments", 'echo={"text": "a, b"}', "--mcp-session", "5", "--mcp-abandon", "5", *more, *ports,
    ]  # fmt: skip
    ran = by_hand(command, tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "tool slow is not called: not named" in ran.stderr
    stats = {line["name"]: line for line in json.loads((tmp_path / "stats.json").read_text())}
    assert stats["tools/call echo"]["num_requests"] > 0
    assert {line["num_failures"] for line in stats.values()} == {0}
    assert stats["initialize"]["num_requests"] > stats["DELETE session"]["num_requests"]
    assert sessions(target) > 0  # the abandoned ones


def test_the_locustfile_for_people_ends_when_nothing_listens(tmp_path):
    host = f"http://127.0.0.1:{free_port()}"
    command = ["locust", "-f", INSTALLED / "locustfile.py", "--host", host, "--headless", "-t", "20s"]
    began = time.monotonic()
    ran = by_hand(command, tmp_path)
    assert ran.returncode == 1
    assert f"no run against {host}/mcp: the connection was refused" in ran.stderr
    assert time.monotonic() - began < 15


def test_the_web_ui_listens_on_loopback_and_its_form_takes_our_options(server, tmp_path):
    target = server("mcp_http_sdk.py")
    port = free_port()
    command = [
        "locust",
        "-f",
        INSTALLED / "locustfile.py",
        "--web-port",
        str(port),
        "--mcp-header",
        "X-Token: sesame",
    ]
    locust = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)

    def get(path, data=None):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, timeout=5) as answer:
            return answer.read().decode()

    def listens():
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", port)) == 0

    try:
        until(listens, 30)
        bound = {line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines() if line.split()[3] == "0A"}
        assert f"0100007F:{port:04X}" in bound
        assert f"00000000:{port:04X}" not in bound
        page = get("/")
        assert "mcp_abandon" in page
        assert "sesame" not in page  # any web page may read this one
        form = f"user_count=2&spawn_rate=2&host=http://127.0.0.1:{target.port}&mcp_tool=echo,slow&mcp_session=0"
        assert json.loads(get("/swarm", form.encode()))["success"]

        def played():
            return {line["name"]: line["num_requests"] for line in json.loads(get("/stats/requests"))["stats"]}

        until(lambda: played().get("tools/call slow", 0) > 2, 20)
    finally:
        locust.terminate()
        locust.wait(20)
