"""How to get hold of a process tree: started by us (`spawn`), or running already (`running`).

`reaper.py` is a stand-alone script run as a process: the parent of every target we start, and the reason
why none outlives the audit. `tree.py` reads who belongs to it.
"""

from __future__ import annotations

from typing import IO, Protocol, Self

from leakcheck.model.reading import Process


class Target(Protocol):
    """A process tree under audit. Use it as a context manager: it is always released."""

    @property
    def stdin(self) -> IO[bytes] | None:
        """The server's stdin, unbuffered, if it was started with pipes."""

    @property
    def stdout(self) -> IO[bytes] | None:
        """The server's stdout, if it was started with pipes; otherwise it goes to the log."""

    @property
    def root(self) -> Process:
        """The server's first process."""

    def members(self) -> tuple[Process, ...]:
        """Who is in the tree now, root first, zombies included, the reaper never. Empty when all are gone."""

    def exit_code(self) -> int | None:
        """How the root ended (negative: by that signal); None while it lives or when it is not ours to know."""

    def last_lines(self, count: int = 10) -> tuple[str, ...]:
        """The end of the target's output, credentials removed, control characters escaped."""

    def end(self, grace_seconds: float) -> tuple[Process, ...]:
        """End the root as its owner would: close its stdin if it is a pipe, then SIGTERM once half the grace is up.

        Returns who is still there when the root is gone and the grace is up (the root too, if it would not go).
        They are reaped when the context manager exits. A target that we did not start is left alone: ().
        """

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc_info: object) -> None: ...
