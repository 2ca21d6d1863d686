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
    cell = {"size": 10_000, "origin": "projected", "value": 123_456_789.0, "low": 1e6, "high": None}
    claim = {"variant": "fixed", "quantity": "memory.anon.peak", "size": 10_000}
    searched = [
        {"size": 10_000, "origin": "measured", "value": 2.5e6, "low": 2e6, "high": 3e6},
        {"size": 1_000_000, "origin": "projected", "value": 7e9, "low": 5e9, "high": 9e9},
    ]
    sweep = {
        "at": "2026-01-02T03:04:05+00:00",
        "cap_bytes": 15e9,
        "environment": {"cores": 2, "memory_bytes": 25e9, "system": "Linux", "kernel": "6", "python": "3.11"},
        "claims": [{"claim": claim, "cell": cell, "verdict": "overstated", "factor": 1.23456}],
        "series": [
            {"variant": "fixed", "quantity": "memory.anon.peak", "unit": "bytes", "cells": [cell]},
            {"variant": "current", "quantity": "memory.anon.rise", "unit": "bytes", "cells": searched},
        ],
        "points": [
            {
                "variant": "current",
                "size": 100_000,
                "outcome": "stopped",
                "reason": "its memory was above the cap",
                "amounts": {"seconds.ready": {"value": 7200.0}},
            },
            {
                "variant": "fixed",
                "size": 10_000,
                "outcome": "done",
                "reason": "",
                "amounts": {"seconds.ready": {"value": 1000.0}, "seconds.measure": {"value": 800.0}},
            },
        ],
    }
    (folder / "sweep.json").write_text(json.dumps(sweep))
    subprocess.run([sys.executable, "-P", TABLES, folder], check=True, timeout=60)
    return folder


def test_each_issue_of_the_audit_has_a_claim_a_verdict_and_what_was_measured(tables):
    issues = json.loads((tables / "tables.json").read_text())["issues"]
    assert tuple(one["number"] for one in issues) == ISSUES
    for one in issues:
        assert one["verdict"] in {"confirmed", "partly", "wrong"}
        assert one["current"] or one["faithful"]
        assert "0 leaks" in one["fixed"], "the correct server was audited in the same ways"
        for each in (*one["current"], *one["faithful"]):
            assert (TABLES.parent / each["link"].removeprefix("../")).exists()
            assert each["said"]


def test_a_leak_has_the_rate_that_its_audit_measured(tables):
    issues = {one["number"]: one for one in json.loads((tables / "tables.json").read_text())["issues"]}
    (zombies,) = issues["1"]["current"]
    assert zombies["said"] == "LEAK, 1 zombies per call:skill_echo; LEAK, 2 fds.pipe per call:skill_echo"
    assert "answers wrong or refused" in issues["7"]["faithful"][0]["said"]


def test_the_pages_say_the_same_and_load_nothing(tables):
    page, text = (tables / "tables.html").read_text(), (tables / "tables.md").read_text()
    for one in json.loads((tables / "tables.json").read_text())["issues"]:
        assert one["title"] in page
        assert one["title"] in text
    for told in (
        "2.5 hours",
        "~123 MB",
        "2.50 MB",
        "~7 GB (5 GB – 9 GB)",
        "current at 100,000: its memory was above the cap",
    ):
        assert told in page
        assert told in text
    assert "<script" not in page
    assert "src=" not in page
    assert len(page) < 300 * 1024


def test_what_documents_quote_of_a_sweep(tables):
    found = json.loads((tables / "figures.json").read_text())
    row = found["fixed"]["memory_anon_peak"]["10000"]
    assert row == {
        "verdict": "overstated", "factor": 1.23, "mb": 123.0, "origin": "projected", "low_mb": 1.0, "high_mb": 0.0,
    }  # fmt: skip
    assert found["confirmed"] + found["partly"] + found["wrong"] == len(ISSUES)


def test_the_memory_tables_have_a_row_for_each_line_of_the_audit_and_say_what_was_not_measured(tables):
    memory = json.loads((tables / "tables.json").read_text())["memory"]
    assert [row[0] for row in memory["whole"]["rows"]] == ["10,000", "100,000", "1,000,000"]
    assert memory["consumers"]["rows"][1][1:4] == ["100,000", "500 MB – 1 GB", "–"]
    for table in (memory["whole"], memory["consumers"], memory["improvements"]):
        assert {len(row) for row in table["rows"]} == {len(table["head"])}


def test_without_a_sweep_there_are_the_issues_alone(tmp_path, tables):
    (tmp_path / "embeddings.json").write_bytes((tables / "embeddings.json").read_bytes())
    subprocess.run([sys.executable, "-P", TABLES, tmp_path], check=True, timeout=60)
    assert "Memory usage" not in (tmp_path / "tables.html").read_text()
    assert json.loads((tmp_path / "tables.json").read_text())["memory"] is None
