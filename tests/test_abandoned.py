"""Abandoned sessions: held rightly, kept wrongly; and whether the load kept up."""

import dataclasses

import pytest

from leakcheck import conduct
from leakcheck.abandoning import SESSIONS, judge, planned
from leakcheck.detect.abandoned import Held, Wave, judge_abandoned
from leakcheck.model.event import Floor, Phase
from leakcheck.model.finding import Verdict
from leakcheck.model.plan import AuditPlan, DriverKind
from leakcheck.model.reading import Process, ProcessReadings, Resource, Snapshot, Statistic

FDS = Resource(name="fds.socket", unit="sockets", statistic=Statistic.COUNT, per_process=True)
ANON = Resource(name="memory.anon", unit="bytes", statistic=Statistic.LEVEL, per_process=True)
RESOURCES = (FDS, ANON)
MIB = 1 << 20
ROOT = Process(pid=7, started=1, role="python", command="python server.py")


def plan(**more):
    return AuditPlan(command=("server",), pid=None, driver=DriverKind.MCP_HTTP, **more)


def floor(number, phase, done, sockets, memory, *, planned_doses=None, failed=None, **more):
    snapshot = Snapshot(
        at_seconds=float(number),
        cost_seconds=0.001,
        processes=(ProcessReadings(process=ROOT, values={"fds.socket": sockets, "memory.anon": memory}),),
        tree=(),
    )
    given = {"load_seconds": 1.0, "settle_seconds": 0.1, "settled": True, "loaded": {}, "before_undo": {}, **more}
    return Floor(
        round=number,
        phase=phase,
        operations={"abandon": done},
        planned=planned_doses or {},
        failed=failed or {},
        snapshot=snapshot,
        **given,
    )


def waves(after_wave, after_wait, *, sessions=200, failed=0):
    """Floors of waves: sockets and MiB after each wave, and after each wait (None: no wait)."""
    floors = [floor(0, Phase.MAIN, 0, 10.0, 50.0 * MIB)]
    for number, (held, kept) in enumerate(zip(after_wave, after_wait, strict=True)):
        done = (number + 1) * sessions
        wrong = {"abandon": failed} if failed else {}
        dose = {"abandon": sessions}
        floors.append(floor(len(floors), Phase.ABANDON, done, held[0], held[1] * MIB, planned_doses=dose, failed=wrong))
        if kept is not None:
            floors.append(floor(len(floors), Phase.WAIT, done, kept[0], kept[1] * MIB, load_seconds=8.5))
    return floors


def verdicts(found):
    return {resource.name: judgement.verdict for resource, judgement in found}


def test_sessions_that_are_given_back_after_the_declared_idle_time_are_clean():
    floors = waves([(210, 58)] * 3, [(10, 58)] * 3)
    ((resource, judgement),) = judge(plan(session_idle_seconds=5.0), RESOURCES, floors)
    assert (resource, judgement.verdict) == (SESSIONS, Verdict.CLEAN)
    assert "600 abandoned sessions held 1 sockets, 41 KiB of memory each" in judgement.evidence
    assert "idle time of 5 s" in judgement.evidence


def test_sockets_that_outlive_the_declared_idle_time_are_a_leak_at_their_rate():
    floors = waves([(210, 58), (410, 58.1), (610, 58.2)], [(210, 58), (410, 58.1), (610, 58.2)])
    found = judge(plan(session_idle_seconds=5.0), RESOURCES, floors)
    assert verdicts(found) == {"fds.socket": Verdict.LEAK}
    judgement = found[0][1]
    assert judgement.operation == "abandon"
    assert judgement.rate.value == pytest.approx(1.0)


def test_memory_that_outlives_it_in_each_later_wave_is_a_leak_and_in_the_first_only_is_none():
    leaking = waves([(10, 58), (10, 66), (10, 74)], [(10, 58), (10, 66), (10, 74)])
    assert verdicts(judge(plan(session_idle_seconds=5.0), RESOURCES, leaking)) == {"memory.anon": Verdict.LEAK}
    reused = waves([(10, 58), (10, 58), (10, 58)], [(10, 58), (10, 58), (10, 58)])
    assert verdicts(judge(plan(session_idle_seconds=5.0), RESOURCES, reused)) == {"sessions": Verdict.CLEAN}
    arena = waves([(10, 58), (10, 62), (10, 62)], [(10, 58), (10, 62), (10, 62)])
    assert verdicts(judge(plan(session_idle_seconds=5.0), RESOURCES, arena)) == {"sessions": Verdict.CLEAN}
    two = waves([(10, 58), (10, 66)], [(10, 58), (10, 66)])
    assert verdicts(judge(plan(session_idle_seconds=5.0), RESOURCES, two)) == {"memory.anon": Verdict.UNDECIDED}


def test_a_high_water_mark_that_the_first_wave_sets_is_no_leak():
    floors = waves([(210, 50)] * 3, [(210, 50)] * 3)
    assert verdicts(judge(plan(session_idle_seconds=5.0), RESOURCES, floors)) == {"sessions": Verdict.CLEAN}


def test_growth_that_comes_with_the_waiting_is_not_the_sessions():
    floors = waves([(210, 50), (250, 50), (290, 50)], [(250, 50), (290, 50), (330, 50)])
    assert verdicts(judge(plan(session_idle_seconds=5.0), RESOURCES, floors)) == {"sessions": Verdict.CLEAN}


def test_without_a_declaration_it_says_what_is_held_and_judges_nothing():
    floors = waves([(210, 58)], [(210, 58)])
    ((resource, judgement),) = judge(plan(), RESOURCES, floors)
    assert (resource, judgement.verdict) == (SESSIONS, Verdict.NOT_JUDGED)
    assert "held 1 sockets, 41 KiB of memory each, not seen released within 8 s" in judgement.evidence
    assert "--session-idle" in judgement.evidence


def test_without_a_declaration_sessions_that_are_seen_released_are_clean():
    ((_, judgement),) = judge(plan(), RESOURCES, waves([(210, 58)], [(10, 58)]))
    assert judgement.verdict is Verdict.CLEAN
    assert "released within" in judgement.evidence


def test_beyond_a_declared_limit_nothing_may_be_added():
    kept = waves([(60, 52), (60, 52), (60, 52)], [None] * 3, sessions=50)
    assert verdicts(judge(plan(session_limit=50), RESOURCES, kept)) == {"sessions": Verdict.CLEAN}
    beyond = waves([(60, 52), (110, 54), (160, 56)], [None] * 3, sessions=50)
    assert verdicts(judge(plan(session_limit=50), RESOURCES, beyond))["fds.socket"] is Verdict.LEAK


def test_sessions_that_could_not_be_opened_are_not_judged():
    ((_, judgement),) = judge(plan(), RESOURCES, waves([(10, 50)], [(10, 50)], failed=150))
    assert judgement.verdict is Verdict.NOT_JUDGED
    assert "150 of 200 sessions could not be opened" in judgement.evidence


def test_an_audit_without_abandoned_sessions_has_no_such_finding():
    assert judge(plan(), RESOURCES, [floor(0, Phase.MAIN, 0, 1.0, 1.0)]) == []


def test_waves_and_waits_follow_what_is_declared_and_what_the_budget_bears():
    short = planned(plan(session_idle_seconds=5.0), 0.005)
    assert (short.waves, short.sessions, short.wait_seconds) == (2, 200, 8.5)
    assert planned(plan(session_idle_seconds=2.0), 0.005).waves == 3
    assert planned(plan(session_idle_seconds=5.0, budget_seconds=120.0), 0.005).waves == 3
    assert planned(plan(session_idle_seconds=1800.0), 0.005).waves == 1, "too long to wait for"
    assert planned(plan(), 0.1).sessions == 30, "a slow server is asked for fewer"
    at_limit = planned(plan(session_limit=50), 0.005)
    assert (at_limit.waves, at_limit.sessions, at_limit.wait_seconds) == (3, 50, 0.0)
    assert planned(plan(session_limit=100_000), 0.005).waves == 1, "out of reach"


def main_rounds(*, done_share=1.0, cpu=0.2):
    floors = [floor(0, Phase.PILOT, 0, 1.0, 1.0)]
    for number in range(1, 9):
        done = int(number * 100 * done_share)
        floors.append(floor(number, Phase.MAIN, done, 1.0, 1.0, planned_doses={"abandon": 100}, load_cpu_seconds=cpu))
    return floors


def test_a_load_that_kept_up_is_told_and_warns_of_nothing():
    floors = main_rounds()
    assert not conduct.fell_behind(floors)
    assert not [one for one in conduct.warnings(floors, None) if "load" in one]


def test_a_busy_load_is_a_warning_and_one_that_fell_behind_withdraws():
    assert any("bottleneck" in one and "97%" in one for one in conduct.warnings(main_rounds(cpu=0.97), None))
    behind = main_rounds(done_share=0.5)
    assert conduct.fell_behind(behind)
    told = "Of abandon, 400 of 800 planned were played in time, and 0 of these failed"
    assert any(told in one for one in conduct.warnings(behind, None))


def test_operations_that_mostly_fail_withdraw_a_clean_verdict_and_name_the_kind():
    floors = [
        dataclasses.replace(one, failed={"abandon": 60}) if one.phase is Phase.MAIN else one for one in main_rounds()
    ]
    assert conduct.fell_behind(floors)
    assert any("480 of these failed" in one and "--skip abandon" in one for one in conduct.warnings(floors, None))


def test_an_audit_that_plays_nothing_has_no_share_to_fall_behind():
    idle = [dataclasses.replace(one, planned={}, phase=Phase.QUIET) for one in main_rounds()]
    assert not conduct.fell_behind(idle)


def test_blocks_counted_inside_are_memory_and_a_few_that_stay_are_no_leak():
    blocks = Resource(name="heap.blocks", unit="blocks", statistic=Statistic.LEVEL, per_process=True)

    def judged(kept):
        waves = [Wave(sessions=200, before=0.0, after=350_000.0, waited=100.0)] * 1
        waves += [Wave(sessions=200, before=100.0, after=350_000.0, waited=100.0 + kept) for _ in range(2)]
        return judge_abandoned(Held(resource=blocks, waves=tuple(waves)), "idle time of 1 s")

    assert judged(50.0) is None
    assert judged(300_000.0).verdict is Verdict.LEAK
