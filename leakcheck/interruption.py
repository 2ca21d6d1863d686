"""Ctrl-C, SIGTERM and a hung-up terminal: the first one ends the audit early, later ones change nothing."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruptible:
    """While it is entered, the first signal becomes a KeyboardInterrupt; what follows one is bounded anyway.

    A SIGHUP that was ignored before (nohup) stays ignored. Use it in the main thread.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for one in _SIGNALS:
            before = signal.getsignal(one)
            if one is signal.SIGHUP and before == signal.SIG_IGN:
                continue
            self._before[one] = before
            signal.signal(one, self._interrupt)
        return self

    def ignore(self) -> None:
        """Ignore them from now on: for the short work that must be done whole, as writing the reports."""
        for one in self._before:
            signal.signal(one, signal.SIG_IGN)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.ignore()
        raise KeyboardInterrupt

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for one, handler in self._before.items():
            signal.signal(one, handler)
