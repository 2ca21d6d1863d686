"""What outlives a server: the audited one at its end, and copies of it that were ended in one way each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from leakcheck.detect import Judgement
from leakcheck.detect.leftovers import judge_leftovers
from leakcheck.model.event import Copy
from leakcheck.model.finding import Verdict
from leakcheck.model.plan import DriverKind
from leakcheck.model.reading import Resource, Statistic

COPIED = ("session", "abandon", "disconnect")
"""How further copies of a stdio server are ended."""
STOP = "stop"
"""The audited target's own end, told as a copy."""
_LEFT = {"process": ("orphans", "processes"), "file": ("files.left", "files")}
"""What can be left behind: the resource that it is judged as, and its unit."""


def judge_endings(driver: DriverKind, copies: Sequence[Copy]) -> list[tuple[Resource, Judgement]]:
    """Judge each way of ending for each kind of thing that can be left behind; the target's own end for processes.

    Does not see: what is left outside the process tree and the copies' temporary folder.
    """
    expected = COPIED if driver is DriverKind.STDIO else ()
    found = []
    for operation in dict.fromkeys((*expected, *(copy.operation for copy in copies))):
        mine = [copy for copy in copies if copy.operation == operation]
        for what, (name, unit) in _LEFT.items():
            if operation == STOP and what == "file":
                continue
            left = [[one.name for one in copy.left if one.what == what] for copy in mine]
            names = [one for names in left for one in names]
            judgement = judge_leftovers([len(names) for names in left], names, unit, operation)
            whose = operation
            if operation == STOP:
                judgement, whose = _of_the_target(judgement, len(names)), "the audited target's end"
            title = f"{unit} left by {whose}"
            resource = Resource(name=name, unit=unit, statistic=Statistic.COUNT, per_process=False, title=title)
            found.append((resource, judgement))
    return found


def _of_the_target(judgement: Judgement, count: int) -> Judgement:
    """Reword for the one target that was audited: one observation has no rate."""
    if judgement.verdict is Verdict.CLEAN:
        evidence = "The audited target ended and left no process behind."
    else:
        names = ", ".join(suspect.holder for suspect in judgement.suspects[:3])
        evidence = f"{count} outlived the audited target's end: {names}."
    return replace(judgement, operation=None, rate=None, detectable=None, evidence=evidence)
