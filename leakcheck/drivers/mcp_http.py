"""MCP over streamable HTTP, in each era of the protocol that the server speaks, played by a Locust process.

Here is decided what is played: which tools, with what arguments, and what must come back. `loadtests` plays it.

Does not see: operations that only a client with sampling, elicitation or roots would cause.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from leakcheck.credentials import Secrets
from leakcheck.drivers import Opened, Played
from leakcheck.drivers.http_request import checked_header
from leakcheck.drivers.load_driver import Address, LoadDriver
from leakcheck.drivers.load_process import environment, locust_command
from leakcheck.drivers.mcp_inputs import ABANDON, Era, Input, call, impossible, others
from leakcheck.drivers.messages import shown
from leakcheck.drivers.operations import TRY_SECONDS, Tried, try_inputs, try_tools
from leakcheck.drivers.tools import Chosen, choose, known, none_called
from leakcheck.model.event import NotPlayed
from leakcheck.model.plan import AuditPlan
from leakcheck.targets import Target

PLAY_SECONDS = 15.0
"""A round that takes longer is cut: a server that has become so slow is judged by fewer operations."""

Inputs = dict[str, tuple[Input, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What one era adds to the plan; its kinds do not name it yet."""

    era: Era
    inputs: Inputs
    """Tried and good."""
    undo: tuple[Chosen, ...]
    not_played: tuple[NotPlayed, ...]
    writes: frozenset[str]
    warnings: tuple[str, ...]


class McpHttpDriver(LoadDriver):
    """Plays every kind of operation of every era, four at a time; see the protocol `Driver`."""

    def __init__(
        self, plan: AuditPlan, headers: Mapping[str, str], secrets: Secrets, *, command: tuple[str, ...] | None = None
    ) -> None:
        """`headers` are sent with each request; `command` starts another load process. Raises UsageError."""
        parts = urlsplit(plan.mcp_url or "")
        path = parts.path or "/"
        url = parts._replace(path=path).geturl()
        for name, value in headers.items():
            checked_header(name, value)
        super().__init__(secrets, Address.of(url, f"POST {path}", "--mcp"), PLAY_SECONDS)
        self._plan = plan
        self._configuration: dict[str, object] = {"mcp": {"url": url, "headers": dict(headers)}}
        self._command = command or locust_command(f"--mcp {url}")
        self._undo: tuple[str, ...] = ()
        self._undo_problem: str | None = None

    def open(self, target: Target) -> Opened:
        """Find the eras, list the tools, and try each operation once.

        Raises NotReady, TargetDied, or UsageError for a tool of the plan that does not exist.
        """
        self._start(target, self._command, environment(packages=True), self._configuration)
        found = self._first_answer(lambda seconds: {"discover": {"seconds": seconds}}, self._plan.ready_timeout_seconds)
        parts = [self._try_era(Era.of(one)) for one in found["eras"]]
        inputs = {_in_era(kind, part, parts): given for part in parts for kind, given in part.inputs.items()}
        undo: Inputs = {f"undo:{chosen.tool.name}": (call(parts[0].era, chosen),) for chosen in parts[0].undo}
        self._send_plan(inputs | undo)
        self._kinds, self._undo = tuple(inputs), tuple(undo)
        apart = tuple(kind for kind, given in inputs.items() if given[0].way == ABANDON)
        return Opened(
            server=shown(self._secrets.hide(parts[0].era.server), 100) or target.root.role,
            protocol=f"MCP {' + '.join(part.era.version for part in parts)} over HTTP",
            operations=tuple(kind for kind in inputs if kind not in apart),
            invokes=_invokes(parts),
            apart=apart,
            not_played=(*_not_played(parts), *self._not_spoken(found["failures"])),
            writes=tuple(_in_era(kind, part, parts) for part in parts for kind in part.inputs if kind in part.writes),
            warnings=(*map(self._told, found["warnings"]), *(one for part in parts for one in part.warnings)),
        )

    def play(self, doses: Mapping[str, int]) -> Played:
        """Play the doses. A failed `--undo` since the last round is said in `problem` too. Raises TargetDied."""
        played = super().play(doses)
        problem, self._undo_problem = self._undo_problem, None
        return played if played.problem else replace(played, problem=problem)

    def undo(self) -> None:
        """Call each `--undo` tool once, one after the other. A failure is told by the next `play`."""
        for kind in self._undo:
            problem = self._play({kind: 1}).problem
            if problem is not None:
                self._undo_problem = f"undo: {problem}"

    def _try_era(self, era: Era) -> _Part:
        """Choose the tools, and try every input once: calls first, because the others use the tools that work."""
        tools = known(era.tools)
        choice = choose(tools, self._plan.tools)
        calls: Inputs = {chosen.kind: (call(era, chosen),) for chosen in choice.candidates}
        self._send_plan(calls)
        tried, failed = try_tools(choice.candidates, lambda chosen: self._attempt(chosen.kind, 0), self._plan.skip)
        quickest, slowest = (tried[0], tried[-1]) if tried else (None, None)
        rest = others(era, quickest, slowest)
        self._send_plan(rest)
        outcomes = {kind: self._try_kind(kind, given) for kind, given in rest.items()}
        none = () if tried else (none_called(len(tools)),)
        good = {chosen.kind: calls[chosen.kind] for chosen in choice.candidates if chosen in tried}
        return _Part(
            era=era,
            inputs=good | {kind: outcome.good for kind, outcome in outcomes.items() if outcome.good},
            undo=choice.undo,
            not_played=(
                *none,
                *choice.left_out,
                *failed,
                *(one for outcome in outcomes.values() for one in outcome.not_played),
                *impossible(era),
            ),
            writes=_writes(tried, quickest, slowest),
            warnings=tuple(
                f"MCP {era.version}: {warning}" for outcome in outcomes.values() for warning in outcome.warnings
            ),
        )

    def _try_kind(self, kind: str, given: tuple[Input, ...]) -> Tried[Input]:
        return try_inputs(kind, given, lambda one: self._attempt(kind, given.index(one))[0], self._plan.skip)

    def _send_plan(self, inputs: Mapping[str, Sequence[Input]]) -> None:
        if inputs:
            self._ask({"plan": {kind: [one.wire() for one in given] for kind, given in inputs.items()}})

    def _attempt(self, kind: str, index: int) -> tuple[str | None, float]:
        """Play one planned input; return what was wrong, and the seconds it took."""
        question = {"kind": kind, "index": index, "seconds": TRY_SECONDS}
        when = f"while {kind} was tried (--skip {kind} plays the others without it)"
        reply = self._ask({"attempt": question}, when, TRY_SECONDS)
        if reply["gone"]:
            raise self._gone(when)
        return None if reply["problem"] is None else self._told(reply["problem"]), reply["took"]

    def _not_spoken(self, failures: Mapping[str, str]) -> Iterator[NotPlayed]:
        for version, words in failures.items():
            yield NotPlayed(operation=f"MCP {version}", reason=f"not spoken: {self._told(words)}")


def _in_era(kind: str, part: _Part, parts: Sequence[_Part]) -> str:
    """Name the era in a kind where there are several."""
    return kind if len(parts) == 1 else f"{kind}@{part.era.version}"


def _not_played(parts: Sequence[_Part]) -> Iterator[NotPlayed]:
    """Yield what is not played; what holds in every era is said once."""
    for one in dict.fromkeys(one for part in parts for one in part.not_played):
        where = [part for part in parts if one in part.not_played]
        if len(where) == len(parts):
            yield one
        else:
            yield from (replace(one, operation=_in_era(one.operation, part, parts)) for part in where)


def _invokes(parts: Sequence[_Part]) -> dict[str, tuple[str, ...]]:
    """Return for each kind the calls of those tools that it calls as well."""
    found: dict[str, tuple[str, ...]] = {}
    for part in parts:
        for kind, given in part.inputs.items():
            tools = [one.rpc.params["name"] for one in given if one.rpc and one.rpc.params and one.calls]
            calls = [f"call:{tool}" for tool in dict.fromkeys(tools) if kind != f"call:{tool}"]
            known = tuple(_in_era(call, part, parts) for call in calls if call in part.inputs)
            if known:
                found[_in_era(kind, part, parts)] = known
    return found


def _writes(tried: Iterable[Chosen], quickest: Chosen | None, slowest: Chosen | None) -> frozenset[str]:
    """Return the kinds that call a tool which does not declare to be read-only."""
    uses = [*((chosen.kind, chosen) for chosen in tried)]
    uses += [("session", quickest)] if quickest else []
    uses += [(kind, slowest) for kind in ("disconnect", "cancel")] if slowest else []
    return frozenset(kind for kind, chosen in uses if not chosen.tool.read_only)
