"""Measures what the documents quote. Resumable: an item whose file is there is not measured again.

    nox -s evidence -- reports/<date>-line            measure what is missing
    nox -s evidence -- reports/<date>-line clean-3    measure this item only

Each item is one file `<item>.json` with the command, the commit and the machine; audits that readers may want to look
at keep their `audit.json` and `report.html` beside it. `figures.json` sums up; the documents quote from there.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

METRICS = ("--metrics", "http://127.0.0.1:{port}/metrics")
MIMO = ("mimo-server", "--metrics-port", "{port}")
HTTPBIN = ("gunicorn", "--workers", "2", "--bind", "127.0.0.1:{port}", "httpbin:app")
LEAKS = {
    "orphan_child": ("processes", "call:skill_echo"),
    "open_connections": ("fds.socket", "call:agent_ping"),
    "growing_registry": ('metric.mimo_registry_entries{registry="interrupts"}', "call:interrupt_check"),
}
CLEAN_RUNS = 10
KILLS = 20


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("items", nargs="*")
    wanted = parser.parse_args()
    wanted.folder.mkdir(parents=True, exist_ok=True)
    for name, measure in ITEMS.items():
        path = wanted.folder / f"{name}.json"
        if name not in wanted.items if wanted.items else path.exists():
            continue
        print(f"{dt.datetime.now():%H:%M:%S} {name}", flush=True)
        document = {"item": name, **measure(wanted.folder), **_where()}
        path.write_text(json.dumps(document, indent=1) + "\n")
        print(f"  {document.get('verdict', document.get('result'))}", flush=True)
    figures = _figures(wanted.folder)
    (wanted.folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))
    for path in (Path("README.md"), *sorted(Path("docs").glob("*.md"))):
        path.write_text(_quoted(path.read_text(), wanted.folder.name, figures))


def _quoted(text: str, folder: str, figures: dict[str, object]) -> str:
    """Bring the figures that a document quotes from this folder up to date; unknown keys stay as they are."""

    def value(match: re.Match[str]) -> str:
        found: object = figures
        for key in match["key"].split("."):
            found = found.get(key) if isinstance(found, dict) else None
        return match["head"] + (match["old"] if found is None else str(found)) + match["tail"]

    head = rf"(?P<head><!--figure:{re.escape(folder)}/figures\.json#(?P<key>[\w.]+)-->)"
    return re.sub(rf"{head}(?P<old>.*?)(?P<tail><!--/figure-->)", value, text)


def _where() -> dict[str, object]:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    return {
        "commit": commit,
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": {
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
            "load_1min": os.getloadavg()[0],
        },
    }


def _audit(*arguments: str, keep: str | None = None) -> Callable[[Path], dict[str, object]]:
    def measure(folder: Path) -> dict[str, object]:
        with tempfile.TemporaryDirectory() as temporary:
            out = Path(temporary) / "audit"
            command = ["leakcheck", "audit", *arguments]
            at = command.index("--")
            begun = time.monotonic()
            finished = subprocess.run(
                [*command[:at], "--out", str(out), *command[at:]], capture_output=True, text=True, check=False
            )
            seconds = time.monotonic() - begun
            document = json.loads((out / "audit.json").read_text())
            if keep:
                (folder / keep).mkdir(exist_ok=True)
                for file in ("audit.json", "report.html"):
                    (folder / keep / file).write_text(_without_paths((out / file).read_text(), temporary))
        return {
            "command": command,
            "exit_code": finished.returncode,
            "seconds": round(seconds, 1),
            "verdict": document["verdict"],
            "rounds": len(document["rounds"]),
            "operations": sum(sum(one["operations"].values()) for one in document["rounds"]),
            "tool": document["tool"],
            "server": document["target"]["server"],
            "warnings": document["warnings"],
            "findings": [
                {
                    key: one[key]
                    for key in ("resource", "verdict", "shape", "operation", "rate", "detectable", "evidence")
                }
                for one in document["findings"]
            ],
        }

    return measure


def _without_paths(text: str, temporary: str) -> str:
    """Take this machine's folders out: they say nothing to a reader elsewhere."""
    return text.replace(temporary, "TMP").replace(str(Path.cwd()), ".")


def _repository() -> str:
    """Make a small git repository for mcp-server-git; its path is the same on every machine."""
    folder = Path(tempfile.gettempdir()) / "leakcheck-evidence-repository"
    if not folder.exists():
        subprocess.run(["git", "init", "-q", str(folder)], check=True)
        (folder / "a.txt").write_text("a\n")
        author = ("-c", "user.name=evidence", "-c", "user.email=evidence@example.invalid")
        subprocess.run(["git", "-C", str(folder), "add", "a.txt"], check=True)
        subprocess.run(["git", "-C", str(folder), *author, "commit", "-qm", "a"], check=True)
    return str(folder)


def _git_arguments() -> list[str]:
    arguments = []
    for tool in ("git_status", "git_log", "git_branch", "git_diff_staged", "git_diff_unstaged"):
        given = {"repo_path": _repository(), **({"branch_type": "local"} if tool == "git_branch" else {})}
        arguments += ["--arguments", f"{tool}={json.dumps(given)}"]
    return arguments


def _git(folder: Path) -> dict[str, object]:
    return _audit("--mcp", "stdio", *_git_arguments(), "--", "mcp-server-git")(folder)


def _kills(folder: Path) -> dict[str, object]:
    """SIGKILL the auditor at random instants; count what is left and whether a report can be made."""
    del folder
    draw, runs = random.Random(20261122), []
    for number in range(KILLS):
        mark = f"evidence-{os.getpid()}-{number}"
        with tempfile.TemporaryDirectory() as temporary:
            out = Path(temporary) / "audit"
            environment = {**os.environ, "LEAKCHECK_EVIDENCE_MARK": mark}
            auditor = subprocess.Popen(
                ["leakcheck", "audit", "--mcp", "stdio", "--budget", "20s", "--out", str(out), "--", "mimo-server"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
            after = draw.uniform(0.3, 20.0)
            try:
                auditor.wait(after)
            except subprocess.TimeoutExpired:
                auditor.send_signal(signal.SIGKILL)
            auditor.wait()
            left = _gone_within(mark, 5.0)
            journal = (out / "journal.jsonl").exists() and (out / "journal.jsonl").stat().st_size > 0
            report = subprocess.run(["leakcheck", "report", str(out)], capture_output=True, text=True, check=False)
            made = report.returncode == 0 and (out / "report.html").exists()
        runs.append({"after_seconds": round(after, 2), "left": left, "journal": journal, "report": made})
    return {
        "command": ["leakcheck", "audit", "--mcp", "stdio", "--budget", "20s", "--", "mimo-server"],
        "runs": runs,
        "result": {
            "kills": KILLS,
            "processes_left": sum(run["left"] for run in runs),
            "journals": sum(run["journal"] for run in runs),
            "reports": sum(run["report"] for run in runs),
        },
    }


def _gone_within(mark: str, seconds: float) -> int:
    """Count processes that carry the mark in their environment, once none is left or the time is up."""
    deadline, pause = time.monotonic() + seconds, 0.02
    while True:
        count = sum(mark.encode() in _environment(path) for path in Path("/proc").glob("[0-9]*/environ"))
        if not count or time.monotonic() > deadline:
            return count
        time.sleep(pause)
        pause = min(0.5, 2 * pause)


def _environment(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _cost(folder: Path) -> dict[str, object]:
    """What a snapshot costs: of one idle process, and of gunicorn with its two workers."""
    del folder
    found = {}
    for name, command in {
        "one_process": ["sleep", "60"],
        "gunicorn": [part.format(port=0) for part in HTTPBIN],
    }.items():
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as target:
            try:
                wanted = 1 if name == "one_process" else 3
                deadline = time.monotonic() + 20
                while True:
                    seen = subprocess.run(
                        ["leakcheck", "probes", "--pid", str(target.pid), "--times", "300", "--json"],
                        capture_output=True,
                        text=True,
                        check=True,
                    )
                    found[name] = json.loads(seen.stdout)
                    if found[name]["processes"] >= wanted or time.monotonic() > deadline:
                        break
            finally:
                target.terminate()
    return {
        "command": ["leakcheck", "probes", "--pid", "PID", "--times", "300", "--json"],
        "result": {
            name: {key: one[key] for key in ("processes", "snapshot_ms", "cpu_ms", "probe_ms")}
            for name, one in found.items()
        },
    }


ITEMS: dict[str, Callable[[Path], dict[str, object]]] = {
    "current": _audit("--mcp", "stdio", *METRICS, "--", *MIMO, "--profile", "current", keep="current"),
    "clean-1": _audit("--mcp", "stdio", *METRICS, "--", *MIMO, keep="fixed"),
    **{f"defect-{name}": _audit("--mcp", "stdio", *METRICS, "--", *MIMO, "--defect", name) for name in LEAKS},
    "defect-json_text_scan": _audit(
        *("--mcp", "stdio", *METRICS, "--tool", "memory_store", "--undo", 'memory_forget={"category": "fact"}'),
        *("--", *MIMO, "--defect", "json_text_scan", "--seed-memories", "500", "--dimensions", "1536"),
        keep="json_text_scan",
    ),
    "third-everything": _audit(
        *("--mcp", "stdio", "--", "npx", "-y", "@modelcontextprotocol/server-everything"), keep="everything"
    ),
    "third-time": _audit(
        *("--mcp", "stdio", "--arguments", 'get_current_time={"timezone": "UTC"}', "--", "mcp-server-time"), keep="time"
    ),
    "third-git": _git,
    "third-http-server": _audit(
        *("--request", "GET http://127.0.0.1:{port}/", "--", "python", "-m", "http.server", "{port}")
    ),
    "third-httpbin": _audit(
        *("--request", "GET http://127.0.0.1:{port}/get", "--request", "GET http://127.0.0.1:{port}/status/404"),
        *("--request", 'POST http://127.0.0.1:{port}/post {"a":1}', "--", *HTTPBIN),
        keep="httpbin",
    ),
    "third-drive": _audit(
        *("--drive", "python -c 'import urllib.request as u; u.urlopen(\"http://127.0.0.1:{port}/\").read()'"),
        *("--", "python", "-m", "http.server", "{port}"),
    ),
    **{f"clean-{number}": _audit("--mcp", "stdio", *METRICS, "--", *MIMO) for number in range(2, CLEAN_RUNS + 1)},
    "kills": _kills,
    "cost": _cost,
}


def _figures(folder: Path) -> dict[str, object]:
    """Sum up what is there."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json")) if path.stem in ITEMS}
    clean = [one for name, one in found.items() if name.startswith("clean-")]
    figures: dict[str, object] = {
        "clean_audits": len(clean),
        "clean_verdicts": {verdict: sum(one["verdict"] == verdict for one in clean) for verdict in ("clean", "leak")},
        "clean_would_have_seen": _worst(clean),
    }
    for name, (resource, operation) in LEAKS.items():
        for finding in found.get(f"defect-{name}", {}).get("findings", []):
            if (finding["resource"], finding["operation"], finding["verdict"]) == (resource, operation, "leak"):
                figures[f"{name}_rate"] = round(finding["rate"]["value"], 3)
    for name, one in found.items():
        if name.startswith("third-") or name == "defect-json_text_scan":
            figures[name.replace("-", "_")] = one["verdict"]
    if "kills" in found:
        figures["kills"] = found["kills"]["result"]
    if "cost" in found:
        result = found["cost"]["result"]
        figures["snapshot_ms"] = round(result["one_process"]["snapshot_ms"], 2)
        figures["snapshot_gunicorn_ms"] = round(result["gunicorn"]["snapshot_ms"], 2)
    shares = [one["tool"] for one in found.values() if "tool" in one]
    if shares:
        figures["snapshot_audits_ms"] = round(median(one["snapshot_ms"] for one in shares), 1)
        figures["looking_percent_of_a_core"] = round(100 * median(one["looking_cpu_share"] for one in shares), 2)
        figures["auditor_percent_of_a_core"] = round(100 * median(one["auditor_cpu_share"] for one in shares), 1)
    return figures


def _worst(audits: list[dict[str, object]]) -> dict[str, float]:
    """The largest rate that each resource left open in any of the clean audits."""
    worst: dict[str, float] = {}
    for one in audits:
        for finding in one["findings"]:
            if finding["detectable"] and finding["resource"] in ("fds.socket", "processes", "memory.anon"):
                worst[finding["resource"]] = max(worst.get(finding["resource"], 0.0), finding["detectable"]["value"])
    return {name.replace(".", "_"): round(value, 4) for name, value in worst.items()}


if __name__ == "__main__":
    sys.exit(main())
