"""MCP with one process of a skill: answers are matched to requests by id, and everything that waits has a limit."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mimo_server.errors import InvalidError, LimitError, SkillEndedError, SkillError, SkillLateError
from mimo_server.skills import messages
from mimo_server.skills.process import MOST_UNSENT, SkillProcess
from mimo_server.skills.skill import MOST_TOOLS, Skill, Tool
from mimo_server.supervision.events import Events, Kind

Progress = Callable[[float, float | None, str | None], None]
"""Called with progress, total, message. Must not block or raise."""

_MOST_BAD_LINES = 100
"""In a row: a banner or some log lines on stdout are forgiven, a program that speaks no JSON-RPC is not."""
_MOST_UNASKED = 10_000
"""Messages in a row without one awaited answer between them: a flood takes our time, whatever it says."""
_LATE_EVENT_SECONDS = 1.0
"""At most one event in this time and process; the counter counts all."""
_MOST_SILENT = 3
"""Calls given up in a row with not one line heard meanwhile: it hangs, and is replaced."""


@dataclass(slots=True, kw_only=True)
class Counts:
    """What skills said that was for nobody."""

    late_answers: int = 0
    """Answers without a request that waits: late, a second one, an id that never was."""
    dropped_lines: int = 0
    """Lines that are no JSON-RPC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A request that was sent."""

    answer: asyncio.Future[Any]
    on_progress: Progress | None


class SkillClient:
    """One process from `start` to `close`. `lost` is called once when it can answer no more, but not by `close`."""

    process_class = SkillProcess
    most_in_flight = 32

    def __init__(
        self,
        skill: Skill,
        *,
        events: Events,
        counts: Counts,
        grace_seconds: float,
        lost: Callable[[SkillClient, str], None],
    ) -> None:
        self.skill = skill
        self.idle_since = asyncio.get_running_loop().time()
        self.process = self.process_class(skill, heard=self._heard, lost=self._lose, grace_seconds=grace_seconds)
        self._events = events
        self._counts = counts
        self._lost = lost
        self._waiting: dict[int, Waiting] = {}
        self._ids = itertools.count(1)
        self._broken: str | None = None
        self._bad_lines = 0
        self._unasked = 0
        self._told_late = -math.inf
        self._silent = 0

    @property
    def in_flight(self) -> int:
        """Requests that wait for their answer."""
        return len(self._waiting)

    async def start(self) -> tuple[Tool, ...]:
        """Start, shake hands, and list the tools. Raises SkillError; then nothing is left of it."""
        seconds = self.skill.start_seconds
        try:
            async with asyncio.timeout(seconds):
                await self.process.start()
                return await self._shake_hands()
        except TimeoutError as error:
            await self.close()
            raise SkillLateError(
                f"skill {self.skill.name!r} was not ready within {seconds:g} s; raise its start_seconds in the catalog"
            ) from error
        except BaseException:
            await self.close()
            raise

    async def _shake_hands(self) -> tuple[Tool, ...]:
        seconds = self.skill.start_seconds
        about = {"name": "mimo-server", "version": "1"}
        hello = {"protocolVersion": messages.VERSIONS[0], "capabilities": {}, "clientInfo": about}
        messages.version(self.skill.name, await self.request("initialize", hello, seconds))
        self._tell("notifications/initialized", {})
        found: list[Tool] = []
        cursor: str | None = None
        for _ in range(MOST_TOOLS):  # pages
            given = {} if cursor is None else {"cursor": cursor}
            page, cursor = messages.tools(self.skill.name, await self.request("tools/list", given, seconds))
            found += page
            if cursor is None or len(found) > MOST_TOOLS:
                break
        if cursor is not None or len(found) > MOST_TOOLS:
            raise SkillError(f"skill {self.skill.name!r} lists more than {MOST_TOOLS} tools; these are the most")
        if self._broken is not None:
            raise SkillEndedError(f"skill {self.skill.name!r}, right after its start: {self._broken}; look at its log")
        return tuple(found)

    async def call(self, tool: str, arguments: dict[str, Any], on_progress: Progress | None = None) -> dict[str, Any]:
        """The skill's CallToolResult. Raises SkillError, also late or ended, and LimitError."""
        asked = {"name": tool, "arguments": arguments}
        result = await self.request("tools/call", asked, self.skill.answer_seconds, on_progress)
        return messages.call_result(self.skill.name, tool, result)

    async def request(
        self, method: str, params: dict[str, Any], seconds: float, on_progress: Progress | None = None
    ) -> Any:
        """The result of one request. Raises SkillError, also late or ended, and LimitError."""
        if self._broken is not None:
            raise SkillEndedError(f"skill {self.skill.name!r}: {self._broken}; the next call starts it again")
        if len(self._waiting) >= self.most_in_flight:
            raise LimitError(f"skill {self.skill.name!r}: {self.most_in_flight} calls wait for its answer; try again")
        number = next(self._ids)
        waiting = Waiting(answer=asyncio.get_running_loop().create_future(), on_progress=on_progress)
        meta = {} if on_progress is None else {"_meta": {"progressToken": number}}
        self._send({"id": number, "method": method, "params": {**params, **meta}})
        self._waiting[number] = waiting
        try:
            async with asyncio.timeout(seconds):
                return await waiting.answer
        except TimeoutError as error:
            self._give_up(number, "no answer in time")
            self._note_silence()
            raise SkillLateError(
                f"skill {self.skill.name!r} did not answer {method} within {seconds:g} s; try again"
            ) from error
        except asyncio.CancelledError:
            self._give_up(number, "the caller gave up")
            raise
        finally:
            self._waiting.pop(number, None)
            self.idle_since = asyncio.get_running_loop().time()

    def _heard(self, line: bytes) -> None:
        """A line of its stdout."""
        self._silent = 0
        if not line.strip():
            return
        if (message := messages.parsed(line)) is None:
            self._counts.dropped_lines += 1
            self._bad_lines += 1
            if self._bad_lines >= _MOST_BAD_LINES:
                self.process.lose(f"it wrote {_MOST_BAD_LINES} lines in a row that are no JSON-RPC")
            return
        self._bad_lines = 0
        self._unasked += 1
        if self._unasked > _MOST_UNASKED:
            self.process.lose(f"it wrote {_MOST_UNASKED} messages in a row that answer nothing")
        elif "method" in message:
            self._asked(message)
        elif (waiting := self.match(message)) is None or waiting.answer.done():
            self.unmatched(message)
        else:
            self._unasked = 0
            self._settle(waiting, message)

    def _settle(self, waiting: Waiting, message: dict[str, Any]) -> None:
        if "error" in message:
            text = messages.error_text(message["error"])
            waiting.answer.set_exception(SkillError(f"skill {self.skill.name!r}: {text}"))
        else:
            waiting.answer.set_result(message.get("result"))

    def match(self, message: dict[str, Any]) -> Waiting | None:
        """Whose answer it is: the request's with that id, and nobody's when there is none."""
        number = message.get("id")
        return self._waiting.get(number) if type(number) is int else None  # in Python 1, 1.0 and True are one key

    def unmatched(self, message: dict[str, Any]) -> None:
        """Drop an answer that nobody waits for."""
        self._counts.late_answers += 1
        now = asyncio.get_running_loop().time()
        if now - self._told_late < _LATE_EVENT_SECONDS:
            return
        self._told_late = now
        self._events.emit(Kind.LATE_ANSWER, skill=self.skill.name, id=repr(message.get("id")))

    def _asked(self, message: dict[str, Any]) -> None:
        """A request or a notification of the skill. It was offered nothing, so it may only ping."""
        if "id" not in message:
            self._note_progress(message)
        elif message["method"] == "ping":
            self._answer(message["id"], {"result": {}})
        else:
            said = "this client has no such method: it offers neither sampling nor roots nor elicitation"
            self._answer(message["id"], {"error": {"code": -32601, "message": said}})

    def _note_progress(self, message: dict[str, Any]) -> None:
        match message:
            case {
                "method": "notifications/progress",
                "params": {"progressToken": int() as token, "progress": int() | float() as progress, **more},
            } if (waiting := self._waiting.get(token)) and waiting.on_progress:
                total, said = more.get("total"), more.get("message")
                waiting.on_progress(
                    progress,
                    total if isinstance(total, (int, float)) else None,
                    said[:1000] if isinstance(said, str) else None,
                )

    def _answer(self, number: object, outcome: dict[str, Any]) -> None:
        """Answer the skill. One that asks without reading the answers is ended: they would pile up."""
        try:
            self._send({"id": number, **outcome})
        except LimitError:
            self.process.lose(f"it left {MOST_UNSENT >> 20} MiB of answers unread")

    def _give_up(self, number: int, reason: str) -> None:
        self._tell("notifications/cancelled", {"requestId": number, "reason": reason})

    def _tell(self, method: str, params: dict[str, Any]) -> None:
        """Notify. A courtesy only: one that does not read, or has ended, goes without."""
        if self.process.reads:
            self._send({"method": method, "params": params})

    def _send(self, message: dict[str, Any]) -> None:
        try:
            line = json.dumps({"jsonrpc": "2.0", **message}, allow_nan=False)
        except ValueError as error:
            raise InvalidError("JSON has no NaN and no infinity; give a number") from error
        self.process.send(line.encode())

    def _note_silence(self) -> None:
        self._silent += 1
        if self._silent >= _MOST_SILENT:
            self.process.lose(f"it said nothing during {_MOST_SILENT} calls")

    def _lose(self, why: str) -> None:
        self._break(why)
        self._lost(self, why)

    def _break(self, why: str) -> None:
        """All that wait have their error, and no new request is taken."""
        self._broken = why
        for waiting in self._waiting.values():
            if not waiting.answer.done():
                text = f"skill {self.skill.name!r} ended in mid-call: {why}; the next call starts it again"
                waiting.answer.set_exception(SkillEndedError(text))

    async def close(self) -> None:
        """End the process and see that nothing is left of it. Twice is no error."""
        self._break("it was ended")
        await self.process.close()
