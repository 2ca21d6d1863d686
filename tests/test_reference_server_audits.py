"""Both sides: each defect of the reference server is found when it is on, and nothing is when it is off."""

import json
import subprocess
from functools import cache

import pytest

SHORT = ("--rounds", "16", "--operations", "6", "--grace", "2s")
METRICS = ("--metrics", "http://127.0.0.1:{port}/metrics")
SERVER = ("--", "mimo-server", "--metrics-port", "{port}")


@pytest.fixture(scope="module")
def audit(leakcheck_in, tmp_path_factory):
    """Audit the server; the same audit is made once."""

    @cache
    def run(*server, options=SHORT, code):
        folder = tmp_path_factory.mktemp("audit")
        finished = leakcheck_in(
            folder, "audit", "--mcp", "stdio", *METRICS, "--out", "audit", *options, *SERVER, *server
        )
        assert finished.returncode == code, finished.stdout + finished.stderr
        return json.loads((folder / "audit" / "audit.json").read_text())

    return run


def leaks(document):
    return {
        (finding["resource"], finding["operation"]): finding
        for finding in document["findings"]
        if finding["verdict"] == "leak"
    }


def truths():
    listed = subprocess.run(["mimo-server", "defects", "--json"], capture_output=True, text=True, check=True)
    return {defect["id"]: defect for defect in json.loads(listed.stdout)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("defect", "resource", "operation"),
    [
        ("orphan_child", "processes", "call:skill_echo"),
        ("open_connections", "fds.socket", "call:agent_ping"),
        ("growing_registry", 'metric.mimo_registry_entries{registry="interrupts"}', "call:interrupt_check"),
    ],
)
def test_a_defect_is_found_with_its_resource_its_operation_and_its_rate(audit, defect, resource, operation):
    truth = truths()[defect]["truth"]
    assert (resource in truth["resources"], truth["operation"]) == (True, operation)
    found = leaks(audit("--defect", defect, code=1))
    assert (resource, operation) in found
    assert found[resource, operation]["rate"]["value"] == pytest.approx(truth["rate"], rel=0.1)
    others = {name for name, _ in found} - {resource, *truth["also"], "orphans"}
    assert others == set(), "something else is called a leak"


@pytest.mark.slow
def test_a_child_left_behind_outlives_the_server_and_is_said_to(audit):
    found = leaks(audit("--defect", "orphan_child", code=1))
    assert ("orphans", None) in found
    assert ("orphans", "session") in found


@pytest.mark.slow
def test_the_correct_server_is_clean_and_says_what_it_would_have_seen(audit):
    document = audit(options=("--budget", "45s"), code=0)
    assert leaks(document) == {}
    counted = [one for one in document["findings"] if one["resource"] in ("fds.socket", "processes", "threads")]
    assert all(one["detectable"]["value"] < 0.1 for one in counted)


@pytest.mark.slow
def test_data_stored_as_text_and_scanned_whole_is_no_leak_but_stored_data_and_a_peak(audit):
    document = audit(
        *("--defect", "json_text_scan", "--seed-memories", "500", "--dimensions", "1536"),
        options=(
            *("--rounds", "27", "--operations", "2", "--grace", "2s"),
            *("--tool", "memory_store", "--undo", 'memory_forget={"category": "fact"}'),
        ),
        code=0,
    )
    by_name = {finding["resource"]: finding for finding in document["findings"]}
    assert leaks(document) == {}
    stored = by_name["metric.mimo_memories"]
    assert (stored["shape"], stored["operation"]) == ("stored", "call:memory_store")
    assert stored["rate"]["value"] == pytest.approx(1.0, rel=0.1)
    assert by_name["memory.anon"]["shape"] == "peak"


def test_what_a_storing_tool_adds_is_not_called_a_leak_without_knowing_how_to_undo_it(audit):
    document = audit(options=(*SHORT, "--tool", "memory_store"), code=3)
    by_name = {finding["resource"]: finding for finding in document["findings"]}
    stored = by_name["metric.mimo_memories"]
    assert (stored["verdict"], stored["shape"]) == ("undecided", "stored")
    assert "--undo" in stored["evidence"]
