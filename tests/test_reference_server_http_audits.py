"""Over HTTP, both sides: each defect is put down to its own operation while all others run beside it, or nothing is."""

import json

import pytest

UNSURE = ("--exclude", "memory", "--exclude", "heap", "--exclude", "metric.mimo_store_bytes")
"""Levels, which need more rounds than these audits have."""
SHORT = ("--operations", "3", *UNSURE)
URLS = ("--mcp", "http://127.0.0.1:{port}/mcp", "--metrics", "http://127.0.0.1:{port}/metrics")
SERVER = ("--", "mimo-server", "--http", "127.0.0.1:{port}", "--session-idle")

pytestmark = [pytest.mark.slow, pytest.mark.share(4)]


@pytest.fixture
def audit(leakcheck, tmp_path):
    def run(*server, declared, code, rounds=24):
        more = ("--rounds", str(rounds), *SHORT)
        finished = leakcheck("audit", *URLS, *declared, "--out", "audit", *more, *SERVER, *server, timeout=200)
        assert finished.returncode == code, finished.stdout + finished.stderr
        return json.loads((tmp_path / "audit" / "audit.json").read_text())

    return run


def test_each_of_three_defects_at_once_is_put_down_to_its_own_operation_and_confirmed_alone(audit):
    defects = ("kept_session", "kept_rejects", "open_connections")
    document = audit(
        "30m",
        *(word for one in defects for word in ("--defect", one)),
        declared=("--skip", "abandon"),
        code=1,
        rounds=40,  # one registry has two of the causes, and only more rounds than kinds tell those apart
    )
    leaks = {one["resource"]: one for one in document["findings"] if one["verdict"] == "leak"}
    sessions = leaks['metric.mimo_registry_entries{registry="sessions"}']
    expected = {"session@2025-11-25": sessions, "reject": leaks["fds.file"], "call:agent_ping": leaks["fds.socket"]}
    for operation, finding in expected.items():
        assert finding["operation"] == operation
        assert finding["rate"]["value"] == pytest.approx(1.0, rel=0.1)
        assert "Confirmed" in finding["evidence"]
    assert {one["operation"] for one in leaks.values()} == set(expected)


def test_the_correct_server_gives_every_session_back_and_is_clean(audit):
    # longer than a wave takes on a busy machine: what it holds is to be read before the first of it is given back
    document = audit("4s", declared=("--session-idle", "4s"), code=0)
    (sessions,) = (one for one in document["findings"] if one["operation"] == "abandon")
    assert sessions["verdict"] == "clean"
    assert "entries" in sessions["evidence"], "held while they may be"
    played = {kind for one in document["rounds"] for kind, count in one["operations"].items() if count}
    both = {f"{kind}@{era}" for kind in ("reject", "disconnect", "cancel") for era in ("2025-11-25", "2026-07-28")}
    assert both | {"session@2025-11-25", "abandon@2025-11-25"} <= played
    assert document["tool"]["achieved_share"] == 1.0
    assert 0.0 < document["tool"]["load_cpu_share"] < 1.5


def test_sessions_that_outlive_the_declared_idle_time_are_a_leak_of_abandon_alone(audit):
    document = audit("30m", declared=("--session-idle", "1s"), code=1)
    leaks = {one["resource"]: one["operation"] for one in document["findings"] if one["verdict"] == "leak"}
    assert leaks['metric.mimo_registry_entries{registry="sessions"}'] == "abandon"
    assert set(leaks.values()) == {"abandon"}, leaks


def test_without_a_declaration_held_sessions_are_told_and_change_no_verdict(audit):
    document = audit("30m", declared=(), code=0)
    (sessions,) = (one for one in document["findings"] if one["operation"] == "abandon")
    assert (sessions["resource"], sessions["verdict"]) == ("sessions", "not_judged")
    assert "not seen released within" in sessions["evidence"]
