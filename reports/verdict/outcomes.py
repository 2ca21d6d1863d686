"""What an audit's verdict is worth beside the truth about its program."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

OWN = {
    "fds": ("fds.",),
    "sockets": ("fds.socket", "sockets."),
    "handles": ("node.handles", "fds."),
    "processes": ("processes", "orphans"),
    "zombies": ("zombies", "processes"),
    "threads": ("threads",),
    "tasks": ("tasks",),
    "registry": ("registry.", "node.entries"),
    "heap": ("heap.", "node.heap", "memory.", "registry.", "node.entries"),
    "native": ("heap.malloc", "node.external", "memory."),
    "files": ("files.",),
}
"""By a mechanism's RESOURCE: prefixes of the resources that are the leak itself."""
_HELD = ("heap.", "memory.", "node.heap", "node.external")
FOLLOWS = {
    "fds": ("registry.", "node.entries", *_HELD),
    "sockets": ("fds.", "registry.", "node.entries", "node.handles", "tasks", *_HELD),
    "handles": ("registry.", "node.entries", *_HELD),
    "processes": ("fds.", "registry.", "node.entries", "node.handles", *_HELD),
    "zombies": ("registry.", "node.entries", *_HELD),
    "threads": ("registry.", "node.entries", *_HELD),
    "tasks": ("registry.", "node.entries", *_HELD),
    "registry": _HELD,
    "heap": (),
    "native": ("heap.", "node.", "registry."),
    "files": ("fds.file", "registry.", "node.entries", *_HELD),
}
"""…and of those that truly grow with it: the objects that hold the pieces, the pipes of a child."""


def is_own(line: Mapping[str, Any], resource: str) -> bool:
    """Whether a resource of a finding is what the program leaks."""
    return resource.startswith(_known(line, OWN))


def fits(line: Mapping[str, Any], resource: str) -> bool:
    """Whether a resource of a finding grows with what the program leaks."""
    return resource.startswith((*_known(line, OWN), *_known(line, FOLLOWS)))


def _known(line: Mapping[str, Any], table: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return a resource's prefixes. Raises KeyError, with what to do, for one that this bench does not know."""
    try:
        return table[line["resource"]]
    except KeyError:
        known = ", ".join(OWN)
        raise KeyError(
            f"{line['mechanism']} names the RESOURCE {line['resource']!r}; known are {known}: add it to outcomes.py"
        ) from None


def leaking_findings(line: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the findings that accuse."""
    return [one for one in line.get("findings", ()) if one["verdict"] == "leak"]


def found(line: Mapping[str, Any]) -> bool:
    """Whether a leak was found: the verdict is leak and a fitting resource is accused."""
    return (
        line["leaks"]
        and line["verdict"] == "leak"
        and any(fits(line, one["resource"]) for one in leaking_findings(line))
    )


def named(line: Mapping[str, Any]) -> bool:
    """Whether the resource that leaks was itself accused."""
    return found(line) and any(is_own(line, one["resource"]) for one in leaking_findings(line))


def operation_named(line: Mapping[str, Any]) -> bool:
    """Whether a fitting finding is put down to the operation that leaks; of a timer's leak, to none."""
    fitting = [one for one in leaking_findings(line) if fits(line, one["resource"])]
    return found(line) and any(same_operation(line["operation"], one["operation"]) for one in fitting)


def same_operation(true: str | None, said: str | None) -> bool:
    """Compare `GET /work` with a finding's `request:GET /work`, whatever query the request had."""
    if true is None or said is None:
        return true is said
    return said.removeprefix("request:").partition("?")[0] == true.partition("?")[0]


def false_alarm(line: Mapping[str, Any]) -> bool:
    """Whether a healthy program was called a leak."""
    return not line["leaks"] and line["verdict"] == "leak"


def wrongly_named(line: Mapping[str, Any]) -> bool:
    """Whether a leaking program was called a leak for a resource that does not leak, and for no other."""
    return line["leaks"] and line["verdict"] == "leak" and not found(line)


def above_stated(line: Mapping[str, Any]) -> bool | None:
    """Whether the true rate is one that the audit says it would have seen; None where it states nothing comparable.

    Compared are findings of the leaking resource itself, in its unit (bytes with bytes, pieces with pieces) and by
    what the rate is counted by. What was found was seen, whatever is stated.
    """
    if found(line):
        return True
    per = "second" if line["operation"] is None else "operation"
    in_bytes = line["resource"] in {"heap", "native"}
    stated = [
        one["detectable"]["value"]
        for one in line.get("findings", ())
        if one.get("detectable")
        and is_own(line, one["resource"])
        and one["detectable"]["per"] == per
        and (one["detectable"]["unit"] == "bytes") is in_bytes
    ]
    return bool(line["rate"] >= min(stated)) if stated else None


def by_mechanism(lines: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, object]]:
    """Count the answers of each mechanism."""
    rows: dict[str, dict[str, Any]] = {}
    for line in lines:
        row = rows.setdefault(
            line["mechanism"],
            {
                "leaks": line["leaks"],
                "resource": line["resource"],
                "kind": line["kind"],
                "n": 0,
                "found": 0,
                "false": 0,
                "undecided": 0,
                "clean": 0,
                "failed": 0,
            },
        )
        row["n"] += 1
        row["found"] += found(line)
        row["false"] += false_alarm(line) or wrongly_named(line)
        for answer, verdicts in _OTHER.items():
            row[answer] += line["verdict"] in verdicts
    return dict(sorted(rows.items(), key=lambda item: (not item[1]["leaks"], item[0])))


_OTHER = {"undecided": {"undecided", "not_judged"}, "clean": {"clean"}, "failed": {"failed"}}
