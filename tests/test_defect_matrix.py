"""A share of the defect matrix, chosen by the commit: each truth is found when the defect is on, and nothing when off.

`--whole` runs all of it. As evidence: `nox -s evidence -- reports/<date>-mimo`. Both judge by the same rules.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHORT = ("--rounds", "16", "--operations", "6", "--grace", "2s")
"""Enough for counts; defects whose truth is of memory fix more rounds themselves."""

pytestmark = pytest.mark.slow


def _rules():
    folder = ROOT / "reports" / "evidence"
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location("truths", folder / "truths.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


truths = _rules()
DEFECTS = truths.truths()


def _played(command, monkeypatch):
    monkeypatch.chdir(ROOT)  # where the scenarios are
    return truths.played(command, *(() if "--rounds" in command else SHORT))


@pytest.mark.share(26)
@pytest.mark.parametrize("name", DEFECTS)
def test_the_truth_of_a_defect_is_found_and_nothing_else(name, monkeypatch):
    defect = DEFECTS[name]
    assert truths.wrong(defect, _played(defect["command"], monkeypatch)) == []


@pytest.mark.share(48)
@pytest.mark.parametrize("name", sorted({tuple(truths.without(one)): name for name, one in DEFECTS.items()}.values()))
def test_the_correct_server_audited_in_the_same_way_is_accused_of_nothing(name, monkeypatch):
    assert truths.accused(_played(truths.without(DEFECTS[name]), monkeypatch)) == []


LEAK = {
    "truth": {"kind": "leak", "resources": {"a": 1.0, "b": 2.0}, "also": ["c"], "operation": "call:x", "about": 0.1},
}


def _finding(resource, verdict="leak", operation="call:x", rate=1.0, shape="slope"):
    return {
        "resource": resource,
        "verdict": verdict,
        "operation": operation,
        "rate": {"value": rate},
        "shape": shape,
        "evidence": "grew",
    }


def _audit(*findings, failed=0):
    return {"findings": list(findings), "rounds": [{"failed": {"task:x": failed}}], "warnings": []}


@pytest.mark.parametrize(
    ("findings", "wrong"),
    [
        ([_finding("a"), _finding("b", rate=2.0, operation=None), _finding("c")], 0),
        ([_finding("a", operation="call:x@2026-07-28"), _finding("b")], 0),
        ([_finding("a")], 1),
        ([_finding("a"), _finding("b"), _finding("d")], 1),
        ([_finding("a", rate=1.2), _finding("b")], 1),
        ([_finding("a", operation=None), _finding("b")], 1),
        ([_finding("a"), _finding("b", operation="call:y")], 1),
        ([_finding("a", verdict="undecided"), _finding("b", verdict="clean")], 2),
    ],
)
def test_a_leak_is_right_only_with_its_resources_its_operation_and_its_rate(findings, wrong):
    assert len(truths.wrong(LEAK, _audit(*findings))) == wrong


def test_a_look_alike_is_right_only_with_its_shape_and_without_any_leak():
    defect = {"truth": {"kind": "look_alike", "shapes": {"a": ["peak"]}}}
    assert truths.wrong(defect, _audit(_finding("a", verdict="clean", shape="peak"))) == []
    assert len(truths.wrong(defect, _audit(_finding("a", verdict="clean", shape="flat")))) == 1
    assert len(truths.wrong(defect, _audit(_finding("a", shape="peak")))) == 1
    assert len(truths.wrong(defect, _audit())) == 1


def test_a_wrong_answer_is_right_only_when_an_operation_failed():
    defect = {"truth": {"kind": "wrong_answer", "scenario": "x"}}
    assert truths.wrong(defect, _audit(failed=1)) == []
    assert len(truths.wrong(defect, _audit())) == 1
    assert len(truths.wrong(defect, _audit(_finding("a"), failed=1))) == 1


def test_a_correct_server_is_accused_by_a_leak_and_by_a_failure():
    assert truths.accused(_audit(_finding("a", verdict="undecided"))) == []
    assert len(truths.accused(_audit(_finding("a"), failed=2))) == 2
