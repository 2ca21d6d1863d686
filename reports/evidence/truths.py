"""Whether an audit says of a defect what is true of it, and of the server without the defect that it is clean."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import without_paths

ORPHANS = "orphans"


def truths() -> dict[str, dict]:
    """Every defect by its id, as `mimo-server defects` lists it."""
    command = [sys.executable, "-P", "-m", "mimo_server", "defects", "--json"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    return {one["id"]: one for one in json.loads(listed.stdout)}


def without(defect: dict) -> list[str]:
    """The command that audits the correct server in the same way."""
    return defect["command"][:-2]


def played(command: list[str], *options: str) -> dict:
    """Run an audit and return all that it wrote. Raises when it never began."""
    at = command.index("--")
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "audit"
        words = [*command[:at], *options, "--out", str(out), *command[at:]]
        finished = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        if not (out / "audit.json").exists():
            raise RuntimeError(f"{words} exited with {finished.returncode}: {finished.stderr[-2000:]}")
        return json.loads(without_paths((out / "audit.json").read_text(), temporary))


def wrong(defect: dict, audit: dict) -> list[str]:
    """What the audit says of the defect and is not true; nothing when it is right."""
    return _RULES[defect["truth"]["kind"]](defect["truth"], audit)


def accused(audit: dict) -> list[str]:
    """What the audit says against a correct server; nothing when it is right."""
    found = [f"{one['resource']} is called a leak: {one['evidence']}" for one in _leaks(audit)]
    return found + [f"{failed(audit)} operations failed: {_first(audit)}"] * bool(failed(audit))


def failed(audit: dict) -> int:
    """Operations that did not go as they must."""
    return sum(sum(one["failed"].values()) for one in audit["rounds"])


def _first(audit: dict) -> str:
    return next((one for one in audit["warnings"] if one.startswith("First failed")), "")


def _leaks(audit: dict) -> list[dict]:
    return [one for one in audit["findings"] if one["verdict"] == "leak"]


def _base(operation: str | None) -> str | None:
    """An operation in any protocol era."""
    return operation and operation.partition("@")[0]


_FROM_INSIDE = ("heap.", "registry.", "tasks")
"""What leaks from outside is held by something inside: the same leak, seen again."""


def _leak(truth: dict, audit: dict) -> list[str]:
    leaks = _leaks(audit)
    names = {one["resource"] for one in leaks}
    problems = [f"{name} is not called a leak" for name in truth["resources"] if name not in names]
    problems += [
        f"{one['resource']} is called a leak of {one['operation']}: {one['evidence']}"
        for one in leaks
        if not (one["resource"] in {*truth["resources"], *truth["also"]} or one["resource"].startswith(_FROM_INSIDE))
        or (one["resource"] != ORPHANS and _base(one["operation"]) not in {None, truth["operation"]})
    ]
    first, rate = next(iter(truth["resources"].items()))
    for one in leaks:
        if one["resource"] == first:
            if _base(one["operation"]) != truth["operation"]:
                problems.append(f"{first} is put down to {one['operation']}, not to {truth['operation']}")
            elif abs(one["rate"]["value"] - rate) > truth["about"] * rate:
                problems.append(f"{first} grows by {one['rate']['value']:.3f}, not by {rate}")
    return problems


def _look_alike(truth: dict, audit: dict) -> list[str]:
    problems = [f"{one['resource']} is called a leak: {one['evidence']}" for one in _leaks(audit)]
    found = {one["resource"]: one for one in audit["findings"]}
    for name, shapes in truth["shapes"].items():
        shape = found[name]["shape"] if name in found else "not judged"
        if shape not in shapes:
            problems.append(f"{name} has the shape {shape}, not one of {', '.join(shapes)}")
    return problems


def _wrong_answer(truth: dict, audit: dict) -> list[str]:
    problems = [f"{one['resource']} is called a leak: {one['evidence']}" for one in _leaks(audit)]
    return problems if failed(audit) else [*problems, f"the scenario {truth['scenario']} finds every answer right"]


_RULES = {"leak": _leak, "look_alike": _look_alike, "wrong_answer": _wrong_answer}
