"""What the first line of the toolkit claims: MCP over stdio, plain HTTP, commands."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from measuring import audit

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
    return audit("--mcp", "stdio", *_git_arguments(), "--", "mcp-server-git")(folder)


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
    "current": audit("--mcp", "stdio", *METRICS, "--", *MIMO, "--profile", "current", keep="current"),
    "clean-1": audit("--mcp", "stdio", *METRICS, "--", *MIMO, keep="fixed"),
    **{f"defect-{name}": audit("--mcp", "stdio", *METRICS, "--", *MIMO, "--defect", name) for name in LEAKS},
    "defect-json_text_scan": audit(
        *("--mcp", "stdio", *METRICS, "--tool", "memory_store", "--undo", 'memory_forget={"category": "fact"}'),
        *(
            "--",
            *MIMO,
            "--defect",
            "json_text",
            "--defect",
            "scan_search",
            "--seed-memories",
            "500",
            "--dimensions",
            "1536",
        ),
        keep="json_text_scan",
    ),
    "third-everything": audit(
        *("--mcp", "stdio", "--", "npx", "-y", "@modelcontextprotocol/server-everything"), keep="everything"
    ),
    "third-time": audit(
        *("--mcp", "stdio", "--arguments", 'get_current_time={"timezone": "UTC"}', "--", "mcp-server-time"), keep="time"
    ),
    "third-git": _git,
    "third-http-server": audit(
        *("--request", "GET http://127.0.0.1:{port}/", "--", "python", "-m", "http.server", "{port}")
    ),
    "third-httpbin": audit(
        *("--request", "GET http://127.0.0.1:{port}/get", "--request", "GET http://127.0.0.1:{port}/status/404"),
        *("--request", 'POST http://127.0.0.1:{port}/post {"a":1}', "--", *HTTPBIN),
        keep="httpbin",
    ),
    "third-drive": audit(
        *("--drive", "python -c 'import urllib.request as u; u.urlopen(\"http://127.0.0.1:{port}/\").read()'"),
        *("--", "python", "-m", "http.server", "{port}"),
    ),
    **{f"clean-{number}": audit("--mcp", "stdio", *METRICS, "--", *MIMO) for number in range(2, CLEAN_RUNS + 1)},
    "kills": _kills,
    "cost": _cost,
}


def figures(folder: Path) -> dict[str, object]:
    """Sum up what is there."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json")) if path.stem in ITEMS}
    clean = [one for name, one in found.items() if name.startswith("clean-")]
    summed: dict[str, object] = {
        "clean_audits": len(clean),
        "clean_verdicts": {verdict: sum(one["verdict"] == verdict for one in clean) for verdict in ("clean", "leak")},
        "clean_would_have_seen": _worst(clean),
    }
    for name, (resource, operation) in LEAKS.items():
        for finding in found.get(f"defect-{name}", {}).get("findings", []):
            if (finding["resource"], finding["operation"], finding["verdict"]) == (resource, operation, "leak"):
                summed[f"{name}_rate"] = round(finding["rate"]["value"], 3)
    for name, one in found.items():
        if name.startswith("third-") or name == "defect-json_text_scan":
            summed[name.replace("-", "_")] = one["verdict"]
    if "kills" in found:
        summed["kills"] = found["kills"]["result"]
    if "cost" in found:
        result = found["cost"]["result"]
        summed["snapshot_ms"] = round(result["one_process"]["snapshot_ms"], 2)
        summed["snapshot_gunicorn_ms"] = round(result["gunicorn"]["snapshot_ms"], 2)
    shares = [one["tool"] for one in found.values() if "tool" in one]
    if shares:
        summed["snapshot_audits_ms"] = round(median(one["snapshot_ms"] for one in shares), 1)
        summed["looking_percent_of_a_core"] = round(100 * median(one["looking_cpu_share"] for one in shares), 2)
        summed["auditor_percent_of_a_core"] = round(100 * median(one["auditor_cpu_share"] for one in shares), 1)
    return summed


def _worst(audits: list[dict[str, object]]) -> dict[str, float]:
    """The largest rate that each resource left open in any of the clean audits."""
    worst: dict[str, float] = {}
    for one in audits:
        for finding in one["findings"]:
            if finding["detectable"] and finding["resource"] in ("fds.socket", "processes", "memory.anon"):
                worst[finding["resource"]] = max(worst.get(finding["resource"], 0.0), finding["detectable"]["value"])
    return {name.replace(".", "_"): round(value, 4) for name, value in worst.items()}
