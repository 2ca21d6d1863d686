"""The sentence for a target that ended by itself, and the wait that tells an end from a refusal."""

from __future__ import annotations

import signal
import time

from leakcheck.errors import TargetDied
from leakcheck.targets import Target


def has_ended(target: Target, within_seconds: float = 0.0) -> bool:
    """Whether the target's root is gone, or is within that time; also of a target that is not ours."""
    deadline = time.monotonic() + within_seconds
    pause = 0.01
    while target.exit_code() is None and target.members():
        if time.monotonic() >= deadline:
            return False
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause *= 2
    return True


def died(target: Target, when: str) -> TargetDied:
    """Say how it ended, when, and what it said last."""
    code = target.exit_code()
    how = "ended" if code is None else f"ended with exit code {code}" if code >= 0 else f"was ended by {_signal(-code)}"
    return TargetDied(f"the target {how} {when}; {last_words(target)}")


def last_words(target: Target) -> str:
    """The end of the target's output as part of a sentence."""
    lines = target.last_lines()
    return "its last lines:\n  " + "\n  ".join(lines) if lines else "it printed nothing"


def _signal(number: int) -> str:
    try:
        return f"{signal.Signals(number).name} ({number})"
    except ValueError:
        return f"signal {number}"
