"""What is played over HTTP in one era of MCP, kind by kind, as the load process takes it.

`call:<tool>` in a long session, or by itself where the era or the server keeps none
`session`     opened, one request, closed
`reject`      requests that must be refused, as JSON-RPC and as HTTP
`disconnect`  the connection dropped: before the answer, within it, and in mid-stream
`cancel`      the slowest call, cancelled at once
`abandon`     opened, its tools listed, left; played apart, because servers rightly hold it for a while
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leakcheck.drivers.messages import Expect, Rpc
from leakcheck.drivers.operations import LIST, cancels, rejects
from leakcheck.drivers.peer import SPOKEN
from leakcheck.drivers.tools import Chosen
from leakcheck.model.event import NotPlayed

ABANDON = "abandon"


@dataclass(frozen=True, slots=True, kw_only=True)
class Era:
    """One protocol version that the server speaks, and what it said in it."""

    version: str
    server: str
    session: bool
    """It gave an Mcp-Session-Id."""
    stream: bool
    """It opens an event stream that the client can drop."""
    tools: tuple[object, ...]
    """As listed."""

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Era:
        """Take one of the eras that the load process has found."""
        return cls(
            version=found["version"],
            server=found["server"],
            session=found["session"],
            stream=found["stream"],
            tools=tuple(found["tools"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One operation as it is planned."""

    way: str
    era: str
    words: str
    expect: Expect
    rpc: Rpc | None = None
    variant: str | None = None

    @property
    def calls(self) -> bool:
        """Whether a tool is called that must do its work: not so where the request is to be refused."""
        return self.rpc is not None and self.rpc.method == "tools/call" and self.way != "reject"

    def wire(self) -> dict[str, object]:
        """As a line to the load process has it."""
        rpc = self.rpc and {
            "method": self.rpc.method,
            **({} if self.rpc.params is None else {"params": self.rpc.params}),
        }
        return {
            "way": self.way,
            "era": self.era,
            "words": self.words,
            "expect": self.expect.value,
            "rpc": rpc,
            "variant": self.variant,
        }


def call(era: Era, chosen: Chosen) -> Input:
    """Return the call of a tool."""
    return _input("call", era, chosen.rpc)


def others(era: Era, quickest: Chosen | None, slowest: Chosen | None) -> dict[str, tuple[Input, ...]]:
    """Return the inputs of every other kind that can be played, `abandon` last; the tools are those that may be called.

    Where none may be called, the tools are listed.
    """
    quick = quickest.rpc if quickest else LIST
    slow = slowest.rpc if slowest else LIST
    inputs = {
        "session": (_input("session", era, quick, words=f"a session with {quick.words}"),) if era.session else (),
        "reject": (*(_input("reject", era, rpc) for rpc in rejects(quickest)), *_refused_by_http(era)),
        "disconnect": _dropped(era, slow),
        "cancel": (_input("cancel", era, cancels(slowest)),),
        ABANDON: (_input(ABANDON, era, LIST, words=f"an abandoned session with {LIST.words}"),) if era.session else (),
    }
    return {kind: given for kind, given in inputs.items() if given}


def impossible(era: Era) -> tuple[NotPlayed, ...]:
    """Return the kinds that cannot be played in this era, with the reason."""
    if era.session:
        return ()
    why = "it gives no Mcp-Session-Id" if era.version in SPOKEN else f"MCP {era.version} knows none"
    return tuple(
        NotPlayed(operation=kind, reason=f"the server keeps no sessions: {why}") for kind in ("session", ABANDON)
    )


def _input(way: str, era: Era, rpc: Rpc, *, words: str | None = None) -> Input:
    return Input(way=way, era=era.version, words=words or rpc.words, expect=rpc.expect, rpc=rpc)


def _refused_by_http(era: Era) -> tuple[Input, ...]:
    """Requests that are refused before JSON-RPC; only who keeps sessions misses one."""
    variants: tuple[tuple[str, str, Rpc | None], ...] = (("a wrong content type", "wrong_content_type", LIST),)
    if era.session:
        variants += (
            ("a GET without a session", "get_without_session", None),
            ("a request in an unknown session", "unknown_session", LIST),
        )
    return tuple(
        Input(way="reject", era=era.version, words=words, expect=Expect.ERROR, rpc=rpc, variant=variant)
        for words, variant, rpc in variants
    )


def _dropped(era: Era, slow: Rpc) -> tuple[Input, ...]:
    variants: tuple[tuple[str, str, Rpc | None], ...] = (
        (f"a {slow.words}, dropped before its answer", "after_sending", slow),
        (f"a {slow.words}, dropped in mid-answer", "after_first_bytes", slow),
    )
    if era.stream:
        variants += (("an event stream, dropped", "stream", None),)
    return tuple(
        Input(way="disconnect", era=era.version, words=words, expect=Expect.ANSWER, rpc=rpc, variant=variant)
        for words, variant, rpc in variants
    )
