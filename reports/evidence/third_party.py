"""MCP servers over HTTP that nobody here wrote: installed apart, audited without configuration, verdicts explained."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from measuring import audit

HOME = Path(".leakcheck") / "third-party"


@dataclass(frozen=True, kw_only=True)
class Server:
    """One server as its users start it."""

    packages: tuple[str, ...]
    """Pinned, of one index."""
    command: tuple[str, ...]
    """`{home}` is the folder it is in, `{homes}` the one above, `{node}` Node itself, `{port}` leakcheck's."""
    what: str
    """Language, and whether it keeps sessions."""
    truth: str
    """What was found by hand, before any audit, and where it comes from."""
    npm: bool = False
    path: str = "/mcp"
    options: tuple[str, ...] = ()
    """Beyond zero configuration, in a second row of the same server."""
    needs: str | None = None
    """Another server of this table, whose folder the command names."""


EVERYTHING = "@modelcontextprotocol/server-everything@2026.8.31"
EVERYTHING_FILE = "node_modules/@modelcontextprotocol/server-everything/dist/index.js"
SLOW = "trigger-long-running-operation"
"""A tool of ten seconds: trying it once drops a connection too."""
TIME = ("{homes}/mcp-proxy/bin/mcp-server-time", "--local-timezone", "UTC")
SERVERS = {
    "mcp-proxy": Server(
        packages=("mcp-proxy==0.13.0", "mcp==1.30.0", "mcp-server-time==2026.10.10"),
        command=("{home}/bin/mcp-proxy", "--port", "{port}", "--", *TIME),
        what="Python, sessions, JSON",
        truth=(
            "Nothing leaks. A cancellation that meets the answer ends its session without a word, and may end the "
            "whole proxy, as here. An abandoned session holds 68 kB until 30 minutes idle, 10,000 at most."
        ),
    ),
    "mcp-proxy-without-cancel": Server(
        packages=("mcp-proxy==0.13.0", "mcp==1.30.0", "mcp-server-time==2026.10.10"),
        command=("{home}/bin/mcp-proxy", "--port", "{port}", "--", *TIME),
        options=("--skip", "cancel", "--arguments", 'get_current_time={"timezone": "UTC"}'),
        what="the same, never cancelled, and with an argument for its tool",
        truth="Nothing leaks.",
    ),
    "mcp-proxy-old": Server(
        packages=("mcp-proxy==0.10.0", "mcp==1.25.0"),
        command=("{home}/bin/mcp-proxy", "--port", "{port}", "--", *TIME),
        needs="mcp-proxy",
        what="Python, sessions, JSON",
        truth=(
            "A refused opening request (a GET or POST without session) leaves a session: 40 kB. A closed session "
            "leaves 4 kB, an abandoned one 59 kB without limit. mcp/server/streamable_http_manager.py:238, :263."
        ),
    ),
    "mcp-proxy-old-without-cancel": Server(
        packages=("mcp-proxy==0.10.0", "mcp==1.25.0"),
        command=("{home}/bin/mcp-proxy", "--port", "{port}", "--", *TIME),
        options=("--skip", "cancel", "--arguments", 'get_current_time={"timezone": "UTC"}'),
        needs="mcp-proxy",
        what="the same, never cancelled, and with an argument for its tool",
        truth="As above; the first row ended as the newer one did.",
    ),
    "npm-mcp-proxy-stateless": Server(
        packages=("mcp-proxy@6.7.19", EVERYTHING),
        npm=True,
        command=(
            *("{node}", "{home}/node_modules/mcp-proxy/dist/bin/mcp-proxy.mjs", "--server", "stream", "--stateless"),
            *("--host", "127.0.0.1", "--port", "{port}", "--", "{node}", f"{{home}}/{EVERYTHING_FILE}", "stdio"),
        ),
        what="Node, both eras, stateless",
        truth=(
            "Each request of the handshake era leaves a Server, a transport and a closed Socket object: 18.7 kB of "
            "heap, about 30 kB of memory. `sinks` in dist/startStdioServer-*.mjs:293 is released by nobody."
        ),
    ),
    "npm-mcp-proxy": Server(
        packages=("mcp-proxy@6.7.19", EVERYTHING),
        npm=True,
        command=(
            *("{node}", "{home}/node_modules/mcp-proxy/dist/bin/mcp-proxy.mjs", "--server", "stream"),
            *("--host", "127.0.0.1", "--port", "{port}", "--", "{node}", f"{{home}}/{EVERYTHING_FILE}", "stdio"),
        ),
        what="Node, both eras, sessions",
        truth=(
            "A session keeps its last 1,000 events and no more: memory grows for some 4,000 calls, then it is level. A "
            "text/plain `initialize` leaves 18 kB. An abandoned session holds 23 kB until 30 minutes idle."
        ),
    ),
    "supergateway-3": Server(
        packages=("supergateway@3.4.3", EVERYTHING),
        npm=True,
        command=(
            *("{node}", "{home}/node_modules/supergateway/dist/index.js", "--stdio"),
            *(f"{{node}} {{home}}/{EVERYTHING_FILE} stdio", "--outputTransport", "streamableHttp"),
            *("--port", "{port}", "--logLevel", "none"),
        ),
        what="Node, stateless: a child per request",
        truth=(
            "Each POST leaves 2 processes and 3 descriptors: nobody closes the transport "
            "(dist/gateways/stdioToStatelessStreamableHttp.js:160). A connection dropped before the answer ends the "
            "gateway with exit code 1 (:120)."
        ),
    ),
    "supergateway-3-without-drops": Server(
        packages=("supergateway@3.4.3", EVERYTHING),
        npm=True,
        command=(
            *("{node}", "{home}/node_modules/supergateway/dist/index.js", "--stdio"),
            *(f"{{node}} {{home}}/{EVERYTHING_FILE} stdio", "--outputTransport", "streamableHttp"),
            *("--port", "{port}", "--logLevel", "none"),
        ),
        options=("--skip", "disconnect", "--skip", "cancel", "--skip", f"call:{SLOW}", "--budget", "3m"),
        what="the same, no connection ever dropped, for three minutes",
        truth="As above.",
    ),
    "supergateway-4": Server(
        packages=("supergateway@4.0.0", EVERYTHING),
        npm=True,
        command=(
            *("{node}", "{home}/node_modules/supergateway/dist/index.js", "--stdio"),
            *(f"{{node}} {{home}}/{EVERYTHING_FILE} stdio", "--outputTransport", "streamableHttp"),
            *("--port", "{port}", "--logLevel", "none"),
        ),
        options=("--budget", "3m"),
        what="Node, stateless: a child per request; for three minutes, for it is slow",
        truth="The same gateway, mended: children end after the answer, some of them seconds later.",
    ),
    "everything": Server(
        packages=(EVERYTHING,),
        npm=True,
        command=("{node}", f"{{home}}/{EVERYTHING_FILE}", "streamableHttp"),
        what="Node, sessions, SSE",
        truth=(
            "A session keeps every event until it is closed: 2 kB per call, 13.7 kB per tools/list "
            "(dist/transports/streamableHttp.js:8). An abandoned session holds 71 kB for ever (:39). A cancelled call "
            "leaves 1 kB in its session."
        ),
    ),
    "fastmcp": Server(
        packages=("fastmcp==4.1.2",),
        command=(
            *("{home}/bin/fastmcp", "run", "tests/programs/third_party_fastmcp.py", "--transport", "http"),
            *("--port", "{port}", "--no-banner"),
        ),
        what="Python, both eras, sessions, SSE and JSON",
        truth="Nothing leaks. An abandoned session holds 46 to 49 kB until 30 minutes idle, 10,000 at most.",
    ),
}


def _measure(name: str, server: Server) -> Callable[[Path], dict[str, object]]:
    def measure(folder: Path) -> dict[str, object]:
        home, node = _installed(name, server), _node()
        if server.needs is not None:
            _installed(server.needs, SERVERS[server.needs])
        filled = {"{homes}": str(home.parent), "{home}": str(home), "{node}": node}
        command = [_filled(part, filled) for part in server.command]
        where = ("--mcp", f"http://127.0.0.1:{{port}}{server.path}", *server.options, "--name", name)
        document = audit(*where, "--", *command, keep=name)(folder)
        shown = [str(part).replace(f"{home.parent}/", "").replace(node, "node") for part in document["command"]]
        return {**document, "command": shown, "packages": server.packages}

    return measure


def _filled(part: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        part = part.replace(name, value)
    return part


def _installed(name: str, server: Server) -> Path:
    """Install into a folder of its own: their dependencies do not agree with each other."""
    home = (HOME / name.partition("-without-")[0]).absolute()
    mark = home / "installed"
    if not mark.exists():
        home.mkdir(parents=True, exist_ok=True)
        if server.npm:
            subprocess.run(
                ["npm", "install", "--no-fund", "--no-audit", "--prefix", home, *server.packages], check=True
            )
        else:
            subprocess.run([sys.executable, "-m", "venv", home], check=True)
            subprocess.run([home / "bin" / "pip", "install", "-q", *server.packages], check=True)
        mark.touch()
    return home


def _node() -> str:
    """Node's own executable: the one that pip puts on PATH is a Python script that passes no signal on."""
    asked = subprocess.run(["node", "-p", "process.execPath"], capture_output=True, text=True, check=True)
    return asked.stdout.strip()


ITEMS = {f"third-{name}": _measure(name, server) for name, server in SERVERS.items()}


def write_table(folder: Path, found: dict[str, dict[str, object]]) -> None:
    """Write third-party.md: each server, what is true of it, and what the audit said."""
    lines = [
        "# MCP servers over HTTP that nobody here wrote",
        "",
        "Audited without configuration by `nox -s evidence`; a second row of a server says what was left out there, or",
        "how much longer it took. What is true of each was found by hand first, with raw requests and `/proc`; figures",
        "of memory are rough. Each folder beside this file holds the report.",
        "",
        "| server | what it is | true, by hand | verdict | leaks, and which operation causes them | not judged; why |",
        "|---|---|---|---|---|---|",
    ]
    for name, server in SERVERS.items():
        document = found.get(f"third-{name}")
        if document is not None:
            findings = document["findings"]
            leaks = [f"{one['resource']} ({_rate(one)})" for one in findings if one["verdict"] == "leak"]
            held = [one["evidence"] for one in findings if one["verdict"] == "not_judged" and one["operation"]]
            ended = [_first_sentence(one) for one in document["warnings"] if "the target ended" in one]
            unsure = [f"{one['resource']}: {one['evidence']}" for one in findings if one["verdict"] == "undecided"]
            held += ended or (unsure if document["verdict"] == "undecided" else [])
            cells = (
                f"[{name}]({name}/report.html): {', '.join(server.packages)}",
                server.what,
                server.truth,
                str(document["verdict"]).replace("_", " "),
                "; ".join(leaks) or "none",
                " ".join(held) or "–",
            )
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    (folder / "third-party.md").write_text("\n".join(lines) + "\n")


def _first_sentence(warning: str) -> str:
    """What ended it, without its last lines."""
    return warning.partition(";")[0].removeprefix("leakcheck: ").replace("the target", "The target") + "."


def _rate(finding: dict[str, object]) -> str:
    rate = finding["rate"]
    amount = f"{rate['value']:.3g} {rate['unit']} per " if rate else ""
    return f"{amount}{finding['operation'] or 'operation'}"
