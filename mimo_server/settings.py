"""Every setting, declared once: its option, its variable, its key in a file and its help are made from here.

To add one, add one field.
"""
# ruff: noqa: RUF009 -- each default is a declaration, and what it gives cannot change

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from mimo_server.defects import PROFILES
from mimo_server.kinds import (
    ADDRESS,
    AGE,
    DEFECT,
    EMBEDDER,
    FILE,
    FOLDER,
    KEY,
    MODEL,
    ORDER,
    PROFILE,
    TIME,
    TOKEN,
    Address,
    Kind,
    number,
    one_of,
    whole,
)

__all__ = ["HIDDEN", "Address", "Row", "Settings", "rows"]

T = TypeVar("T")

HIDDEN = ""
_HTTP = "over HTTP"
_CALLS = "calls"
_MEMORY = "memory"
_EMBEDDINGS = "embeddings"
_SKILLS = "skills and procedures"
_FIGURES = "figures and alerts"
_FAULTS = "known faults"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is told of one setting."""

    name: str
    kind: Kind[Any]
    default: str
    """In words where it is no value."""
    group: str
    words: str
    many: bool = False

    @property
    def option(self) -> str:
        """On the command line, where a secret is the name of a file that has it."""
        return f"--{self.name.replace('_', '-')}{'-file' if self.kind.secret else ''}"

    @property
    def variable(self) -> str:
        """In the environment."""
        return f"MIMO_{self.name.upper()}"


def _set(kind: Kind[T], default: str, group: str, words: str) -> T:
    told = {"kind": kind, "default": default, "group": group, "words": words}
    return field(default=kind.parse(default), metadata=told)


def _unset(kind: Kind[T], otherwise: str, group: str, words: str) -> T | None:
    told = {"kind": kind, "default": otherwise, "group": group, "words": words}
    return field(default=None, repr=not kind.secret, metadata=told)


def _several(kind: Kind[T], group: str, words: str) -> tuple[T, ...]:
    return field(default=(), metadata={"kind": kind, "default": "none", "group": group, "words": words, "many": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be chosen at the start; nothing changes afterwards. Times are in seconds."""

    http: Address | None = _unset(
        ADDRESS,
        "over stdin and stdout",
        _HTTP,
        "speak MCP over streamable HTTP at http://HOST:PORT/mcp instead, with /health, /metrics and /synapse beside "
        "it; HOST is a loopback one, port 0 takes a free one and logs it",
    )
    token: str | None = _unset(
        TOKEN, "nobody is asked", _HTTP, "answer only who sends the bearer token in this file, but for /health"
    )
    session_idle: float = _set(TIME, "30m", _HTTP, "end a session that had no request for so long, e.g. 5s, 2m")
    max_sessions: int = _set(whole(1, 1_000_000), "1000", _HTTP, "refuse a further session with 503")
    max_connections: int = _set(whole(1, 1_000_000), "512", _HTTP, "refuse a further HTTP connection with 503")
    max_agents: int = _set(whole(1, 1_000_000), "64", _HTTP, "refuse a further websocket connection of an agent")
    read_timeout: float = _set(
        TIME, "10s", _HTTP, "drop a connection whose next request has not come whole for so long"
    )

    max_calls: int = _set(whole(1, 1_000_000), "128", _CALLS, "refuse a further tool call while so many run")
    call_timeout: float = _set(TIME, "60s", _CALLS, "give up a tool call that takes longer")
    rate: float = _set(number(1_000_000), "0", _CALLS, "calls per second that one session may make; 0: any number")
    grace: float = _set(TIME, "5s", _CALLS, "at the end, wait so long for calls that still run")

    data: Path | None = _unset(
        FOLDER, "a private temporary one, removed at the end", _MEMORY, "keep the memories in this folder"
    )
    dimensions: int = _set(whole(8, 4096), "384", _MEMORY, "length of an embedding, 8 to 4096")
    ttl: float | None = _unset(AGE, "never", _MEMORY, "forget a memory by itself when it is so old, e.g. 90d")
    max_memories: int = _set(whole(0, 1 << 40), "0", _MEMORY, "forget by itself what is above so many; 0: any number")
    forget_first: str = _set(ORDER, "importance", _MEMORY, "what is above max_memories by least importance, or by age")
    readers: int = _set(whole(1, 64), "4", _MEMORY, "threads that search, 1 to 64")
    write_queue: int = _set(whole(1, 1_000_000), "256", _MEMORY, "refuse a further write while so many wait")
    seed_memories: int = _set(
        whole(0, 1_000_000),
        "0",
        _MEMORY,
        "start with at least N memories, generated where missing; a profile with the defect scan_search has 1000",
    )

    embeddings: str = _set(
        EMBEDDER, "lexical", _EMBEDDINGS, "an OpenAI-compatible endpoint, or 'lexical': by words, needs nobody"
    )
    embeddings_model: str | None = _unset(MODEL, "none", _EMBEDDINGS, "the endpoint's model; needed with a URL")
    embeddings_key: str | None = _unset(KEY, "none", _EMBEDDINGS, "send the endpoint the key in this file")
    embeddings_timeout: float = _set(TIME, "10s", _EMBEDDINGS, "give up an endpoint that takes longer")

    skills: Path | None = _unset(FILE, "the one that comes along", _SKILLS, "catalog of the skills")
    max_skills: int = _set(whole(1, 10_000), "100", _SKILLS, "most skill processes at once")
    procedures: Path | None = _unset(FILE, "those that come along", _SKILLS, "file of the procedures")
    max_executions: int = _set(whole(1, 1_000_000), "100", _SKILLS, "refuse a further procedure while so many run")

    metrics_port: int | None = _unset(
        whole(0, 65_535, "PORT"),
        "no page",
        _FIGURES,
        "serve http://127.0.0.1:PORT/metrics (OpenMetrics); 0 takes a free port and logs it",
    )
    alert_memory_mib: int = _set(whole(0, 1 << 24), "0", _FIGURES, "alert above so many MiB of memory; 0: never")
    alert_files_percent: int = _set(
        whole(1, 100), "80", _FIGURES, "alert above so many % of the open files that the system allows"
    )
    alert_lag_ms: int = _set(whole(1, 60_000), "250", _FIGURES, "alert when the event loop is late by so many ms")

    profile: str = _set(PROFILE, "fixed", _FAULTS, "a set of defects, one of: " + ", ".join(PROFILES))
    defect: tuple[str, ...] = _several(DEFECT, _FAULTS, "add this defect; repeatable")
    without: tuple[str, ...] = _several(DEFECT, _FAULTS, "leave this defect of the profile out; repeatable")
    fixtures: str | None = _unset(
        one_of("set of fixtures", "NAME", lambda: ("conformance",)), "none", HIDDEN, "tools that a test suite asks for"
    )

    @property
    def defects(self) -> tuple[str, ...]:
        """Names of the defects to start with, in the order of their installation."""
        wanted = dict.fromkeys((*PROFILES[self.profile], *self.defect))
        return tuple(name for name in wanted if name not in self.without)


def rows() -> tuple[Row, ...]:
    """All settings, in the order in which they are shown."""
    return tuple(Row(name=one.name, **one.metadata) for one in fields(Settings))
