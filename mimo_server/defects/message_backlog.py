"""What a skill says is kept in case somebody asks for it."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from mimo_server.app import App
from mimo_server.defects import ONE_SKILL_TOOL, Defect, Leak
from mimo_server.defects._one_call import over
from mimo_server.skills.client import Progress, SkillClient
from mimo_server.skills.pool import SkillPool
from mimo_server.skills.supervisor import SkillSupervisor
from mimo_server.supervision.registry import Bound

DEFECT = Defect(
    id="message_backlog",
    words=(
        "Messages can accumulate in process mailbox during timeouts; no cleanup of port message queues on termination"
    ),
    mechanism=(
        "Each answer to a call of a skill also stays in a mailbox, without a limit, from which nobody takes it. In the "
        "audited server nothing piled up: any datum ended a wait, and idle ones were drained. What a timeout really "
        "did there is desync."
    ),
    truth=Leak(
        resources={'metric.mimo_registry_entries{registry="skill_mailbox"}': 1},
        operation="call:skill_echo",
        also=(
            'metric.mimo_registry_high_water{registry="skill_mailbox"}',
            "memory.anon",
            "memory.uss",
            "memory.pss",
        ),
    ),
    audit=ONE_SKILL_TOOL,
)
_mailbox: list[dict[str, Any]] = []


class Hoarding(SkillClient):
    """Asks as the correct one does, and keeps what it was answered."""

    @override
    async def call(self, tool: str, arguments: dict[str, Any], on_progress: Progress | None = None) -> dict[str, Any]:
        result = await super().call(tool, arguments, on_progress)
        _mailbox.append(result)
        return result


class HoardingPool(SkillPool):
    """Uses it."""

    client_class = Hoarding


class HoardingSupervisor(SkillSupervisor):
    """Shows the mailbox beside the limits."""

    @override
    def bounds(self) -> tuple[Bound, ...]:
        count = len(_mailbox)
        return (*super().bounds(), Bound(name="skill_mailbox", size=count, limit=None, high_water=count, rejected=0))


def install(app: App) -> None:
    """Replace who runs the skills, with what other defects have changed about them."""
    known = app.skills
    app.skills = HoardingSupervisor(known.catalog, app.events)
    app.skills.processes.limit = known.processes.limit
    app.skills.pool_class = over(known.pool_class, HoardingPool)
