"""The JSON Schema that ships in the wheel and the dataclasses say the same."""

import dataclasses
import enum
import json
import types
import typing
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from leakcheck.model.audit import SCHEMA, Audit, Tool
from leakcheck.model.finding import Finding, Verdict
from leakcheck.model.plan import AuditPlan, DriverKind
from leakcheck.model.wire import from_wire, to_wire

SCHEMA_FILE = resources.files("leakcheck").joinpath("schema/audit.schema.json")
DOCUMENT: dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
SCALARS = {int: "integer", float: "number", str: "string", bool: "boolean"}


def reachable(kind: Any, found: dict[str, type]) -> dict[str, type]:
    """Every dataclass and enum that a type form leads to, by name."""
    for argument in typing.get_args(kind):
        reachable(argument, found)
    if isinstance(kind, type) and kind.__name__ not in found:
        if issubclass(kind, enum.Enum):
            found[kind.__name__] = kind
        elif dataclasses.is_dataclass(kind):
            found[kind.__name__] = kind
            for hint in typing.get_type_hints(kind).values():
                reachable(hint, found)
    return found


KINDS = {name: kind for name, kind in reachable(Audit, {}).items() if name != "Audit"}
RECORDS = {"Audit": Audit, **{name: kind for name, kind in KINDS.items() if dataclasses.is_dataclass(kind)}}
ADDED_LATER = {
    "Tool": ("load_cpu_share", "achieved_share"),
    "AuditPlan": ("mcp_url", "locustfile", "host", "session_idle_seconds", "session_limit", "skip", "inside"),
    "Resource": ("bound", "bound_by", "keeps", "spare"),
    "Round": ("pause_seconds",),
    "Finding": ("needs", "confirmed_seconds"),
    "TargetInfo": ("invokes", "apart"),
}
"""Keys of schema 1 that its first documents lack: every document written now has them, and none needs them."""
FIELDS = [(name, field.name) for name, kind in RECORDS.items() for field in dataclasses.fields(kind)]


def definition(name: str) -> dict[str, Any]:
    return DOCUMENT if name == "Audit" else DOCUMENT["$defs"][name]


def expected(kind: Any) -> dict[str, Any]:
    """The JSON form of a Python type, without descriptions and bounds."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        forms = [expected(one) for one in arguments]
        if all(set(form) == {"type"} for form in forms):
            names = {form["type"] for form in forms}
            return {"type": sorted(names - ({"integer"} if "number" in names else set()))}
        return {"anyOf": forms}
    if origin is tuple:
        return {"type": "array", "items": expected(arguments[0])}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": expected(arguments[1])}
    if kind is object:
        return {}
    if kind is type(None):
        return {"type": "null"}
    return {"$ref": f"#/$defs/{kind.__name__}"} if kind.__name__ in KINDS else {"type": SCALARS[kind]}


def stripped(form: dict[str, Any]) -> dict[str, Any]:
    """A schema form with only what `expected` knows of."""
    kept = {key: value for key, value in form.items() if key not in {"description", "minimum", "enum"}}
    for key in {"items", "additionalProperties"} & kept.keys():
        kept[key] = stripped(kept[key])
    if isinstance(kept.get("type"), list):
        kept["type"] = sorted(kept["type"])
    return kept


def nothing_seen(**rest: Any) -> dict[str, Any]:
    tool = Tool(
        name="mimo-leakcheck",
        version="0",
        ended="interrupted",
        wall_seconds=0.0,
        auditor_cpu_share=None,
        looking_cpu_share=None,
        snapshot_ms=None,
    )
    finding = Finding(
        resource="fds.file",
        title="open files",
        unit="files",
        verdict=Verdict.UNDECIDED,
        shape=None,
        operation=None,
        rate=None,
        detectable=None,
        forecast=None,
        evidence="Needs 6 rounds, got 0.",
        suspects=(),
        fingerprint="0",
    )
    audit = Audit(
        schema=SCHEMA,
        tool=tool,
        at="2026-11-22T18:00:00Z",
        environment={},
        plan=AuditPlan(command=("server",), pid=None, driver=DriverKind.STDIO),
        target=None,
        resources=(),
        rounds=(),
        copies=(),
        limits=(),
        verdict=Verdict.UNDECIDED,
        warnings=(),
        findings=(finding,),
    )
    return to_wire(audit) | rest


def test_the_schema_is_itself_valid():
    jsonschema.Draft202012Validator.check_schema(DOCUMENT)


def test_every_type_of_the_model_is_defined_and_no_other():
    assert set(DOCUMENT["$defs"]) == set(KINDS)


@pytest.mark.parametrize("name", RECORDS)
def test_an_object_has_the_keys_of_its_dataclass_all_required_and_more_allowed(name):
    form = definition(name)
    names = [field.name for field in dataclasses.fields(RECORDS[name])]
    assert list(form["properties"]) == names
    assert form["required"] == [one for one in names if one not in ADDED_LATER.get(name, ())]
    assert form["type"] == "object"
    assert form["additionalProperties"] is True


@pytest.mark.parametrize(("name", "key"), FIELDS)
def test_a_key_has_the_json_type_of_its_field_and_says_what_it_is(name, key):
    form = definition(name)["properties"][key]
    assert form["description"].endswith((".", ")", "`")), form["description"]
    if (name, key) == ("Audit", "schema"):
        assert form["const"] == SCHEMA
    else:
        assert stripped(form) == expected(typing.get_type_hints(RECORDS[name])[key])


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if issubclass(kind, enum.Enum)])
def test_an_enum_lists_exactly_its_members(name):
    assert definition(name)["enum"] == [member.value for member in KINDS[name]]
    assert definition(name)["description"]


def test_a_document_with_a_key_of_a_later_version_is_valid():
    jsonschema.Draft202012Validator(DOCUMENT).validate(nothing_seen(coming={"later": 1}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"verdict": "maybe"}, "'maybe' is not one of"),
        ({"schema": 2}, "1 was expected"),
        ({"at": None}, "None is not of type 'string'"),
        ({"warnings": "none"}, "'none' is not of type 'array'"),
        ({"tool": {"name": "x"}}, "'version' is a required property"),
    ],
)
def test_a_document_that_breaks_the_contract_is_refused(change, message):
    found = [error.message for error in jsonschema.Draft202012Validator(DOCUMENT).iter_errors(nothing_seen(**change))]
    assert any(message in one for one in found), found


@pytest.mark.parametrize("key", ["findings", "rounds", "environment", "target"])
def test_a_document_that_lacks_a_key_of_today_is_refused(key):
    document = nothing_seen()
    del document[key]
    with pytest.raises(jsonschema.ValidationError, match=f"'{key}' is a required property"):
        jsonschema.Draft202012Validator(DOCUMENT).validate(document)


COMMITTED = sorted((Path(__file__).parent.parent / "reports").glob("*/*/audit.json"))


def test_there_is_committed_evidence():
    assert COMMITTED


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_an_audit_that_is_committed_as_evidence_fits_the_schema_and_can_be_read(path):
    document = json.loads(path.read_text())
    jsonschema.Draft202012Validator(DOCUMENT).validate(document)
    assert from_wire(Audit, document).verdict.value == document["verdict"]
