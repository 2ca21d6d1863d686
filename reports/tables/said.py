"""What an audit of a defect said, in a few words, from its evidence file.

Does not see: audits that were not made; a missing file is an error, not an empty cell.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from leakcheck.render import figures


def of_defect(evidence: Path, name: str) -> dict[str, str]:
    """Verdict and rates of the resources that are the truth of a defect, with a link to the audit's file."""
    document = json.loads((evidence / f"on-{name}.json").read_text())
    return {"defect": name, "said": _said(document), "link": f"../{evidence.name}/on-{name}.json"}


def of_profile(evidence: Path, defects: Iterable[str]) -> str:
    """What the correct server's audits said, played in the same ways as these defects."""
    verdicts = []
    for name in defects:
        document = json.loads((evidence / f"on-{name}.json").read_text())
        off = next((one for one in sorted(evidence.glob("off-*.json")) if _same_way(one, document)), None)
        if off is not None:
            found = json.loads(off.read_text())
            verdicts.append((found["verdict"], sum(one["verdict"] == "leak" for one in found["findings"])))
    if not verdicts:
        return "not audited in this way"
    leaks = sum(count for _, count in verdicts)
    said = ", ".join(sorted({verdict.replace("_", " ") for verdict, _ in verdicts}))
    return f"{said}; {leaks} leaks in {len(verdicts)} audit{'s' if len(verdicts) > 1 else ''}"


def _same_way(off: Path, on: dict[str, Any]) -> bool:
    """Whether the correct server was audited by the same command but for the defect."""
    command = list(on["command"])
    while "--defect" in command:
        at = command.index("--defect")
        del command[at : at + 2]
    found: list[str] = json.loads(off.read_text())["command"]
    return found == command


def _said(document: dict[str, Any]) -> str:
    truth, findings = document["truth"], {one["resource"]: one for one in document["findings"]}
    if truth["kind"] == "wrong_answer":
        return f"{document['failed']:,} of {document['operations']:,} answers wrong or refused"
    told = []
    for name in truth.get("resources") or truth["shapes"]:
        finding, shown = findings.get(name), _shown(name)
        if finding is None:
            told.append(f"{shown} not judged")
        elif finding["verdict"] == "leak" and finding["rate"]:
            rate = finding["rate"]
            grown = figures.quantity(rate["value"], "bytes") if rate["unit"] == "bytes" else f"{rate['value']:,.3g}"
            told.append(f"LEAK, {grown} {shown} per {finding['operation'] or 'operation'}")
        else:
            told.append(f"{shown} {finding['verdict']}: {finding['shape'] or 'no shape'}")
    return "; ".join(told)


def _shown(resource: str) -> str:
    """`entries in sessions` says more than the name of a metric."""
    _, registry, rest = resource.partition('registry="')
    return f"entries in {rest.partition(chr(34))[0]}" if registry else resource.removeprefix("metric.")
