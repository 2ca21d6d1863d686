"""What every format says of an Audit, in the same words: headline, what was played, what it cost, what grew."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from leakcheck.model.audit import KEPT_UP, Audit
from leakcheck.model.event import Phase
from leakcheck.model.finding import Finding, Per, Shape, Verdict
from leakcheck.render import figures

LABELS: Mapping[Verdict, str] = {
    Verdict.LEAK: "LEAK",
    Verdict.CLEAN: "CLEAN",
    Verdict.UNDECIDED: "UNDECIDED",
    Verdict.NOT_JUDGED: "NOT JUDGED",
}

SHAPES: Mapping[Shape, str] = {
    Shape.SLOPE: "grows steadily",
    Shape.STEP: "rose in steps",
    Shape.PLATEAU: "rose, then stayed",
    Shape.FILLING: "still filling up",
    Shape.SAWTOOTH: "rises and is given back",
    Shape.PEAK: "high under load, given back",
    Shape.STORED: "grows by what is stored",
    Shape.TIME_DRIVEN: "grows with time, not with load",
    Shape.FLAT: "flat",
}

_ENDINGS: Mapping[str, str] = {
    "interrupted": "Interrupted",
    "target died": "The target died on the way",
    "auditor killed": "The auditor was killed on the way",
    "not begun": "The audit could not begin",
}

_ORDER = (Verdict.LEAK, Verdict.UNDECIDED, Verdict.NOT_JUDGED, Verdict.CLEAN)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedKind:
    """One kind of operation over the whole audit."""

    operation: str
    done: int
    failed: int


def of_verdict(audit: Audit, verdict: Verdict) -> tuple[Finding, ...]:
    """Findings with this verdict: leaks by how soon their limit is hit, others in the audit's order."""
    found = [finding for finding in audit.findings if finding.verdict is verdict]
    if verdict is Verdict.LEAK:
        found.sort(key=lambda finding: finding.forecast.hours_low if finding.forecast else float("inf"))
    return tuple(found)


def ranked(audit: Audit) -> tuple[Finding, ...]:
    """All findings, leaks first."""
    return tuple(finding for verdict in _ORDER for finding in of_verdict(audit, verdict))


def name_of(audit: Audit) -> str:
    """The target's name, or the best there is when it never answered."""
    if audit.target is not None and audit.target.name:
        return audit.target.name
    return audit.plan.name or (audit.plan.command[0] if audit.plan.command else f"pid {audit.plan.pid}")


def headline(audit: Audit) -> str:
    """One sentence that says what the overall verdict means; the verdict's label stands before it."""
    judged = sum(finding.verdict is not Verdict.NOT_JUDGED for finding in audit.findings)
    leaks = of_verdict(audit, Verdict.LEAK)
    if audit.verdict is Verdict.LEAK:
        grows = "grows and is" if len(leaks) == 1 else "grow and are"
        return f"{len(leaks)} of {figures.counted(judged, 'resource')} {grows} not given back"
    if audit.verdict is Verdict.CLEAN:
        done = sum(kind.done for kind in played(audit))
        over = figures.counted(done, "operation") if done else figures.seconds(audit.tool.wall_seconds)
        return f"no leak seen in {figures.counted(judged, 'resource')} over {over}"
    if audit.verdict is Verdict.UNDECIDED:
        unsure = len(of_verdict(audit, Verdict.UNDECIDED))
        if unsure:
            return f"this run does not settle {unsure} of {figures.counted(judged, 'resource')}"
        achieved = audit.tool.achieved_share
        if achieved is not None and achieved < KEPT_UP:
            return f"of one kind of operation only {figures.share(achieved)} was played and answered well"
        return "a resource that is required could not be judged"
    return "the target never answered" if audit.target is None else "there was nothing to judge"


def ending(audit: Audit) -> str | None:
    """A sentence when the audit did not end as planned; None when it did."""
    how = _ENDINGS.get(audit.tool.ended)
    if how is None:
        return None
    seen = figures.counted(len(audit.rounds), "round") if audit.rounds else "no round"
    return f"{how}: concluded from {seen} seen until then."


def played(audit: Audit) -> tuple[PlayedKind, ...]:
    """Operations done by kind: rounds first, then copies of the server started and ended."""
    done: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for one in audit.rounds:
        done.update(one.operations)
        failed.update(one.failed)
    copies = Counter(copy.operation for copy in audit.copies if copy.operation != "stop")
    kinds = list(done) + [kind for kind in copies if kind not in done]
    return tuple(
        PlayedKind(operation=kind, done=done[kind] + copies[kind], failed=failed[kind])
        for kind in kinds
        if done[kind] + copies[kind]
    )


def cost(audit: Audit) -> str | None:
    """`looking cost 0.4 ms a snapshot, 0.3 % of a core`; None when nothing was."""
    tool = audit.tool
    if tool.snapshot_ms is None:
        return None
    sentence = f"looking cost {figures.seconds(tool.snapshot_ms / 1000)} a snapshot"
    if tool.looking_cpu_share is not None:
        sentence += f", {figures.share(tool.looking_cpu_share)} of a core"
    if tool.auditor_cpu_share is not None:
        sentence += f" (with the load {figures.share(tool.auditor_cpu_share)})"
    pauses = [one.pause_seconds for one in audit.rounds if one.pause_seconds]
    if pauses:
        sentence += f"; inside, {figures.seconds(median(pauses))} a floor, {figures.seconds(max(pauses))} at most"
    return sentence


def rate_or_shape(finding: Finding) -> str:
    """The rate with its interval; without one, what the curve is."""
    if finding.rate is not None:
        return figures.rate(finding.rate, finding.operation)
    return SHAPES[finding.shape] if finding.shape else ""


def would_have_seen(finding: Finding) -> str:
    """The smallest rate that this run would have seen; empty until known."""
    return figures.detectable(finding.detectable) if finding.detectable else ""


def by_time(finding: Finding) -> bool:
    """Whether its growth is counted by seconds rather than by operations."""
    return finding.shape is Shape.TIME_DRIVEN or (finding.rate is not None and finding.rate.per is Per.SECOND)


def left_out(audit: Audit) -> tuple[tuple[str, str], ...]:
    """Operations that could have been played and were not, joined by reason: (`call:a, call:b`, reason)."""
    by_reason: dict[str, list[str]] = {}
    for one in audit.target.not_played if audit.target else ():
        by_reason.setdefault(one.reason, []).append(one.operation)
    return tuple((", ".join(names[:8]) + figures.more(len(names), 8), reason) for reason, names in by_reason.items())


def sentence(audit: Audit) -> str:
    """The headline as a sentence of its own."""
    text = headline(audit)
    return f"{text[0].upper()}{text[1:]}."


def facts(audit: Audit) -> tuple[tuple[str, str], ...]:
    """The experiment in a handful of figures, name and value."""
    judged = sum(one.phase is Phase.MAIN for one in audit.rounds)
    found = [
        ("Operations", figures.count(sum(kind.done for kind in played(audit)))),
        ("Rounds", f"{len(audit.rounds)}, of them {judged} judged" if audit.rounds else "none"),
        ("Wall time", figures.seconds(audit.tool.wall_seconds)),
    ]
    if audit.target is not None:
        found.append(("Protocol", audit.target.protocol))
    if audit.tool.load_cpu_share is not None and audit.tool.achieved_share is not None:
        share, achieved = figures.share(audit.tool.load_cpu_share), figures.share(audit.tool.achieved_share)
        found.append(("Load", f"{share} of a core while it played, {achieved} of the plan played well"))
    if audit.tool.looking_cpu_share is not None:
        found.append(("Looking cost", f"{figures.share(audit.tool.looking_cpu_share)} of a core"))
    return tuple(found)


def where(audit: Audit) -> tuple[tuple[str, str], ...]:
    """Target, machine and files, name and value."""
    found = []
    if audit.target is not None:
        found += [("server", audit.target.server), ("command", shlex.join(audit.target.command))]
        found.append(("first answer", f"after {figures.seconds(audit.target.ready_seconds)}, pid {audit.target.pid}"))
    found += [(name, str(value)) for name, value in audit.environment.items()]
    if audit.plan.directory:
        found.append(("files", audit.plan.directory))
    return tuple(found)
