"""From a plan file to a SweepPlan: what can be wrong with it is found here, before a start."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import NoReturn

from leakcheck.errors import UsageError
from leakcheck.options import words
from leakcheck.sweep.claimed import claims
from leakcheck.sweep.plan import ITEMS, NUMBER, CommandWork, SweepPlan, ToolWork, Variant, Work
from leakcheck.sweep.quantities import amount, share_or_bytes
from leakcheck.sweep.table import Table

_TOP = (
    *("name", "sizes", "cap", "repeats", "quiet_seconds", "ready_seconds", "call_seconds", "work_seconds"),
    "reopen",
    *("variants", "fill", "measure", "claims"),
)
_OF_TOOL = ("tool", "arguments", "item", "batch", "times", "in_flight")


def load(path: Path, memory_bytes: float) -> SweepPlan:
    """Read and check a plan; `memory_bytes` is what a cap such as `60%` is a share of.

    Raises UsageError: which key, which value, what to do.
    """
    top = Table(_document(path), f"'{path}'")
    top.check(_TOP)
    sizes = top.sizes("sizes", ())
    fill, measure = (_work(top.table(name), name) for name in ("fill", "measure"))
    given = top.table("variants")
    variants = tuple(_variant(name, given.table(name), sizes, fill, measure) for name in given.names())
    if not variants:
        _refuse(top, "it has no [variants.NAME]; add one with a command")
    return SweepPlan(
        file=str(path),
        name=top.text("name", path.stem),
        here=str(path.resolve().parent),
        cap_bytes=share_or_bytes(top.get("cap", "60%"), memory_bytes, top.named("cap")),
        repeats=top.whole("repeats", 1),
        quiet_seconds=_seconds(top, "quiet_seconds", 2.0),
        ready_seconds=_seconds(top, "ready_seconds", 60.0),
        call_seconds=_seconds(top, "call_seconds", 60.0),
        work_seconds=_seconds(top, "work_seconds", 3600.0),
        reopen=top.flag("reopen"),
        variants=variants,
        claims=claims(top.tables("claims"), tuple(one.name for one in variants)),
    )


def _document(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"There is no plan '{path}'; give the path of a TOML file") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"The plan '{path}' cannot be read as TOML: {error}; correct it") from error


def _variant(name: str, table: Table, sizes: tuple[int, ...], fill: Work | None, measure: Work | None) -> Variant:
    table.check(("command", "env", "sizes", "fill", "measure"))
    if re.fullmatch(r"[\w.-]{1,60}", name) is None:
        _refuse(table, f"the name {name!r} becomes part of file names; use letters, digits, '.', '_' and '-'")
    own_fill = _work(table.table("fill"), "fill") if table.has("fill") else fill
    own_measure = _work(table.table("measure"), "measure") if table.has("measure") else measure
    variant = Variant(
        name=name,
        command=_command(table),
        sizes=table.sizes("sizes", sizes),
        environment={key: table.table("env").text(key, "") for key in table.table("env").names()},
        fill=own_fill,
        measure=own_measure,
    )
    if not variant.sizes:
        _refuse(table, "it has no sizes; give `sizes = [1000, 10000]` here or at the top")
    if variant.fill is None and not variant.seeded:
        _refuse(table, "nothing fills it: add [fill], or {size} to its command if it fills itself at its start")
    return variant


def _command(table: Table) -> tuple[str, ...]:
    value = table.get("command", None)
    if isinstance(value, str):
        value = list(words(value, table.named("command")))
    if not isinstance(value, list) or not value or not all(isinstance(word, str) and word for word in value):
        raise UsageError(f"{table.named('command')} must be a command as text or list of words, not {value!r}")
    return tuple(value)


def _work(table: Table, name: str) -> Work | None:
    """`fill` or `measure`; None where the table is empty."""
    if not table.names():
        return None
    if table.has("command") == table.has("tool"):
        _refuse(table, f"[{name}] needs either `command` or `tool`")
    if table.has("command"):
        table.check(("command",))
        return CommandWork(command=_command(table))
    table.check(_OF_TOOL)
    work = ToolWork(
        tool=table.text("tool", ""),
        arguments=table.text("arguments", "{}"),
        item=table.text("item", ""),
        batch=table.whole("batch", 1),
        times=table.whole("times", 1),
        in_flight=table.whole("in_flight", 1),
    )
    _check_json(table, work)
    if name == "fill" and table.has("times"):
        _refuse(table, "`times` is for [measure]: a fill calls as often as the size needs")
    if (ITEMS in work.arguments) != bool(work.item):
        _refuse(table, "`item` and {items} in `arguments` belong together; give both or neither")
    if work.batch > 1 and not work.item:
        _refuse(table, f"`batch = {work.batch}` needs {{items}} in `arguments`, and `item`")
    return work


def _check_json(table: Table, work: ToolWork) -> None:
    for key, text in (("arguments", work.arguments), ("item", work.item or "{}")):
        plain = text.replace(NUMBER, "1").replace(ITEMS, "[]").replace("{size}", "1")
        try:
            given = json.loads(plain)
        except ValueError as error:
            raise UsageError(f"{table.named(key)} is not JSON once its placeholders are filled: {error}") from error
        if key == "arguments" and not isinstance(given, dict):
            raise UsageError(f"{table.named(key)} must be a JSON object, not {text!r}")


def _seconds(table: Table, key: str, usual: float) -> float:
    value, unit = amount(table.get(key, usual), "s", table.named(key))
    if unit != "s":
        raise UsageError(f"{table.named(key)} must be seconds, not {table.get(key, usual)!r}")
    return value


def _refuse(table: Table, why: str) -> NoReturn:
    raise UsageError(f"{table.where}: {why}")
