"""Failures in words that differ each time: Locust keeps an entry for each text, for as long as a run lasts.

Does not see: which operations failed; Locust's counts by row do.
"""

from __future__ import annotations

MOST = 200
"""Texts of one run that are told as they are."""


class FurtherError(Exception):
    """Stands for all failures after the first ones."""


class Failures:
    """Lets the first texts through; what comes after them in other words is one and the same."""

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._further = FurtherError(f"further failures, in other words than the first {MOST}")

    def bounded(self, error: BaseException) -> BaseException:
        """The failure itself, or the one that stands for further ones."""
        text = repr(error)
        if text in self._told:
            return error
        if len(self._told) >= MOST:
            return self._further
        self._told.add(text)
        return error

    def clear(self) -> None:
        """Begin anew."""
        self._told.clear()
