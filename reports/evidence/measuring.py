"""Runs one audit as a user would, and says where a measurement was made."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def where() -> dict[str, object]:
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


_TOLD = ("resource", "verdict", "shape", "operation", "rate", "detectable", "evidence", "confirmed_seconds")


def audit(*arguments: str, keep: str | None = None) -> Callable[[Path], dict[str, Any]]:
    def measure(folder: Path) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as temporary:
            out = Path(temporary) / "audit"
            command = ["leakcheck", "audit", *arguments]
            said = [without_paths(word, temporary) for word in command]
            at = command.index("--")
            begun = time.monotonic()
            finished = subprocess.run(
                [*command[:at], "--out", str(out), *command[at:]], capture_output=True, text=True, check=False
            )
            seconds = time.monotonic() - begun
            if finished.returncode == 2:  # it never began: what it said is the result
                lines = without_paths(finished.stderr, temporary).strip().splitlines()[-12:]
                return {"command": said, "exit_code": 2, "verdict": "not begun", "findings": [], "warnings": lines}
            document = json.loads(without_paths((out / "audit.json").read_text(), temporary))
            if keep:
                (folder / keep).mkdir(exist_ok=True)
                for file in ("audit.json", "report.html"):
                    (folder / keep / file).write_text(without_paths((out / file).read_text(), temporary))
        return {"command": said, "exit_code": finished.returncode, "seconds": round(seconds, 1), **_summed(document)}

    return measure


def _summed(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "verdict": document["verdict"],
        "rounds": len(document["rounds"]),
        "operations": sum(sum(one["operations"].values()) for one in document["rounds"]),
        "tool": document["tool"],
        "server": document["target"]["server"],
        "warnings": document["warnings"],
        "findings": [{key: one[key] for key in _TOLD} for one in document["findings"]],
    }


def without_paths(text: str, temporary: str) -> str:
    """Take this machine's folders out: they say nothing to a reader elsewhere."""
    known = {temporary: "TMP", str(Path.cwd()): ".", sys.prefix: "VENV", sys.base_prefix: "PYTHON"}
    for path, name in known.items():
        text = text.replace(path, name)
    return text
