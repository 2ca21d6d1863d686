"""From options to an AuditPlan: what can be wrong with them is found here, before a start."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from leakcheck.credentials import in_command, in_environment, in_json, in_url, looks_like_credential
from leakcheck.errors import UsageError
from leakcheck.model.plan import AuditPlan, ToolChoice
from leakcheck.options import Options, fill, filled, seconds
from leakcheck.work import assumed, check_url, work


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A plan, and the secret values that must never be part of it."""

    plan: AuditPlan
    """With `{port}` unfilled, so that it can be repeated."""
    port: int
    """What `{port}` becomes."""
    headers: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of the target, of `--drive` and of a locustfile: `--env`, and PORT where `{port}` is used."""
    secret_values: tuple[str, ...] = ()

    def filled(self) -> AuditPlan:
        """Return the plan as it is carried out."""
        return replace(
            self.plan,
            command=None if self.plan.command is None else filled(self.plan.command, self.port),
            requests=tuple(replace(one, url=fill(one.url, self.port)) for one in self.plan.requests),
            drive=filled(self.plan.drive, self.port),
            mcp_url=self._filled(self.plan.mcp_url),
            host=self._filled(self.plan.host),
            metrics_url=self._filled(self.plan.metrics_url),
        )

    def _filled(self, text: str | None) -> str | None:
        return None if text is None else fill(text, self.port)


def plan(options: Options, port: int, directory: Path) -> Setup:
    """Check the options and build the plan. Raises UsageError: what is wrong, which value, what to do."""
    options = assumed(options)
    _check_target(options)
    _check_numbers(options)
    to_do = work(options, port)
    environment, secret_environment = _pairs(options.env, "--env", "=")
    headers, secret_headers = _pairs(options.header, "--header", ":")
    if options.metrics is not None:
        check_url(fill(options.metrics, port), "--metrics")
    tools = _tools(options)
    built = AuditPlan(
        command=options.command or None,
        pid=options.pid,
        driver=to_do.driver,
        requests=to_do.requests,
        drive=to_do.drive,
        mcp_url=to_do.mcp_url,
        locustfile=to_do.locustfile,
        host=to_do.host,
        session_idle_seconds=to_do.session_idle_seconds,
        session_limit=to_do.session_limit,
        metrics_url=options.metrics,
        tools=tools,
        header_names=tuple(headers),
        environment_names=tuple(environment),
        cwd=options.cwd,
        inside=bool(options.inside) if options.pid is not None else not options.outside,
        budget_seconds=seconds(options.budget or "60s", "--budget"),
        rounds=options.rounds,
        operations=options.operations,
        ready_timeout_seconds=seconds(options.ready_timeout or "30s", "--ready-timeout"),
        grace_seconds=seconds(options.grace or "5s", "--grace"),
        skip=options.skip,
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
    urls = (*options.request, options.metrics or "", options.mcp or "", options.host or "")
    return tuple(found for argv in commands for found in in_command(argv)) + tuple(
        found for url in urls for found in in_url(url.partition(" ")[2] or url)
    )


def _check_target(options: Options) -> None:
    if options.command and options.pid is not None:
        raise UsageError(f"--pid {options.pid} and a command exclude each other; give one of them")
    if not options.command and options.pid is None:
        raise UsageError(
            "No target: give a command after `--`, for example `leakcheck audit -- my-mcp-server`, or --pid"
        )
    if options.inside and options.outside:
        raise UsageError("--inside and --outside exclude each other; give one of them")
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
        ("--session-limit", options.session_limit, 1),
    ):
        if value is not None and value < least:
            raise UsageError(f"{name} must be at least {least}, not {value}")
    if options.cwd is not None and not Path(options.cwd).is_dir():
        raise UsageError(f"--cwd '{options.cwd}' is no folder; give one that exists")


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


def _uses_port(options: Options) -> bool:
    one_each = options.drive, options.metrics, options.mcp, options.host
    return any("{port}" in (text or "") for text in (*options.command, *options.request, *one_each))


def default_name(options: Options) -> str:
    """Name the target after its command, without paths, options, ports and credentials, so that runs compare."""
    if not options.command:
        return f"pid {options.pid}"
    secret = in_command(options.command)
    plain = [word for word in options.command if word not in secret and "=" not in word and "://" not in word]
    words = [Path(word).name for word in plain if not word.startswith("-") and "{port}" not in word]
    return " ".join(words[:3])
