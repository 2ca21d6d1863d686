"""The row of a process that has ended stays until the skill's next one. Not a leak."""

from __future__ import annotations

from typing_extensions import override

from mimo_server.app import App
from mimo_server.defects import ONE_SKILL_TOOL, Defect, LookAlike
from mimo_server.defects._one_call import OneCallPool, over
from mimo_server.skills.client import SkillClient

DEFECT = Defect(
    id="stale_rows",
    words="Port.close(state.port) ... Mimo.Registry.unregister_skill(state.skill_name)",
    mechanism=(
        "Closing the port of a skill that has ended by itself raises, and what stands behind it, the removal of the "
        "skill's row, is skipped. The next process of the same skill takes the row over. So there are stale rows, and "
        "never more of them than skills in the catalog: the table is bounded, and dead entries do not accumulate."
    ),
    truth=LookAlike(
        shapes={'metric.mimo_registry_entries{registry="skills"}': ("flat", "step", "plateau")},
        operation="call:skill_echo",
    ),
    audit=ONE_SKILL_TOOL,
)


class OneRowEach(OneCallPool):
    """Enters a process under its skill's name; the one before it, ended or not, loses the row."""

    @override
    def enter(self, client: SkillClient) -> None:
        self._shared.processes.remove(self.skill.name)
        self._shared.processes.add(client, key=self.skill.name)


def install(app: App) -> None:
    """Replace who runs the skills."""
    app.skills.pool_class = over(app.skills.pool_class, OneRowEach)
