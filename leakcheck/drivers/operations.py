"""What is played beside calls, how each input is tried once before it is, and the order of kinds in a round."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from itertools import cycle, islice
from typing import Generic, TypeVar

from leakcheck.drivers.messages import Expect, Operation, Rpc
from leakcheck.drivers.tools import Chosen
from leakcheck.model.event import NotPlayed

TRY_SECONDS = 2.0
"""A tool that takes longer on its try-out is left out: at 4 in flight it would leave too few operations to judge."""
LIST = Rpc(words="tools/list", method="tools/list", params={})
"""Played where no tool may be called."""
_SKIPPED = "left out by --skip"
_NOBODY = "leakcheck-no-such-tool"

Input = TypeVar("Input")


def rejects(chosen: Chosen | None) -> tuple[Rpc, ...]:
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
        Rpc(words=words, method=method, params=params, expect=Expect.ERROR) for words, method, params in inputs
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


def cancels(slowest: Chosen | None) -> Rpc:
    """Return the request that is cancelled at once: the slowest call there is."""
    rpc = slowest.rpc if slowest else LIST
    return replace(rpc, words=f"a cancelled {rpc.words}", expect=Expect.ANSWER)


def try_tools(
    candidates: Iterable[Chosen], attempt: Callable[[Chosen], tuple[str | None, float]], skip: Sequence[str]
) -> tuple[list[Chosen], list[NotPlayed]]:
    """Call each candidate once; return those that answered well, fastest first, and of the others why not.

    `attempt` returns what was wrong, and the seconds it took; kinds of `skip` are not even tried.
    """
    took: list[tuple[float, Chosen]] = []
    left_out: list[NotPlayed] = []
    for chosen in candidates:
        if chosen.kind in skip:
            left_out.append(NotPlayed(operation=chosen.kind, reason=_SKIPPED))
            continue
        problem, seconds = attempt(chosen)
        if problem is None:
            took.append((seconds, chosen))
        else:
            left_out.append(NotPlayed(operation=chosen.kind, reason=f"tried once: {problem}"))
    return [chosen for _, chosen in sorted(took, key=lambda pair: pair[0])], left_out


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried(Generic[Input]):
    """What the first try of a kind's inputs has shown."""

    good: tuple[Input, ...]
    not_played: tuple[NotPlayed, ...] = ()
    """The kind, if none is good."""
    warnings: tuple[str, ...] = ()
    """Of those left out, if some are good."""


def try_inputs(
    kind: str, inputs: Iterable[Input], attempt: Callable[[Input], str | None], skip: Sequence[str]
) -> Tried[Input]:
    """Try each input of a kind once, unless the kind is in `skip`; `attempt` returns what was wrong."""
    if kind in skip:
        return Tried(good=(), not_played=(NotPlayed(operation=kind, reason=_SKIPPED),))
    problems = [(one, attempt(one)) for one in inputs]
    good = tuple(one for one, problem in problems if problem is None)
    bad = [problem for _, problem in problems if problem is not None]
    if good:
        return Tried(good=good, warnings=tuple(f"{kind}, tried once, left out: {problem}" for problem in bad))
    return Tried(good=(), not_played=(NotPlayed(operation=kind, reason=f"tried once: {'; '.join(bad)}"),))


def interleaved(inputs: Mapping[str, Sequence[Operation]], doses: Mapping[str, int]) -> Iterator[Operation]:
    """Yield each kind's inputs, from the first on and around, all kinds evenly spread, always in the same order."""
    streams = [_spread(inputs[kind], doses[kind], rank) for rank, kind in enumerate(inputs) if doses.get(kind, 0) > 0]
    return (operation for _, _, operation in merge(*streams, key=lambda placed: placed[:2]))


def _spread(inputs: Sequence[Operation], count: int, rank: int) -> Iterator[tuple[float, int, Operation]]:
    for number, operation in enumerate(islice(cycle(inputs), count)):
        yield (number + 0.5) / count, rank, operation
