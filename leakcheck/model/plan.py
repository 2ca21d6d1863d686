"""What will be done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class DriverKind(StrEnum):
    """What makes the target work."""

    STDIO = "stdio"
    """An MCP conversation over the target's stdin and stdout."""
    HTTP = "http"
    """Plain requests against a URL."""
    COMMAND = "command"
    """Any command, run again and again."""
    MCP_HTTP = "mcp_http"
    """MCP over streamable HTTP, played by a Locust process."""
    LOCUST = "locust"
    """The tasks of the user's own locustfile."""
    NONE = "none"
    """Nothing: somebody else does (`watch`, `run`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One plain HTTP request to repeat."""

    method: str
    url: str
    """May hold `{port}` until the port is known."""
    body: str | None = None

    @property
    def label(self) -> str:
        """`METHOD path`, without host and query: the operation's name."""
        without_scheme = self.url.split("://", 1)[-1]
        path = "/" + without_scheme.partition("/")[2].partition("?")[0].partition("#")[0]
        return f"{self.method} {path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolChoice:
    """Which MCP tools are called, and with what."""

    named: tuple[str, ...] = ()
    """`--tool`: called whatever they declare."""
    allow_open_world: bool = False
    allow_destructive: bool = False
    arguments: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """`--arguments TOOL=JSON`."""
    undo: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """`--undo TOOL[=JSON]`: called after each round's load, so that a round leaves nothing stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPlan:
    """Everything the audit needs to know before it starts. Holds no secret: see `leakcheck.credentials`."""

    command: tuple[str, ...] | None
    """The server's command, `{port}` unfilled; None with `pid`."""
    pid: int | None
    driver: DriverKind
    requests: tuple[Request, ...] = ()
    drive: tuple[str, ...] = ()
    """`--drive`: the command that makes the load, split as a shell would, never run by one."""
    mcp_url: str | None = None
    """Of MCP over HTTP; may hold `{port}`."""
    locustfile: str | None = None
    host: str | None = None
    """What the users of the locustfile speak to, if they do not say so themselves; may hold `{port}`."""
    session_idle_seconds: float | None = None
    """The server's declared idle time of a session; None: not declared."""
    session_limit: int | None = None
    """The server's declared limit of sessions at once; None: not declared."""
    skip: tuple[str, ...] = ()
    """Kinds of MCP operations that are left out, in any era."""
    metrics_url: str | None = None
    tools: ToolChoice = field(default_factory=ToolChoice)
    header_names: tuple[str, ...] = ()
    """Names of the headers sent; the values are secrets and stay out of the plan."""
    environment_names: tuple[str, ...] = ()
    """Names of the variables set by `--env`; likewise."""
    cwd: str | None = None
    inside: bool = False
    """Whether Python and Node processes of the target are looked at from inside as well."""
    budget_seconds: float = 60.0
    rounds: int | None = None
    """Fixed by `--rounds`; None: what the budget allows."""
    operations: int | None = None
    """Operations of each kind a round, fixed by `--operations`; None: chosen by the pilot rounds."""
    ready_timeout_seconds: float = 30.0
    grace_seconds: float = 5.0
    """How long what ends may take to end."""
    exclude: tuple[str, ...] = ()
    """Resources that are read but not judged."""
    require: tuple[str, ...] = ()
    """Resources whose absence makes the audit undecided."""
    seed: int = 1
    """Draws the doses of each round."""
    directory: str = ""
    """Where journal.jsonl, audit.json, report.html and target.log go."""
    name: str = ""
    """The target's name: part of each fingerprint."""
