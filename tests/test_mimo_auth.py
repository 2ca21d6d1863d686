"""The bearer token: a small app behind it over real HTTP, and the whole server."""

from __future__ import annotations

import hmac
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
import websocket
from starlette.responses import JSONResponse
from starlette.routing import Route, Router, WebSocketRoute

from mimo_server.supervision.refusals import Refusals
from mimo_server.surface.auth import authorized

TOKEN = "abcdefgh-12345678~+/="
RIGHT = {"Authorization": f"Bearer {TOKEN}"}


class Noted(Refusals):
    def __init__(self):
        super().__init__()
        self.requests = []

    def note(self, request):
        super().note(request)
        self.requests.append(request)


class Small:
    """An app that says which headers it was given, served by uvicorn on a thread."""

    def __init__(self, token):
        self.refusals = Noted()
        pages = [Route(path, self.headers) for path in ("/mcp", "/metrics", "/health")]
        router = Router([*pages, WebSocketRoute("/synapse", self.greet)], redirect_slashes=False)
        app = authorized(router, token, self.refusals)
        self.server = uvicorn.Server(uvicorn.Config(app, lifespan="off", ws="wsproto", log_config=None))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.server.run, args=([self.listener],))

    async def headers(self, request):
        return JSONResponse([*request.headers.keys()])

    async def greet(self, websocket):
        await websocket.accept()
        await websocket.send_text("authorization" if "authorization" in websocket.headers else "hello")
        await websocket.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.should_exit = True
        self.thread.join(timeout=10)
        self.listener.close()
        assert not self.thread.is_alive()

    def ask(self, path, headers=None, method="GET"):
        return ask(self.port, path, headers, method)


def ask(port, path, headers=None, method="GET", body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.getheader("WWW-Authenticate"), answer.read().decode()
    finally:
        connection.close()


def raw(port, head):
    """What comes back for these bytes, up to the end of the answer's head."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
        peer.sendall(head)
        answer = b""
        while b"\r\n\r\n" not in answer:
            more = peer.recv(65_536)
            assert more, answer
            answer += more
        return answer.decode()


@pytest.fixture(scope="module")
def small():
    with Small(TOKEN) as served:
        yield served


@pytest.mark.parametrize("path", ["/mcp", "/metrics", "/mcp?a=b"])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_who_sends_the_token_is_answered_and_the_app_never_sees_it(small, path, scheme):
    count = small.refusals.count
    status, challenge, body = small.ask(path, {"Authorization": f"{scheme} {TOKEN}"})
    assert (status, challenge) == (200, None)
    assert "authorization" not in json.loads(body)
    assert small.refusals.count == count


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "HEAD"])
@pytest.mark.parametrize("path", ["/mcp", "/metrics", "/nothing", "//health", "/health/", "/health/../mcp"])
def test_who_sends_none_is_told_once_that_a_token_is_asked_for(small, path, method):
    count = small.refusals.count
    status, challenge, body = small.ask(path, method=method)
    assert (status, challenge) == (401, "Bearer")
    assert method == "HEAD" or "send it as the header 'Authorization: Bearer TOKEN'" in body
    assert small.refusals.count == count + 1
    assert small.refusals.requests[-1] == f"{method} {path}"


INVALID = 'Bearer error="invalid_token"'


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        ("Bearer", INVALID),
        ("Bearer wrong", INVALID),
        (f"Bearer {TOKEN[:-1]}", INVALID),
        (f"Bearer {TOKEN}x", INVALID),
        (f"Bearer {TOKEN.upper()}", INVALID),
        (f"Bearer {TOKEN} {TOKEN}", INVALID),
        (f"Bearer {TOKEN}, Bearer {TOKEN}", INVALID),
        ("Bearer " + "x" * 30_000, INVALID),
        ("Bearer \xe4\xff", INVALID),
        (f"Bearer\t{TOKEN}", "Bearer"),
        (f"Basic {TOKEN}", "Bearer"),
        (TOKEN, "Bearer"),
        (f"BearerX {TOKEN}", "Bearer"),
        ("", "Bearer"),
    ],
)
def test_a_wrong_token_and_another_scheme_are_refused_and_not_repeated(small, header, challenge):
    status, told, body = small.ask("/mcp", {"Authorization": header})
    assert (status, told) == (401, challenge)
    assert TOKEN.lower() not in body.lower()


def test_two_headers_are_refused_even_when_both_are_right(small):
    line = f"Authorization: Bearer {TOKEN}\r\n"
    assert " 401 " in raw(small.port, f"GET /mcp HTTP/1.1\r\nHost: a\r\n{line * 2}\r\n".encode())
    assert " 200 " in raw(small.port, f"GET /mcp HTTP/1.1\r\nHost: a\r\n{line}\r\n".encode())


@pytest.mark.parametrize(
    "path", [f"/mcp?access_token={TOKEN}", f"/mcp?token={TOKEN}", f"/mcp?authorization=Bearer%20{TOKEN}"]
)
def test_a_token_in_the_query_is_no_token_and_is_not_noted(small, path):
    assert small.ask(path)[:2] == (401, "Bearer")
    assert small.refusals.requests[-1] == "GET /mcp"


def test_a_token_in_a_cookie_or_a_body_is_no_token(small):
    assert small.ask("/mcp", {"Cookie": f"Authorization=Bearer {TOKEN}"})[0] == 401
    assert ask(small.port, "/mcp", method="POST", body=f"access_token={TOKEN}")[0] == 401


def test_health_asks_nobody(small):
    for headers in ({}, {"Authorization": "Bearer wrong"}, RIGHT):
        status, _, body = small.ask("/health", headers)
        assert status == 200
        assert "authorization" not in json.loads(body)


def test_a_refusal_does_not_wait_for_the_body(small):
    head = b"POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n{"
    assert " 401 " in raw(small.port, head)


def test_a_websocket_without_the_token_is_refused_in_place_of_its_handshake(small):
    url = f"ws://127.0.0.1:{small.port}/synapse"
    for header, challenge in (([], "Bearer"), (["Authorization: Bearer wrong"], INVALID)):
        with pytest.raises(websocket.WebSocketBadStatusException) as caught:
            websocket.create_connection(url, header=header, timeout=10)
        assert caught.value.status_code == 401
        assert caught.value.resp_headers["www-authenticate"] == challenge
        assert small.refusals.requests[-1] == "websocket /synapse"
    with pytest.raises(websocket.WebSocketBadStatusException):
        websocket.create_connection(f"{url}?access_token={TOKEN}", timeout=10)
    agent = websocket.create_connection(url, header=[f"Authorization: Bearer {TOKEN}"], timeout=10)
    assert agent.recv() == "hello"
    agent.close()


def test_every_token_is_compared_in_constant_time(small, monkeypatch):
    compared = []

    def compare(given, expected):
        compared.append((given, expected))
        return False

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert small.ask("/mcp", {"Authorization": "Bearer wrong"})[0] == 401
    assert small.ask("/mcp", RIGHT)[0] == 401, "nothing else may decide"
    assert compared == [(b"wrong", TOKEN.encode()), (TOKEN.encode(), TOKEN.encode())]


def test_without_a_token_nobody_is_asked_and_nothing_stands_between():
    async def app(scope, receive, send):
        raise AssertionError

    assert authorized(app, None, Refusals()) is app


@contextmanager
def server(tmp_path, *options, **environment):
    """The whole server; its log is complete at the end."""
    log = []
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "mimo_server", "--http", "127.0.0.1:0", *options],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)} | environment,
    ) as process:
        try:
            for line in process.stderr:
                log.append(line)
                if found := re.search(r"MCP on http://127\.0\.0\.1:(\d+)/mcp", line):
                    break
            assert found, log
            reader = threading.Thread(target=lambda: log.extend(process.stderr))
            reader.start()
            yield process.pid, int(found[1]), log
            process.terminate()
            assert process.wait(timeout=10) == 0
            reader.join()
        finally:
            process.kill()


HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}


def rpc(port, method, params, **headers):
    message = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    return ask(port, "/mcp", HEADERS | headers, "POST", message)


def environments_below(pid):
    """Of every process below this one."""
    found = []
    waiting = [pid]
    while waiting:
        for child in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            pids = [int(word) for word in child.read_text().split()]
            found += [Path(f"/proc/{one}/environ").read_bytes() for one in pids]
            waiting += pids
    return found


@pytest.mark.parametrize("way", ["environment", "option"])
def test_the_server_asks_for_the_token_and_says_it_nowhere(tmp_path, tmp_path_factory, way):
    secret = tmp_path_factory.mktemp("secret") / "token.txt"
    secret.write_text(f"{TOKEN}\n")
    options, environment = (("--token-file", str(secret)), {}) if way == "option" else ((), {"MIMO_TOKEN": TOKEN})
    with server(tmp_path, *options, **environment) as (pid, port, log):
        assert ask(port, "/health")[0] == 200
        assert ask(port, "/metrics")[:2] == (401, "Bearer")
        assert rpc(port, "initialize", HELLO)[:2] == (401, "Bearer")
        assert rpc(port, "initialize", HELLO, Authorization="Bearer wrong")[:2] == (401, INVALID)
        status, _, body = rpc(port, "initialize", HELLO, **RIGHT)
        assert (status, "result" in json.loads(body)) == (200, True)
        call = {"name": "skill_echo", "arguments": {"text": "a"}}
        modern = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "skill_echo"}
        call["_meta"] = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        status, _, body = rpc(port, "tools/call", call, **RIGHT, **modern)
        assert status == 200, body
        below = environments_below(pid)
        assert below, "the skill runs"
        assert not any(TOKEN.encode() in environment for environment in below)
        status, _, page = ask(port, "/metrics", RIGHT)
        assert status == 200
        assert "mimo_refused_requests_total 3.0" in page
        assert TOKEN not in page
    assert TOKEN not in "".join(log)
