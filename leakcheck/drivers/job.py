"""Operations to play in one go, and the count of what came of them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping

from leakcheck.drivers.messages import Operation

IN_FLIGHT = 4
UNANSWERED_SECONDS = 10.0
"""An operation without an answer for so long has failed; a later answer is dropped by its id."""
_UNANSWERED_OF_A_KIND = 3
"""So many in one job, and the rest of that kind is not sent: each would cost 10 s."""


class Job:
    """Operations to play in order, and what came of them. Filled by the conversation's thread until `finished`."""

    def __init__(
        self, operations: Iterable[Operation], *, in_flight: int = IN_FLIGHT, seconds: float = UNANSWERED_SECONDS
    ) -> None:
        """Play `operations`, `in_flight` at once, each with `seconds` to be answered."""
        self.finished = threading.Event()
        self.in_flight = in_flight
        self.seconds = seconds
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.unanswered: Counter[str] = Counter()
        self.spent: dict[str, float] = {}
        self.problem: str | None = None
        self.answer: Mapping[str, object] | None = None
        self._operations = iter(operations)
        self._unanswered_in_a_row = 0

    def next(self) -> Operation | None:
        """Return what to send next; None when there is no more, or the server has stopped answering."""
        for operation in self._operations:
            if self._unanswered_in_a_row >= self.in_flight:
                why = f"{self._unanswered_in_a_row} in a row, so the rest was not played"
                self.problem = f"{self.problem}; {why}"
                self._operations = iter(())
                return None
            if self.unanswered[operation.kind] < _UNANSWERED_OF_A_KIND:
                return operation
        return None

    def ended(self, operation: Operation, seconds: float, problem: str | None, *, answered: bool = True) -> None:
        """Count one operation."""
        kind = operation.kind
        self.done[kind] += 1
        self.spent[kind] = self.spent.get(kind, 0.0) + seconds
        if answered:
            self._unanswered_in_a_row = 0
        else:
            self._unanswered_in_a_row += 1
            self.unanswered[kind] += 1
        if problem is not None:
            self.failed[kind] += 1
            self.problem = self.problem or f"{operation.words}: {problem}"
