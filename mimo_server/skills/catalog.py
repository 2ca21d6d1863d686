"""Which tools the skills offer: one generation of the catalog at a time, replaced whole."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from mimo_server.errors import NotFoundError, SettingsError
from mimo_server.skills import catalog_file, echo
from mimo_server.skills.skill import Skill, Tool
from mimo_server.supervision.owner import Owner
from mimo_server.supervision.registry import Bound, Registry

_MOST_ROWS = 4096
"""Tools of all skills together: more than any client lists, and few enough to stay small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A tool of a skill under the name that clients use."""

    name: str
    skill: Skill
    tool: Tool


def bundled() -> Mapping[str, Skill]:
    """The catalog without a file: one skill, that echoes."""
    here = Path(echo.__file__)
    entry = {"command": [sys.executable, "-I", "-S", str(here)], "tools": echo.TOOLS}
    return {"skill": catalog_file.checked(here, "skill", entry)}


class Catalog:
    """The offered tools by name. Without a path it is the bundled one.

    `reserved` names are taken by others. Raises SettingsError when the file does not fit.
    """

    def __init__(self, path: Path | None = None, *, reserved: Collection[str] = (), limit: int = _MOST_ROWS) -> None:
        self.path = path
        self.reserved = reserved
        self._limit = limit
        self._rows: Registry[Offered] = Registry("skill_catalog", limit=limit)
        self._generation = Owner("catalog 0")
        self._number = 0
        self.changed: list[Callable[[], None]] = []
        """Called after each swap, in the same step of the event loop."""
        self.skills: Mapping[str, Skill] = MappingProxyType({})
        self.replace(bundled() if path is None else catalog_file.read(path))

    def find(self, name: str) -> Offered:
        """The tool of that name. Raises NotFoundError."""
        if (found := self._rows.get(name)) is None:
            raise NotFoundError(f"no skill offers a tool {name[:128]!r}; list the tools to see those that are offered")
        return found

    def offered(self) -> tuple[Offered, ...]:
        """All tools, in the order of the catalog."""
        return tuple(self._rows)

    async def reload(self) -> None:
        """Read the file again. Raises SettingsError when it does not fit, and then everything stays as it was."""
        if self.path is not None:
            self.replace(await asyncio.to_thread(catalog_file.read, self.path))

    def replace(self, skills: Mapping[str, Skill]) -> None:
        """Swap the generations in one step of the event loop: nobody ever sees none, or half of one."""
        offered = self._named(skills)
        if len(offered) > self._limit:
            raise SettingsError(f"the skill catalog offers {len(offered)} tools; {self._limit} are the most")
        self._generation.end()
        self._number += 1
        self._generation = Owner(f"catalog {self._number}")
        for name, row in offered.items():
            self._rows.add(row, key=name, owner=self._generation)
        self.skills = MappingProxyType(dict(skills))
        for told in self.changed:
            told()

    def _named(self, skills: Mapping[str, Skill]) -> dict[str, Offered]:
        named: dict[str, Offered] = {}
        for skill in skills.values():
            for tool in skill.tools:
                name = f"{skill.name}_{tool.name}"
                if name in named or name in self.reserved:
                    taken = f"skill {named[name].skill.name!r}" if name in named else "a tool of the server itself"
                    raise SettingsError(
                        f"skill {skill.name!r}: its tool {tool.name!r} would be offered as {name}, which is taken by "
                        f"{taken}; rename the skill"
                    )
                named[name] = Offered(name=name, skill=skill, tool=tool)
        return named

    def bound(self) -> Bound:
        """How many tools are offered, and how many may be."""
        return self._rows.bound()
