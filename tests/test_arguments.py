import time

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakcheck.drivers.arguments import NoSmallest, smallest
from leakcheck.drivers.schema import fits
from leakcheck.drivers.tools import choose, known
from leakcheck.errors import UsageError
from leakcheck.model.plan import ToolChoice

TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "child": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["name", "child"],
        }
    },
    "$ref": "#/$defs/node",
}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, ""),
        ({"type": "string", "minLength": 3}, "aaa"),
        ({"type": "string", "default": "d", "const": "d", "enum": ["e", "d"]}, "d"),
        ({"enum": ["x", "y"]}, "x"),
        ({"const": {"a": 1}}, {"a": 1}),
        ({"type": "string", "examples": ["for example"]}, "for example"),
        ({"type": "integer", "default": "not a number"}, 0),
        ({"type": "string", "format": "date"}, "2000-01-01"),
        ({"type": "string", "format": "uuid"}, "00000000-0000-4000-8000-000000000000"),
        ({"type": "string", "pattern": "^[a-z]+$"}, "a"),
        ({"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}, "2000-01-01"),
        ({"type": "string", "pattern": "^[A-Z]{3}$"}, "AAA"),
        ({"type": "integer"}, 0),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "integer", "exclusiveMinimum": 5}, 6),
        ({"type": "integer", "minimum": 1, "exclusiveMinimum": True}, 2),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "integer", "minimum": 5, "multipleOf": 4}, 8),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"type": "boolean"}, False),
        ({"type": "null"}, None),
        ({"type": ["null", "string"]}, ""),
        ({"type": "string", "nullable": True}, ""),
        ({"type": "array", "items": {"type": "string"}}, []),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2, "uniqueItems": True}, [0, 1]),
        ({"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "minItems": 2}, ["", 0]),
        ({"properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a"]}, {"a": 0}),
        ({"type": "object", "required": ["free"]}, {"free": None}),
        ({"anyOf": [{"type": "string", "minLength": 2}, {"type": "null"}]}, "aa"),
        ({"oneOf": [{"type": "number"}, {"type": "integer", "minimum": 0}]}, -1),
        ({"allOf": [{"type": "integer", "minimum": 2}, {"minimum": 7}]}, 7),
        (True, None),
        (TREE, {"name": "", "child": None}),
    ],
    ids=str,
)
def test_the_smallest_value_is(schema, value):
    found = smallest(schema)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (False, "allows nothing"),
        ({"type": "string", "pattern": "^[a-f]{3}-XYZ[0-9]{5}$"}, "no simple text matches the pattern"),
        ({"$ref": "https://example.com/schema"}, "not in the schema"),
        ({"$ref": "#/$defs/lost"}, "not in the schema"),
        ({"$ref": "#"}, "without end"),
        ({"properties": {"me": {"$ref": "#"}}, "required": ["me"]}, "without end"),
        ({"properties": {"code": {"type": "string", "pattern": "(?<=x"}}, "required": ["code"]}, "property 'code'"),
        ({"type": "array", "minItems": 10**9}, "array of 1000000000 items"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "no small value"),
    ],
    ids=str,
)
def test_where_there_is_no_simple_value_the_reason_is_said(schema, why):
    with pytest.raises(NoSmallest, match=why):
        smallest(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^(a+)+$b"},
        {"anyOf": [{"$ref": "#"}] * 30},
        {"allOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"type": "string", "minLength": 10**12},
        {"type": "object", "minProperties": 10**12},
        {"type": "object", "required": [f"p{number}" for number in range(3000)], "additionalProperties": {"$ref": "#"}},
    ],
    ids=lambda schema: str(schema)[:40],
)
def test_a_hostile_schema_costs_seconds_at_most(schema):
    begun = time.process_time()
    with pytest.raises(NoSmallest):
        smallest(schema)
    assert time.process_time() - begun < 5


def scalars():
    bounds = st.integers(-50, 50)
    return st.one_of(
        st.just({"type": "boolean"}),
        st.just({"type": "null"}),
        st.builds(
            lambda low, span, step, kind: {"type": kind, "minimum": low, "maximum": low + span, "multipleOf": step},
            bounds,
            st.integers(10, 60),
            st.sampled_from([1, 2, 5, 0.5]),
            st.sampled_from(["integer", "number"]),
        ),
        st.builds(lambda low: {"type": "integer", "exclusiveMinimum": low}, bounds),
        st.builds(lambda high: {"type": ["number", "null"], "exclusiveMaximum": high}, bounds),
        st.builds(lambda short: {"type": "string", "minLength": short, "maxLength": short + 3}, st.integers(0, 20)),
        st.builds(lambda form: {"type": "string", "format": form}, st.sampled_from(["date", "email", "uuid", "ipv6"])),
        st.sampled_from([{"type": "string", "pattern": text} for text in ("^[a-z]+$", r"^\d+$", "^.{3}$", "^[A-Z]")]),
        st.builds(lambda values: {"enum": values}, st.lists(st.none() | st.integers() | st.text(), min_size=1)),
        st.builds(lambda value: {"const": value}, st.none() | st.booleans() | st.text()),
        st.just(True),
        st.just({"$ref": "#/$defs/shared"}),
    )


def larger(inner):
    names = st.sampled_from(["a", "b", "c", "d"])
    return st.one_of(
        st.builds(
            lambda properties, optional: {
                "type": "object",
                "properties": properties,
                "required": [name for name in properties if name not in optional],
                "additionalProperties": False,
            },
            st.dictionaries(names, inner, max_size=4),
            st.sets(names),
        ),
        st.builds(lambda items, least: {"type": "array", "items": items, "minItems": least}, inner, st.integers(0, 3)),
        st.builds(
            lambda first: {"type": "array", "prefixItems": first, "minItems": len(first)}, st.lists(inner, max_size=3)
        ),
        st.builds(
            lambda least: {"type": "array", "items": {"type": "integer"}, "minItems": least, "uniqueItems": True},
            st.integers(0, 8),
        ),
        st.builds(lambda branches: {"anyOf": branches}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda branch, title: {"allOf": [branch, {"title": title}]}, inner, st.text(max_size=3)),
        st.builds(
            lambda left, right: {
                "oneOf": [
                    {"type": "object", "properties": {"kind": {"const": 1}, "x": left}, "required": ["kind", "x"]},
                    {"type": "object", "properties": {"kind": {"const": 2}, "y": right}, "required": ["kind", "y"]},
                ]
            },
            inner,
            inner,
        ),
    )


SCHEMAS = st.recursive(scalars(), larger, max_leaves=8)


def whole(schema):
    shared = {
        "type": "object",
        "properties": {"more": {"$ref": "#/$defs/shared"}, "n": {"type": "integer"}},
        "required": ["n"],
    }
    return {"$defs": {"shared": shared}, "type": "object", "properties": {"value": schema}, "required": ["value"]}


@settings(max_examples=400, deadline=None)
@given(SCHEMAS)
def test_the_smallest_value_of_a_generated_schema_is_valid(schema):
    document = whole(schema)
    jsonschema.Draft202012Validator(document).validate(smallest(document))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-60, 60) | st.floats(-60, 60, width=16) | st.text("aA1", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcdn"), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=400, deadline=None)
@given(SCHEMAS, VALUES)
def test_what_fits_is_what_a_full_validator_accepts(schema, value):
    document = whole(schema)
    instance = {"value": value}
    assert fits(instance, document, document) == jsonschema.Draft202012Validator(document).is_valid(instance)


def test_arguments_of_the_plan_win_over_the_schema():
    listing = [
        {"name": "t", "inputSchema": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}}
    ]
    tools = known(listing)
    assert choose(tools, ToolChoice(named=("t",))).candidates[0].arguments == {"q": ""}
    given_by_user = ToolChoice(named=("t",), arguments={"t": {"q": "cats"}})
    assert choose(tools, given_by_user).candidates[0].arguments == {"q": "cats"}


def test_an_undo_without_arguments_gets_the_smallest_and_an_impossible_one_is_a_usage_error():
    schema = {"type": "object", "properties": {"q": {"type": "string", "pattern": "^x{3}[0-9]z$"}}, "required": ["q"]}
    tools = known([{"name": "wipe", "inputSchema": {"type": "object"}}, {"name": "odd", "inputSchema": schema}])
    assert choose(tools, ToolChoice(undo={"wipe": {}})).undo[0].arguments == {}
    with pytest.raises(UsageError, match="--undo odd=JSON"):
        choose(tools, ToolChoice(undo={"odd": {}}))


def test_what_is_no_tool_in_the_list_is_passed_over_and_a_name_counts_once():
    listing = [None, 3, {"name": 5}, {"name": "a", "inputSchema": []}, {"name": "a"}, {"name": "b", "annotations": "x"}]
    assert [tool.name for tool in known(listing)] == ["a", "b"]
