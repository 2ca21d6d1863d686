"""MCP over the target's stdin and stdout: one long conversation, no configuration needed.

Does not see: operations that only a client with sampling, elicitation or roots would cause; servers that speak
MCP 2026-07-28 only (they know no `initialize`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from leakcheck.credentials import Secrets
from leakcheck.drivers import Opened, Played
from leakcheck.drivers.copies import Copies, StartCopy
from leakcheck.drivers.job import Job
from leakcheck.drivers.messages import Operation
from leakcheck.drivers.operations import LIST, TRY_SECONDS, cancels, interleaved, rejects, try_inputs, try_tools
from leakcheck.drivers.peer import Peer
from leakcheck.drivers.tools import Chosen, choose, known, none_called
from leakcheck.model.event import Copy, NotPlayed
from leakcheck.model.plan import AuditPlan
from leakcheck.targets import Target

_LIST = LIST.operation("list")


class StdioDriver:
    """Plays `call:<tool>`, `reject` and `cancel` in one conversation, and ends further copies in three ways."""

    def __init__(self, plan: AuditPlan, secrets: Secrets, start_copy: StartCopy) -> None:
        """`start_copy` starts the plan's command once more, with pipes."""
        self._plan = plan
        self._secrets = secrets
        self._start_copy = start_copy
        self._peer: Peer | None = None
        self._inputs: dict[str, tuple[Operation, ...]] = {}
        self._undo: tuple[Chosen, ...] = ()
        self._undo_problem: str | None = None
        self._work: tuple[Operation, ...] = (_LIST,)
        self._slow = _LIST
        self._warnings: list[str] = []

    def open(self, target: Target) -> Opened:
        """Shake hands, list the tools and try each operation once.

        Raises NotReady, TargetDied, or UsageError for a tool of the plan that does not exist.
        """
        peer = self._peer = Peer(target, self._secrets)
        greeting = peer.initialize(self._plan.ready_timeout_seconds)
        listing, warnings = peer.list_tools(self._plan.ready_timeout_seconds)
        self._warnings = [*greeting.warnings, *map(self._secrets.hide, warnings)]
        tools = known(listing)
        choice = choose(tools, self._plan.tools)
        self._undo = choice.undo
        tried, failed = try_tools(choice.candidates, lambda chosen: self._try_call(peer, chosen), self._plan.skip)
        called = [chosen for chosen in choice.candidates if chosen in tried]  # in the server's order, run after run
        self._inputs = {chosen.kind: (chosen.rpc.operation(chosen.kind),) for chosen in called}
        none = () if tried else (none_called(len(tools)),)
        not_played = (*none, *choice.left_out, *failed, *self._try_others(peer, tried))
        return Opened(
            server=greeting.server,
            protocol=f"MCP {greeting.version} over stdio",
            operations=tuple(self._inputs),
            not_played=not_played,
            writes=self._writes(tried),
            invokes={"cancel": (tried[-1].kind,)} if tried and "cancel" in self._inputs else {},
            warnings=tuple(self._warnings),
        )

    def play(self, doses: Mapping[str, int]) -> Played:
        """Play the doses, interleaved, 4 in flight. Raises TargetDied.

        Operations that were not answered within 10 s have failed; after 3 of a kind or 4 in a row the rest is not
        played, and `done` is less than asked. A failed `--undo` since the last round is said in `problem` too.
        """
        unknown = doses.keys() - self._inputs.keys()
        if unknown:
            raise ValueError(f"unknown kinds {sorted(unknown)}; open() returned {list(self._inputs)}")
        job = self._talk().play(Job(interleaved(self._inputs, doses)), "the load")
        problem = job.problem or self._undo_problem
        self._undo_problem = None
        return Played(done=dict(job.done), failed=dict(job.failed), seconds=job.spent, problem=problem)

    def undo(self) -> None:
        """Call each `--undo` tool once, one after the other. A failure is told by the next `play`."""
        for chosen in self._undo:
            job = self._talk().play(Job((chosen.rpc.operation("undo"),), in_flight=1), "undo")
            if job.problem is not None:
                self._undo_problem = f"undo: {job.problem}"

    def copies(self, seconds: float) -> Iterator[Copy]:
        """Start further copies and end each as `session`, `abandon` or `disconnect`, in rotation, within `seconds`.

        Raises TargetError when a copy cannot be started or does not answer: what was yielded by then holds, and the
        kinds that were not yielded at all are to be listed as not judged, with the error's message as reason.
        """
        copies = Copies(
            start=self._start_copy,
            secrets=self._secrets,
            grace_seconds=self._plan.grace_seconds,
            ready_seconds=self._plan.ready_timeout_seconds,
            work=self._work,
            slow=self._slow,
        )
        return copies.play(seconds)

    def close(self) -> None:
        """End the conversation; the target is left to its owner."""
        if self._peer is not None:
            self._peer.close()

    def processes(self) -> tuple[int, ...]:
        """Return (): the conversation is a thread of the auditor."""
        return ()

    @property
    def cpu_seconds(self) -> float:
        """None has ended: 0."""
        return 0.0

    def _talk(self) -> Peer:
        if self._peer is None:
            raise RuntimeError("the driver plays after open()")
        return self._peer

    def _writes(self, tried: list[Chosen]) -> tuple[str, ...]:
        calls = [f"call:{chosen.tool.name}" for chosen in tried if not chosen.tool.read_only]
        cancelled = ["cancel"] if "cancel" in self._inputs and tried and not tried[-1].tool.read_only else []
        return (*calls, *cancelled)

    def _try_call(self, peer: Peer, chosen: Chosen) -> tuple[str | None, float]:
        """Call a tool once; return what was wrong, and the seconds it took."""
        peer.conversation.requested.clear()
        job = peer.ask(chosen.rpc.operation(chosen.kind), TRY_SECONDS)
        problem = job.problem
        if peer.conversation.requested:
            problem = f"it asks the client for {', '.join(peer.conversation.requested)}"
        return None if problem is None else self._secrets.hide(problem), job.spent[chosen.kind]

    def _try_others(self, peer: Peer, tried: list[Chosen]) -> tuple[NotPlayed, ...]:
        """Try each input of `reject`, and `cancel`, once; return which of the two is not played."""
        quickest, slowest = (tried[0], tried[-1]) if tried else (None, None)
        if quickest and slowest:
            self._work = tuple(one.rpc.operation(one.kind) for one in tried)
            self._slow = self._work[-1]
        not_played: tuple[NotPlayed, ...] = ()
        for kind, inputs in (
            ("reject", tuple(rpc.operation("reject") for rpc in rejects(quickest))),
            ("cancel", (cancels(slowest).operation("cancel", cancelled=True),)),
        ):
            outcome = try_inputs(
                kind, inputs, lambda operation: peer.ask(operation, TRY_SECONDS).problem, self._plan.skip
            )
            if outcome.good:
                self._inputs[kind] = outcome.good
            self._warnings += outcome.warnings
            not_played += outcome.not_played
        return not_played
