"""The audit's tables: written from evidence that is there, and from nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TABLES = Path(__file__).parents[1] / "reports" / "tables"
ISSUES = ("1", "2", "3", "4", "5", "6", "7", "8", "supervision")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """The folder that the script has written, with embeddings that were measured before and a sweep."""
    folder = tmp_path_factory.mktemp("tables")
    rows = {kind: {"bytes": 10.0, "recall_at_10": 1.0} for kind in ("json", "float64", "float32", "int8", "signs")}
    measured = {"vectors": 10, "dimensions": 4, "queries": 2, "rows": rows}
    (folder / "embeddings.json").write_text(json.dumps(measured))
    cell = {"size": 10, "origin": "projected", "value": 123_456_789.0, "low": 1e6, "high": None}
    claim = {"variant": "fixed", "quantity": "memory.anon.peak", "size": 10}
    sweep = {"claims": [{"claim": claim, "cell": cell, "verdict": "overstated", "factor": 1.23456}]}
    (folder / "sweep.json").write_text(json.dumps(sweep))
    subprocess.run([sys.executable, "-P", TABLES, folder], check=True, timeout=60)
    return folder


def test_each_issue_of_the_audit_has_a_claim_a_verdict_and_what_was_measured(tables):
    issues = json.loads((tables / "issues.json").read_text())["issues"]
    assert tuple(one["number"] for one in issues) == ISSUES
    for one in issues:
        assert one["verdict"] in {"confirmed", "partly", "wrong"}
        assert one["current"] or one["faithful"]
        assert "0 leaks" in one["fixed"], "the correct server was audited in the same ways"
        for each in (*one["current"], *one["faithful"]):
            assert (TABLES.parent / each["link"].removeprefix("../")).exists()
            assert each["said"]


def test_a_leak_has_the_rate_that_its_audit_measured(tables):
    issues = {one["number"]: one for one in json.loads((tables / "issues.json").read_text())["issues"]}
    (zombies,) = issues["1"]["current"]
    assert zombies["said"] == "LEAK, 1 zombies per call:skill_echo; LEAK, 2 fds.pipe per call:skill_echo"
    assert "answers wrong or refused" in issues["7"]["faithful"][0]["said"]


def test_the_pages_say_the_same_and_load_nothing(tables):
    page, text = (tables / "issues.html").read_text(), (tables / "issues.md").read_text()
    for one in json.loads((tables / "issues.json").read_text())["issues"]:
        assert one["title"] in page
        assert one["title"] in text
    assert "<script" not in page
    assert "src=" not in page
    assert len(page) < 300 * 1024


def test_what_documents_quote_of_a_sweep(tables):
    found = json.loads((tables / "figures.json").read_text())
    row = found["fixed"]["memory_anon_peak"]["10"]
    assert row == {
        "verdict": "overstated", "factor": 1.23, "mb": 123.0, "origin": "projected", "low_mb": 1.0, "high_mb": 0.0,
    }  # fmt: skip
    assert found["confirmed"] + found["partly"] + found["wrong"] == len(ISSUES)
