"""Processes that ended and that nobody waits for, with their pipes."""

from __future__ import annotations

import asyncio

from typing_extensions import override

from mimo_server.app import App
from mimo_server.defects import ONE_SKILL_TOOL, Defect, Leak
from mimo_server.defects._one_call import OneCallPool, over
from mimo_server.skills.client import SkillClient
from mimo_server.skills.process import SkillProcess

DEFECT = Defect(
    id="zombie_ports",
    words="Port processes can become zombie processes; no monitoring of port health/status",
    mechanism=(
        "Each call has a process of its own. When it has answered, it is told to end and does, but its object is kept: "
        "nobody waits for the process, which stays a zombie, and nobody closes what we hold of it: two pipes, the "
        "lifeline, the descriptor that watches it. The audited server did not do this: there a port was closed however "
        "its owner ended (see orphan_child for what it did)."
    ),
    truth=Leak(
        resources={"zombies": 1, "fds.pipe": 2},
        operation="call:skill_echo",
        also=(
            "processes",
            "fds.anon",
            "fds.socket",
            "memory.anon",
            "memory.uss",
            "memory.pss",
            'metric.mimo_registry_entries{registry="skills"}',
            'metric.mimo_registry_high_water{registry="skills"}',
        ),
    ),
    audit=ONE_SKILL_TOOL,
)


class NeverWaited(SkillProcess):
    """Talks as the correct one does; its end is not waited for."""

    @override
    def _on_reaper_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._watch)

    @override
    def _over(self, what: str) -> None:
        """A pipe has ended: nobody cares."""

    @override
    async def release(self) -> None:
        """Close its stdin, and keep the rest."""
        self._lost = None
        self._stdin.shut()
        for pipe in (self._stdout, self.stderr):
            pipe.transport.pause_reading()  # the event loop would close it at its end
        _kept.append(self)


_kept: list[SkillProcess] = []


class KeepingClient(SkillClient):
    """Starts such processes."""

    process_class = NeverWaited


class KeepingPool(OneCallPool):
    """Uses them."""

    client_class = KeepingClient


def install(app: App) -> None:
    """Replace who runs the skills, and lift the limit that would turn the leak into refusals."""
    app.skills.pool_class = over(app.skills.pool_class, KeepingPool)
    app.skills.processes.limit = None
