"""The smallest valid value of a JSON Schema: what a tool is called with when nobody says otherwise.

Does not see: what a tool means by its arguments. A valid path need not exist; the try-out finds that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import chain, islice

from leakcheck.drivers.merging import merged
from leakcheck.drivers.schema import (
    Schema,
    bounds,
    canonical,
    fits,
    item_schemas,
    mapping,
    matches,
    property_schemas,
    resolved,
    types_of,
)

_DEEPEST = 12
"""Levels of nesting tried, from 1 on: what is shallow is found first, and recursion ends."""
_STEPS = 4000
"""Schemas looked at in all: a hostile schema could branch without end."""
_CHOICES = 64
"""Values tried for one place, and the longest array or text made."""
_FORMATS: Mapping[str, str] = {
    "date": "2000-01-01",
    "date-time": "2000-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "PT0S",
    "uri": "http://localhost/",
    "url": "http://localhost/",
    "uri-reference": "/",
    "email": "a@example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "hostname": "localhost",
}
_SHAPES = (
    "a-a",
    "a_a",
    "a.a",
    "a/a",
    "/a",
    "a:a",
    "a a",
    "1.0.0",
    "v1",
    "Aa",
    "a1",
    "A1",
    "00:00",
    "#000000",
    "2000-01",
)
_SLOW_PATTERN_LONGEST = 12
"""Characters. Python's matching can take 2^n steps where one repetition holds another, as in `(a+)+$`."""
_IMPLIED: Mapping[str, tuple[str, ...]] = {
    "object": ("properties", "required", "minProperties", "additionalProperties", "patternProperties"),
    "array": ("items", "prefixItems", "minItems", "uniqueItems", "contains"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


class NoSmallest(ValueError):
    """No valid value was found; the message says why."""


def smallest(schema: object, root: object | None = None) -> object:
    """Return a small value that fits `schema`: default, const, the first of enum or examples, else the smallest.

    Objects get their required properties only. References are looked up in `root` (by default the schema itself).
    Raises NoSmallest, for example where no simple text matches a pattern.
    """
    whole = schema if root is None else root
    why = ""
    for depth in range(1, _DEEPEST + 1):
        search = _Search(whole)
        for value in islice(search.values(schema, depth), _CHOICES):
            if fits(value, schema, whole):
                return value
        why = search.why
    raise NoSmallest(why or "no small value fits it")


class _Search:
    """One bounded search. Yields candidates, best first; every level keeps only what fits its own schema."""

    def __init__(self, root: object) -> None:
        self._root = root
        self._steps = _STEPS
        self.why = ""

    def values(self, schema: object, depth: int) -> Iterator[object]:
        """Yield values that may fit `schema`, nesting at most `depth` deep."""
        self._steps -= 1
        if self._steps < 0:
            self.why = "its schema has too many branches"
        elif depth <= 0:
            self.why = self.why or "it nests too deep, or refers to itself without end"
        elif schema is False:
            self.why = "its schema allows nothing"
        else:
            rules = mapping(schema)
            yield from chain(self._given(rules), self._applied(rules, depth))

    def _given(self, rules: Schema) -> Iterator[object]:
        if "default" in rules:
            yield rules["default"]
        if "const" in rules:
            yield rules["const"]
        for name in ("enum", "examples"):
            listed = rules.get(name)
            yield from listed if isinstance(listed, list) else ()

    def _applied(self, rules: Schema, depth: int) -> Iterator[object]:
        """Resolve one `$ref`, allOf, anyOf, oneOf or if into plain rules, merged with what stands beside it."""
        if "$ref" in rules:
            pointed = resolved(rules["$ref"], self._root)
            if pointed is None:
                self.why = f"it refers to {str(rules['$ref'])[:80]!r}, which is not in the schema"
            else:
                yield from self.values(merged(_without(rules, "$ref"), pointed), depth - 1)
            return
        for name in ("allOf", "anyOf", "oneOf"):
            branches = rules.get(name)
            if isinstance(branches, list):
                rest: Schema | bool = _without(rules, name)
                if name == "allOf":
                    for branch in branches:
                        rest = merged(rest, branch)
                    branches = [{}]
                for branch in branches:
                    yield from self._fitting(merged(rest, branch), depth, rules)
                return
        if "if" in rules:
            rest = _without(rules, "if", "then", "else")
            for branch in (rules.get("else", {}), merged(mapping(rules["if"]), rules.get("then", {}))):
                yield from self._fitting(merged(rest, branch), depth, rules)
            return
        yield from self._plain(rules, depth)

    def _fitting(self, branch: object, depth: int, rules: Schema) -> Iterator[object]:
        return (value for value in islice(self.values(branch, depth), _CHOICES) if fits(value, rules, self._root))

    def _plain(self, rules: Schema, depth: int) -> Iterator[object]:
        if "enum" in rules or "const" in rules:
            return
        named = types_of(rules)
        if not named:
            named = tuple(kind for kind, words in _IMPLIED.items() if any(word in rules for word in words)) or ("null",)
        for kind in sorted(named, key=lambda name: (name == "null" and len(named) > 1, named.index(name))):
            if kind == "null":
                yield None
            elif kind == "boolean":
                yield from (False, True)
            elif kind in {"integer", "number"}:
                yield from _numbers(rules, whole=kind == "integer")
            elif kind == "string":
                yield from self._strings(rules)
            elif kind == "array":
                yield from self._arrays(rules, depth)
            else:
                yield from self._objects(rules, depth)

    def _strings(self, rules: Schema) -> Iterator[str]:
        least = rules.get("minLength")
        short = min(int(least), 1 << 16) if isinstance(least, (int, float)) else 0
        pattern, form = rules.get("pattern"), rules.get("format")
        samples = [_FORMATS[form]] if isinstance(form, str) and form in _FORMATS else []
        if not isinstance(pattern, str):
            if not samples:
                yield from ("a" * length for length in range(short, short + _CHOICES))
            yield from samples
            return
        lengths = sorted({short, *range(1, 9), 10, 12, 16, 20, 24, 32, 36, 40, 64} - set(range(short)))
        runs = (mark * length for length in lengths for mark in "aA0/-_#. ")
        slow = any(mark in pattern for mark in (")+", ")*", ",})", ")?)"))
        for text in chain(samples, runs, _SHAPES, _FORMATS.values()):
            if not (slow and len(text) > _SLOW_PATTERN_LONGEST) and matches(pattern, text):
                yield text
        self.why = f"no simple text matches the pattern {pattern[:80]!r}"

    def _arrays(self, rules: Schema, depth: int) -> Iterator[list[object]]:
        least, unique = rules.get("minItems"), rules.get("uniqueItems") is True
        length = int(least) if isinstance(least, (int, float)) else 0
        if length > _CHOICES:
            self.why = f"it wants an array of {length} items"
            return
        first, rest = item_schemas(rules)
        start: list[object] = []
        if "contains" in rules:
            item = next(self._distinct(rules["contains"], depth, ()), _NOTHING)
            start = [] if item is _NOTHING else [item]
        for head in (start, []) if start else ([],):
            made: list[object] = list(head) if not first else []
            while len(made) < max(length, len(head)):
                schema = first[len(made)] if len(made) < len(first) else rest
                item = next(self._distinct(schema, depth, made if unique else ()), _NOTHING)
                if item is _NOTHING:
                    return
                made.append(item)
            yield made

    def _distinct(self, schema: object, depth: int, taken: list[object] | tuple[()]) -> Iterator[object]:
        known = {canonical(item) for item in taken}
        for value in islice(self.values(schema, depth - 1), 2 * _CHOICES):
            if canonical(value) not in known and fits(value, schema, self._root):
                yield value

    def _objects(self, rules: Schema, depth: int) -> Iterator[dict[str, object]]:
        required, least = rules.get("required"), rules.get("minProperties")
        names = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
        wanted = int(least) if isinstance(least, (int, float)) else 0
        spare = chain(mapping(rules.get("properties")), (f"a{number}" for number in range(min(wanted, _CHOICES))))
        dependent = mapping(rules.get("dependentRequired"))
        made: dict[str, object] = {}
        while names or len(made) < wanted:
            name = names.pop(0) if names else next((other for other in spare if other not in made), None)
            if name is None:
                return
            if name in made:
                continue
            schemas = property_schemas(name, rules)
            item = next(self._distinct(schemas[0] if len(schemas) == 1 else {"allOf": schemas}, depth, ()), _NOTHING)
            if item is _NOTHING:
                self.why = f"property {name[:80]!r}: {self.why}" if not self.why.startswith("property") else self.why
                return
            made[name] = item
            needed = dependent.get(name)
            names += needed if isinstance(needed, list) else []
        yield made


_NOTHING = object()


def _numbers(rules: Schema, *, whole: bool) -> Iterator[float]:
    """Yield 0, the bounds, their middle, then what lies next to each of them, in steps that the schema allows."""
    low, _, high, _ = bounds(rules)
    step = rules.get("multipleOf")
    pace: float = step if isinstance(step, (int, float)) and step > 0 else 1
    if whole:
        pace = int(next((pace * times for times in range(1, 1001) if float(pace * times).is_integer()), 1))
    ends = [bound for bound in (low, high) if bound is not None and math.isfinite(bound)]
    yield 0
    yield from (int(end) if whole else end for end in ends if not whole or float(end).is_integer())
    if len(ends) == 2 and not whole:
        yield sum(ends) / 2
    nearest = [(math.ceil(ends[0] / pace), 1)] if low is not None and ends else []
    nearest += [(math.floor(ends[-1] / pace), -1)] if high is not None and ends else []
    for more in range(_CHOICES):
        for start, way in (*nearest, (1, 1), (-1, -1)):
            yield (start + way * more) * pace


def _without(rules: Schema, *names: str) -> dict[str, object]:
    return {key: value for key, value in rules.items() if key not in names}
