"""A server with skills and nothing else. Arguments: a folder, then names of children; one skill runs each.

Each child creates FOLDER/NAME once it is ready. Orders come as lines on stdin: exit, raise, stop, fill.
"""

import asyncio
import contextlib
import sys
from pathlib import Path

from mimo_server.errors import SkillError
from mimo_server.skills.catalog import Catalog, bundled
from mimo_server.skills.client import SkillClient
from mimo_server.skills.pool import SkillPool
from mimo_server.skills.process import SkillProcess
from mimo_server.skills.skill import Processes, Skill, Tool
from mimo_server.skills.supervisor import SkillSupervisor
from mimo_server.supervision.events import Events

PROGRAMS = Path(__file__).parent


class Patient(SkillProcess):
    """Does not end a skill that it cannot talk with: all eight are alive when the server's end comes."""

    def lose(self, why):
        """Take no notice."""


class PatientClient(SkillClient):
    process_class = Patient


class PatientPool(SkillPool):
    client_class = PatientClient


ACT = Tool(name="act", input_schema={"type": "object"})


def skill(child, folder):
    program = PROGRAMS / f"child_{child}.py"
    return Skill(
        name=child,
        command=(sys.executable, "-I", "-S", str(program), str(folder / child)),
        start_seconds=60.0,
        processes=Processes(most=1),
        tools=(ACT,),
    )


async def serve(folder, children):
    catalog = Catalog()
    catalog.replace({**bundled(), **{child: skill(child, folder) for child in children}})
    supervisor = SkillSupervisor(catalog, Events(), grace_seconds=0.4)
    supervisor.pool_class = PatientPool
    async with supervisor as skills:
        calls = [asyncio.create_task(skills.call(f"{child}_act", {})) for child in children]
        await skills.call("skill_echo", {"text": "a"})
        order = (await asyncio.to_thread(sys.stdin.readline)).strip()
        if order == "raise":
            raise RuntimeError("the server has a bug")
        if order == "stop":
            await stop(skills, calls)
            sys.stdin.readline()
        if order == "fill":
            hoard = []
            while True:
                hoard.append(bytearray(b"x" * (1 << 20)))


async def stop(skills, calls):
    """End the one skill of each child while the server and its other skill live."""
    skills.catalog.replace(bundled())
    pools = [pool for name, pool in skills.pools.items() if name != "skill"]
    await asyncio.gather(*(pool.close() for pool in pools))
    for call in calls:
        with contextlib.suppress(SkillError):
            await call
    answer = await skills.call("skill_echo", {"text": "still here"})
    sys.stdout.write(f"{answer['structuredContent']['text']} {skills.processes.bound().size}\n")
    sys.stdout.flush()


asyncio.run(serve(Path(sys.argv[1]), sys.argv[2:]))
