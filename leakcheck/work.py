"""What makes the target work, from the options: --mcp, --request, --drive or --locustfile; MCP over stdio by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from leakcheck.errors import UsageError
from leakcheck.model.plan import DriverKind, Request
from leakcheck.options import Options, fill, seconds, words

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_STDIO = "stdio"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The part of a plan that says what is played, `{port}` unfilled."""

    driver: DriverKind
    requests: tuple[Request, ...] = ()
    drive: tuple[str, ...] = ()
    mcp_url: str | None = None
    locustfile: str | None = None
    host: str | None = None
    session_idle_seconds: float | None = None
    session_limit: int | None = None


def assumed(options: Options) -> Options:
    """Have a command that stands alone work as most MCP servers do, over stdin and stdout; one with a port does not."""
    given = options.mcp or options.request or options.drive or options.locustfile
    if given or not options.command or any("{port}" in word for word in options.command):
        return options
    return replace(options, mcp=_STDIO)


def work(options: Options, port: int) -> Work:
    """Check what the options say of the work; `port` stands for `{port}`. Raises UsageError."""
    _check_choice(options)
    _check_belongings(options)
    if options.mcp == _STDIO:
        return Work(driver=DriverKind.STDIO)
    if options.mcp is not None:
        return _mcp_over_http(options, options.mcp, port)
    if options.locustfile is not None:
        return _locustfile(options, options.locustfile, port)
    if options.drive is not None:
        drive = words(options.drive, "--drive")
        if not drive:
            raise UsageError("--drive is empty; give the command that makes the load")
        return Work(driver=DriverKind.COMMAND, drive=drive)
    return Work(driver=DriverKind.HTTP, requests=tuple(_request(text, port) for text in options.request))


def check_url(text: str, option: str) -> None:
    """Raise UsageError unless this is a URL of this machine, its `{port}` filled."""
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


def _check_choice(options: Options) -> None:
    """Exactly one thing makes the target work."""
    given = [
        name
        for name, value in (
            ("--mcp", options.mcp),
            ("--request", options.request),
            ("--drive", options.drive),
            ("--locustfile", options.locustfile),
        )
        if value
    ]
    if not given:
        raise UsageError(
            "Nothing to make the target work with: give --mcp stdio, --mcp http://127.0.0.1:{port}/mcp, --request "
            "'GET http://127.0.0.1:{port}/', --drive 'COMMAND', or --locustfile FILE, before the server's command"
        )
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other; give one of them")
    if options.mcp == _STDIO and options.pid is not None:
        raise UsageError(
            "--mcp stdio needs the server's stdin, which --pid cannot give; give the server's command after `--`"
        )


_KINDS = {None: (), _STDIO: ("reject", "cancel")}
_KINDS_OVER_HTTP = ("session", "reject", "disconnect", "cancel", "abandon")


def _check_skipped(options: Options) -> None:
    """Only what would be played can be left out."""
    known = _KINDS.get(options.mcp, _KINDS_OVER_HTTP)
    for kind in options.skip:
        if not known:
            raise UsageError(f"--skip {kind} speaks of MCP operations; give --mcp with it, or leave it out")
        if kind not in known and not kind.startswith("call:"):
            raise UsageError(f"--skip must be call:TOOL or one of {', '.join(known)} with this --mcp, not '{kind}'")


def _check_belongings(options: Options) -> None:
    """What speaks of one way to work is not given with another."""
    if not options.mcp:
        for name, value in (("--tool", options.tool), ("--arguments", options.arguments), ("--undo", options.undo)):
            if value:
                raise UsageError(
                    f"{name} {value[0]} speaks of MCP tools; give --mcp stdio or --mcp URL with it, or leave it out"
                )
    _check_skipped(options)
    if options.mcp in {None, _STDIO}:
        limit = None if options.session_limit is None else str(options.session_limit)
        for name, given in (("--session-idle", options.session_idle), ("--session-limit", limit)):
            if given is not None:
                raise UsageError(
                    f"{name} {given} speaks of MCP sessions over HTTP; give --mcp http://127.0.0.1:{{port}}/mcp with "
                    "it, or leave it out"
                )
    if options.host is not None and options.locustfile is None:
        raise UsageError(
            f"--host {options.host} is for the users of a locustfile; give --locustfile FILE with it, or leave it out"
        )


def _mcp_over_http(options: Options, url: str, port: int) -> Work:
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"--mcp must be 'stdio' or a URL such as http://127.0.0.1:{{port}}/mcp, not '{url}'")
    _check_place(url, "--mcp", options, port)
    idle = options.session_idle
    return Work(
        driver=DriverKind.MCP_HTTP,
        mcp_url=url,
        session_idle_seconds=None if idle is None else seconds(idle, "--session-idle"),
        session_limit=options.session_limit,
    )


def _locustfile(options: Options, file: str, port: int) -> Work:
    if not Path(file).is_file():
        raise UsageError(f"--locustfile '{file}' is no file; give one that exists")
    if options.host is not None:
        _check_place(options.host, "--host", options, port)
    return Work(driver=DriverKind.LOCUST, locustfile=file, host=options.host)


def _check_place(url: str, option: str, options: Options, port: int) -> None:
    """Check a URL that the load goes to, and that nothing secret stands in it: the plan keeps it."""
    check_url(fill(url, port), option)
    parts = urlsplit(fill(url, port))
    if parts.username is not None:
        raise UsageError(f"{option} holds credentials in its URL; send them with --header 'Authorization: $VAR'")
    if options.pid is not None and "{port}" in url:
        raise UsageError(f"{option} {url}: {{port}} is for a command that is started here; give the process's own port")


def _request(text: str, port: int) -> Request:
    method, _, rest = text.strip().partition(" ")
    url, _, body = rest.strip().partition(" ")
    if method not in _METHODS or not url:
        raise UsageError(
            f"--request must be 'METHOD URL' or 'METHOD URL BODY' with a method of {', '.join(_METHODS)}, not '{text}'"
        )
    check_url(fill(url, port), "--request")
    return Request(method=method, url=url, body=body or None)
