"""What a procedure is, and the one way in which it comes from JSON: checked whole before anything runs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mimo_server.errors import ProcedureError
from mimo_server.procedures.steps import STEPS, kind_of

MOST_STATES = 64
MOST_ARGUMENT_BYTES = 16 * 1024
_DEEPEST = 16
"""Levels of nesting in arguments."""
DEADLINE_SECONDS = (0.05, 86_400.0)
RETRIES = (0, 10)
BACKOFF_SECONDS = (0.0, 60.0)

_NAME = re.compile("[a-z][a-z0-9_]{0,63}")
_VERSION = re.compile(r"[0-9]{1,6}\.[0-9]{1,6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """The step that a state plays on being entered."""

    step: str
    arguments: Mapping[str, Any]
    timeout_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Without `on` the run ends here; without an action it waits here for one of the events of `on`."""

    name: str
    action: Action | None
    on: Mapping[str, str]
    """The next state by event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Procedure:
    """A state machine that was checked: each target exists, each state can be reached, and one ends it."""

    name: str
    version: str
    initial: str
    states: Mapping[str, State]
    deadline_seconds: float
    """From start to end, whatever happens in between."""
    retries: int
    """How often a failed action is played again where the state has no transition for "error"."""
    backoff_seconds: float
    """Before the first retry; doubled for each further one."""

    @classmethod
    def parse(cls, value: object) -> Procedure:
        """From decoded JSON. Raises ProcedureError naming procedure, state and field."""
        form = _object(
            value,
            "the procedure",
            required={"name", "version", "initial", "states"},
            optional={"deadline_seconds", "retries", "backoff_seconds"},
        )
        name = _text(form["name"], "the procedure's name", _NAME, "a-z, 0-9 and _, at most 64")
        where = f"procedure {name!r}"
        states = _states(form["states"], where)
        initial = _text(form["initial"], f"{where}: initial", _NAME, "the name of a state")
        _check_graph(states, initial, where)
        retries = _number(form.get("retries", 3), f"{where}: retries", RETRIES)
        if retries != int(retries):
            raise ProcedureError(f"{where}: retries must be a whole number, not {retries}; round it")
        return cls(
            name=name,
            version=_text(form["version"], f"{where}: version", _VERSION, "such as 1.0"),
            initial=initial,
            states=states,
            deadline_seconds=_number(form.get("deadline_seconds", 300), f"{where}: deadline_seconds", DEADLINE_SECONDS),
            retries=int(retries),
            backoff_seconds=_number(form.get("backoff_seconds", 1), f"{where}: backoff_seconds", BACKOFF_SECONDS),
        )


def _states(value: object, where: str) -> dict[str, State]:
    if not isinstance(value, dict) or not 1 <= len(value) <= MOST_STATES:
        size = len(value) if isinstance(value, dict) else kind_of(value)
        raise ProcedureError(f"{where}: states must be an object of 1 to {MOST_STATES}, not {size}; split it")
    return {
        _text(name, f"{where}: the name of a state", _NAME, "a-z, 0-9 and _, at most 64"): _state(
            name, form, f"{where}: state {name!r:.70}"
        )
        for name, form in value.items()
    }


def _state(name: str, value: object, where: str) -> State:
    form = _object(value, where, required=set(), optional={"action", "on"})
    action = _action(form["action"], f"{where}: action") if "action" in form else None
    on = form.get("on", {})
    if not isinstance(on, dict) or ("on" in form and not 1 <= len(on) <= MOST_STATES):
        raise ProcedureError(
            f"{where}: on must be an object of 1 to {MOST_STATES} events and their targets; leave it out to end there"
        )
    for event in on:
        _text(event, f"{where}: an event of on", _NAME, "a-z, 0-9 and _, at most 64")
    if action is not None and on:
        _check_events(action, set(on), where)
    return State(name=name, action=action, on=on)


def _check_events(action: Action, on: set[str], where: str) -> None:
    """A state with an action moves on by its step's events only: any other would never come, or never fit."""
    can = STEPS[action.step].events
    if missing := sorted(can - on):
        raise ProcedureError(f"{where}: on lacks {missing[0]!r}, with which {action.step} can end; give it a target")
    if foreign := sorted(on - can - {"error"}):
        raise ProcedureError(
            f"{where}: on has {foreign[0]!r}, but {action.step} ends with {', '.join(sorted(can))} or error only; "
            "wait for an event in a state of its own, without an action"
        )


def _action(value: object, where: str) -> Action:
    form = _object(value, where, required={"step", "arguments"}, optional={"timeout_seconds"})
    name = form["step"]
    if not isinstance(name, str) or name not in STEPS:
        raise ProcedureError(f"{where}.step {name!r:.60} is none of {', '.join(STEPS)}; give one of them")
    step = STEPS[name]
    arguments = _object(form["arguments"], f"{where}.arguments", required=step.required, optional=step.optional)
    _check_size(arguments, f"{where}.arguments")
    timeout = _number(form.get("timeout_seconds", 30), f"{where}.timeout_seconds", (0.01, 3600.0))
    return Action(step=name, arguments=arguments, timeout_seconds=timeout)


def _check_graph(states: Mapping[str, State], initial: str, where: str) -> None:
    if initial not in states:
        raise ProcedureError(f"{where}: initial {initial!r} is none of its states; name one of them")
    for state in states.values():
        for event, target in state.on.items():
            if not isinstance(target, str) or target not in states:
                raise ProcedureError(
                    f"{where}: state {state.name!r}: on.{event} leads to {target!r:.70}, which is no state; "
                    "add it or name another"
                )
    reached, ahead = {initial}, [initial]
    while ahead:
        new = set(states[ahead.pop()].on.values()) - reached
        reached |= new
        ahead.extend(new)
    if lost := sorted(states.keys() - reached):
        raise ProcedureError(f"{where}: state {lost[0]!r} is never reached from {initial!r}; lead there or remove it")
    if all(state.on for state in states.values()):
        raise ProcedureError(f"{where}: no state ends it; leave out `on` in one")


def _object(
    value: object, where: str, *, required: set[str] | frozenset[str], optional: set[str] | frozenset[str]
) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ProcedureError(f"{where} must be an object, not {kind_of(value)}; write it as {{...}}")
    if missing := sorted(required - value.keys()):
        raise ProcedureError(f"{where} lacks {missing[0]!r}; add it")
    if unknown := sorted(str(key) for key in value.keys() - required - optional):
        known = ", ".join(sorted(required | optional))
        raise ProcedureError(f"{where} has an unknown field {unknown[0]!r:.70}; there are only: {known}")
    return value


def _text(value: object, where: str, form: re.Pattern[str], what: str) -> str:
    if not isinstance(value, str) or form.fullmatch(value) is None:
        raise ProcedureError(f"{where} must be {what}, not {value!r:.70}; rename it")
    return value


def _number(value: object, where: str, bounds: tuple[float, float]) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not bounds[0] <= value <= bounds[1]:
        raise ProcedureError(f"{where} must be a number from {bounds[0]} to {bounds[1]}, not {value!r:.60}; correct it")
    return float(value)


def _check_size(arguments: object, where: str) -> None:
    level: list[Any] = [arguments]
    for _ in range(_DEEPEST):  # level by level: JSON that is nested deeper than Python's stack must not break it
        level = [
            below
            for above in level
            if isinstance(above, dict | list)
            for below in (above.values() if isinstance(above, dict) else above)
        ]
    if level:
        raise ProcedureError(f"{where} are nested more than {_DEEPEST} deep; flatten them")
    try:
        size = len(json.dumps(arguments, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ProcedureError(f"{where} are no JSON ({error}); correct them") from error
    if size > MOST_ARGUMENT_BYTES:
        raise ProcedureError(f"{where} take {size} bytes, more than {MOST_ARGUMENT_BYTES}; put them into the context")
