"""Fill in a catalog file: start each skill once, ask for its tools, write them down for somebody to approve."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from pathlib import Path

from mimo_server.errors import SettingsError, SkillError
from mimo_server.skills import catalog_file
from mimo_server.skills.client import Counts, SkillClient
from mimo_server.skills.skill import Skill, Tool
from mimo_server.supervision.events import Events

_AT_ONCE = 4
_GRACE_SECONDS = 2.0


async def discovered(skill: Skill) -> tuple[Tool, ...]:
    """The tools of a skill, which is started for it and ended. Raises SkillError."""
    client = SkillClient(
        skill, events=Events(), counts=Counts(), grace_seconds=_GRACE_SECONDS, lost=lambda _client, _why: None
    )
    try:
        return await client.start()
    finally:
        await client.close()


async def discover(path: Path) -> None:
    """Replace `tools` of every skill in the file by what the skill lists; the rest of the file's content stays.

    The file is replaced as a whole or not at all. Raises SettingsError, also when a skill cannot be asked.
    """
    entries = catalog_file.load(path)
    # The tools that stand there are about to go, so they need not fit.
    bare = {name: {**entry, "tools": []} if isinstance(entry, dict) else entry for name, entry in entries.items()}
    skills = [catalog_file.checked(path, name, entry) for name, entry in bare.items()]
    turn = asyncio.Semaphore(_AT_ONCE)

    async def ask(skill: Skill) -> tuple[Tool, ...]:
        async with turn:
            return await discovered(skill)

    found = await asyncio.gather(*map(ask, skills), return_exceptions=True)
    for skill, tools in zip(skills, found, strict=True):
        if isinstance(tools, SkillError):
            raise SettingsError(f"{path} was left as it is: {tools}") from tools
        if isinstance(tools, BaseException):
            raise tools
        entries[skill.name]["tools"] = [tool.as_json() for tool in tools]
    _write(path, json.dumps({"skills": entries}, indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    """Through a file beside it, so that a reader sees the old or the new one."""
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).chmod(path.stat().st_mode & 0o777)
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink()
                raise
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written ({error.strerror}); choose a folder that you may write"
        ) from error
