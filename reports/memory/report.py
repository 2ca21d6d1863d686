"""figures.json and memory.md from the rows of a folder."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, linear_regression
from typing import Any

_MIB = 1 << 20
_GROWS = ("anonymous_mib", "p50_ms", "p99_ms", "insert_p50_ms", "insert_p99_ms", "open_seconds")
"""Quantities whose growth with the number of memories is fitted; and a search with a filter that 1 % pass."""
_HEAD_BYTES = 64
_LEAST_MIB = 1.0
"""By so much two processes that hold the same differ: less than that is counted as that."""
_RECALLED = 0.98
"""Engines that find fewer of the true ten come after those that find so many."""
_T95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}
"""Student's t at 95 %, by degrees of freedom."""


def write(folder: Path) -> None:
    """Write both files. Raises ValueError where there is nothing."""
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*-*-*.json"))]
    if not rows:
        raise ValueError(f"{folder} holds no results: `python -P reports/memory run {folder}` makes them")
    figures = {name: {} for name in sorted({row["engine"] for row in rows})}
    for row in rows:
        figures[row["engine"]].setdefault(row["kind"], {})[str(row["count"])] = summed(row)
    document = {"engines": figures, "growth": {kind: grown(rows, kind) for kind in ("easy", "hard")}}
    (folder / "figures.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    text = markdown(rows, document)
    (folder / "memory.md").write_text(text, encoding="utf-8")
    print(text)


def parts(row: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The parts of a row by name; filtered searches by their share."""
    return {
        f"filtered-{part['share']}" if part["part"] == "filtered" else str(part["part"]): part for part in row["parts"]
    }


def summed(row: Mapping[str, Any]) -> dict[str, Any]:
    """One row, as documents quote it."""
    if "failed" in row:
        return {"failed": row["failed"]}
    found = parts(row)
    fill, search, empty = found["fill"], found["search"], found["empty"]
    scanned = fill["added"] * _HEAD_BYTES
    held = (search["anonymous_bytes"] - empty["anonymous_bytes"]) / _MIB
    return {
        "added": fill["added"],
        "reached": "all" if fill["added"] == row["count"] else f"{fill['why']}: {fill['added']:,}",
        "anonymous_mib": round(held, 1),
        "file_mib": round((search["file_bytes"] - empty["file_bytes"]) / _MIB, 1),
        "p50_ms": round(search["p50_ms"], 2),
        "p99_ms": round(search["p99_ms"], 2),
        "mib_ms": round(max(_LEAST_MIB, held) * search["p99_ms"], 1),
        "machine_p99_over_p50": search["machine_p99_over_p50"],
        "recall_at_10": search["recall_at_10"],
        "of_reading": round(search["p50_ms"] / 1e3 / (scanned / search["reading_bytes_per_second"]), 2),
        "adds_per_second": fill["per_second"],
        "insert_p50_ms": round(found["insert"]["p50_ms"], 2),
        "insert_p99_ms": round(found["insert"]["p99_ms"], 2),
        "remove_p50_ms": _rounded(found["remove"].get("p50_ms")),
        "disk_bytes_each": round(row["disk_bytes"] / fill["added"]) if "disk_bytes" in row else None,
        "open_seconds": found["open"]["seconds"],
        "start_after_kill_seconds": found.get("start", {}).get("seconds"),
        "cold": _times(found.get("cold")),
        "limited": _times(found.get("limited")),
        "durable": {name: one for name, one in found.get("durable", {}).items() if name != "part"},
        "filtered": {
            name.removeprefix("filtered-"): {
                "p50_ms": round(part["p50_ms"], 2),
                "p99_ms": round(part["p99_ms"], 2),
                "recall_at_10": part["recall_at_10"],
            }
            for name, part in found.items()
            if name.startswith("filtered-")
        },
    }


def _times(part: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Of searches, without what else was measured beside them; why it was not, where it could not be."""
    if part is None:
        return None
    return {key: _rounded(part[key]) for key in ("p50_ms", "p99_ms", "first_ms", "cannot") if key in part}


def _rounded(value: Any) -> Any:
    return round(value, 2) if isinstance(value, float) else value


def grown(rows: Iterable[Mapping[str, Any]], kind: str) -> dict[str, Any]:
    """How quantities of the reference server grow with the number of memories: y ∝ N^e, least squares on logarithms.

    The interval is Student's, at 95 %: of five sizes it has three degrees of freedom, so it is wide.
    """
    mine = sorted(
        (row for row in rows if row["engine"] == "mimo" and row["kind"] == kind and "failed" not in row),
        key=lambda row: row["count"],
    )
    measured = {row["count"]: summed(row) for row in mine}
    values = {name: {count: one[name] for count, one in measured.items()} for name in _GROWS}
    values["filtered_1_percent_p50_ms"] = {count: one["filtered"]["0.01"]["p50_ms"] for count, one in measured.items()}
    exponents = {}
    for name, by_count in values.items():
        points = [(count, value) for count, value in by_count.items() if value > 0]
        if len(points) > 2:
            exponents[name] = exponent(points)
    return exponents


def exponent(points: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Slope of log y on log N with its 95 % interval."""
    sizes, values = [math.log(count) for count, _ in points], [math.log(value) for _, value in points]
    slope, start = linear_regression(sizes, values)
    left = sum((value - start - slope * size) ** 2 for size, value in zip(sizes, values, strict=True))
    spread = sum((size - fmean(sizes)) ** 2 for size in sizes)
    wide = _T95[len(points) - 2] * math.sqrt(left / (len(points) - 2) / spread)
    return {"value": round(slope, 3), "low": round(slope - wide, 3), "high": round(slope + wide, 3)}


def markdown(rows: Sequence[Mapping[str, Any]], document: Mapping[str, Any]) -> str:
    """A table for each set and size, and how the server grows.

    Those of recall .98 first, among them the smallest product of anonymous memory and p99.
    """
    lines = ["# Memories: the reference server's store beside others\n"]
    lines += [f"{rows[0]['machine']}; each on one core. `nox -s bench-memory -- FOLDER` goes on where it stopped.\n"]
    for kind in ("hard", "easy"):
        for count in sorted({row["count"] for row in rows if row["kind"] == kind}):
            some = {row["engine"]: summed(row) for row in rows if row["kind"] == kind and row["count"] == count}
            lines += [f"## {count:,} vectors, {kind}\n", *_table(some), ""]
    lines += [
        *_durable(rows),
        "## How the reference server grows\n",
        "| set | quantity | exponent of N |",
        "|---|---|---|",
    ]
    for kind, exponents in document["growth"].items():
        lines += [
            f"| {kind} | {name} | {one['value']} ({one['low']} to {one['high']}) |" for name, one in exponents.items()
        ]
    return "\n".join(lines) + "\n"


_COLUMNS = (
    "engine | reached | anonymous MiB | file MiB | p50 ms | p99 ms | MiB × ms | machine p99/p50 | recall@10 | "
    "of reading | 1 % filter p50 ms | no page cache p50, p99 ms | limited p50, p99 ms | adds/s | insert p99 ms | "
    "remove ms | disk B each | open s | after a kill s"
)


def _table(some: Mapping[str, Mapping[str, Any]]) -> list[str]:
    whole = {name: one for name, one in some.items() if "failed" not in one}
    order = sorted(whole, key=lambda name: (whole[name]["recall_at_10"] < _RECALLED, whole[name]["mib_ms"]))
    lines = [f"| {_COLUMNS} |", "|---" * len(_COLUMNS.split("|")) + "|"]
    for name in order:
        one = whole[name]
        filtered = one["filtered"].get("0.01", {}).get("p50_ms")
        cells = (
            *(name, one["reached"], one["anonymous_mib"], one["file_mib"], one["p50_ms"], one["p99_ms"]),
            *(one["mib_ms"], one["machine_p99_over_p50"], one["recall_at_10"], one["of_reading"], filtered),
            *(_both(one["cold"]), _both(one["limited"])),
            *(one["adds_per_second"], one["insert_p99_ms"], one["remove_p50_ms"], one["disk_bytes_each"]),
            *(one["open_seconds"], one["start_after_kill_seconds"]),
        )
        lines.append("| " + " | ".join("-" if cell is None else f"{cell}" for cell in cells) + " |")
    lines += [f"| {name} | failed: {one['failed'][:80]} |" for name, one in some.items() if "failed" in one]
    return lines


def _both(times: Mapping[str, Any] | None) -> str | None:
    if times is None:
        return None
    if "cannot" in times:  # how it ended; what it said before is in its own file
        return str(times["cannot"]).partition(":")[0]
    return f"{times['p50_ms']}, {times['p99_ms']}"


def _durable(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = ["## Memories a second that are on the disk when they are acknowledged\n"]
    lines += [
        "| set | memories | who stores | a second | bare sqlite3, same rows and groups | share |",
        "|---" * 6 + "|",
    ]
    for row in rows:
        for way, one in ({} if "failed" in row else summed(row)["durable"]).items():
            share = f"{one['share_percent']} % ({one['share_percent_least']} to {one['share_percent_most']})"
            counts = f"{one['per_second']:,} | {one['bare_per_second']:,}"
            lines.append(f"| {row['kind']} | {row['count']:,} | {way.replace('_', ' ')} | {counts} | {share} |")
    return [*lines, ""]
