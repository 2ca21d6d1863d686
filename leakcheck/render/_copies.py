"""Copies of the server that were started and ended, and what they left behind, in words."""

from __future__ import annotations

from dataclasses import dataclass

from leakcheck.model.audit import Audit
from leakcheck.model.event import Copy
from leakcheck.render import figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Endings:
    """All copies that were ended in one way."""

    operation: str
    number: int
    longest: str
    left: str


def of_copies(audit: Audit, operation: str | None) -> tuple[Copy, ...]:
    """The copies that were ended in one way; a finding about them has no curve, it has these."""
    return tuple(copy for copy in audit.copies if copy.operation == operation)


def left_behind(copy: Copy) -> str:
    """`nothing`, or what one copy left: `2 processes (worker, worker)`."""
    parts = []
    for what, plural in (("process", "processes"), ("file", "files")):
        names = [left.name for left in copy.left if left.what == what]
        distinct = list(dict.fromkeys(names))
        if names:
            shown = f"{', '.join(distinct[:3])}{figures.more(len(distinct), 3)}"
            parts.append(f"{figures.counted(len(names), what, plural)} ({shown})")
    if copy.ended_seconds is None:
        parts.insert(0, "the server itself")
    return ", ".join(parts) or "nothing"


def endings(audit: Audit) -> tuple[Endings, ...]:
    """One row for each way in which copies were ended."""
    rows = []
    for operation in dict.fromkeys(copy.operation for copy in audit.copies):
        copies = of_copies(audit, operation)
        times = [copy.ended_seconds for copy in copies]
        longest = None if None in times else max(time for time in times if time is not None)
        left = [copy for copy in copies if copy.left or copy.ended_seconds is None]
        signalled = sum(copy.needed_signal for copy in copies)
        text = f"{len(left)} of {len(copies)} left something: {left_behind(left[-1])}" if left else "nothing"
        if signalled:
            text += f"; {signalled} ended only on SIGTERM"
        rows.append(
            Endings(
                operation=operation,
                number=len(copies),
                longest="never ended" if longest is None else figures.seconds(longest),
                left=text,
            )
        )
    return tuple(rows)
