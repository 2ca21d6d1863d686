"""Makes one server work: waits until it is ready, fills it, measures it."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from leakcheck.credentials import Secrets
from leakcheck.drivers._ended import died, has_ended, last_words
from leakcheck.drivers.command_run import Run
from leakcheck.drivers.job import Job
from leakcheck.drivers.messages import Operation, encoded
from leakcheck.drivers.peer import Peer
from leakcheck.errors import LeakcheckError, NotReady
from leakcheck.model.sweep import Amount
from leakcheck.sweep.extras import extras
from leakcheck.sweep.meter import Meter, OverCap
from leakcheck.sweep.plan import ITEMS, NUMBER, CommandWork, SweepPlan, ToolWork, Variant, Work
from leakcheck.targets.log import visible
from leakcheck.targets.spawn import Spawned

FILL, MEASURE = "the fill", "the measure"
_LOOK_SECONDS = 0.05
_GRACE_SECONDS = 2.0


class WorkFailed(LeakcheckError):
    """What fills or measures did not do what it should."""


class Worker:
    """Works one target. Use it as a context manager: it leaves no thread or process.

    Raises OverCap while it waits or works, WorkFailed, TargetDied and NotReady in words.
    Does not see: whether what was stored is really there; only that every call was answered without an error.
    """

    def __init__(
        self,
        plan: SweepPlan,
        variant: Variant,
        target: Spawned,
        meter: Meter,
        places: Mapping[str, str],
        *,
        secrets: Secrets,
    ) -> None:
        self._plan, self._variant, self._target, self._meter = plan, variant, target, meter
        self._places, self._secrets = places, secrets
        self._peer: Peer | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if self._variant.speaks_mcp:
            self._peer = Peer(self._target, self._secrets, self._meter.look)
            self._stack.callback(self._peer.close)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    @property
    def fills(self) -> bool:
        """Whether anything but the server itself fills it."""
        return self._variant.fill is not None

    @property
    def measures(self) -> bool:
        """Whether anything is measured but the filled server."""
        return self._variant.measure is not None

    def wait_ready(self) -> None:
        """Wait for the answer to `initialize`, or until the port of `{port}` is listened on."""
        if self._peer is not None:
            self._peer.initialize(self._plan.ready_seconds)
            return
        if not any("{port}" in word for word in self._variant.command):
            return
        deadline, pause = time.monotonic() + self._plan.ready_seconds, 0.01
        while not _listens(int(self._places["port"])):
            self._meter.look()
            if has_ended(self._target):
                raise died(self._target, "before it listened")
            if time.monotonic() > deadline:
                raise NotReady(
                    f"nothing listened on port {self._places['port']} within {self._plan.ready_seconds:g} s; raise "
                    f"ready_seconds, or check the command; {last_words(self._target)}"
                )
            time.sleep(pause)
            pause = min(pause * 2, 0.1)

    def fill(self, size: int) -> dict[str, Amount]:
        """Store `size` items; return what the filling command wrote to `{out}`."""
        work = self._variant.fill
        if work is None or size == 0:
            return {}
        return self._do(work, FILL, size)

    def measure(self) -> dict[str, Amount]:
        """Do what is measured; return the figures of it: of calls `seconds.call`, their mean."""
        work = self._variant.measure
        return {} if work is None else self._do(work, MEASURE, None)

    def _do(self, work: Work, doing: str, items: int | None) -> dict[str, Amount]:
        if isinstance(work, CommandWork):
            return self._command(work, doing)
        calls = work.times if items is None else -(-items // work.batch)
        whole = calls * work.batch if items is None else items
        operations = _calls(work, whole, doing, self._places["size"])
        job = Job(operations, in_flight=work.in_flight, seconds=self._plan.call_seconds)
        assert self._peer is not None  # noqa: S101 - the variant speaks MCP, so it was made
        try:
            self._peer.play(job, doing)
        except OverCap as over:
            over.items = None if items is None else min(items, job.done[doing] * work.batch)
            raise
        if job.problem is not None or job.done[doing] < calls:
            failed = job.failed[doing] + calls - job.done[doing]
            raise WorkFailed(f"{failed:,} of {calls:,} calls of {work.tool} failed in {doing}: {job.problem}")
        if items is not None:
            return {}
        mean = job.spent[doing] / calls
        return {"seconds.call": Amount(value=mean, low=mean, high=mean, unit="s")}

    def _command(self, work: CommandWork, doing: str) -> dict[str, Amount]:
        argv = [fill_in(word, self._places) for word in work.command]
        out = Path(self._places["out"])
        out.unlink(missing_ok=True)
        environment = {**os.environ, **self._variant.environment}
        try:
            run = Run(argv, environment=environment, cwd=self._plan.here, grace_seconds=_GRACE_SECONDS)
        except OSError as error:
            raise WorkFailed(f"the command of {doing} could not be started: {error}") from error
        try:
            self._wait(run, doing)
        except OverCap as over:
            run.end()
            over.items = extras(out, doing)[1]
            raise
        finally:
            run.end()
        if run.exit_code != 0:
            said = self._secrets.hide(visible(run.tail.text()[-400:]))
            what = f"ended with exit code {run.exit_code}" if run.executed else "cannot be executed"
            raise WorkFailed(f"the command of {doing} {what}: {said or 'it printed nothing'}")
        return extras(out, doing)[0]

    def _wait(self, run: Run, doing: str) -> None:
        deadline = time.monotonic() + self._plan.work_seconds
        while not run.wait(_LOOK_SECONDS):
            self._meter.look()
            if has_ended(self._target):
                raise died(self._target, f"during {doing}")
            if time.monotonic() > deadline:
                raise WorkFailed(f"{doing} did not end within {self._plan.work_seconds:g} s; raise work_seconds")


def fill_in(text: str, places: Mapping[str, str]) -> str:
    """Return a text with its placeholders filled: `{port}`, `{data}`, `{size}`, `{out}`, `{here}`; others stay."""
    for name, value in places.items():
        text = text.replace("{" + name + "}", value)
    return text


def _calls(work: ToolWork, whole: int, kind: str, size: str) -> Iterator[Operation]:
    """Make the calls one by one: all at once would take as much memory as the server itself."""
    for first in range(0, whole, work.batch):
        numbers = range(first, min(first + work.batch, whole))
        items = ",".join(work.item.replace(NUMBER, str(number)) for number in numbers)
        text = work.arguments.replace(ITEMS, f"[{items}]").replace(NUMBER, str(first)).replace("{size}", size)
        params = {"name": work.tool, "arguments": json.loads(text)}
        yield Operation(kind=kind, words=f"call of {work.tool}", request=encoded("tools/call", params))


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        sock.settimeout(1.0)
        return sock.connect_ex(("127.0.0.1", port)) == 0 and sock.getsockname() != sock.getpeername()
