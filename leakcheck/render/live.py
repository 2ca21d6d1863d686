"""What the audit is doing, while it does it: a live status on a terminal, one plain line a round elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from leakcheck.model.event import Copy, Ended, Event, Floor, Planned, Ready, Warned
from leakcheck.model.plan import AuditPlan
from leakcheck.render import _copies, figures
from leakcheck.render._visible import visible, visible_lines

PLUGIN = False

_REFRESH_SECONDS = 0.5
"""Twice a second: the clock runs visibly, and drawing costs under 0.5 % of a core."""


READER_GONE = (OSError, ValueError, SystemExit)
"""The reader has gone: a broken pipe, a terminal hung up (EIO), a closed file; SystemExit is how rich says so."""


class Narrator:
    """Tells the events of one audit to a console, best one on standard error. Use it as a context manager.

    Once the console can't be written to it is silent: narrating never ends an audit.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        """Take a console; `clock` gives seconds and is there for tests."""
        self._console, self._clock = console, clock
        self._plan: AuditPlan | None = None
        self._floor: Floor | None = None
        self._expected: int | None = None
        self._doing = "starting the target"
        self._began = clock()
        self._ready_at: float | None = None
        self._gone = False
        self._live: Live | None = None
        self._stop = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="leakcheck-narrator", daemon=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
                get_renderable=self._status,
            )
            self._guard(self._live.start)
            self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the status away and give the terminal back. May be called more than once."""
        self._stop.set()
        if self._ticker.is_alive():
            self._ticker.join()
        live, self._live = self._live, None
        if live is not None:
            try:
                live.stop()
            except READER_GONE:
                self._gone = True

    def event(self, event: Event, rounds_expected: int | None = None) -> None:
        """Tell one event; `rounds_expected` is how many rounds the audit will have, as far as it knows by now."""
        self._expected = rounds_expected if rounds_expected is not None else self._expected
        for line in self._take(event):
            self._guard(partial(self._console.print, line, soft_wrap=True, highlight=False, emoji=False))
        if self._live is not None:
            self._guard(self._live.refresh)

    def _take(self, event: Event) -> Iterator[Text]:
        """Remember the event; give the lines that stay on the screen."""
        match event:
            case Planned():
                self._plan = event.plan
            case Ready():
                self._ready_at = self._clock()
                self._doing = "round 1"
                yield self._ready_line(event)
            case Floor():
                self._floor = event
                self._doing = f"round {event.round + 1}"
                if self._live is None:
                    yield Text(f"round {self._numbered(event)}  {'  '.join(self._figures(event))}")
            case Copy():
                self._doing = f"{event.operation}, copy {event.number} ended"
                if event.left or event.ended_seconds is None:
                    yield _text(f"{event.operation}, copy {event.number}: left {_copies.left_behind(event)}")
            case Warned():
                yield Text.assemble(("warning: ", "yellow"), visible_lines(event.message, 300))
            case Ended():
                self._doing = "judging"
                if event.how != "finished":
                    yield _text(f"{event.how}: judging what was seen")

    def _ready_line(self, event: Ready) -> Text:
        target = event.target
        skipped = f", {figures.counted(len(target.not_played), 'kind')} left out" if target.not_played else ""
        return _text(
            f"{target.name}: {target.server}, {target.protocol}, ready in {figures.seconds(target.ready_seconds)}; "
            f"{figures.counted(len(target.operations), 'kind')} of operation{skipped}"
        )

    def _numbered(self, floor: Floor) -> str:
        about = f"/~{max(self._expected, floor.round)}" if self._expected else ""
        fixed = about.replace("~", "") if self._plan and self._plan.rounds else about
        return f"{floor.round}{fixed} {figures.PHASES[floor.phase]}"

    def _figures(self, floor: Floor) -> Iterator[str]:
        """Operations, then the tree in four figures, then the time left."""
        yield figures.counted(sum(floor.operations.values()), "operation")
        if failed := sum(floor.failed.values()):
            yield f"{failed:,} failed"
        yield figures.counted(len(floor.snapshot.processes), "process", "processes")
        for prefix, name in (("fds.", "FDs"), ("threads", "threads")):
            total = _total(floor, prefix)
            if total is not None:
                yield f"{figures.count(total)} {name}"
        memory = _total(floor, "memory.anon")
        if memory is not None:
            yield figures.quantity(memory, "bytes")
        left = self._seconds_left(floor)
        if left is not None:
            yield f"{figures.seconds(left)} left"

    def _seconds_left(self, floor: Floor) -> float | None:
        """By rounds where they are fixed, else by the budget; None until there is something to go by."""
        if self._plan is None or self._ready_at is None:
            return None
        spent = self._clock() - self._ready_at
        if self._plan.rounds is None:
            return max(0.0, self._plan.budget_seconds - spent)
        if not self._expected or not floor.round:
            return None
        return max(0.0, floor.snapshot.at_seconds / floor.round * self._expected - spent)

    def _status(self) -> Text:
        spent = figures.seconds(round(self._clock() - self._began))
        status = Text.assemble(("● ", "cyan"), _text(self._doing))
        if self._floor is None:
            return status.append(f"  {spent}", style="dim")
        if self._expected and self._doing.startswith("round"):
            status.append(f" of about {max(self._expected, self._floor.round)}")
        return status.append("  ·  ".join(["", *self._figures(self._floor)]), style="dim")

    def _tick(self) -> None:
        while not self._stop.wait(_REFRESH_SECONDS) and not self._gone:
            live = self._live
            if live is not None:
                self._guard(live.refresh)

    def _guard(self, write: Callable[[], object]) -> None:
        if self._gone:
            return
        try:
            write()
        except READER_GONE:
            self._gone = True


def _total(floor: Floor, prefix: str) -> float | None:
    """Sum over the tree of the resources whose names begin so; None when none was read."""
    read = [
        value
        for process in floor.snapshot.processes
        for resource, value in process.values.items()
        if resource.startswith(prefix)
    ]
    read += [reading.value for reading in floor.snapshot.tree if reading.resource.startswith(prefix)]
    return sum(read) if read else None


def _text(text: str) -> Text:
    return Text(visible(text, 300))
