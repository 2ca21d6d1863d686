"""The fixed inputs of `reject` and `cancel`, and the order in which kinds are played."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from itertools import cycle, islice

from leakcheck.drivers.messages import Expect, Operation, encoded
from leakcheck.drivers.tools import Chosen

_NOBODY = "leakcheck-no-such-tool"


def rejects(chosen: Chosen | None) -> tuple[Operation, ...]:
    """Return well-formed requests that a server must refuse; `chosen` is a tool that may be called, if there is one."""
    inputs: list[tuple[str, str, Mapping[str, object] | None]] = [
        ("an unknown method", "leakcheck/no-such-method", {}),
        ("a call of an unknown tool", "tools/call", {"name": _NOBODY, "arguments": {}}),
        ("a call without params", "tools/call", None),
        ("a read of an unknown resource", "resources/read", {"uri": "leakcheck://no-such-resource"}),
    ]
    wrong = wrong_arguments(chosen) if chosen else None
    if chosen and wrong is not None:
        named = {"name": chosen.tool.name, "arguments": wrong}
        inputs.insert(2, ("a call with wrong arguments", "tools/call", named))
    return tuple(
        Operation(kind="reject", words=words, request=encoded(method, params), expect=Expect.ERROR)
        for words, method, params in inputs
    )


def wrong_arguments(chosen: Chosen) -> Mapping[str, object] | None:
    """Return arguments without what is required, or of a wrong type; None where anything would be right."""
    if chosen.tool.schema.get("required"):
        return {}
    properties = chosen.tool.schema.get("properties")
    for name, schema in properties.items() if isinstance(properties, dict) else ():
        kind = schema.get("type") if isinstance(schema, dict) else None
        if kind in {"string", "integer", "number", "boolean", "array"}:
            return {name: {"leakcheck": "wrong type"}}
    return None


def cancels(slowest: Chosen | None) -> Operation:
    """Return the operation that asks, cancels at once, and must see a ping answered."""
    if slowest is not None:
        return slowest.operation(cancelled=True)
    return Operation(
        kind="cancel",
        words="a cancelled tools/list",
        request=encoded("tools/list", {}),
        expect=Expect.ANSWER,
        cancelled=True,
    )


def interleaved(inputs: Mapping[str, Sequence[Operation]], doses: Mapping[str, int]) -> Iterator[Operation]:
    """Yield each kind's inputs, from the first on and around, all kinds evenly spread, always in the same order."""
    streams = [_spread(inputs[kind], doses[kind], rank) for rank, kind in enumerate(inputs) if doses.get(kind, 0) > 0]
    return (operation for _, _, operation in merge(*streams, key=lambda placed: placed[:2]))


def _spread(inputs: Sequence[Operation], count: int, rank: int) -> Iterator[tuple[float, int, Operation]]:
    for number, operation in enumerate(islice(cycle(inputs), count)):
        yield (number + 0.5) / count, rank, operation
