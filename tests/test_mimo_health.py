"""Health and the monitor: what is ill is named, what recovers is said so, and asking costs nothing."""

import asyncio
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mimo_server.errors import SettingsError
from mimo_server.supervision import monitor as monitor_module
from mimo_server.supervision.events import Events, Kind
from mimo_server.supervision.health import Health
from mimo_server.supervision.monitor import THRESHOLDS, Monitor, Readings

DEADLINE = 15.0
"""Seconds after which a test has failed: nothing here takes three of them."""


def play(scenario):
    """Run scenario(events) on a loop of its own; afterwards no other task may be left."""

    async def main():
        events = Events()
        async with asyncio.timeout(DEADLINE):
            answer = await scenario(events)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return answer

    return asyncio.run(main())


async def until(holds):
    """Wait for a condition; `play` has the deadline."""
    while not holds():  # noqa: ASYNC110 -- what it waits for has no event
        await asyncio.sleep(0.005)


def facts(events, kind):
    return [dict(event.facts) for event in events.recent if event.kind is kind]


async def well():
    return None


class Patient:
    """A check that says what it is told to, and counts how often it was asked."""

    def __init__(self, answer=None):
        self.answer = answer
        self.asked = 0

    async def check(self):
        self.asked += 1
        if isinstance(self.answer, BaseException):
            raise self.answer
        if self.answer is ...:
            await asyncio.Event().wait()
        return self.answer


# ---- health


def test_a_well_server_is_ok_from_the_start_and_emits_nothing():
    async def scenario(events):
        health = Health(events, every=0.05)
        health.checks = {"store": well}
        async with health:
            report = health.report()
            assert report.status == "ok"
            assert set(report.checks) == {"store", "loop"}
            assert all(finding.problem is None for finding in report.checks.values())
            assert all(0 <= finding.age_seconds < 5 for finding in report.checks.values())
        assert not events.recent

    play(scenario)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("the store is full", "the store is full"),
        (RuntimeError("boom"), "the check failed: RuntimeError('boom')"),
        (asyncio.CancelledError(), "the check was cancelled"),
        (..., "the check did not answer within 0.4 s"),
    ],
)
def test_a_check_that_is_ill_raises_or_hangs_is_named_and_its_recovery_too(answer, says):
    async def scenario(events):
        patient, other = Patient(), Patient()
        health = Health(events, every=0.02, deadline=0.4)
        health.checks = {"patient": patient.check, "other": other.check}

        def told(kind):  # this machine may be slow: what is said of the loop is not what is tested
            return [fact for fact in facts(events, kind) if fact["check"] != "loop"]

        async with health:
            assert health.report().checks["patient"].problem is None
            patient.answer = answer
            await until(lambda: health.report().checks["patient"].problem is not None)
            assert health.report().status == "degraded"
            assert health.report().checks["patient"].problem == says
            asked = patient.asked
            await until(lambda: patient.asked > asked + 2)  # ill for long is said once
            assert told(Kind.UNHEALTHY) == [{"check": "patient", "problem": says}]
            patient.answer = None
            await until(lambda: health.report().checks["patient"].problem is None)
            assert told(Kind.HEALTHY) == [{"check": "patient"}]
            assert other.asked > 3
            assert health.report().checks["other"].problem is None

    play(scenario)


def test_a_check_that_raises_before_it_is_awaited_is_a_problem_like_any_other():
    def broken():
        raise ValueError("not even a coroutine")

    async def scenario(events):
        health = Health(events, every=0.02)
        health.checks = {"broken": broken}
        async with health:
            assert "not even a coroutine" in health.report().checks["broken"].problem

    play(scenario)


def test_a_check_that_hangs_from_the_start_does_not_keep_the_server_from_starting_or_ending():
    async def scenario(events):
        health = Health(events, deadline=0.05)
        health.checks = {"patient": Patient(...).check}
        began = time.monotonic()
        async with health:
            assert health.report().status == "degraded"
        assert time.monotonic() - began < 2

    play(scenario)


def test_a_check_that_will_not_be_cancelled_is_not_started_again_and_its_age_is_told():
    asked = 0
    release = asyncio.Event()

    async def stubborn():
        nonlocal asked
        asked += 1
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async def scenario(events):
        other = Patient()
        health = Health(events, every=0.02, deadline=0.05)
        health.checks = {"stubborn": stubborn, "other": other.check}
        async with health:
            await until(lambda: health.report().checks["stubborn"].age_seconds > 0.3)
            assert asked == 1
            assert health.report().checks["stubborn"].problem == "the check did not answer within 0.05 s"
            await until(lambda: other.asked > 3)
            release.set()
            await until(lambda: health.report().status == "ok")

    play(scenario)


def test_a_check_that_has_not_spoken_for_too_long_is_a_problem_although_it_was_well():
    async def scenario(events):
        health = Health(events, every=0.05, deadline=0.05)
        health.checks = {"store": well}
        async with health:
            time.sleep(0.4)  # noqa: ASYNC251 -- the loop itself stands still: no check can have run
            assert "was last checked" in health.report().checks["store"].problem

    play(scenario)


def test_a_loop_that_is_blocked_for_half_a_second_is_noticed_and_forgotten_after_a_while():
    async def scenario(events):
        health = Health(events, every=0.1)
        async with health:
            await until(lambda: health.lag._due is not None)
            time.sleep(0.5)  # noqa: ASYNC251 -- the blocking is what is tested
            assert health.lag.seconds() > 0.3  # told at once, before anybody could wake
            await until(lambda: health.report().checks["loop"].problem is not None)
            assert "the event loop was held up for 0." in health.report().checks["loop"].problem
            assert 0.3 < health.lag.high_water_seconds < 5
            await until(lambda: health.report().status == "ok")
            assert health.lag.high_water_seconds > 0.3
        assert facts(events, Kind.UNHEALTHY)[0]["check"] == "loop"
        assert facts(events, Kind.HEALTHY)[0] == {"check": "loop"}

    play(scenario)


def test_asking_for_the_report_runs_no_check():
    async def scenario(events):
        patient = Patient()
        health = Health(events, every=60)
        health.checks = {"patient": patient.check}
        async with health:
            for _ in range(1000):
                health.report()
        assert patient.asked == 1

    play(scenario)


def test_a_problem_as_long_as_a_book_is_cut():
    async def scenario(events):
        health = Health(events, every=60)
        health.checks = {"patient": Patient("x" * 100_000).check}
        async with health:
            assert len(health.report().checks["patient"].problem) == 200

    play(scenario)


def test_a_start_that_is_cancelled_leaves_no_task():
    async def scenario(events):
        health = Health(events, deadline=5)
        health.checks = {"patient": Patient(...).check}

        async def start():
            async with health:
                pass

        starting = asyncio.create_task(start())
        await until(lambda: len(asyncio.all_tasks()) > 4)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    play(scenario)


# ---- the monitor


def test_the_monitor_reads_its_own_process():
    async def scenario(events):
        monitor = Monitor(events)
        monitor.lag = lambda: 0.125
        async with monitor:
            before = monitor.read()
            child = await asyncio.create_subprocess_exec("sleep", "60")
            stop = threading.Event()
            thread = threading.Thread(target=stop.wait)
            thread.start()
            files = [os.open("/dev/null", os.O_RDONLY) for _ in range(25)]
            kept = bytearray(64 * 1024 * 1024)
            for page in range(0, len(kept), 4096):
                kept[page] = 1
            tasks = [asyncio.create_task(stop_never()) for _ in range(7)]
            try:
                after = monitor.read()
            finally:
                stop.set()
                thread.join()
                child.kill()
                await child.wait()
                for file in files:
                    os.close(file)
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
        assert after.fds - before.fds >= 25
        assert after.fd_share == after.fds / resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        assert after.children == before.children + 1
        assert after.threads - before.threads >= 1
        assert after.tasks == before.tasks + 7
        assert after.anonymous_bytes - before.anonymous_bytes > 60 * 1024 * 1024
        assert after.rss_bytes >= after.anonymous_bytes
        assert after.loop_lag_seconds == 0.125

    async def stop_never():
        await asyncio.Event().wait()

    play(scenario)


def test_open_files_are_counted_alike_where_the_kernel_does_not_say_the_number(monkeypatch):
    said = monitor_module._open_files()

    class Old:
        st_size = 0

    monkeypatch.setattr(monitor_module.Path, "stat", lambda *_: Old())
    assert monitor_module._open_files() == said == len(list(Path("/proc/self/fd").iterdir())) - 1


def test_a_look_takes_less_than_two_milliseconds():
    async def scenario(events):
        async with Monitor(events) as monitor:
            took = []
            for _ in range(200):
                began = time.perf_counter()
                monitor.look()
                took.append(time.perf_counter() - began)
        return statistics.median(took)

    assert play(scenario) < 0.002


def test_open_files_over_the_threshold_raise_an_alert_which_clears_below_nine_tenths():
    async def scenario(events):
        async with Monitor(events) as quiet:
            now = quiet.read().fds
        limit = now + 40
        monitor = Monitor(events, every=0.01, thresholds={"fds": limit})
        files = []

        def hold(count):
            while len(files) < count:
                files.append(os.open("/dev/null", os.O_RDONLY))
            while len(files) > count:
                os.close(files.pop())

        try:
            async with monitor:
                assert monitor.readings.fds < limit
                assert await monitor.check() is None
                hold(45)
                await until(lambda: monitor.raised)
                assert "fds is" in await monitor.check()
                spare = monitor.readings.fds - limit
                hold(45 - spare - 2)  # below the threshold, above nine tenths of it
                await until(lambda: monitor.readings.fds < limit)
                assert set(monitor.raised) == {"fds"}
                hold(0)
                await until(lambda: not monitor.raised)
                assert await monitor.check() is None
        finally:
            hold(0)
        alerts = facts(events, Kind.ALERT)
        assert [(alert["resource"], alert["threshold"], alert["raised"]) for alert in alerts] == [
            ("fds", limit, True),
            ("fds", limit, False),
        ]
        assert alerts[0]["value"] >= limit
        assert alerts[1]["value"] < 0.9 * limit

    play(scenario)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([99, 99], []),
        ([100], [True]),
        ([100, 95, 90, 100, 95], [True]),
        ([100, 89], [True, False]),
        ([100, 89, 95, 100], [True, False, True]),
        ([95, 99, 89], []),
    ],
)
def test_an_alert_is_raised_at_the_threshold_and_cleared_below_nine_tenths(values, told):
    events = Events()
    monitor = Monitor(events, thresholds={"tasks": 100})
    for value in values:
        monitor._judge("tasks", value, 100)
    assert [fact["raised"] for fact in facts(events, Kind.ALERT)] == told


def test_a_threshold_of_nothing_that_is_read_is_refused():
    with pytest.raises(SettingsError, match="no resource 'cpu'; there are: rss_bytes"):
        Monitor(Events(), thresholds={"cpu": 1})
    assert set(THRESHOLDS) <= set(Readings.__slots__)


def test_registries_are_swept_and_what_was_found_is_told_by_name():
    left = [3, 0]

    async def scenario(events):
        monitor = Monitor(events, every=0.01)
        monitor.sweeps = {"tools": lambda: left.pop(0) if left else 0, "skills": lambda: 0}
        async with monitor:
            await until(lambda: not left)
        assert facts(events, Kind.SWEPT) == [{"registry": "tools", "entries": 3}]

    play(scenario)


def test_a_sweep_that_fails_is_a_problem_and_the_monitor_goes_on():
    broken = [True]

    def sweep():
        if broken[0]:
            raise KeyError("gone")
        return 0

    async def scenario(events):
        monitor = Monitor(events, every=0.01)
        monitor.sweeps = {"tools": sweep}
        async with monitor:
            await until(lambda: monitor._failure is not None)
            assert await monitor.check() == "the monitor fails: KeyError('gone')"
            broken[0] = False
            await until(lambda: monitor._failure is None)
            assert await monitor.check() is None

    play(scenario)


FULL = """
import asyncio, os, resource
from mimo_server.supervision.events import Events
from mimo_server.supervision.monitor import Monitor

async def main():
    async with Monitor(Events(), every=0.01) as monitor:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        files = []
        try:
            while True:
                files.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        readings = monitor.look()
        print(readings.fds, readings.fd_share, readings.children, sorted(monitor.raised), await monitor.check())

asyncio.run(main())
"""


def test_the_monitor_still_sees_when_no_file_can_be_opened_any_more():
    done = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.stdout.strip() == "64 1.0 None ['fd_share'] fd_share is 1 (threshold 0.8)"


def test_health_and_monitor_together_leave_the_process_as_it_was():
    async def scenario(events):
        for _ in range(20):
            health, monitor = Health(events, every=0.01), Monitor(events, every=0.01)
            monitor.lag = health.lag.seconds
            health.checks = {"monitor": monitor.check}
            async with monitor, health:
                assert health.report().status == "ok"

    play(scenario)
    before = len(list(Path("/proc/self/fd").iterdir()))
    play(scenario)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
