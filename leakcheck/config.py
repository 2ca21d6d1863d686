"""From options to an AuditPlan: what can be wrong with them is found here, before a start."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from leakcheck.credentials import in_command, in_environment, in_json, in_url, looks_like_credential
from leakcheck.errors import UsageError
from leakcheck.model.plan import AuditPlan, DriverKind, Request, ToolChoice

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of `leakcheck audit`: None and () mean not given. Keys of [tool.leakcheck] are these names."""

    command: tuple[str, ...] = ()
    pid: int | None = None
    mcp: str | None = None
    request: tuple[str, ...] = ()
    drive: str | None = None
    metrics: str | None = None
    tool: tuple[str, ...] = ()
    allow_open_world: bool | None = None
    allow_destructive: bool | None = None
    arguments: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    cwd: str | None = None
    budget: str | None = None
    rounds: int | None = None
    operations: int | None = None
    ready_timeout: str | None = None
    grace: str | None = None
    exclude: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    seed: int | None = None
    name: str | None = None
    out: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A plan, and the secret values that must never be part of it."""

    plan: AuditPlan
    """With `{port}` unfilled, so that it can be repeated."""
    port: int
    """What `{port}` becomes."""
    headers: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of the target and of `--drive`: `--env`, and PORT where `{port}` is used."""
    secret_values: tuple[str, ...] = ()

    def filled(self) -> AuditPlan:
        """Return the plan as it is carried out."""
        return replace(
            self.plan,
            command=None if self.plan.command is None else filled(self.plan.command, self.port),
            requests=tuple(replace(one, url=_fill(one.url, self.port)) for one in self.plan.requests),
            drive=filled(self.plan.drive, self.port),
            metrics_url=None if self.plan.metrics_url is None else _fill(self.plan.metrics_url, self.port),
        )


def plan(options: Options, port: int, directory: Path) -> Setup:
    """Check the options and build the plan. Raises UsageError: what is wrong, which value, what to do."""
    _check_target(options)
    _check_numbers(options)
    kind, requests, drive = _driver(options, port)
    environment, secret_environment = _pairs(options.env, "--env", "=")
    headers, secret_headers = _pairs(options.header, "--header", ":")
    if options.metrics is not None:
        _check_url(_fill(options.metrics, port), "--metrics")
    tools = _tools(options)
    built = AuditPlan(
        command=options.command or None,
        pid=options.pid,
        driver=kind,
        requests=requests,
        drive=drive,
        metrics_url=options.metrics,
        tools=tools,
        header_names=tuple(headers),
        environment_names=tuple(environment),
        cwd=options.cwd,
        budget_seconds=_seconds(options.budget or "60s", "--budget"),
        rounds=options.rounds,
        operations=options.operations,
        ready_timeout_seconds=_seconds(options.ready_timeout or "30s", "--ready-timeout"),
        grace_seconds=_seconds(options.grace or "5s", "--grace"),
        exclude=options.exclude,
        require=options.require,
        seed=1 if options.seed is None else options.seed,
        directory=str(directory),
        name=options.name or default_name(options),
    )
    own_port = {"PORT": str(port)} if _uses_port(options) else {}
    return Setup(
        plan=built,
        port=port,
        headers=headers,
        environment={**own_port, **environment},
        secret_values=(
            *secret_environment,
            *secret_headers,
            *in_environment(os.environ),
            *_in_options(options),
            *in_json([*tools.arguments.values(), *tools.undo.values()]),
        ),
    )


def _in_options(options: Options) -> tuple[str, ...]:
    """What looks like a credential in the commands and URLs."""
    commands = options.command, tuple((options.drive or "").split())
    urls = (*options.request, options.metrics or "")
    return tuple(found for argv in commands for found in in_command(argv)) + tuple(
        found for url in urls for found in in_url(url.partition(" ")[2] or url)
    )


def _check_target(options: Options) -> None:
    if options.command and options.pid is not None:
        raise UsageError(f"--pid {options.pid} and a command exclude each other; give one of them")
    if not options.command and options.pid is None:
        raise UsageError(
            "No target: give a command after `--`, for example `leakcheck audit --mcp stdio -- my-server`, or --pid"
        )
    given = [
        name
        for name, value in (("--mcp", options.mcp), ("--request", options.request), ("--drive", options.drive))
        if value
    ]
    if not given:
        raise UsageError(
            "Nothing to make the target work with: give --mcp stdio, --request 'GET http://127.0.0.1:{port}/', "
            "or --drive 'COMMAND', before the server's command"
        )
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other; give one of them")
    if options.mcp and options.pid is not None:
        raise UsageError(
            "--mcp stdio needs the server's stdin, which --pid cannot give; give the server's command after `--`"
        )
    if not options.mcp:
        for name, value in (("--tool", options.tool), ("--arguments", options.arguments), ("--undo", options.undo)):
            if value:
                raise UsageError(f"{name} {value[0]} speaks of MCP tools; give --mcp stdio with it, or leave it out")
    if options.pid is not None and (options.env or options.cwd):
        raise UsageError("--env and --cwd are for a target that is started here; with --pid leave them out")


def _check_numbers(options: Options) -> None:
    if options.rounds is not None and options.budget is not None:
        raise UsageError(
            f"--rounds {options.rounds} fixes what --budget {options.budget} would choose; give one of them"
        )
    for name, value, least in (
        ("--rounds", options.rounds, 4),
        ("--operations", options.operations, 1),
        ("--pid", options.pid, 1),
    ):
        if value is not None and value < least:
            raise UsageError(f"{name} must be at least {least}, not {value}")
    if options.cwd is not None and not Path(options.cwd).is_dir():
        raise UsageError(f"--cwd '{options.cwd}' is no folder; give one that exists")


def _driver(options: Options, port: int) -> tuple[DriverKind, tuple[Request, ...], tuple[str, ...]]:
    if options.mcp is not None:
        if options.mcp == "stdio":
            return DriverKind.STDIO, (), ()
        if options.mcp.startswith(("http://", "https://")):
            raise UsageError(
                f"--mcp {options.mcp}: MCP over HTTP is not there yet; use --mcp stdio, or --request for plain HTTP"
            )
        raise UsageError(f"--mcp must be 'stdio', not '{options.mcp}'")
    if options.drive is not None:
        drive = words(options.drive, "--drive")
        if not drive:
            raise UsageError("--drive is empty; give the command that makes the load")
        return DriverKind.COMMAND, (), drive
    return DriverKind.HTTP, tuple(_request(text, port) for text in options.request), ()


def words(text: str, option: str) -> tuple[str, ...]:
    """Split a command as a shell does, without running one. Raises UsageError, naming `option`."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"{option}, {text!r}, cannot be split into words as a shell does: {error}") from error


def _request(text: str, port: int) -> Request:
    method, _, rest = text.strip().partition(" ")
    url, _, body = rest.strip().partition(" ")
    if method not in _METHODS or not url:
        raise UsageError(
            f"--request must be 'METHOD URL' or 'METHOD URL BODY' with a method of {', '.join(_METHODS)}, not '{text}'"
        )
    _check_url(_fill(url, port), "--request")
    return Request(method=method, url=url, body=body or None)


def _check_url(text: str, option: str) -> None:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{option} '{text}' is no URL: {error}") from error
    del port
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(f"{option} must be an http:// or https:// URL, not '{text}'")
    if parts.hostname not in _LOOPBACK:
        raise UsageError(f"{option} '{text}' is another machine; leakcheck sends load to this one only (127.0.0.1)")


def _tools(options: Options) -> ToolChoice:
    return ToolChoice(
        named=options.tool,
        allow_open_world=bool(options.allow_open_world),
        allow_destructive=bool(options.allow_destructive),
        arguments=dict(_tool_json(text, "--arguments") for text in options.arguments),
        undo=dict(_tool_json(text if "=" in text else f"{text}={{}}", "--undo") for text in options.undo),
    )


def _tool_json(text: str, option: str) -> tuple[str, dict[str, object]]:
    tool, equals, document = text.partition("=")
    try:
        value = json.loads(document) if equals and tool else None
    except ValueError as error:
        raise UsageError(f"{option} {text}: what follows '=' is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise UsageError(f"{option} must be TOOL=JSON with a JSON object, for example add='{{\"a\": 1}}', not '{text}'")
    return tool, value


def _pairs(texts: Sequence[str], option: str, separator: str) -> tuple[dict[str, str], list[str]]:
    """Split `NAME=VALUE` or `Name: VALUE`, fill `$VAR`; return them, and those of the values that are secret.

    Secret is what came out of the environment, what is named like a credential, and every header but the plain ones.
    """
    found: dict[str, str] = {}
    secret: list[str] = []
    for number, text in enumerate(texts, start=1):
        name, given, raw = text.partition(separator)
        name = name.strip()
        if not given or not name:  # the whole of it may be a value: it is not repeated
            raise UsageError(
                f"{option} must be 'NAME{separator}VALUE': number {number} has no '{separator}' after a name"
            )
        variables = _VARIABLE.findall(raw)
        for variable in variables:
            if variable not in os.environ:
                raise UsageError(f"{option} {name}: the environment has no variable '{variable}'; export it first")
        value = _VARIABLE.sub(lambda match: os.environ[match.group(1)], raw.strip() if separator == ":" else raw)
        if any(character in value for character in "\r\n\0"):
            raise UsageError(f"{option} {name}: the value holds a line break or NUL; remove it")
        found[name] = value
        if variables or looks_like_credential(name) or (separator == ":" and name.lower() not in _PLAIN_HEADERS):
            words = (word for word in value.split() if word.lower() not in {"basic", "bearer", "digest", "token"})
            secret += [value, *words, *(os.environ[variable] for variable in variables)]
    return found, secret


_VARIABLE = re.compile(r"\$\{?(\w+)\}?")
_PLAIN_HEADERS = ("accept", "accept-encoding", "accept-language", "content-type", "user-agent", "origin", "host")


def _seconds(text: str, option: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|)", text.strip())
    if not match or float(match.group(1)) == 0:
        raise UsageError(f"{option} must be a time such as 60s, 2m or 1h, not '{text}'")
    return float(match.group(1)) * _UNITS[match.group(2)]


def _uses_port(options: Options) -> bool:
    texts = (*options.command, *options.request, options.drive or "", options.metrics or "", options.mcp or "")
    return any("{port}" in text for text in texts)


def filled(template: Sequence[str], port: int) -> tuple[str, ...]:
    """Return a command with its `{port}` filled."""
    return tuple(_fill(part, port) for part in template)


def _fill(text: str, port: int) -> str:
    return text.replace("{port}", str(port))


def default_name(options: Options) -> str:
    """Name the target after its command, without paths, options, ports and credentials, so that runs compare."""
    if not options.command:
        return f"pid {options.pid}"
    secret = in_command(options.command)
    plain = [word for word in options.command if word not in secret and "=" not in word and "://" not in word]
    words = [Path(word).name for word in plain if not word.startswith("-") and "{port}" not in word]
    return " ".join(words[:3])
