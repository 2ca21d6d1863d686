"""The audit's tables of memory, row by row: what a sweep of its three profiles measured beside each figure.

Does not see: "ETS tables" apart from "process overhead"; of the reference server both are in what the filled server
takes before its first search.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from leakcheck.render._sweep_words import as_claimed

SIZES = (10_000, 100_000, 1_000_000)
_ARCHITECTURES = {
    "current": ("500 MB – 1 GB", "5 – 10 GB", "50 – 100 GB"),
    "fixed": ("50 – 100 MB", "500 MB – 1 GB", "5 – 10 GB"),
}
"""What the audit says of the whole server, by size."""
_CONSUMERS = (
    (
        "A full scan, each search: memory above the filled server's, at its highest",
        ("50 – 100 MB", "500 MB – 1 GB", "5 – 10 GB"),
        "memory.anon.rise",
    ),
    ("Embedding storage: everything on disk", ("120 MB", "1.2 GB", "12 GB"), "disk.rest"),
    (
        '"ETS tables" and "process overhead" (later "process leaks"): the filled server before its first search',
        ("10 – 50 MB and 100 – 200 MB", "100 – 500 MB and 1 – 2 GB", "1 – 5 GB and 10 – 20 GB"),
        "memory.anon.filled",
    ),
    ("All of it at rest, with its share of file pages (PSS)", ("–", "–", "–"), "memory.pss.rest"),
)
_IMPROVEMENTS = (
    ("Database-side filtering, indexed queries, a vector index", "memory of a search", "memory.anon.rise"),
    ("", "time of a search", "seconds.call"),
    ("Binary storage, compressed embeddings", "everything on disk", "disk.rest"),
    ("Limits and cleanup", "descriptors", "fds.rest"),
    ("", "further threads", "threads.rest"),
    ("", "memory at rest, after the searches", "memory.anon.rest"),
    ("", "pages of files at rest, which the kernel takes back", "memory.file.rest"),
)
"""What the audit hopes for, and what of it can be measured; the hopes of all three sizes in one."""


def memory(sweep: Path) -> dict[str, Any]:
    """The whole server, its consumers and its improvements, each a table: a head and rows of cells."""
    document = json.loads(sweep.read_text())
    by_name = {(one["variant"], one["quantity"]): one for one in document["series"]}

    def cell(profile: str, quantity: str, size: int) -> str:
        series = by_name.get((profile, quantity))
        found = next((one for one in series["cells"] if one["size"] == size), None) if series else None
        return "–" if series is None or found is None or found["value"] is None else _told(found, series["unit"])

    return {
        "whole": _whole(cell),
        "consumers": _consumers(cell),
        "improvements": _improvements(cell),
        "cap": as_claimed(document["cap_bytes"], "bytes"),
        "stopped": _stopped(document),
        "machine": _machine(document),
        "hours": round(sum(_seconds(one) for one in document["points"]) / 3600, 1),
    }


def _whole(cell: Callable[[str, str, int], str]) -> dict[str, Any]:
    rows = []
    for place, size in enumerate(SIZES):
        claimed = {name: figures[place] for name, figures in _ARCHITECTURES.items()}
        peaks = {name: cell(name, "memory.anon.peak", size) for name in ("current", "faithful", "fixed")}
        rows.append(
            [
                f"{size:,}",
                claimed["current"],
                peaks["current"],
                peaks["faithful"],
                claimed["fixed"],
                peaks["fixed"],
            ]
        )
    head = ["Memories", "Audit: current", "`current`", "`faithful`", "Audit: fixed", "`fixed`"]
    return {"head": head, "rows": rows}


def _consumers(cell: Callable[[str, str, int], str]) -> dict[str, Any]:
    rows = []
    for words, claimed, quantity in _CONSUMERS:
        for place, size in enumerate(SIZES):
            measured = [cell(profile, quantity, size) for profile in ("current", "faithful", "fixed")]
            rows.append([words if not place else "", f"{size:,}", claimed[place], *measured])
    return {"head": ["Consumer", "Memories", "Audit", "`current`", "`faithful`", "`fixed`"], "rows": rows}


def _improvements(cell: Callable[[str, str, int], str]) -> dict[str, Any]:
    rows = [
        [hope, words, *(f"{cell('current', quantity, size)} → {cell('fixed', quantity, size)}" for size in SIZES)]
        for hope, words, quantity in _IMPROVEMENTS
    ]
    return {"head": ["Improvement", "Measured, `current` → `fixed`", *(f"{size:,}" for size in SIZES)], "rows": rows}


def _told(cell: dict[str, Any], unit: str) -> str:
    value = as_claimed(cell["value"], unit)
    if cell["origin"] == "measured":
        return value
    if cell["low"] is None or cell["high"] is None:
        return f"~{value}"
    return f"~{value} ({as_claimed(cell['low'], unit)} – {as_claimed(cell['high'], unit)})"


def _stopped(document: dict[str, Any]) -> list[str]:
    return [
        f"{one['variant']} at {one['size']:,}: {one['reason']}"
        for one in document["points"]
        if one["outcome"] != "done"
    ]


def _seconds(point: dict[str, Any]) -> float:
    """What a run took to fill and to measure; of one that was stopped nothing is known."""
    amounts = point["amounts"]
    return sum(float(amounts[name]["value"]) for name in ("seconds.ready", "seconds.measure") if name in amounts)


def _machine(document: dict[str, Any]) -> str:
    machine = document["environment"]
    memory_bytes = as_claimed(machine["memory_bytes"], "bytes")
    return (
        f"{document['at'][:16].replace('T', ' ')} UTC, {machine['cores']} cores, {memory_bytes}, "
        f"{machine['system']} {machine['kernel']}, Python {machine['python']}"
    )
