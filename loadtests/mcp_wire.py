"""MCP over HTTP as bytes: what goes into a request, and what an answer says. Pure: no sockets, no Locust.

Two eras: *handshake* (2024-11-05 to 2025-11-25: `initialize`, perhaps a session id) and *modern* (2026-07-28: every
request stands alone, with its envelope in `_meta` and its routing in headers).

Does not see: SSE lines that end in a lone carriage return, which the standard allows and nobody sends.
"""

from __future__ import annotations

import base64
import functools
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

HANDSHAKE = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Versions that begin with `initialize`, oldest first; the last one is offered."""
MODERN = "2026-07-28"
CLIENT = {"name": "mimo-loadtests", "version": "1"}
IDS = itertools.count(1)
"""Unique in this process: two requests with one id in one session hang the official Python SDK 2.3.0."""
REFUSED = -32601
"""JSON-RPC: method not found."""

_META = "io.modelcontextprotocol/"
_NAMED_BY = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
"""Which param the modern header Mcp-Name repeats."""
_PLAIN = re.compile(r"(?! )[\x20-\x7e]*(?<! )")
_CUT = 300
_JSON = json.JSONEncoder(separators=(",", ":"))
_PARAMS = ',"params":'
_MOST_REMEMBERED = 1000


class Expect(StrEnum):
    """What must come back."""

    RESULT = "result"
    """A complete result without isError."""
    ERROR = "error"
    """An error, a result with isError, or a client error of HTTP."""
    ANSWER = "answer"
    """Anything, also the end of the stream: a cancelled request need not be answered."""


class MissingError(Exception):
    """There was no answer. `kind` is refused, silent, closed, garbage or tls."""

    def __init__(self, kind: str, words: str) -> None:
        super().__init__(words)
        self.kind = kind


class WrongError(Exception):
    """There was an answer, and not the one that must come; the text says why."""


class ExpiredError(WrongError):
    """The server does not know the session any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What requests of one conversation have in common."""

    version: str
    id: str | None = None
    """The server's Mcp-Session-Id; None where it keeps no sessions."""
    declared: Mapping[str, Mapping[tuple[str, ...], str]] = field(default_factory=dict)
    """By tool: which argument, by its path, is repeated in which Mcp-Param header (modern era)."""

    @property
    def modern(self) -> bool:
        """Whether each request stands alone."""
        return self.version not in HANDSHAKE

    def request(self, number: int, method: str, params: Mapping[str, Any] | None) -> bytes:
        """Return the body of a request."""
        return f'{{"jsonrpc":"2.0","id":{number},"method":{_JSON.encode(method)}{self._params(params)}}}'.encode()

    def notification(self, method: str, params: Mapping[str, Any] | None = None) -> bytes:
        """Return the body of a notification."""
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        return _JSON.encode(message if params is None else {**message, "params": params}).encode()

    def headers(self, method: str | None = None, params: Mapping[str, Any] | None = None) -> dict[str, str]:
        """Return the headers of a POST of this method; without one, of a GET or DELETE."""
        headers = {
            "Accept": "application/json, text/event-stream" if method else "text/event-stream",
            "Accept-Encoding": "identity",
        }
        if method:
            headers["Content-Type"] = "application/json"
        if method != "initialize":
            headers["MCP-Protocol-Version"] = self.version
        if self.id is not None:
            headers["Mcp-Session-Id"] = self.id
        if method and self.modern:
            headers |= self._routing(method, params or {})
        return headers

    def _params(self, params: Mapping[str, Any] | None) -> str:
        """The params of a request as they follow its method: in the modern era with an envelope, encoded once."""
        if not self.modern:
            return "" if params is None else _PARAMS + _JSON.encode(params)
        own = {name: value for name, value in params.items() if name != "_meta"} if params else {}
        text = _JSON.encode(own)[:-1] if own else "{"
        return f"{_PARAMS}{text}{',' if own else ''}{_envelope(self.version)}}}"

    def _routing(self, method: str, params: Mapping[str, Any]) -> dict[str, str]:
        headers = {"Mcp-Method": method}
        name = params.get(_NAMED_BY.get(method, ""))
        if isinstance(name, str):
            headers["Mcp-Name"] = _header_name(name)
            for path, header in self.declared.get(name, {}).items() if method == "tools/call" else ():
                value = _at(params.get("arguments"), path)
                if isinstance(value, bool):
                    value = "true" if value else "false"
                if isinstance(value, str | int | float):
                    headers[f"Mcp-Param-{header}"] = _header_value(str(value))
        return headers


@functools.lru_cache(_MOST_REMEMBERED)
def _envelope(version: str) -> str:
    envelope = {
        f"{_META}protocolVersion": version,
        f"{_META}clientInfo": CLIENT,
        f"{_META}clientCapabilities": {},
    }
    return f'"_meta":{_JSON.encode(envelope)}'


def _header_value(text: str) -> str:
    """Return text as the modern era writes it into a header: what is not plain goes as base64."""
    if _PLAIN.fullmatch(text) and not (text.startswith("=?base64?") and text.endswith("?=")):
        return text
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


_header_name = functools.lru_cache(_MOST_REMEMBERED)(_header_value)
"""Of a tool, prompt or resource; the values of arguments are not worth keeping."""


def _at(node: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def declared_headers(schema: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield which arguments a tool's schema wants repeated in Mcp-Param headers (`x-mcp-header`)."""
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    for name, inner in properties.items() if isinstance(properties, Mapping) else ():
        if isinstance(inner, Mapping) and isinstance(inner.get("x-mcp-header"), str):
            yield (*path, name), inner["x-mcp-header"]
        yield from declared_headers(inner, (*path, name))


def reply(asked: Mapping[str, Any]) -> bytes:
    """Return our answer to a request of the server: a pong, or that nothing else was offered."""
    answer: dict[str, Any] = {"jsonrpc": "2.0", "id": asked["id"]}
    if asked["method"] == "ping":
        answer["result"] = {}
    else:
        answer["error"] = {"code": REFUSED, "message": "no sampling, elicitation or roots were offered"}
    return json.dumps(answer).encode()


class Events:
    """Takes the lines of an event stream and gives the data of each message event."""

    def __init__(self) -> None:
        self._data: list[bytes] = []
        self._message = True

    def take(self, line: bytes) -> bytes | None:
        """Return an event's data when `line` ends one that has any."""
        line = line.rstrip(b"\r\n")
        if not line:
            data, message = b"\n".join(self._data), self._message
            self._data, self._message = [], True
            return data if data and message else None
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._message = value == b"message"
        return None


class Inbox:
    """Finds the answer to one request among what the server sends."""

    def __init__(self, number: int | None) -> None:
        self._number = number
        self.answer: dict[str, Any] | None = None
        self.asked: list[dict[str, Any]] = []
        """Requests of the server to us, which wait for a `reply`."""
        self.said = ""
        """What an answer without our id said, for the words of a failure."""

    def take(self, text: bytes) -> None:
        """Take one JSON text. Raises WrongError when it is none."""
        try:
            decoded = json.loads(text.decode())
        except (ValueError, RecursionError) as error:
            raise WrongError(f"the answer is no JSON: {shown(text.decode(errors='replace'))}") from error
        for message in decoded if isinstance(decoded, list) else (decoded,):
            self._sort(message)

    def take_refusal(self, text: bytes) -> None:
        """Take the body of an HTTP error, which need not be a JSON-RPC message."""
        try:
            self.take(text)
        except WrongError:
            self.said = shown(text.decode(errors="replace"))

    def _sort(self, message: Any) -> None:
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            raise WrongError(f"the answer is no JSON-RPC message: {shown(json.dumps(message))}")
        if "method" in message:
            if "id" in message:
                self.asked.append(message)
        elif message.get("id") == self._number and type(message.get("id")) is int:
            self.answer = message
        elif message.get("id") is None:
            self.said = _error_text(message) or ""
        else:
            foreign = f"an answer to id {shown(repr(message.get('id')))}, where {self._number} was asked"
            self.said = _error_text(message) or foreign


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back to one POST."""

    status: int
    session_id: str | None
    message: dict[str, Any] | None
    """The JSON-RPC answer with our id."""
    said: str
    """What came instead of it."""

    def result(self, session: Session, expect: Expect) -> dict[str, Any]:
        """Return the result (or {}) if this is what must come back. Raises WrongError otherwise."""
        if self.message is None:
            return self._without_message(session, expect)
        error = _error_text(self.message)
        if expect is Expect.ERROR:
            if error is None:
                raise WrongError("was accepted, where an error must come")
            return {}
        if expect is Expect.RESULT and error is not None:
            raise WrongError(error)
        result = self.message.get("result")
        if expect is Expect.RESULT and self.status >= 400:
            raise WrongError(f"a result under status {self.status}")
        if isinstance(result, dict):
            if expect is Expect.RESULT and result.get("resultType", "complete") != "complete":
                raise WrongError(
                    f"asks for more ({shown(str(result['resultType']))}), where a complete result must come"
                )
            return result
        if error is None:
            raise WrongError("the answer has neither result nor error")
        return {}

    def _without_message(self, session: Session, expect: Expect) -> dict[str, Any]:
        said = f": {self.said}" if self.said else ""
        lost = self.status == 404 or (self.status == 400 and expect is not Expect.ERROR and "session" in said.lower())
        if lost and session.id is not None:  # 404 by the standard; older SDKs say it with 400
            raise ExpiredError(f"the server does not know its session any more ({self.status}{said})")
        if (400 <= self.status < 500 and expect is Expect.ERROR) or (self.status < 500 and expect is Expect.ANSWER):
            return {}
        raise WrongError(f"answers {self.status}{said or ' without a JSON-RPC answer'}")


def shown(text: str, longest: int = _CUT) -> str:
    """Return text of the server on one line, control characters escaped, cut to `longest` characters."""
    line = "".join(mark if mark.isprintable() else ascii(mark)[1:-1] for mark in text[:longest])
    return line if len(text) <= longest else f"{line}…"


def _error_text(message: Mapping[str, Any]) -> str | None:
    if "error" in message:
        error = message["error"]
        if not isinstance(error, dict):
            return f"error {shown(repr(error))}"
        return f"error {shown(str(error.get('code')), 20)}: {shown(str(error.get('message')))}"
    result = message.get("result")
    if isinstance(result, dict) and result.get("isError"):
        content = result.get("content")
        texts = [item.get("text") for item in content if isinstance(item, dict)] if isinstance(content, list) else []
        return f"isError: {shown(next((text for text in texts if isinstance(text, str)), 'without a text'))}"
    return None
