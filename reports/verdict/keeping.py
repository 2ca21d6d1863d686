"""What is kept of an audit: a line of what was said, and a line of what was read, in files that only grow."""

from __future__ import annotations

import gzip
import json
import os
import sys
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "evidence"))

from measuring import without_paths

_SAID = ("resource", "verdict", "shape", "operation", "rate", "detectable", "unit", "confirmed_seconds")


def kept_of(document: Mapping[str, Any], temporary: str) -> dict[str, object]:
    """Return what an audit said: verdict, findings, costs, warnings, and how much was played."""
    findings = [{key: one[key] for key in _SAID if key in one} for one in document["findings"]]
    confirmed = [
        one["confirmed_seconds"]
        for one in findings
        if one["verdict"] == "leak" and one.get("confirmed_seconds") is not None
    ]
    played: dict[str, int] = {}
    for one in document["rounds"]:
        for kind, count in one["operations"].items():
            played[kind] = played.get(kind, 0) + count
    return {
        "verdict": document["verdict"],
        "findings": findings,
        "confirmed_seconds": min(confirmed, default=None),
        "tool": document["tool"],
        "rounds": len(document["rounds"]),
        "played": played,
        "warnings": [without_paths(text, temporary) for text in document["warnings"]],
    }


def series_of(document: Mapping[str, Any], samples: Mapping[str, list[float]]) -> dict[str, object]:
    """Return what an audit read: floors of every resource, operations between them, and the samples of the bench.

    A value is the first floor's level plus what grew inside processes that lived on, as the detectors see it.
    """
    rounds = document["rounds"]
    kinds = sorted({kind for one in rounds for kind in one["operations"]})
    return {
        "kinds": kinds,
        "phases": [one["phase"] for one in rounds],
        "seconds": [round(one["at_seconds"], 3) for one in rounds],
        "load_seconds": [round(one["load_seconds"], 3) for one in rounds],
        "operations": [[one["operations"].get(kind, 0) for kind in kinds] for one in rounds],
        "resources": {
            one["name"]: {
                **{key: one[key] for key in ("unit", "statistic", "judged", "per_process")},
                **_floors(one["name"], rounds),
            }
            for one in document["resources"]
            if any(one["name"] in row["readings"] for row in rounds)
        },
        "samples": samples,
    }


def _floors(name: str, rounds: list[Any]) -> dict[str, object]:
    read = [name in one["readings"] and name not in one["unread"] for one in rounds]
    first = read.index(True) if True in read else 0
    rows = [one["readings"].get(name, {"total": 0.0, "growth": 0.0, "broken": True}) for one in rounds]
    base = rows[first]["total"] - rows[first]["growth"]
    return {
        "values": [base + row["growth"] for row in rows],
        "totals": [row["total"] for row in rows],
        "breaks": [index for index, row in enumerate(rows) if row["broken"]],
    }


def append_line(path: Path, line: Mapping[str, object]) -> None:
    """Append one line, on its way to the disk when this returns."""
    with path.open("ab") as file:
        file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a file; the last one is cut off the file if a kill left a part of it."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return [json.loads(line) for line in whole.splitlines()]


def append_series(path: Path, line: Mapping[str, object]) -> None:
    """Append one line as a gzip member of its own, in one write."""
    member = gzip.compress(json.dumps(line, separators=(",", ":")).encode() + b"\n", mtime=0)
    with path.open("ab") as file:
        file.write(member)
        file.flush()
        os.fsync(file.fileno())


def read_series(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a file of gzip members, without a last one that is not whole.

    Raises zlib.error where the file is damaged elsewhere.
    """
    for content, _ in _members(path.read_bytes()):
        for line in content.splitlines():
            yield json.loads(line)


def cut_to_whole(path: Path) -> None:
    """Cut a last member that a kill left unfinished off the file, so that the next one can be appended."""
    if path.exists():
        ends = [end for _, end in _members(path.read_bytes())]
        with path.open("r+b") as file:
            file.truncate(ends[-1] if ends else 0)


def _members(rest: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield the content of each whole member and where it ends in the file."""
    size = len(rest)
    while rest:
        member = zlib.decompressobj(wbits=31)
        content = member.decompress(rest) + member.flush()
        if not member.eof:
            return
        rest = member.unused_data
        yield content, size - len(rest)
