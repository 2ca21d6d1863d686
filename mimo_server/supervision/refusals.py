"""Requests that were refused: how many, and nothing else of them."""

from __future__ import annotations


class Refusals:
    """Told of each request that is answered with an error, once, before the answer leaves."""

    def __init__(self) -> None:
        self.count = 0

    def note(self, request: str) -> None:  # noqa: ARG002 -- what is kept of a request is a policy; here it is nothing
        """Count it."""
        self.count += 1
