"""Interrupts: a wish to stop, pending until it was seen."""

from __future__ import annotations

from dataclasses import dataclass

from mimo_server.supervision.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupt:
    """Why somebody wants a stop."""

    reason: str


class Interrupts:
    """Pending interrupts, in a registry of the caller's choice."""

    def __init__(self, registry: Registry[Interrupt]) -> None:
        self._registry = registry
        self.bound = registry.bound

    def raise_and_check(self, reason: str) -> bool:
        """Register an interrupt, see whether the check finds it, take it back."""
        with self._registry.holding(Interrupt(reason=reason)) as number:
            return self._registry.get(number) is not None
