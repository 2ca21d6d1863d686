"""Many read at once, or one changes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """A lock between threads. Who wants to change goes before readers that come later, so that it is never starved."""

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._readers = 0
        self._wanting = 0
        self._changing = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Beside other readers."""
        with self._turn:
            self._turn.wait_for(lambda: not self._changing and not self._wanting)
            self._readers += 1
        try:
            yield
        finally:
            with self._turn:
                self._readers -= 1
                self._turn.notify_all()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Alone."""
        with self._turn:
            self._wanting += 1
            try:
                self._turn.wait_for(lambda: not self._changing and not self._readers)
            finally:
                self._wanting -= 1
            self._changing = True
        try:
            yield
        finally:
            with self._turn:
                self._changing = False
                self._turn.notify_all()
