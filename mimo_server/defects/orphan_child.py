"""A skill's process left behind by each call."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

from typing_extensions import override

from mimo_server.app import App
from mimo_server.defects import ONE_SKILL_TOOL, Defect, Leak
from mimo_server.defects._one_call import OneCallPool, over
from mimo_server.skills.client import SkillClient
from mimo_server.skills.process import SkillProcess

MOST_ORPHANS = 1000
"""The defect's own safety valve: further children are ended properly, so that no machine runs out of processes."""
ORPHAN_SECONDS = 3600
"""The second valve: an orphan that nobody found ends by itself after an hour."""

DEFECT = Defect(
    id="orphan_child",
    words="No verification that stopped processes are actually cleaned up",
    mechanism=(
        "The audited server closed the port of a skill that it stopped, which is EOF for the program, and no more: one "
        "that does not care about the end of its stdin lives on (state S, not a zombie). Here each call has a process "
        "of its own, without a reaper above it, and when it has answered, only its pipes are closed. Then it becomes "
        f"`sleep`, to be cheap in numbers. It outlives the server. At most {MOST_ORPHANS} are left behind, each for an "
        "hour at most."
    ),
    truth=Leak(
        resources={"processes": 1},
        operation="call:skill_echo",
        also=("orphans", "threads", "fds.pipe", "fds.file", "memory.uss", "memory.pss", "memory.anon"),
    ),
    audit=ONE_SKILL_TOOL,
)

_DEAF = """\
import os, runpy, sys
lifeline = int(sys.argv.pop(1))
os.write(lifeline, b"started %d 0\\n" % os.getpid())
os.close(lifeline)
sys.argv = sys.argv[1:]
seconds = sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
null = os.open(os.devnull, os.O_RDWR)
for standard in (0, 1, 2):
    os.dup2(null, standard)
os.execvp("sleep", ["sleep", seconds])
"""
_left_behind = [0]


class LeftBehind(SkillProcess):
    """Talks as the correct one does; its end is taken for granted."""

    @override
    def spawn(self, lifeline: int) -> subprocess.Popen[bytes]:
        program = self.skill.command[-1]
        return subprocess.Popen(
            (sys.executable, "-I", "-S", "-c", _DEAF, str(lifeline), str(ORPHAN_SECONDS), program),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=(lifeline,),
            env=self.skill.environment(os.environ),
            start_new_session=True,
        )

    @override
    async def release(self) -> None:
        """Close the pipes; who would not end then?"""
        self._lost = None
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._watch)
        loop.remove_reader(self._lifeline)
        os.close(self._watch)
        self._lifeline.close()
        if _left_behind[0] < MOST_ORPHANS:
            _left_behind[0] += 1
        else:
            self._reaper.kill()
            self._reaper.wait()
        self._open.discard("reaper")
        self._shut()
        await self._gone.wait()
        del self._reaper  # one that did end is waited for by Python, at the next start of a process


class LeavingClient(SkillClient):
    """Starts such processes."""

    process_class = LeftBehind


class LeavingPool(OneCallPool):
    """Uses them."""

    client_class = LeavingClient


def install(app: App) -> None:
    """Replace who runs the skills."""
    app.skills.pool_class = over(app.skills.pool_class, LeavingPool)
