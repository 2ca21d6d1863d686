"""One running skill: its process, its pipes, and the calls that wait for an answer."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
from typing import IO, Any

from mimo_server.errors import SkillError
from mimo_server.pipes import reading, writing
from mimo_server.skills.catalog import Skill

_LONGEST_LINE = 1 << 20
_GRACE_SECONDS = 0.3
"""For each of three: an end by itself after EOF, after SIGTERM, after SIGKILL; together under a second."""


class SkillClient:
    """Talks to one process and always ends it. Requests are matched by id, so a late answer reaches nobody else."""

    def __init__(self, skill: Skill, process: subprocess.Popen[bytes]) -> None:
        self._skill = skill
        self._process = process
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._ids = itertools.count(1)
        self._ended = False
        self._writer: asyncio.StreamWriter
        self._reader: asyncio.StreamReader
        self._transport: asyncio.ReadTransport
        self._listener: asyncio.Task[None]

    @classmethod
    async def start(cls, skill: Skill, *, stderr: int | IO[Any] | None = None) -> SkillClient:
        """Start the process. Raises SkillError when the command cannot be run."""
        try:
            process = subprocess.Popen(  # noqa: ASYNC220 -- one vfork; asyncio's own adds a thread or fd per child
                skill.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, bufsize=0
            )
        except OSError as error:
            raise SkillError(
                f"skill {skill.name!r}: {skill.command[0]} cannot be started ({error.strerror}); "
                "check its command in the catalog"
            ) from error
        self = cls(skill, process)
        try:
            self._writer = await writing(_pipe(process.stdin))
            self._reader, self._transport = await reading(_pipe(process.stdout), longest_line=_LONGEST_LINE)
        except BaseException:  # cancelled between fork and pipes: nobody would ever know of this process
            process.kill()
            with process:
                raise
        self._listener = asyncio.create_task(self._listen(), name=f"skill {skill.name}")
        return self

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """False once its output has ended: then it can answer no more."""
        return not self._ended

    async def call(self, tool: str, arguments: dict[str, Any]) -> Any:
        """Ask and wait. Raises SkillError for an error answer, an end in mid-call, or no answer in time."""
        number = next(self._ids)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            async with asyncio.timeout(self._skill.answer_seconds):
                request = json.dumps({"id": number, "tool": tool, "arguments": arguments})
                self._writer.write(request.encode() + b"\n")
                await self._writer.drain()
                return await answer
        except TimeoutError as error:
            raise SkillError(
                f"skill {self._skill.name!r} did not answer {tool} within {self._skill.answer_seconds:g} s; try again"
            ) from error
        except ConnectionError as error:
            raise SkillError(f"skill {self._skill.name!r} ended in mid-call; the next call starts it again") from error
        finally:
            self._waiting.pop(number, None)

    async def _listen(self) -> None:
        """Hand each answer to the call with its id; lines that are no answer are dropped."""
        try:
            while line := await self._reader.readline():
                self._deliver(line)
        except ValueError:  # a line above the limit: what follows cannot be trusted to start with a line
            self._transport.close()
        finally:
            self._ended = True
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(ConnectionResetError("the skill's output ended"))

    def _deliver(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            return
        match message:
            case {"id": int() as number, **rest} if (answer := self._waiting.get(number)) and not answer.done():
                if "error" in rest:
                    answer.set_exception(SkillError(f"skill {self._skill.name!r}: {rest['error']}"))
                else:
                    answer.set_result(rest.get("result"))

    async def close(self) -> None:
        """Close its stdin and see the process end: by itself, by SIGTERM, by SIGKILL. Twice is no error."""
        self._writer.transport.close()
        try:
            for insist in (None, self._process.terminate, self._process.kill):
                if insist is not None:
                    insist()
                if await self._gone():
                    break
        finally:
            self.close_pipes()

    def close_pipes(self) -> None:
        """The child reads EOF; nothing else is asked of it."""
        self._writer.transport.close()
        self._listener.cancel()
        self._transport.close()

    async def _gone(self) -> bool:
        """Whether the process ends within the grace; reaped then."""
        if self._process.poll() is not None:
            return True
        watch = os.pidfd_open(self._process.pid)
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(watch, ended.set)
        try:
            async with asyncio.timeout(_GRACE_SECONDS):
                await ended.wait()
        except TimeoutError:
            pass
        finally:
            loop.remove_reader(watch)
            os.close(watch)
        return self._process.poll() is not None


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RuntimeError("the process was started without this pipe")
    return pipe
