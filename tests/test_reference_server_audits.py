"""What audits of the reference server say beside the truths of its defects, which are in test_defect_matrix.py."""

import json
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


@pytest.mark.slow
@pytest.mark.share(4)
def test_the_correct_server_is_clean_and_says_what_it_would_have_seen(audit):
    document = audit(options=("--budget", "45s"), code=0)
    assert leaks(document) == {}
    counted = [one for one in document["findings"] if one["resource"] in ("fds.socket", "processes", "threads")]
    assert all(one["detectable"]["value"] < 0.1 for one in counted)


@pytest.mark.share(4)
def test_what_a_storing_tool_adds_is_not_called_a_leak_without_knowing_how_to_undo_it(audit):
    document = audit(options=(*SHORT, "--tool", "memory_store"), code=3)
    by_name = {finding["resource"]: finding for finding in document["findings"]}
    stored = by_name["metric.mimo_memories"]
    assert (stored["verdict"], stored["shape"]) == ("undecided", "stored")
    assert "--undo" in stored["evidence"]
