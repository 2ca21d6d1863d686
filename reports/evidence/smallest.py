"""Whether the smallest leaks that are aimed at are found, and how soon one an operation is, at 200 a second.

    nox -s evidence -- reports/<date>-smallest

Each item is so many audits of one leak, each with a seed of its own; `found` counts those whose verdict is a leak of
the resource that leaks. Resumable by item: an hour in all.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from measuring import audit

_PROGRAM = str(Path(__file__).with_name("smallest_program.py"))
_RESOURCES = {
    "descriptor": {"fds.file"},
    "heap": {"heap.blocks", "registry.__main__:Server.kept"},  # 64 bytes each, and the list that holds them
    "chain": {"heap.blocks"},  # 64 bytes each, and nothing that could be counted holds them
}


def _audits(what: str, rate: float, budget: str, runs: int) -> Callable[[Path], dict[str, Any]]:
    def measure(folder: Path) -> dict[str, Any]:
        found, seconds, rates, verdicts = 0, [], [], []
        for seed in range(runs):
            one = _one(folder, what, rate, budget, seed)
            leaks = [
                finding
                for finding in one["findings"]
                if finding["verdict"] == "leak" and finding["resource"] in _RESOURCES[what]
            ]
            found += bool(leaks)
            verdicts.append(one["verdict"])
            seconds += [finding["confirmed_seconds"] for finding in leaks if finding["confirmed_seconds"] is not None]
            rates += [finding["rate"]["value"] for finding in leaks]
        return {
            "command": one["command"],
            "what": what,
            "rate": rate,
            "budget": budget,
            "runs": runs,
            "found": found,
            "verdicts": verdicts,
            "median_rate": median(rates) if rates else None,
            "confirmed_seconds": seconds,
            "median_confirmed_seconds": round(median(seconds), 1) if seconds else None,
            "most_confirmed_seconds": round(max(seconds), 1) if seconds else None,
            "result": f"{found} of {runs}",
        }

    return measure


def _one(folder: Path, what: str, rate: float, budget: str, seed: int) -> dict[str, Any]:
    program = (sys.executable, _PROGRAM, "--port", "{port}", "--what", what, "--rate", str(rate), "--seed", str(seed))
    request = "GET http://127.0.0.1:{port}/work?n={n}"
    return audit("--budget", budget, "--name", f"{what} {rate:g}", "--request", request, "--", *program)(folder)


ITEMS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "descriptor-1-60s": _audits("descriptor", 1.0, "60s", 10),
    "heap-1-60s": _audits("heap", 1.0, "60s", 10),
    "descriptor-0.003-60s": _audits("descriptor", 0.003, "60s", 10),
    "descriptor-0.001-5m": _audits("descriptor", 0.001, "5m", 3),
    "heap-0.1-5m": _audits("heap", 0.1, "5m", 3),
    "chain-1-60s": _audits("chain", 1.0, "60s", 5),
    "chain-0.1-5m": _audits("chain", 0.1, "5m", 2),
}


def figures(folder: Path) -> dict[str, Any]:
    """Sum up what is there."""
    keys = ("found", "runs", "median_confirmed_seconds", "most_confirmed_seconds", "median_rate")
    found = {}
    for name in ITEMS:
        path = folder / f"{name}.json"
        if path.exists():
            document = json.loads(path.read_text())
            found[name.replace("-", "_").replace(".", "_")] = {key: document[key] for key in keys}
    return found
