"""One block of calls from a client that keeps its connections: eight of them, each with one call at a time.

Every answer is checked. Does not see: what a client waits that asks at its own pace; each connection here asks again
when it has its answer.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

CONNECTIONS = 8
MODERN, LEGACY = "2026-07-28", "2025-11-25"
_PATIENCE_SECONDS = 20.0
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)\r\n")
_SESSION = re.compile(rb"(?i)\r\nmcp-session-id: *(\S+)\r\n")
_META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "calls", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A tool, and what must come back; both may depend on the number of the call."""

    tool: str
    arguments: Callable[[int], dict[str, Any]]
    answered: Callable[[dict[str, Any], int], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What one block of calls showed."""

    calls: int
    cpu_us_per_call: float
    """CPU time of the server's process, all threads, user and kernel; its children's not."""
    calls_per_s: float
    p50_ms: float
    p99_ms: float
    client_busy: float
    """Share of one core that this client used: near 1.0, calls_per_s is its limit and not the server's."""


class WrongAnswerError(Exception):
    """The server did not answer as it must: nothing is measured."""


@dataclass(slots=True)
class _Line:
    """One connection and the call on its way."""

    wire: socket.socket
    got: bytearray = field(default_factory=bytearray)
    number: int = 0
    asked_ns: int = 0


class Client:
    """Plays one question on one server; a session is opened first in the handshake era, and closed at the end."""

    def __init__(self, port: int, era: str, question: Question) -> None:
        self._port, self._era, self._question = port, era, question
        self._session = ""
        self._number = 0

    def block(self, seconds: float, pid: int) -> Block:
        """Call for so long, after a tenth of it to warm up. Raises WrongAnswerError."""
        lines = [_Line(self._connected()) for _ in range(CONNECTIONS)]
        try:
            if self._era == LEGACY:
                self._open(lines[0])
            self._play(lines, seconds / 10)
            cpu, own, begun = cpu_ns(pid), time.process_time(), time.perf_counter()
            took_ns = self._play(lines, seconds)
            lasted, busy, used = time.perf_counter() - begun, time.process_time() - own, cpu_ns(pid) - cpu
            if self._era == LEGACY:
                self._exchange(lines[0], self._head("DELETE", 0))
        finally:
            for line in lines:
                line.wire.close()
        cuts = quantiles(took_ns, n=100)
        return Block(
            calls=len(took_ns),
            cpu_us_per_call=used / len(took_ns) / 1e3,
            calls_per_s=len(took_ns) / lasted,
            p50_ms=cuts[49] / 1e6,
            p99_ms=cuts[98] / 1e6,
            client_busy=busy / lasted,
        )

    def _connected(self) -> socket.socket:
        wire = socket.create_connection(("127.0.0.1", self._port), _PATIENCE_SECONDS)
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return wire

    def _play(self, lines: list[_Line], seconds: float) -> list[int]:
        """Call until the time is up and all is answered; how long each call took, in nanoseconds."""
        took_ns: list[int] = []
        end = time.perf_counter_ns() + int(seconds * 1e9)
        with selectors.EpollSelector() as waiting:
            for line in lines:
                waiting.register(line.wire, selectors.EVENT_READ, line)
                self._ask(line)
            left = len(lines)
            while left:
                ready = waiting.select(_PATIENCE_SECONDS)
                if not ready:
                    raise WrongAnswerError(f"{left} calls of {self._question.tool} had no answer in time")
                for key, _ in ready:
                    line = key.data
                    if (answer := self._read(line)) is None:
                        continue
                    now = time.perf_counter_ns()
                    took_ns.append(now - line.asked_ns)
                    self._check(answer, line.number)
                    if now < end:
                        self._ask(line)
                    else:
                        left -= 1
        return took_ns

    def _ask(self, line: _Line) -> None:
        self._number += 1
        line.number = self._number
        params = {"name": self._question.tool, "arguments": self._question.arguments(line.number)}
        if self._era == MODERN:
            params["_meta"] = _META
        request = self._post({"id": line.number, "method": "tools/call", "params": params})
        line.asked_ns = time.perf_counter_ns()
        line.wire.sendall(request)

    def _post(self, message: dict[str, Any]) -> bytes:
        body = json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")).encode()
        return self._head("POST", len(body)) + body

    def _head(self, method: str, length: int) -> bytes:
        told = f"MCP-Protocol-Version: {self._era}\r\n"
        if self._era == MODERN:
            told += f"Mcp-Method: tools/call\r\nMcp-Name: {self._question.tool}\r\n"
        elif self._session:
            told += f"Mcp-Session-Id: {self._session}\r\n"
        return (
            f"{method} /mcp HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nContent-Type: application/json\r\n"
            f"Accept: application/json, text/event-stream\r\n{told}Content-Length: {length}\r\n\r\n"
        ).encode()

    def _read(self, line: _Line) -> bytes | None:
        """The body of the answer once it is whole. Raises WrongAnswerError for anything but 200."""
        piece = line.wire.recv(65536)
        line.got += piece
        head, found, body = line.got.partition(b"\r\n\r\n")
        if not piece or (found and not head.startswith(b"HTTP/1.1 200 ")):
            raise WrongAnswerError(f"{self._question.tool}: {bytes(line.got[:500])!r}")
        length = _LENGTH.search(head + b"\r\n") if found else None
        if length is None or len(body) < int(length[1]):
            return None
        line.got.clear()
        return bytes(body)

    def _check(self, answer: bytes, number: int) -> None:
        told = json.loads(answer)
        result = told.get("result", {})
        if told.get("id") != number or result.get("isError") or not self._question.answered(result, number):
            raise WrongAnswerError(f"{self._question.tool} {number}: {answer[:500]!r}")

    def _open(self, line: _Line) -> None:
        hello = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "calls", "version": "1"}}
        self._session = ""
        head = self._exchange(line, self._post({"id": 0, "method": "initialize", "params": hello}))
        if (found := _SESSION.search(head)) is None:
            raise WrongAnswerError(f"no session was opened: {head[:500]!r}")
        self._session = found[1].decode()
        self._exchange(line, self._post({"method": "notifications/initialized"}))

    def _exchange(self, line: _Line, request: bytes) -> bytes:
        """Send one request, wait for its whole answer, return its head."""
        line.wire.sendall(request)
        got = b""
        while True:
            piece = line.wire.recv(65536)
            got += piece
            head, found, body = got.partition(b"\r\n\r\n")
            length = _LENGTH.search(head + b"\r\n")
            if not piece or (found and (head[9:10] != b"2" or len(body) >= int(length[1] if length else 0))):
                return head + found


def cpu_ns(pid: int) -> int:
    """CPU time of a process so far, user and kernel, all its threads, also those that have ended; no children.

    The clock's number is that of clock_getcpuclockid(3), which Python does not have: exact where /proc counts in 10 ms.
    """
    return time.clock_gettime_ns((~pid << 3) | 2)
