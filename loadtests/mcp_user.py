"""`McpUser`: a Locust user that speaks MCP over HTTP, in both eras, as raw JSON-RPC.

The official SDK's client does not work under gevent, and costs many times the CPU. Every request fires Locust's own
request event under a fixed name (`tools/call echo`), and an answer with the wrong content is a failure there.

Does not see: streams that a server offers beside its answers; resuming of a broken one.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

import gevent
from locust import User
from locust.exception import LocustError

from loadtests.counted import FAILURES, Counted
from loadtests.http_wire import Line, Pool, Response
from loadtests.mcp_wire import (
    CLIENT,
    HANDSHAKE,
    IDS,
    Answer,
    Events,
    Expect,
    ExpiredError,
    Inbox,
    MissingError,
    Session,
    WrongError,
    reply,
    shown,
)

PATIENCE_SECONDS = 10.0
"""How long an answer may take."""
LINGER_SECONDS = 0.25
"""How long a server may keep an event stream open after the answer; then the connection is closed, not kept."""
LARGEST = 32 * 1024 * 1024
"""Bytes of one answer."""
EVENT_STREAM = "text/event-stream"
_TOO_LARGE = f"an answer of more than {LARGEST >> 20} MiB"
Result = TypeVar("Result")


class McpUser(User):
    """Subclass it, set `host` (and `mcp_path`), and call `ask` from tasks."""

    abstract = True
    mcp_path = "/mcp"
    default_headers: dict[str, str] | None = None
    """Sent with every request: tokens."""
    stateful: ClassVar[Mapping[str, bool]] = {}
    """By version: whether the server keeps sessions. What is not here does."""
    declared: ClassVar[Mapping[str, Mapping[tuple[str, ...], str]]] = {}
    """See `Session.declared`."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        if self.host is None:
            raise LocustError("no host: pass --host URL, or set host in the class")
        self._connections: Pool | None = None
        self.patience = PATIENCE_SECONDS
        self._kept: dict[str, Session] = {}

    @property
    def url(self) -> str:
        """Where requests go."""
        return f"{(self.host or '').rstrip('/')}{self.mcp_path}"

    def ask(
        self,
        session: Session,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        expect: Expect = Expect.RESULT,
        name: str | None = None,
    ) -> dict[str, Any]:
        """Send a request and return its result. Raises MissingError or WrongError, after Locust has heard of it."""
        return self.exchange(session, next(IDS), method, params, expect=expect, name=name)[0]

    def exchange(  # noqa: PLR0913 - a request's parts
        self,
        session: Session,
        number: int,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        expect: Expect = Expect.RESULT,
        name: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[dict[str, Any], Answer]:
        """`ask` with an id of the caller's, headers that replace others, and the whole answer."""
        head = session.headers(method, params) | dict(headers or {})
        with self.counted("POST", name or label(method, params)) as count:
            line = self.send("POST", head, session.request(number, method, params))
            answer = self._read(line, session, Inbox(number), count)
            return answer.result(session, expect), answer

    def notify(self, session: Session, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send a notification, which the server must accept."""
        with self.counted("POST", method) as count:
            line = self.send("POST", session.headers(method, params), session.notification(method, params))
            answer = self._read(line, session, Inbox(None), count)
            if answer.status >= 400:
                answer.result(session, Expect.RESULT)

    def open_session(self, version: str = HANDSHAKE[-1]) -> tuple[Session, dict[str, Any]]:
        """Shake hands; return the session in the version that the server chose, and what it said of itself."""
        offered = Session(version=version)
        params = {"protocolVersion": version, "capabilities": {}, "clientInfo": CLIENT}
        result, answer = self.exchange(offered, next(IDS), "initialize", params)
        chosen = result.get("protocolVersion")
        if chosen not in HANDSHAKE:
            raise WrongError(f"answers initialize with version {chosen!r}; known are {', '.join(HANDSHAKE)}")
        session = Session(version=chosen, id=answer.session_id)
        self.notify(session, "notifications/initialized")
        return session, result

    def close_session(self, session: Session, *, may_be_over: bool = False) -> None:
        """Tell the server that the session is over. It may answer 405: that it leaves this to its clock.

        `may_be_over`: it may have idled for so long that the server closed it, which it says with 404.
        """
        if session.id is None:
            return
        accepted = {405, 404} if may_be_over else {405}
        with self.counted("DELETE", "DELETE session") as count:
            answer = self._read(self.send("DELETE", session.headers()), session, Inbox(None), count)
            if answer.status >= 400 and answer.status not in accepted:
                answer.result(session, Expect.RESULT)

    def page(self, path: str) -> Any:
        """GET a JSON document of the same host, as /health. Raises MissingError or WrongError."""
        with self.counted("GET", path) as count:
            pool = Pool(f"{(self.host or '').rstrip('/')}{path}", self.default_headers or {}, self.patience)
            line = pool.ask("GET", {"Accept": "application/json"}, None)
            try:
                body = _body(line.response)
            finally:
                line.release()
                pool.drop()
            count["length"] = len(body)
            try:
                return json.loads(body.decode())
            except ValueError as error:
                said = shown(body.decode(errors="replace"))
                raise WrongError(f"answers {line.response.status_code}, no JSON: {said}") from error

    def kept(self, version: str) -> Session:
        """Return this user's own long-lived session in an era, opened when there is none."""
        if version not in self._kept:
            if version in HANDSHAKE and self.stateful.get(version, True):
                self._kept[version], _ = self.open_session(version)
            else:
                self._kept[version] = Session(version=version, declared=self.declared)
        return self._kept[version]

    def within(self, version: str, work: Callable[[Session], Result]) -> Result:
        """Do `work` in the long-lived session; if the server has let it go meanwhile, once more in a new one."""
        try:
            return work(self.kept(version))
        except ExpiredError:
            del self._kept[version]
            return work(self.kept(version))

    def on_stop(self) -> None:
        """Close the long-lived sessions, as far as the server still listens."""
        while self._kept:
            _, session = self._kept.popitem()
            with contextlib.suppress(MissingError, WrongError):
                self.close_session(session, may_be_over=True)

    def drop_connections(self) -> None:
        """Close the connections that are kept for further requests."""
        if self._connections is not None:
            self._connections.drop()

    def counted(self, method: str, name: str) -> Counted:
        """Tell Locust of what happens within as one request; what the HTTP client raises becomes MissingError.

        The caller sets `length` in what this yields.
        """
        return Counted(self, self.patience, method, name)

    def send(self, method: str, headers: Mapping[str, str], body: bytes | None = None) -> Line:
        """Send a request over a kept connection and return when the answer's head was read; within `counted`."""
        if self._connections is None:
            self._connections = Pool(self.url, self.default_headers or {}, self.patience)
        return self._connections.ask(method, headers, body)

    def _read(self, line: Line, session: Session, inbox: Inbox, count: dict[str, int]) -> Answer:
        response = line.response
        kind = kind_of(response)
        try:
            if kind == EVENT_STREAM:
                self._listen(response, session, inbox, count)
            else:
                body = _body(response)
                count["length"] = len(body)
                if response.status_code >= 400:
                    inbox.take_refusal(body)
                elif kind == "application/json" and body:
                    inbox.take(body)
        finally:
            line.release()  # closes it if it was not read to its end
        foreign = response.status_code < 400 and kind not in {EVENT_STREAM, "application/json"} and count["length"]
        return Answer(
            status=response.status_code,
            session_id=response.get("mcp-session-id") or None,
            message=inbox.answer,
            said=f"{shown(kind)} instead of JSON or an event stream" if foreign else inbox.said,
        )

    def _listen(self, response: Response, session: Session, inbox: Inbox, count: dict[str, int]) -> None:
        """Read events up to the answer, and what the server asks meanwhile."""
        events = Events()
        while inbox.answer is None:
            line = response.readline()
            count["length"] += len(line)
            if count["length"] > LARGEST:
                raise WrongError(_TOO_LARGE)
            if not line:
                return
            data = events.take(line)
            if data is not None:
                inbox.take(data)
            while inbox.asked:
                self._reply(session, inbox.asked.pop())
        with gevent.Timeout(LINGER_SECONDS, exception=False), contextlib.suppress(*FAILURES):
            while response.read():
                pass

    def _reply(self, session: Session, asked: Mapping[str, Any]) -> None:
        """Answer a request of the server over a connection of its own: the stream it came by is still open."""
        with self.counted("POST", "answer to the server") as count:
            line = self.send("POST", session.headers("reply"), reply(asked))
            self._read(line, session, Inbox(None), count)


def kind_of(response: Response) -> str:
    """Return the media type of an answer, without its parameters."""
    return response.get("content-type").partition(";")[0].strip().lower()


def label(method: str, params: Mapping[str, Any] | None) -> str:
    """Return the name that a request has in Locust's statistics: bounded, since tools are."""
    name = (params or {}).get("name")
    return _called(name) if method == "tools/call" and isinstance(name, str) else method


@functools.lru_cache(1000)
def _called(name: str) -> str:
    return f"tools/call {shown(name, 80)}"


def _body(response: Response) -> bytes:
    pieces, length = [], 0
    while piece := response.read():
        pieces.append(piece)
        length += len(piece)
        if length > LARGEST:
            raise WrongError(_TOO_LARGE)
    return b"".join(pieces)
