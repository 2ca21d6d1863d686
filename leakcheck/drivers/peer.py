"""A target spoken with over MCP: the handshake, the list of its tools, and what its end or silence means."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import leakcheck
from leakcheck.credentials import Secrets
from leakcheck.drivers.job import UNANSWERED_SECONDS, Job
from leakcheck.drivers.jsonrpc import Conversation
from leakcheck.drivers.messages import Expect, Operation, encoded, failure, notification, shown
from leakcheck.errors import NotReady, TargetDied, TargetError
from leakcheck.targets import Target

OFFERED = "2025-11-25"
SPOKEN = ("2024-11-05", "2025-03-26", "2025-06-18", OFFERED)
"""Protocol versions that begin with `initialize`."""
_BANNER_LINES = 20
"""So many lines that are not JSON-RPC may come before the first answer: some servers print a banner."""
_PAGES = 100
_TOOLS = 1000
_EXIT_SECONDS = 2.0
"""How long the exit code may take to be known after the pipes have closed."""
_HANG_UP_SECONDS = 1.0
"""How long a server that does not read may hold up the end."""
_GONE_SECONDS = 1.0
"""The root has ended and nothing was answered for so long: whoever holds the pipes open is not the server."""
_MEANWHILE_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """What the server said to `initialize`."""

    server: str
    version: str
    """Of the protocol."""
    warnings: tuple[str, ...]


class Peer:
    """One target, and the one conversation with it. Errors are TargetDied, NotReady or TargetError, in words."""

    def __init__(self, target: Target, secrets: Secrets, meanwhile: Callable[[], None] | None = None) -> None:
        """Take over the target's pipes until `close`; `meanwhile` is called while we wait, and may raise."""
        if target.stdin is None or target.stdout is None:
            raise TargetError(
                "The target has no pipes to speak MCP over; it must be started, not attached to by --pid."
            )
        self.target = target
        self.conversation = Conversation(target.stdin, target.stdout)
        self._secrets = secrets
        self._meanwhile = meanwhile
        self._seen = (0, time.monotonic())

    def close(self) -> None:
        """End the conversation. Never raises."""
        self.conversation.close()

    def hang_up(self) -> None:
        """Write what is queued and close the target's stdin; its stdout is still read, and thrown away."""
        self.conversation.fall_silent(_HANG_UP_SECONDS)
        if self.target.stdin is not None:
            self.target.stdin.close()

    def play(self, job: Job, doing: str) -> Job:
        """Play a job to its end; `doing` says in messages what it was. Raises TargetDied."""
        self._seen = (self.conversation.messages, time.monotonic())
        every = {} if self._meanwhile is None else {"every": _MEANWHILE_SECONDS}
        self.conversation.play(job, lambda: self._watch(doing), **every)
        if self.conversation.ended is not None:
            raise self.died(doing)
        if job.problem is not None:
            job.problem = self._told(job.problem)
        return job

    def ask(self, operation: Operation, seconds: float) -> Job:
        """Play one operation."""
        return self.play(Job((operation,), in_flight=1, seconds=seconds), operation.words)

    def initialize(self, seconds: float) -> Greeting:
        """Shake hands. Raises NotReady without a valid answer within `seconds`, TargetDied if it ends before."""
        client = {"name": "leakcheck", "version": leakcheck.__version__}
        params = {"protocolVersion": OFFERED, "capabilities": {}, "clientInfo": client}
        request = encoded("initialize", params)
        ask = Operation(kind="initialize", words="initialize", request=request, expect=Expect.ANSWER, keeps=True)
        job = self.ask(ask, seconds)
        if job.answer is None:
            raise self._silent(seconds)
        wrong = failure(job.answer, Expect.RESULT)
        if wrong is not None:
            raise NotReady(
                f"The target refused initialize with MCP {OFFERED}: {self._told(wrong)}. "
                f"leakcheck speaks {', '.join(SPOKEN)}; start a server that speaks one of them."
            )
        greeting = self._greeting(cast("Mapping[str, object]", job.answer["result"]))
        self.conversation.post(notification("notifications/initialized"))
        return greeting

    def list_tools(self, seconds: float) -> tuple[tuple[object, ...], tuple[str, ...]]:
        """Return what `tools/list` lists, page after page, and warnings; an error answer means no tools."""
        listed: list[object] = []
        cursor: object = None
        deadline = time.monotonic() + seconds
        for _ in range(_PAGES):
            params = {} if cursor is None else {"cursor": cursor}
            request = encoded("tools/list", params)
            left = max(1.0, min(UNANSWERED_SECONDS, deadline - time.monotonic()))
            job = self.ask(Operation(kind="list", words="tools/list", request=request, keeps=True), left)
            if job.answer is None or job.problem is not None:
                return tuple(listed), (f"{job.problem}: {len(listed)} tools are known.",)
            result = cast("Mapping[str, object]", job.answer["result"])
            page, following = result.get("tools"), result.get("nextCursor")
            listed += page if isinstance(page, list) else []
            if following is None or following == cursor or len(listed) > _TOOLS or time.monotonic() > deadline:
                break
            cursor = following
        if following is None and len(listed) <= _TOOLS:
            return tuple(listed), ()
        return tuple(listed[:_TOOLS]), (
            f"tools/list has no end: only its first {len(listed[:_TOOLS])} tools are considered.",
        )

    def died(self, doing: str) -> TargetDied:
        """Return the error that says how the target ended, once its exit code is known or 2 s have passed."""
        pause, deadline = 0.001, time.monotonic() + _EXIT_SECONDS
        code = self.target.exit_code()
        while code is None and time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(pause * 2, 0.05)
            code = self.target.exit_code()
        how = f"{self.conversation.ended or 'ended'} but still runs" if code is None else f"ended with {_exit(code)}"
        return TargetDied(f"The target {how} during {doing}. {self._last_lines()}")

    def _greeting(self, result: Mapping[str, object]) -> Greeting:
        version = result.get("protocolVersion")
        if version not in SPOKEN:
            raise NotReady(
                f"The target answered initialize with MCP {shown(str(version))!r}, where leakcheck speaks "
                f"{', '.join(SPOKEN)}; start a server that speaks one of them."
            )
        info = result.get("serverInfo")
        named = info if isinstance(info, dict) else {}
        server = self._secrets.hide(f"{named.get('name', 'unnamed')} {named.get('version', '')}".strip())
        warning = (
            f"The target printed {self.conversation.garbage_lines} lines on stdout that are not JSON-RPC, "
            f"the first: '{self._garbage()}'. Logs belong on stderr."
        )
        warnings = (warning,) if self.conversation.garbage_lines else ()
        return Greeting(server=shown(server, 100), version=str(version), warnings=warnings)

    def _watch(self, doing: str) -> None:
        """Look after the target while an answer is awaited."""
        if self._meanwhile is not None:
            self._meanwhile()
        talk, now = self.conversation, time.monotonic()
        if not talk.messages and talk.garbage_lines > _BANNER_LINES:
            raise self._silent(0.0)
        if talk.messages != self._seen[0] or self.target.exit_code() is None:
            self._seen = (talk.messages, now)
        elif now - self._seen[1] > _GONE_SECONDS:
            raise self.died(doing)

    def _silent(self, seconds: float) -> NotReady:
        advice = "Is it an MCP server over stdio? Run the command by hand and see what it prints"
        if self.conversation.garbage_lines:
            return NotReady(
                f"The target answered garbage: '{self._garbage()}' ({self.conversation.garbage_lines} lines that "
                f"are not JSON-RPC, no valid answer to initialize). {advice}. {self._last_lines()}"
            )
        return NotReady(
            f"The target did not answer initialize within {seconds:g} s. {advice}, "
            f"or raise --ready-timeout. {self._last_lines()}"
        )

    def _garbage(self) -> str:
        first = self.conversation.garbage[0] if self.conversation.garbage else ""
        return shown(self._secrets.hide(first), 100)

    def _told(self, problem: str) -> str:
        """Credentials out first, then the middle of what is too long: a cut credential would not be found."""
        hidden = self._secrets.hide(problem)
        return hidden if len(hidden) <= 400 else f"{hidden[:280]}…{hidden[-100:]}"

    def _last_lines(self) -> str:
        lines = self.target.last_lines()
        return "Its last lines:\n" + "\n".join(lines) if lines else "It left nothing in its log."


def _exit(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
