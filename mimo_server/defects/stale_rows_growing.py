"""A row for each process that ever ran."""

from __future__ import annotations

from typing_extensions import override

from mimo_server.app import App
from mimo_server.defects import ONE_SKILL_TOOL, Defect, Leak
from mimo_server.defects._one_call import OneCallPool, over
from mimo_server.skills.client import SkillClient

DEFECT = Defect(
    id="stale_rows_growing",
    words=(
        "`:mimo_skills` - Skill process tracking; No cleanup of dead process entries; DEAD PROCESS ENTRIES ACCUMULATE"
    ),
    mechanism=(
        "Each call has a process of its own, whose row in the table of skills belongs to nobody: when the process "
        "ends, the row stays, under a key that no later process has, and the table has no limit. So the audit says; "
        "the audited server had one row per name of a skill (see stale_rows)."
    ),
    truth=Leak(
        resources={'metric.mimo_registry_entries{registry="skills"}': 1},
        operation="call:skill_echo",
        also=(
            'metric.mimo_registry_high_water{registry="skills"}',
            "memory.anon",
            "memory.uss",
            "memory.pss",
        ),
    ),
    audit=ONE_SKILL_TOOL,
)


class Unowned(OneCallPool):
    """Enters each process, and nobody takes it out again."""

    @override
    def enter(self, client: SkillClient) -> None:
        self._shared.processes.add(client)


def install(app: App) -> None:
    """Replace who runs the skills, and lift the limit."""
    app.skills.pool_class = over(app.skills.pool_class, Unowned)
    app.skills.processes.limit = None
