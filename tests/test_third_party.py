"""Servers that nobody here wrote, audited as the README says: the verdict must be the true one."""

import json
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.thirdparty, pytest.mark.share(8)]

COUNTED = ("fds.file", "fds.pipe", "fds.socket", "processes", "threads", "zombies")


@pytest.fixture
def audit(leakcheck, tmp_path):
    def run(*arguments, budget="25s"):
        finished = leakcheck("audit", "--budget", budget, "--out", "audit", *arguments, timeout=200)
        assert finished.returncode in (0, 3), finished.stdout + finished.stderr
        return json.loads((tmp_path / "audit" / "audit.json").read_text())

    return run


def verdicts(document, operation=None):
    return {one["resource"]: one["verdict"] for one in document["findings"] if one["operation"] == operation}


def test_the_node_reference_server_needs_no_configuration_and_leaks_nothing_that_is_counted(audit):
    document = audit("--mcp", "stdio", "--", "npx", "-y", "@modelcontextprotocol/server-everything", budget="40s")
    assert document["target"]["server"].startswith("mcp-servers/everything")
    assert {"call:echo", "call:get-sum", "reject", "cancel"} <= set(document["target"]["operations"])
    assert {name: verdicts(document)[name] for name in COUNTED} == dict.fromkeys(COUNTED, "clean")
    for ending in ("session", "abandon", "disconnect"):
        assert verdicts(document, ending)["orphans"] == "clean"
    left_out = {one["operation"]: one["reason"] for one in document["target"]["not_played"]}
    assert "no answer within 2 s" in left_out["call:trigger-long-running-operation"]


def test_a_python_server_from_the_index_is_clean(audit):
    document = audit(
        *("--mcp", "stdio", "--arguments", 'get_current_time={"timezone": "UTC"}', "--", "mcp-server-time")
    )
    assert document["verdict"] == "clean"
    assert document["target"]["operations"] == ["call:get_current_time", "reject", "cancel"]


def test_a_plain_file_server_is_clean(audit):
    document = audit(
        *("--request", "GET http://127.0.0.1:{port}/", "--", sys.executable, "-m", "http.server", "{port}")
    )
    assert document["verdict"] == "clean"
    assert sum(sum(one["operations"].values()) for one in document["rounds"]) > 1000


def test_a_service_with_two_workers_is_clean_and_seen_whole(audit):
    document = audit(
        *("--request", "GET http://127.0.0.1:{port}/get", "--request", "GET http://127.0.0.1:{port}/status/404"),
        *("--request", 'POST http://127.0.0.1:{port}/post {"a":1}'),
        *("--", "gunicorn", "--workers", "2", "--bind", "127.0.0.1:{port}", "httpbin:app"),
    )
    assert document["verdict"] == "clean"
    assert document["rounds"][-1]["readings"]["processes"]["total"] == 3
    assert document["target"]["operations"] == [
        "request:GET /get",
        "request:GET /status/404",
        "request:POST /post",
    ]


def test_any_command_can_make_the_load(audit):
    document = audit(
        "--drive",
        f"{sys.executable} -c 'import urllib.request as u; u.urlopen(\"http://127.0.0.1:{{port}}/\").read()'",
        *("--", sys.executable, "-m", "http.server", "{port}"),
        budget="15s",
    )
    assert verdicts(document)["fds.socket"] == "clean"
    assert document["target"]["operations"] == ["drive"]
