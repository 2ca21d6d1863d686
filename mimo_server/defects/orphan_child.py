"""A skill's process left behind by each call."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from subprocess import DEVNULL
from typing import Any, Self

from mimo_server.app import App
from mimo_server.defects import Defect, Leak
from mimo_server.errors import SkillError
from mimo_server.skills.catalog import CATALOG, Skill
from mimo_server.skills.client import SkillClient
from mimo_server.supervision.registry import Bound, Registry

MOST_ORPHANS = 1000
"""The defect's own safety valve: further children are ended properly, so that no machine runs out of processes."""
ORPHAN_SECONDS = 3600
"""The second valve: an orphan that nobody found ends by itself after an hour."""

DEFECT = Defect(
    id="orphan_child",
    words="No verification that stopped processes are actually cleaned up",
    mechanism=(
        "Each call of a skill starts a process of its own, and when it has answered, only its pipes are closed. The "
        "program does not care about the end of its stdin and lives on (it becomes `sleep`, 0.1 MB of its own, to be "
        f"cheap in numbers). Nobody waits for it or signals it, so it outlives the server too. At most {MOST_ORPHANS} "
        "are left behind, each for an hour at most."
    ),
    truth=Leak(
        resources=("processes",),
        operation="call:skill_echo",
        rate=1,
        also=("threads", "fds.pipe", "fds.file", "memory.uss", "memory.pss", "memory.anon"),
    ),
)

_DEAF = """\
import os, runpy, sys
runpy.run_path(sys.argv[1], run_name="__main__")
os.execvp("sleep", ["sleep", sys.argv[2]])
"""


class SpawnPerCall:
    """A process per call, whose end nobody verifies."""

    def __init__(self, catalog: Mapping[str, Skill]) -> None:
        self._catalog = catalog
        self._known: Registry[SkillClient] = Registry("skills", limit=None)
        self._left_behind = 0

    async def call(self, name: str, tool: str, arguments: dict[str, Any]) -> Any:
        """Start, ask, close the pipes."""
        if name not in self._catalog:
            raise SkillError(f"there is no skill {name!r}; the catalog has {', '.join(sorted(self._catalog))}")
        # stderr is nobody's: an orphan must not hold a pipe on which the reader waits for the end.
        client = await SkillClient.start(_deaf(self._catalog[name]), stderr=DEVNULL)
        try:
            return await client.call(tool, arguments)
        finally:
            if self._left_behind < MOST_ORPHANS:
                self._left_behind += 1
                client.close_pipes()
            else:
                await client.close()

    def bound(self) -> Bound:
        """The server believes that none is left."""
        return self._known.bound()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Nothing to end, as far as it knows."""


def _deaf(skill: Skill) -> Skill:
    """The same program in a wrapper that outlives the end of its stdin."""
    program = skill.command[-1]
    return replace(skill, command=(sys.executable, "-I", "-S", "-c", _DEAF, program, str(ORPHAN_SECONDS)))


def install(app: App) -> None:
    """Replace who runs the skills."""
    app.skills = SpawnPerCall(CATALOG)
