"""From events to an Audit: the same for an audit that ended, was interrupted, or lost its auditor."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from leakcheck import abandoning, conduct
from leakcheck.confirming import MOST_SUSPECTS
from leakcheck.detect import Judgement
from leakcheck.detect.confirmation import confirm
from leakcheck.detect.counts import judge_count
from leakcheck.detect.levels import judge_level
from leakcheck.detect.overall import overall
from leakcheck.detect.stored import name_stored
from leakcheck.endings import judge_endings
from leakcheck.errors import LeakcheckError
from leakcheck.forecasts import forecast
from leakcheck.history import (
    Track,
    end_of_confirming,
    end_of_judged,
    first_judged,
    operations_by_round,
    series_of,
    tracks,
    up_to,
)
from leakcheck.model.audit import SCHEMA, Audit, Round, Value
from leakcheck.model.event import Copy, Ended, Event, Floor, Limit, Planned, Ready, Warned
from leakcheck.model.finding import Finding, Forecast, Shape, Suspect, Verdict
from leakcheck.model.kinds import is_part_of, without_era
from leakcheck.model.plan import AuditPlan, DriverKind
from leakcheck.model.reading import Resource, Statistic
from leakcheck.model.series import Series
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
        findings=tuple(sorted(findings, key=_order)),
    )


def _overall(
    findings: Sequence[Finding], required: frozenset[str], ended: Ended | None, floors: Sequence[Floor]
) -> Verdict:
    """Never call an audit clean that did not run to its end, or whose load fell far behind what was planned."""
    verdict = overall(findings, required)
    whole = ended is not None and ended.how == "finished" and not conduct.fell_behind(floors)
    return verdict if whole or verdict is not Verdict.CLEAN else Verdict.UNDECIDED


def suspected(plan: AuditPlan, ready: Ready, floors: list[Floor]) -> tuple[str, ...]:
    """Return the operations that what leaks so far is put down to, at most three: those worth playing alone."""
    followed = tracks(_resources(ready, floors), floors)
    leaks = [one for one in _judge_tracks(plan, ready, floors, followed, ()) if one.verdict is Verdict.LEAK]
    named = [one.operation for one in leaks if one.operation is not None]
    shared = [suspect.holder for one in leaks if one.operation is None for suspect in one.suspects]
    among = [without_era(holder) for holder in shared if holder in ready.target.operations]
    return tuple(dict.fromkeys((*named, *among)))[:MOST_SUSPECTS]


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
    readable = {
        name
        for name, track in followed.items()
        if track.seen and track.resource.judged and not _matches(name, plan.exclude)
    }
    return frozenset(readable | {name for name in plan.require if not any(_matches(one, (name,)) for one in readable)})


def _judge_tracks(
    plan: AuditPlan, ready: Ready | None, floors: list[Floor], followed: dict[str, Track], limits: tuple[Limit, ...]
) -> list[Finding]:
    if ready is None or not floors:
        return []
    first, end = first_judged(floors), end_of_judged(floors)
    found = []
    for name, track in followed.items():
        if not (track.seen and track.resource.judged) or _matches(name, plan.exclude):
            continue
        whole = series_of(track, floors, ready.target)
        series = up_to(whole, end)
        judgement = _judge(series, first, ready.target.writes, undo=bool(plan.tools.undo))
        judgement = confirm(judgement, up_to(whole, end_of_confirming(floors)), first, end)
        if judgement.verdict is Verdict.LEAK:
            blamed = (*_suspects(name, followed, first, end - 1), *judgement.suspects)
            judgement = replace(judgement, suspects=blamed)
        found.append(_finding(plan, track.resource, judgement, forecast(judgement, series, first, limits)))
    return found


def _judge(series: Series, first: int, writes: Sequence[str], *, undo: bool) -> Judgement:
    whole = all(value == int(value) for value in series.values)
    counted = series.resource.statistic is Statistic.COUNT and whole
    judgement = judge_count(series, first) if counted else judge_level(series, first)
    judgement = name_stored(judgement, series, first)
    stores = series.resource.name.startswith(("metric.", "memory.", "files."))
    if judgement.verdict is Verdict.LEAK and stores and _writes(judgement, writes) and not undo:
        return replace(
            judgement,
            verdict=Verdict.UNDECIDED,
            shape=Shape.STORED,
            evidence=f"{judgement.evidence} {judgement.operation} does not declare to be read-only, so this may be "
            "what it stores: name the tool that deletes it with --undo.",
        )
    return judgement


def _writes(judgement: Judgement, writes: Sequence[str]) -> bool:
    return judgement.operation is not None and any(is_part_of(kind, judgement.operation) for kind in writes)


def _finding(plan: AuditPlan, resource: Resource, judgement: Judgement, ahead: Forecast | None) -> Finding:
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
    )


_SECOND_VIEWS = {"fds.socket": "sockets.", "fds.file": "files.deleted"}
"""Where a resource's pieces have better names than in the resource itself."""


def _suspects(name: str, followed: dict[str, Track], first: int, last: int) -> tuple[Suspect, ...]:
    """Name the roles and holders that grew over the judged floors, largest first."""
    track = followed[name]
    views = [track, *(other for key, other in followed.items() if key.startswith(_SECOND_VIEWS.get(name, "\0")))]
    grown: dict[str, float] = {}
    for view in views:
        for holder, gain in _gains(view, first, last).items():
            grown[holder] = grown.get(holder, 0.0) + gain
    if len(grown) > 1 and name.removeprefix("fds.") in grown:
        del grown[name.removeprefix("fds.")]
    blamed = sorted(((gain, holder) for holder, gain in grown.items() if gain > 0), reverse=True)[:3]
    suspects = [Suspect(holder=holder, proof=f"{gain:+,.0f} over the judged rounds") for gain, holder in blamed]
    now, was = track.roles[last], track.roles[first]
    by_role = sorted(((value - was.get(role, 0.0), role) for role, value in now.items()), reverse=True)
    if by_role and by_role[0][0] > 0 and len(now) > 1:
        gain, role = by_role[0]
        suspects.insert(0, Suspect(holder=f"process {role}", proof=f"{gain:+,.0f} in this role"))
    return tuple(suspects)


def _gains(track: Track, first: int, last: int) -> dict[str, float]:
    was = {holder.name: holder.count for holder in track.holders[first]}
    return {holder.name: holder.count - was.get(holder.name, 0.0) for holder in track.holders[last]}


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
                if track.seen
            },
            unread=tuple(sorted({one.resource for one in floor.snapshot.unread})),
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
