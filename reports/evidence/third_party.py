"""MCP servers over HTTP that nobody here wrote: installed apart, audited without configuration, verdicts explained."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from measuring import audit

HOME = Path(".leakcheck") / "third-party"


@dataclass(frozen=True, kw_only=True)
class Server:
    """One server as its users start it."""

    packages: tuple[str, ...]
    """Pinned, of one index."""
    command: tuple[str, ...]
    """`{home}` is the folder it is installed in, `{node}` Node itself, `{port}` leakcheck's."""
    what: str
    """Language, and whether it keeps sessions."""
    truth: str
    """What was found by hand, before any audit, and where it comes from."""
    npm: bool = False
    path: str = "/mcp"
    options: tuple[str, ...] = field(default=())


SERVERS: dict[str, Server] = {}


def _measure(name: str, server: Server) -> Callable[[Path], dict[str, object]]:
    def measure(folder: Path) -> dict[str, object]:
        home = _installed(name, server)
        command = [part.replace("{home}", str(home)).replace("{node}", _node()) for part in server.command]
        where = ("--mcp", f"http://127.0.0.1:{{port}}{server.path}", *server.options, "--name", name)
        document = audit(*where, "--", *command, keep=name)(folder)
        shown = [str(part).replace(str(home), name).replace(_node(), "node") for part in document["command"]]
        return {**document, "command": shown, "packages": server.packages}

    return measure


def _installed(name: str, server: Server) -> Path:
    """Install into a folder of its own: their dependencies do not agree with each other."""
    home = (HOME / name).absolute()
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
        "Audited without configuration by `nox -s evidence`; what is true of each was found by hand first, with raw",
        "requests and `/proc`. Each folder beside this file holds the report.",
        "",
        "| server | what it is | true, by hand | verdict | leaks, and which operation causes them | not judged |",
        "|---|---|---|---|---|---|",
    ]
    for name, server in SERVERS.items():
        document = found.get(f"third-{name}")
        if document is not None:
            findings = document["findings"]
            leaks = [f"{one['resource']} ({_rate(one)})" for one in findings if one["verdict"] == "leak"]
            held = [one["evidence"] for one in findings if one["verdict"] == "not_judged" and one["operation"]]
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


def _rate(finding: dict[str, object]) -> str:
    rate = finding["rate"]
    amount = f"{rate['value']:.3g} {rate['unit']} per " if rate else ""
    return f"{amount}{finding['operation'] or 'operation'}"
