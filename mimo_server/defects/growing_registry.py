"""A registry that only grows."""

from __future__ import annotations

from collections.abc import Hashable

from mimo_server.app import App
from mimo_server.defects import Defect, Leak
from mimo_server.supervision.registry import Registry
from mimo_server.synapse.interrupts import Interrupt, Interrupts

DEFECT = Defect(
    id="growing_registry",
    words="Multiple ETS tables with no cleanup or size limits",
    mechanism=(
        "The table of interrupts has no limit, and an entry whose interrupt was handled stays in it: one entry per "
        "call, about 130 bytes each, seen by nobody but the one who counts the entries."
    ),
    truth=Leak(
        resources={'metric.mimo_registry_entries{registry="interrupts"}': 1},
        operation="call:interrupt_check",
        also=('metric.mimo_registry_high_water{registry="interrupts"}', "memory.anon", "memory.uss", "memory.pss"),
    ),
)


class NeverForgets(Registry[Interrupt]):
    """Adds as the correct one does, and removes nothing."""

    def remove(self, key: Hashable) -> None:
        """The entry has had its use, and stays."""


def install(app: App) -> None:
    """Replace the registry of interrupts."""
    app.synapse.interrupts = Interrupts(NeverForgets("interrupts", limit=None))
