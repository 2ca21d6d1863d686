"""What is claimed of the reference server: its defects' truths, its answers under load, its cost, its conformance."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from calls import calls
from content import content
from truths import accused, failed, played, truths, without, wrong

DEFECTS = truths()
OTHER_PYTHON = "python3.13"
SHOWN = ("scan_search", "orphan_child", "fsm_hang", "desync")
"""Defects whose whole audit is kept for readers."""


def _on(name: str) -> Callable[[Path], dict[str, object]]:
    def measure(folder: Path) -> dict[str, object]:
        defect = DEFECTS[name]
        audit = played(defect["command"])
        if name in SHOWN:
            (folder / name).mkdir(exist_ok=True)
            (folder / name / "audit.json").write_text(json.dumps(audit) + "\n")
        problems = wrong(defect, audit)
        return {**_short(defect["command"], audit), "truth": defect["truth"], "right": not problems, "wrong": problems}

    return measure


def _off(command: list[str]) -> Callable[[Path], dict[str, object]]:
    def measure(folder: Path) -> dict[str, object]:
        del folder
        audit = played(command)
        problems = accused(audit)
        return {**_short(command, audit), "right": not problems, "wrong": problems}

    return measure


def _short(command: list[str], audit: dict) -> dict[str, object]:
    kept = ("resource", "verdict", "shape", "operation", "rate", "detectable", "evidence")
    return {
        "command": command,
        "verdict": audit["verdict"],
        "rounds": len(audit["rounds"]),
        "operations": sum(sum(one["operations"].values()) for one in audit["rounds"]),
        "failed": failed(audit),
        "tool": audit["tool"],
        "warnings": audit["warnings"],
        "findings": [{key: one[key] for key in kept} for one in audit["findings"]],
    }


def _routes() -> dict[str, list[str]]:
    """Each way in which a defect is audited, without it: the same options are one item."""
    commands = {tuple(without(defect)): name for name, defect in reversed(DEFECTS.items())}
    return {f"off-{name}": list(command) for command, name in sorted(commands.items(), key=lambda one: one[1])}


def _tested(file: str, python: str = sys.executable) -> dict[str, object]:
    """Run a test file as an installed user would, and count what it says."""
    with tempfile.TemporaryDirectory() as temporary:
        report = Path(temporary) / "report.xml"
        subprocess.run([python, "-P", "-m", "pytest", "-q", "--whole", file, f"--junitxml={report}"], check=False)
        cases = list(ET.parse(report).iter("testcase"))
    bad = ("failure", "error", "skipped")
    passed = [case.get("name") for case in cases if not any(case.find(one) is not None for one in bad)]
    return {"tests": len(cases), "passed": len(passed), "names": passed}


def _processes(folder: Path) -> dict[str, object]:
    """The 6 x 8 table of ends and children, on this Python and on another."""
    del folder
    file, cells = "tests/test_mimo_skill_processes.py", 8
    result: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as temporary:
        pythons = {f"{sys.version_info[0]}_{sys.version_info[1]}": sys.executable}
        if (other := shutil.which(OTHER_PYTHON)) is not None:
            subprocess.run([other, "-m", "venv", temporary], check=True)
            pip = [f"{temporary}/bin/python", "-m", "pip", "install", "-q"]
            subprocess.run([*pip, "-U", "pip"], check=True)
            subprocess.run([*pip, ".[server,load]", "--group", "tests"], check=True)
            pythons["3_13"] = f"{temporary}/bin/python"
        for version, python in pythons.items():
            tested = _tested(file, python)
            result[version] = {"rows": tested["tests"], "rows_passed": tested["passed"], "children": cells}
    return {"command": ["pytest", file], "result": result}


def _conformance(folder: Path) -> dict[str, object]:
    """The official suites and the Inspector, as their test promises scenario by scenario."""
    del folder
    file = "tests/test_mimo_conformance.py"
    promised = {
        path.stem: json.loads(path.read_text()) for path in sorted(Path("tests/conformance").glob("run-*.json"))
    }
    return {"command": ["pytest", file], "result": _tested(file), "promised": promised}


def _content(folder: Path) -> dict[str, object]:
    return content(folder)


ITEMS: dict[str, Callable[[Path], dict[str, object]]] = {
    **{f"on-{name}": _on(name) for name in DEFECTS},
    **{name: _off(command) for name, command in _routes().items()},
    "content": _content,
    "calls": calls,
    "processes": _processes,
    "conformance": _conformance,
}


def figures(folder: Path) -> dict[str, object]:
    """Sum up what is there."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json")) if path.stem in ITEMS}
    summed: dict[str, object] = {}
    for kind in ("leak", "look_alike", "wrong_answer"):
        of_kind = {name: one for name, one in found.items() if one.get("truth", {}).get("kind") == kind}
        summed[kind] = {"defects": len(of_kind), "right": sum(one["right"] for one in of_kind.values())}
        summed[kind]["not_right"] = [name.removeprefix("on-") for name, one in of_kind.items() if not one["right"]]
    clean = [one for name, one in found.items() if name.startswith("off-")]
    summed["off"] = {"audits": len(clean), "right": sum(one["right"] for one in clean)}
    summed["off"]["verdicts"] = dict(Counter(one["verdict"] for one in clean))
    for name in ("processes", "conformance"):
        if name in found:
            summed[name] = found[name]["result"]
    if "content" in found:
        result = found["content"]["result"]
        summed["content"] = {**result, "above_the_floor_count": len(result["above_the_floor"])}
    if "calls" in found:
        summed["calls"] = _costs(found["calls"]["result"])
    _write_table(folder, found)
    return summed


def _costs(rows: list[dict]) -> dict[str, object]:
    """CPU time of one call of the cheapest tool, in each era, over that of others; and what the other tools cost."""
    eras, costs = {"2026-07-28": "modern", "2025-11-25": "legacy"}, {}
    for row in rows:
        if row["server"] != "mimo":
            continue
        name = f"{row['tool']}_{eras.get(row['era'], row['era'])}"
        costs[name] = {
            "cpu_us_per_call": row["cpu_us_per_call"],
            "over_bare": row["ratio_to_bare"]["median"],
            "over_sdk_best": row["ratio_to_sdk_best"]["median"],
            "over_sdk_of_its_era": row["ratio_to_sdk_best_of_era"]["median"],
            "over_sdk_of_its_era_least": row["ratio_to_sdk_best_of_era"]["min"],
            "over_sdk_of_its_era_most": row["ratio_to_sdk_best_of_era"]["max"],
        }
    return costs


def _write_table(folder: Path, found: dict[str, dict]) -> None:
    """The matrix for readers."""
    lines = [
        "# Every defect of the reference server, audited",
        "",
        "Each line is one audit by the command that `mimo-server defects` prints. `right` means: every resource of the",
        "truth is called a leak, the first one put down to the operation at its rate, and nothing else is accused; a",
        "look-alike is never called a leak and has its shape; a wrong answer is caught by its scenario.",
        "",
        "| defect | truth | said | right |",
        "|---|---|---|---|",
    ]
    for name, one in found.items():
        if name.startswith("on-"):
            lines.append(f"| `{name[3:]}` | {_told(one['truth'])} | {_said(one)} | {_mark(one)} |")
    lines += [
        "",
        "The correct server, audited in each of these ways:",
        "",
        "| as for | verdict | right |",
        "|---|---|---|",
    ]
    lines += [
        f"| `{name[4:]}` | {one['verdict']} | {_mark(one)} |" for name, one in found.items() if name.startswith("off-")
    ]
    (folder / "matrix.md").write_text("\n".join(lines) + "\n")


def _mark(one: dict) -> str:
    return "yes" if one["right"] else "no: " + "; ".join(one["wrong"]).replace("|", "\\|")[:300]


def _told(truth: dict) -> str:
    if truth["kind"] == "leak":
        grown = ", ".join(f"{rate:g} `{name}`" for name, rate in truth["resources"].items())
        return f"leak: {grown} per `{truth['operation']}`"
    if truth["kind"] == "look_alike":
        return "no leak: " + ", ".join(f"`{name}` {' or '.join(shapes)}" for name, shapes in truth["shapes"].items())
    return f"wrong answers in scenario `{truth['scenario']}`"


def _said(one: dict) -> str:
    truth, findings = one["truth"], {each["resource"]: each for each in one["findings"]}
    if truth["kind"] == "wrong_answer":
        return f"{one['verdict']}; {one['failed']:,} of {one['operations']:,} operations failed"
    told = []
    for name in truth.get("resources") or truth["shapes"]:
        finding = findings.get(name)
        if finding is None:
            told.append(f"`{name}` not judged")
        elif finding["verdict"] == "leak" and finding["rate"]:
            told.append(f"{finding['rate']['value']:.3g} `{name}` per `{finding['operation'] or 'operation'}`")
        else:
            told.append(f"`{name}` {finding['verdict']}, {finding['shape'] or 'no shape'}")
    return ", ".join(told)
