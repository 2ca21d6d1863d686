"""What a catalog says of one skill: its command, its tools, its limits. Pydantic reads it, so all bounds stand here."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field

MOST_TOOLS = 256
LONGEST_DESCRIPTION = 4096
LARGEST_SCHEMA = 64 * 1024
"""Bytes as JSON."""
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "TZ")
"""What every skill may see of the server's environment, and LC_*."""
_NEVER_PASSED_ON = re.compile(r"LD_|PYTHON|MIMO_")
"""They change what a program runs, or are the server's own."""


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("has a NUL character, which no argument of a program can have; remove it")
    return text


def _inheritable(name: str) -> str:
    if _NEVER_PASSED_ON.match(name):
        raise ValueError(f"{name} is never passed on; if the skill needs it, write its value in env")
    return name


def _runnable(command: tuple[str, ...]) -> tuple[str, ...]:
    if not command[0] or ("/" in command[0] and not command[0].startswith("/")):
        raise ValueError(f"{command[0]!r} is neither a name on PATH nor a full path; give one of these")
    return command


def _absolute(folder: str) -> str:
    if not folder.startswith("/"):
        raise ValueError(f"{folder!r} is no full path; give one")
    return folder


def _schema(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("type") != "object":
        raise ValueError('needs "type": "object", as MCP says')
    if (size := len(json.dumps(schema))) > LARGEST_SCHEMA:
        raise ValueError(f"has {size} bytes, and {LARGEST_SCHEMA} are the most; shorten it")
    return schema


SkillName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
ToolName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
Text = Annotated[str, Field(max_length=4096), AfterValidator(_no_nul)]
Schema = Annotated[dict[str, Any], AfterValidator(_schema)]
Seconds = Annotated[float, Field(strict=True, gt=0, le=3600)]
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool as the skill itself names it."""

    __pydantic_config__ = _STRICT
    name: ToolName
    description: Annotated[str, Field(max_length=LONGEST_DESCRIPTION)] = ""
    input_schema: Annotated[Schema, Field(alias="inputSchema")]
    output_schema: Annotated[Schema | None, Field(alias="outputSchema")] = None
    annotations: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """As it stands in a catalog and in an answer to tools/list."""
        optional = {"outputSchema": self.output_schema, "annotations": self.annotations}
        given = {key: value for key, value in optional.items() if value is not None}
        return {"name": self.name, "description": self.description, "inputSchema": self.input_schema, **given}

    def digest(self) -> str:
        """Equal for equal tools: all that a client is told counts."""
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """rlimits of each process of the skill; None: as the server's own."""

    __pydantic_config__ = _STRICT
    memory_mib: Annotated[int, Field(strict=True, ge=16, le=1 << 20)] | None = None
    """Address space. Node and Java reserve far more than they use."""
    files: Annotated[int, Field(strict=True, ge=8, le=1 << 20)] | None = None
    processes: Annotated[int, Field(strict=True, ge=1, le=1 << 20)] | None = None
    """Counted over all processes of the user; the kernel does not hold root to it."""
    cpu_seconds: Annotated[int, Field(strict=True, ge=1, le=1 << 20)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """How many processes of one skill run."""

    __pydantic_config__ = _STRICT
    least: Annotated[int, Field(strict=True, ge=0, le=32)] = 0
    """So many stay once they were needed; the first starts at the first call."""
    most: Annotated[int, Field(strict=True, ge=1, le=32)] = 4

    def __post_init__(self) -> None:
        if self.least > self.most:
            raise ValueError(f"least {self.least} is above most {self.most}; lower it or raise most")


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """One external MCP server over stdio."""

    __pydantic_config__ = _STRICT
    name: SkillName
    command: Annotated[tuple[Text, ...], Field(min_length=1, max_length=64), AfterValidator(_runnable)]
    """An argument list: no shell ever reads it, and nothing in it is replaced."""
    env: Annotated[dict[Variable, Text], Field(max_length=128)] = field(default_factory=dict)
    inherit: Annotated[tuple[Annotated[Variable, AfterValidator(_inheritable)], ...], Field(max_length=128)] = ()
    """Names of the server's variables that may be passed on."""
    cwd: Annotated[Text, AfterValidator(_absolute)] | None = None
    answer_seconds: Seconds = 10.0
    """A call that takes longer is given up, and its answer, should it come, belongs to nobody."""
    start_seconds: Seconds = 30.0
    """From the start of the process until it has listed its tools."""
    idle_seconds: Seconds = 300.0
    """A process that had nothing to do for so long is ended."""
    processes: Processes = Processes()
    limits: Limits = Limits()
    tools: Annotated[tuple[Tool, ...], Field(max_length=MOST_TOOLS)] = ()
    """What is offered. Tools of the skill that do not stand here are not."""

    def __post_init__(self) -> None:
        names = [tool.name for tool in self.tools]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"the tool {min(twice)!r} is listed twice; remove one")

    def environment(self, ours: Mapping[str, str]) -> dict[str, str]:
        """All that its processes see of an environment: what is allowed here, and what the catalog says."""
        allowed = {*PASSED_ON, *self.inherit, *(name for name in ours if name.startswith("LC_"))}
        return {name: ours[name] for name in sorted(allowed) if name in ours} | self.env
