"""The operations of an MCP user, one function per way: call, session, reject, disconnect, cancel, abandon.

Each plays one input once and raises MissingError or WrongError when it did not go as it must. They are the same for an
audit (`play.py`), which counts them, and for a person (`locustfile.py`), who watches them.

Does not see: what a server did with a request whose connection was dropped.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import gevent

from loadtests.http_wire import Connection
from loadtests.mcp_user import EVENT_STREAM, McpUser, kind_of, label
from loadtests.mcp_wire import IDS, Expect, ExpiredError, MissingError, Session, WrongError

CANCELLED_SECONDS = 1.0
"""How long a cancelled request may stay without an answer before its connection is dropped."""
NOTICED_SECONDS = 2.0
"""How long a server may take to notice that a stream was dropped before a new one is refused for good."""
_LIST = ("tools/list", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """What is played, in which way, and what must come back."""

    way: str
    era: str
    """The protocol version."""
    words: str
    """What it is, for messages."""
    expect: Expect = Expect.RESULT
    rpc: tuple[str, Mapping[str, Any] | None] = _LIST
    variant: str | None = None

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Input:
        """Read an input of a plan. Raises ValueError with what is wrong."""
        rpc = line.get("rpc")
        made = cls(
            way=line["way"],
            era=line["era"],
            words=line["words"],
            expect=Expect(line["expect"]),
            rpc=(rpc["method"], rpc.get("params")) if rpc else _LIST,
            variant=line.get("variant"),
        )
        variants = VARIANTS.get(made.way, {None})
        if made.way not in WAYS or made.variant not in variants:
            raise ValueError(f"way {made.way!r} with variant {made.variant!r}; known are {sorted(WAYS)}")
        return made


def play(user: McpUser, given: Input) -> None:
    """Play one operation. Raises MissingError or WrongError."""
    WAYS[given.way](user, given)


def call(user: McpUser, given: Input) -> None:
    """One request in the user's long-lived session, or by itself where there are none."""
    user.within(given.era, lambda session: user.ask(session, *given.rpc, expect=given.expect))


def session(user: McpUser, given: Input) -> None:
    """Open a session, work, close it."""
    opened, _ = user.open_session(given.era)
    try:
        user.ask(opened, *given.rpc, expect=given.expect)
    finally:
        user.close_session(opened)


def abandon(user: McpUser, given: Input) -> None:
    """Open a session, work, and walk away: the connection is closed, and the server is told nothing."""
    try:
        opened, _ = user.open_session(given.era)
        user.ask(opened, *given.rpc, expect=given.expect)
    finally:
        user.drop_connections()


def reject(user: McpUser, given: Input) -> None:
    """Send what must be refused: a request with an error in it, or (by variant) one that HTTP must refuse."""
    user.within(given.era, lambda session: _REJECTS[given.variant](user, session, given))


def _reject_request(user: McpUser, session: Session, given: Input) -> None:
    user.ask(session, *given.rpc, expect=Expect.ERROR, name=f"reject {given.rpc[0]}")


def _reject_get(user: McpUser, session: Session, given: Input) -> None:  # noqa: ARG001 - as its siblings
    with user.counted("GET", "reject GET without a session"), _connection(user) as line:
        line.send("GET", Session(version=session.version).headers())
        status = line.answer().status_code
        if not 400 <= status < 500:
            raise WrongError(f"answers {status}, where a client error must come")


def _reject_unknown_session(user: McpUser, session: Session, given: Input) -> None:
    stranger, name, headers = (
        Session(version=session.version),
        "reject an unknown session",
        {"Mcp-Session-Id": uuid4().hex},
    )
    user.exchange(stranger, next(IDS), *given.rpc, expect=Expect.ERROR, name=name, headers=headers)


def _reject_content_type(user: McpUser, session: Session, given: Input) -> None:
    name, headers = "reject a wrong content type", {"Content-Type": "text/plain"}
    user.exchange(session, next(IDS), *given.rpc, expect=Expect.ERROR, name=name, headers=headers)


def disconnect(user: McpUser, given: Input) -> None:
    """Drop the connection in mid-answer, or in the middle of a stream that the server keeps open."""
    user.within(given.era, lambda session: _DROPS[given.variant](user, session, given))


def _drop_after_sending(user: McpUser, session: Session, given: Input) -> None:
    with user.counted("POST", f"disconnect {label(*given.rpc)}"), _connection(user) as line:
        line.send("POST", session.headers(*given.rpc), session.request(next(IDS), *given.rpc))


def _drop_after_first_bytes(user: McpUser, session: Session, given: Input) -> None:
    with user.counted("POST", f"disconnect {label(*given.rpc)}"), _connection(user) as line:
        line.send("POST", session.headers(*given.rpc), session.request(next(IDS), *given.rpc))
        if not line.first_bytes():
            raise MissingError("closed", "the connection was closed without an answer")


def _drop_stream(user: McpUser, session: Session, given: Input) -> None:  # noqa: ARG001 - as its siblings
    method = "POST" if session.modern else "GET"
    until, pause = time.monotonic() + NOTICED_SECONDS, 0.002
    with user.counted(method, "disconnect a stream"):
        while (status := _open_and_drop(user, session)) == 409 and time.monotonic() < until:
            gevent.sleep(pause)  # one stream per session: the server has not noticed the last drop yet
            pause = min(2 * pause, 0.2)
        if status == 404 and session.id is not None:
            raise ExpiredError("the server does not know its session any more (404)")
        if status != 200:
            raise WrongError(f"answers {status}, where an event stream must come")


def _open_and_drop(user: McpUser, session: Session) -> int:
    """Open a stream, drop it, and return the status; 200 only if it was an event stream."""
    with _connection(user) as line:
        if session.modern:
            rpc = ("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
            line.send("POST", session.headers(*rpc), session.request(next(IDS), *rpc))
            answer = line.answer()
        else:
            line.send("GET", session.headers())
            answer = line.answer()
        if answer.status_code != 200:
            return answer.status_code
        if kind_of(answer) != EVENT_STREAM:
            raise WrongError(f"answers with {kind_of(answer) or 'nothing'}, where an event stream must come")
        if session.modern:
            answer.readline()  # the acknowledgement: now it listens
        return 200


def offers_stream(user: McpUser, session: Session) -> bool:
    """Whether the server opens, at once, a stream on which it could send by itself."""
    try:
        _drop_stream(user, session, Input(way="disconnect", era=session.version, words="a stream"))
    except (MissingError, WrongError):
        return False
    return True


def cancel(user: McpUser, given: Input) -> None:
    """Ask, cancel at once over another connection, and see that the server still answers.

    The request goes over a kept connection and the cancellation over a new one, so that it comes second.
    """
    user.within(given.era, lambda session: _cancel(user, session, given))


def _cancel(user: McpUser, session: Session, given: Input) -> None:
    number = next(IDS)
    asking = gevent.spawn(_outcome, user, session, number, given)
    gevent.sleep(0)  # it sends now
    try:
        with contextlib.suppress(WrongError) if session.modern else contextlib.nullcontext():
            _cancellation(user, session, number)  # a modern server may refuse it: there, closing cancels
        asking.join(CANCELLED_SECONDS)
    finally:
        asking.kill()  # drops the connection if there is no answer yet
    ended = asking.value  # with an answer, without one, or cut off: the server may choose
    if isinstance(ended, ExpiredError) or (isinstance(ended, MissingError) and ended.kind == "refused"):
        raise ended
    user.ask(session, "tools/list" if session.modern else "ping")


def _outcome(user: McpUser, session: Session, number: int, given: Input) -> Exception | None:
    try:
        user.exchange(session, number, *given.rpc, expect=Expect.ANSWER, name=f"cancel {label(*given.rpc)}")
    except (MissingError, WrongError) as error:
        return error
    return None


def _cancellation(user: McpUser, session: Session, number: int) -> None:
    method, params = "notifications/cancelled", {"requestId": number, "reason": "cancelled by the load"}
    with user.counted("POST", method), _connection(user) as line:
        line.send("POST", session.headers(method, params), session.notification(method, params))
        status = line.answer().status_code
        if status in {400, 404} and session.id is not None:  # 404 by the standard; older SDKs say it with 400
            raise ExpiredError(f"the server does not know its session any more ({status})")
        if status >= 400:
            raise WrongError(f"answers {status} to a cancellation")


def _connection(user: McpUser) -> Connection:
    return Connection(urlsplit(user.url), user.default_headers or {}, user.patience)


_REJECTS: Mapping[str | None, Callable[[McpUser, Session, Input], None]] = {
    None: _reject_request,
    "get_without_session": _reject_get,
    "unknown_session": _reject_unknown_session,
    "wrong_content_type": _reject_content_type,
}
_DROPS: Mapping[str | None, Callable[[McpUser, Session, Input], None]] = {
    "after_sending": _drop_after_sending,
    "after_first_bytes": _drop_after_first_bytes,
    "stream": _drop_stream,
}
VARIANTS: Mapping[str, Mapping[str | None, Any]] = {"reject": _REJECTS, "disconnect": _DROPS}
WAYS: Mapping[str, Callable[[McpUser, Input], None]] = {
    "call": call,
    "session": session,
    "reject": reject,
    "disconnect": disconnect,
    "cancel": cancel,
    "abandon": abandon,
}
