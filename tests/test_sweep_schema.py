"""sweep.schema.json and the dataclasses of a sweep say the same."""

import dataclasses
import enum
import json
import types
import typing
from collections.abc import Mapping
from importlib import resources

import jsonschema
import pytest

from leakcheck.model import sweep as model

DOCUMENT = json.loads(resources.files("leakcheck").joinpath("schema/sweep.schema.json").read_text(encoding="utf-8"))
SCALARS = {int: "integer", float: "number", str: "string", bool: "boolean", type(None): "null"}
KINDS = {
    name: kind for name, kind in vars(model).items() if isinstance(kind, type) and kind.__module__ == model.__name__
}
RECORDS = {name: kind for name, kind in KINDS.items() if dataclasses.is_dataclass(kind)}
FIELDS = [(name, field.name) for name, kind in RECORDS.items() for field in dataclasses.fields(kind)]


def definition(name):
    return DOCUMENT if name == "Sweep" else DOCUMENT["$defs"][name]


def expected(kind):
    """The JSON form of a Python type, without descriptions."""
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
    return {"$ref": f"#/$defs/{kind.__name__}"} if kind in KINDS.values() else {"type": SCALARS[kind]}


def test_the_schema_is_itself_valid_and_defines_every_type():
    jsonschema.Draft202012Validator.check_schema(DOCUMENT)
    assert set(DOCUMENT["$defs"]) | {"Sweep"} == set(KINDS)


@pytest.mark.parametrize("name", RECORDS)
def test_an_object_has_the_keys_of_its_dataclass_all_required_and_more_allowed(name):
    names = [field.name for field in dataclasses.fields(RECORDS[name])]
    assert list(definition(name)["properties"]) == definition(name)["required"] == names
    assert definition(name)["additionalProperties"] is True


@pytest.mark.parametrize(("name", "key"), FIELDS)
def test_a_key_has_the_json_type_of_its_field_and_says_what_it_is(name, key):
    form = dict(definition(name)["properties"][key])
    assert form.pop("description").endswith((".", ")", "`"))
    if (name, key) == ("Sweep", "schema"):
        assert form == {"const": model.SWEEP_SCHEMA}
    else:
        assert form == expected(typing.get_type_hints(RECORDS[name])[key])


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if issubclass(kind, enum.Enum)])
def test_an_enum_lists_exactly_its_members(name):
    assert definition(name)["enum"] == [member.value for member in KINDS[name]]
