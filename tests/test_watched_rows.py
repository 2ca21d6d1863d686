"""An Audit document as the rows of a table."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.watched import quantity, visible, watched

AUDITS = sorted(Path(__file__).parents[1].glob("reports/*/*/audit.json"))
LEAKY = next(path for path in AUDITS if path.parent.name == "current")


@pytest.fixture
def document():
    return json.loads(LEAKY.read_text())


def rows_of(document):
    return watched(json.dumps(document).encode()).rows


def test_reading_rows_needs_no_locust():
    code = "import sys, loadtests.watched; sys.exit(bool({'locust', 'gevent'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("path", AUDITS, ids=lambda path: path.parent.name)
def test_every_committed_audit_has_a_row_for_each_finding(path):
    findings = json.loads(path.read_text())["findings"]
    rows = watched(path.read_bytes()).rows
    assert sorted(row.resource for row in rows) == sorted(finding["title"] for finding in findings)


def test_leaks_stand_first_with_value_growth_rate_and_forecast(document):
    rows = rows_of(document)
    verdicts = [row.verdict for row in rows]
    assert verdicts == ["LEAK"] * 9 + ["CLEAN"] * (len(rows) - 9)
    (sockets,) = (row for row in rows if row.resource == "open sockets")
    assert (sockets.now, sockets.growth, sockets.rate) == ("293 sockets", "+289 sockets", "+1 sockets per operation")
    assert sockets.forecast == "EMFILE in 36 min at 9.23 operations/s, limit 20,000"


def test_growth_by_time_is_told_per_hour(document):
    document["findings"][0]["rate"] = {"value": 0.5, "low": 0, "high": 1, "unit": "bytes", "per": "second"}
    assert "+1.76 KiB per hour" in {row.rate for row in rows_of(document)}


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (12400, "sockets", "12,400 sockets"),
        (0.5, "sockets", "0.50 sockets"),
        (4.2 * 2**20, "bytes", "4.20 MiB"),
        (-(2**50), "bytes", "-1,024 TiB"),
        (1023, "bytes", "1,023 bytes"),
        (float("inf"), "bytes", "inf TiB"),
        (0, "files", "0 files"),
    ],
)
def test_a_quantity_is_told_in_few_digits(value, unit, shown):
    assert quantity(value, unit) == shown


def test_text_of_the_target_has_no_power_over_a_terminal(document):
    assert visible("a\x1b[2J\u202eb\ud800") == "a\\x1b[2J\\u202eb\\ud800"
    document["findings"][0]["title"] = "\x1b]0;owned\x07" + "x" * 10_000
    assert all(row.resource.isprintable() and len(row.resource) < 220 for row in rows_of(document))


def test_a_flood_of_resources_is_cut_and_the_rest_counted(document):
    document["findings"] *= 100
    rows = rows_of(document)
    assert len(rows) == 201
    assert rows[-1].resource.startswith(f"and {len(document['findings']) - 200:,} more")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "Expecting value"),
        (b"\xff\xfe\xfa", "codec"),
        (b"[1, 2]", "no audit"),
        (b"{}", "no audit"),
        (b"[" * 100_000, "no audit"),
        (b'{"schema": 2}', "its schema is 2"),
        (
            b'{"schema": 1, "rounds": [], "resources": [], "findings": [{"verdict": "fine", "title": ""}]}',
            "KeyError: 'fine'",
        ),
        (b'{"schema": 1, "rounds": [3], "resources": [{"title": "", "name": ""}], "findings": []}', "no audit"),
    ],
)
def test_what_is_no_audit_is_said_to_be_none(body, words):
    with pytest.raises(ValueError, match=words):
        watched(body)


def test_what_outlived_a_server_has_no_value_of_the_running_one(document):
    (left,) = (row for row in rows_of(document) if row.resource == "processes left by session")
    assert (left.now, left.growth, left.verdict) == ("–", "–", "LEAK")


def test_growth_is_known_before_there_is_any_verdict(document):
    document["findings"] = []
    seen = watched(json.dumps(document).encode())
    assert seen.rows == ()
    assert seen.growths["open sockets"] == (289.0, "sockets")
