"""What a state of a procedure can do: one function per step.

There is no step that fetches a URL: whoever may start a procedure could then reach what only this machine can.
A skill, which an operator put into the catalog, is the way to the outside.
"""

from __future__ import annotations

import asyncio
import json
import logging
import operator as op
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from mimo_server.errors import InvalidError

_log = logging.getLogger(__name__)

_LONGEST_MESSAGE = 200
_LONGEST_DELAY_SECONDS = 3600
_MOST_HITS = 100

Value = TypeVar("Value")


class Tools(Protocol):
    """What steps need of the rest of the server. Each may raise any MimoError; that is a failed step."""

    async def store(self, content: str, category: str, importance: float) -> int | str:
        """Keep a memory and return its id."""

    async def search(self, query: str, limit: int, min_similarity: float) -> Sequence[tuple[int | str, float]]:
        """Ids and similarities of the memories most like the query, most alike first."""

    async def forget(self, number: int | str) -> int:
        """Delete the memory of that id and return how many there were."""

    async def call_skill(self, skill: str, tool: str, arguments: Mapping[str, Any]) -> Any:
        """The answer of a skill's tool, as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a step."""

    arguments: Mapping[str, Any]
    """With the names of the context replaced by what they stand for."""
    context: Mapping[str, Any]
    tools: Tools


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a step gives back."""

    result: Mapping[str, Any] = field(default_factory=dict)
    """Goes into the context."""
    event: str = "success"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A function and the form of its arguments."""

    play: Callable[[Call], Awaitable[Outcome]]
    required: frozenset[str]
    optional: frozenset[str] = frozenset()
    events: frozenset[str] = frozenset({"success"})
    """All that it can end with, other than "error"."""


async def log(call: Call) -> Outcome:
    """Write a message into the server's log, as JSON and cut at 200 characters."""
    _log.info("procedure: %s", json.dumps(_want(call, "message", str)[:_LONGEST_MESSAGE]))
    return Outcome()


async def validate(call: Call) -> Outcome:
    """Fail unless the context has `fields` {name: type} and each of `at_least` {name: number} is reached."""
    for name, kind in _want(call, "fields", dict).items():
        if name not in call.context or kind_of(call.context[name]) != kind:
            found = kind_of(call.context[name]) if name in call.context else "nothing"
            raise InvalidError(f"context.{name} must be a {kind}, not {found}; give it at the start or in an event")
    for name, least in _want(call, "at_least", dict, {}).items():
        if not compare(call.context.get(name), "gte", least):
            raise InvalidError(f"context.{name} is {call.context.get(name)!r:.60}; it must be at least {least!r:.60}")
    return Outcome()


async def set_context(call: Call) -> Outcome:
    """Put `values` into the context."""
    return Outcome(result=_want(call, "values", dict))


async def conditional(call: Call) -> Outcome:
    """Compare `left` with `right` by `operator`; the event is "true" or "false"."""
    holds = compare(call.arguments["left"], _want(call, "operator", str), call.arguments["right"])
    return Outcome(event="true" if holds else "false")


async def delay(call: Call) -> Outcome:
    """Wait for `seconds`."""
    await asyncio.sleep(_within(call, "seconds", (0, _LONGEST_DELAY_SECONDS), 0))
    return Outcome()


async def memory_store(call: Call) -> Outcome:
    """Remember `content`; its `id` is in the context then."""
    number = await call.tools.store(
        _want(call, "content", str), _want(call, "category", str, "fact"), _within(call, "importance", (0, 1), 0.5)
    )
    return Outcome(result={"id": number})


async def memory_search(call: Call) -> Outcome:
    """Search for `query`; `ids` and `similarities` are in the context then (contents could be too big for it)."""
    hits = await call.tools.search(
        _want(call, "query", str),
        int(_within(call, "limit", (1, _MOST_HITS), 10)),
        _within(call, "min_similarity", (-1, 1), 0),
    )
    return Outcome(result={"ids": [number for number, _ in hits], "similarities": [alike for _, alike in hits]})


async def memory_forget(call: Call) -> Outcome:
    """Delete the memory of `id`; how many there were is `forgotten` in the context then."""
    if kind_of(number := call.arguments["id"]) not in {"number", "string"}:
        raise InvalidError(f"id must be a memory's id, not {number!r:.60}; memory_store puts one into the context")
    return Outcome(result={"forgotten": await call.tools.forget(number)})


async def skill_call(call: Call) -> Outcome:
    """Call a `tool` of a `skill` with `arguments`; its `answer` is in the context then."""
    answer = await call.tools.call_skill(
        _want(call, "skill", str), _want(call, "tool", str), _want(call, "arguments", dict, {})
    )
    return Outcome(result={"answer": answer})


STEPS: Mapping[str, Step] = MappingProxyType(
    {
        "log": Step(play=log, required=frozenset({"message"})),
        "validate": Step(play=validate, required=frozenset({"fields"}), optional=frozenset({"at_least"})),
        "set_context": Step(play=set_context, required=frozenset({"values"})),
        "conditional": Step(
            play=conditional,
            required=frozenset({"left", "operator", "right"}),
            events=frozenset({"true", "false"}),
        ),
        "delay": Step(play=delay, required=frozenset({"seconds"})),
        "memory_store": Step(
            play=memory_store, required=frozenset({"content"}), optional=frozenset({"category", "importance"})
        ),
        "memory_search": Step(
            play=memory_search, required=frozenset({"query"}), optional=frozenset({"limit", "min_similarity"})
        ),
        "memory_forget": Step(play=memory_forget, required=frozenset({"id"})),
        "skill_call": Step(play=skill_call, required=frozenset({"skill", "tool"}), optional=frozenset({"arguments"})),
    }
)
"""All there are, by name."""


_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "boolean"),  # before number: a bool is an int in Python and not in JSON
    ((int, float), "number"),
    (str, "string"),
    ((list, tuple), "array"),
    (Mapping, "object"),
)


def kind_of(value: Any) -> str:
    """The type of a value in JSON's words."""
    return next((word for kind, word in _KINDS if isinstance(value, kind)), "null")


_ORDERS: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {"gt": op.gt, "gte": op.ge, "lt": op.lt, "lte": op.le}
)


def compare(left: Any, operator: str, right: Any) -> bool:
    """Whether `left operator right` holds, with JSON's types: true is no number, and 1 is less than no text."""
    match operator:
        case "eq" | "ne":
            return (left == right and kind_of(left) == kind_of(right)) is (operator == "eq")
        case "in":
            return compare(right, "contains", left)
        case "contains":
            if kind_of(left) == "array" or (kind_of(left) in {"string", "object"} and isinstance(right, str)):
                return right in left
        case "gt" | "gte" | "lt" | "lte":
            if kind_of(left) == kind_of(right) and kind_of(left) in {"number", "string"}:
                return bool(_ORDERS[operator](left, right))
        case _:
            raise InvalidError(
                f"operator {operator!r:.60} is none of eq ne gt gte lt lte contains in; give one of them"
            )
    raise InvalidError(f"{left!r:.60} {operator} {right!r:.60} cannot be said of these types; compare like with like")


def resolved(value: Any, context: Mapping[str, Any]) -> Any:
    """`value` with each text "$name" replaced by that entry of the context; "$$" stands for a dollar sign."""
    if isinstance(value, dict):
        return {key: resolved(entry, context) for key, entry in value.items()}
    if isinstance(value, list):
        return [resolved(entry, context) for entry in value]
    if not isinstance(value, str) or not value.startswith("$"):
        return value
    name = value[1:]
    if name.startswith("$"):
        return name
    if name not in context:
        raise InvalidError(
            f"{name!r:.60} is not in the context; give it at the start, in an event or by an earlier step"
        )
    return context[name]


def _want(call: Call, name: str, kind: type[Value], otherwise: Value | None = None) -> Value:
    value = call.arguments.get(name, otherwise)
    if not isinstance(value, kind):
        what = "an object" if kind is dict else "a string"
        raise InvalidError(f"{name} must be {what}, not {value!r:.60}; correct the state's arguments")
    return value


def _within(call: Call, name: str, bounds: tuple[float, float], otherwise: float) -> float:
    value = call.arguments.get(name, otherwise)
    if kind_of(value) != "number" or not bounds[0] <= value <= bounds[1]:  # a NaN is within nothing
        raise InvalidError(f"{name} must be a number from {bounds[0]} to {bounds[1]}, not {value!r:.60}; correct it")
    return float(value)
