"""From events to an Audit: the same for an audit that ended, was interrupted, or lost its auditor."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from leakcheck import abandoning, conduct
from leakcheck.confirming import MOST_SUSPECTS
from leakcheck.detect import Judgement, amount
from leakcheck.detect.overall import overall
from leakcheck.endings import judge_endings
from leakcheck.errors import LeakcheckError
from leakcheck.forecasts import forecast, needs
from leakcheck.history import (
    Track,
    end_of_judged,
    ends_of_fresh,
    first_judged,
    operations_by_round,
    tracks,
)
from leakcheck.judging import Case
from leakcheck.model.audit import SCHEMA, Audit, Round, Value
from leakcheck.model.event import Copy, Ended, Event, Floor, Limit, Planned, Ready, Sized, Warned
from leakcheck.model.finding import Finding, Forecast, Shape, Verdict
from leakcheck.model.kinds import without_era
from leakcheck.model.plan import AuditPlan, DriverKind
from leakcheck.model.reading import AMOUNTS, REGISTRY, Resource
from leakcheck.thinning import thinned


def conclude(events: Sequence[Event]) -> Audit:
    """Judge what was seen. Raises LeakcheckError when not even the plan is there."""
    planned = next((event for event in events if isinstance(event, Planned)), None)
    if planned is None:
        raise LeakcheckError("The journal holds no plan: nothing was started, so there is nothing to report")
    ready = next((event for event in events if isinstance(event, Ready)), None)
    floors = [event for event in events if isinstance(event, Floor)]
    if planned.plan.driver is DriverKind.NONE:
        floors = thinned(floors)
    copies = tuple(event for event in events if isinstance(event, Copy))
    ended = next((event for event in events if isinstance(event, Ended)), None)
    resources = _resources(ready, floors)
    included = [one for one in resources if not _matches(one.name, planned.plan.exclude)]
    followed = tracks(resources, floors)
    limits = floors[-1].limits if floors else ()
    findings = (
        *_judge_tracks(planned.plan, ready, floors, followed, limits),
        *_judge_unread(planned.plan, resources, floors, followed),
        *(_finding(planned.plan, *judged, None) for judged in abandoning.judge(planned.plan, included, floors)),
        *(_finding(planned.plan, *judged, None) for judged in judge_endings(planned.plan.driver, copies)),
    )
    return Audit(
        schema=SCHEMA,
        tool=conduct.tool(planned, floors, ended),
        at=planned.at,
        environment=planned.environment,
        plan=planned.plan,
        target=ready.target if ready else None,
        resources=resources,
        rounds=_rounds(floors, followed),
        copies=copies,
        limits=limits,
        verdict=_overall(findings, _required(planned.plan, followed), ended, floors),
        warnings=tuple(event.message for event in events if isinstance(event, Warned))
        + conduct.warnings(floors, ended)
        + _unmatched(planned.plan, resources),
        findings=tuple(sorted(_sized(events, _dated(planned.plan, ready, floors, findings)), key=_order)),
    )


def _sized(events: Sequence[Event], findings: Iterable[Finding]) -> Iterator[Finding]:
    """Add to each container that grew how large its entries are."""
    sizes = {name: size for event in events if isinstance(event, Sized) for name, size in event.bytes_per_entry.items()}
    for one in findings:
        size = sizes.get(one.resource)
        told = f" An entry takes about {amount(size, 'bytes')}." if size is not None and _grew(one) else ""
        yield replace(one, evidence=one.evidence + told)


def _dated(plan: AuditPlan, ready: Ready | None, floors: list[Floor], findings: Sequence[Finding]) -> Iterator[Finding]:
    """Add to each leak when it was first confirmed: at the end of the first fresh rounds after which it stood."""
    since: dict[str, float] = {}
    leaking = {one.resource for one in findings if one.verdict is Verdict.LEAK}
    for end in ends_of_fresh(floors) if ready is not None and leaking else ():
        seen = tracks(_resources(ready, floors[:end]), floors[:end])
        for one in _judge_tracks(plan, ready, floors[:end], seen, ()):
            if one.verdict is Verdict.LEAK and one.resource in leaking:
                since.setdefault(one.resource, floors[end - 1].snapshot.at_seconds)
    for one in findings:
        at = since.get(one.resource) if one.verdict is Verdict.LEAK else None
        yield one if at is None else replace(one, confirmed_seconds=at)


def _overall(
    findings: Sequence[Finding], required: frozenset[str], ended: Ended | None, floors: Sequence[Floor]
) -> Verdict:
    """Never call an audit clean that did not run to its end, or whose load fell far behind what was planned."""
    verdict = overall(findings, required)
    whole = ended is not None and ended.how == "finished" and not conduct.fell_behind(floors)
    return verdict if whole or verdict is not Verdict.CLEAN else Verdict.UNDECIDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the verdicts would stand if the audit ended now."""

    leaks: tuple[str, ...]
    """Resources counted in pieces that leak by the operations played, and memory beside them: provable now."""
    later: bool
    """Whether one grows by time, or memory grows and nobody is known to hold it: only time shows whether it ends."""
    may_expire: bool
    """Whether one of the leaks may be held for a time only: a container whose code takes entries out, or is unknown."""
    by_time: bool
    """Whether all that leaks does so by time."""
    suspects: tuple[str, ...]
    """The operations that what leaks is put down to, at most three: those worth playing alone."""
    undecided: bool
    registries: tuple[str, ...]
    """Containers that grew, whatever is said of them."""


_HOLD_FOR_A_TIME = (REGISTRY, "metric.", "node.")
"""What programs fill with things that expire."""


def standing(plan: AuditPlan, ready: Ready, floors: list[Floor]) -> Standing:
    """Judge what was seen so far."""
    resources = _resources(ready, floors)
    followed = tracks(resources, floors)
    keep = {one.name for one in resources if one.keeps}
    findings = _judge_tracks(plan, ready, floors, followed, ())
    leaks = [one for one in findings if one.verdict is Verdict.LEAK]
    named = [one.operation for one in leaks if one.operation is not None]
    shared = [suspect.holder for one in leaks if one.operation is None for suspect in one.suspects]
    among = [without_era(holder) for holder in shared if holder in ready.target.operations]
    timed = [one for one in leaks if one.shape is Shape.TIME_DRIVEN]
    held = any(one not in timed and one.unit not in AMOUNTS for one in leaks)
    return Standing(
        leaks=tuple(one.resource for one in leaks if one not in timed) if held else (),
        later=bool(timed) or bool(leaks and not held),
        may_expire=any(one.resource.startswith(_HOLD_FOR_A_TIME) and one.resource not in keep for one in leaks),
        by_time=len(timed) == len(leaks),
        suspects=tuple(dict.fromkeys((*named, *among)))[:MOST_SUSPECTS],
        undecided=any(one.verdict is Verdict.UNDECIDED for one in findings),
        registries=tuple(one.resource for one in findings if one.resource.startswith(REGISTRY) and _grew(one)),
    )


def _grew(finding: Finding) -> bool:
    return finding.verdict in {Verdict.LEAK, Verdict.UNDECIDED} or finding.shape is Shape.FILLING


_SEVERITY = (Verdict.LEAK, Verdict.UNDECIDED, Verdict.CLEAN, Verdict.NOT_JUDGED)


def _order(finding: Finding) -> tuple[int, str, str]:
    return _SEVERITY.index(finding.verdict), finding.resource, finding.operation or ""


def _resources(ready: Ready | None, floors: Sequence[Floor]) -> tuple[Resource, ...]:
    if ready is None:
        return ()
    found = {resource.name: resource for resource in ready.resources}
    for floor in floors:
        found.update({resource.name: resource for resource in floor.resources})
    return tuple(found.values())


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(name == pattern or name.startswith((f"{pattern}.", f"{pattern}{{")) for pattern in patterns)


def _required(plan: AuditPlan, followed: dict[str, Track]) -> frozenset[str]:
    readable = {name for name in _judgeable(plan, followed) if not followed[name].first}
    return frozenset(readable | {name for name in plan.require if not any(_matches(one, (name,)) for one in readable)})


def _judge_tracks(
    plan: AuditPlan, ready: Ready | None, floors: list[Floor], followed: dict[str, Track], limits: tuple[Limit, ...]
) -> list[Finding]:
    if ready is None or not floors:
        return []
    case = Case(plan, ready.target, floors, followed)
    return [
        _finding(
            plan,
            one.track.resource,
            one.judgement,
            forecast(one.judgement, one.series, one.first, limits),
            needs(plan, floors[: case.end], one.first, one.judgement),
        )
        for one in case.judge(_judgeable(plan, followed))
    ]


def _judgeable(plan: AuditPlan, followed: Mapping[str, Track]) -> list[str]:
    return [
        name
        for name, track in followed.items()
        if track.seen and track.resource.judged and not _matches(name, plan.exclude)
    ]


def _finding(
    plan: AuditPlan, resource: Resource, judgement: Judgement, ahead: Forecast | None, needed: str = ""
) -> Finding:
    key = "\0".join((plan.name, resource.name, judgement.operation or ""))
    return Finding(
        resource=resource.name,
        title=resource.title or resource.name,
        unit=resource.unit,
        verdict=judgement.verdict,
        shape=judgement.shape,
        operation=judgement.operation,
        rate=judgement.rate,
        detectable=judgement.detectable,
        forecast=ahead,
        evidence=judgement.evidence,
        suspects=judgement.suspects,
        fingerprint=hashlib.sha256(key.encode()).hexdigest()[:16],
        needs=needed,
    )


def _judge_unread(
    plan: AuditPlan, resources: Sequence[Resource], floors: Sequence[Floor], followed: dict[str, Track]
) -> list[Finding]:
    """List what could never be judged, with its reason."""
    reasons = {one.resource: one.reason for floor in reversed(floors) for one in floor.snapshot.unread}
    found = []
    for resource in resources:
        if not resource.judged or not floors or followed[resource.name].seen:
            continue
        reason = reasons.get(resource.name, "it appeared only after the first round")
        judgement = Judgement(verdict=Verdict.NOT_JUDGED, shape=None, evidence=f"{reason[0].upper()}{reason[1:]}.")
        found.append(_finding(plan, resource, judgement, None))
    return found


def _rounds(floors: Sequence[Floor], followed: dict[str, Track]) -> tuple[Round, ...]:
    shown = {first_judged(floors), end_of_judged(floors) - 1} if floors else set()
    played = operations_by_round(floors)
    since = {name: track.present.index(True) for name, track in followed.items() if track.seen}
    return tuple(
        Round(
            number=floor.round,
            phase=floor.phase,
            at_seconds=floor.snapshot.at_seconds,
            operations=played[index],
            failed=floor.failed,
            load_seconds=floor.load_seconds,
            settle_seconds=floor.settle_seconds,
            settled=floor.settled,
            readings={
                name: Value(
                    total=track.totals[index],
                    growth=track.growth[index],
                    broken=track.broken[index],
                    roles=track.roles[index],
                    holders=track.holders[index] if index in shown else (),
                    peak=floor.loaded.get(name),
                    before_undo=floor.before_undo.get(name),
                )
                for name, track in followed.items()
                if track.seen and index >= since[name]
            },
            unread=tuple(sorted({one.resource for one in floor.snapshot.unread})),
            pause_seconds=floor.snapshot.pause_seconds,
        )
        for index, floor in enumerate(floors)
    )


def _unmatched(plan: AuditPlan, resources: Sequence[Resource]) -> tuple[str, ...]:
    """Say which patterns of --exclude fit nothing: a misspelt one would otherwise go unnoticed."""
    known = ", ".join(sorted({resource.name.partition("{")[0] for resource in resources if resource.judged}))
    return tuple(
        f"--exclude {pattern} fits no resource; there are: {known}"
        for pattern in plan.exclude
        if resources and not any(_matches(resource.name, (pattern,)) for resource in resources)
    )
