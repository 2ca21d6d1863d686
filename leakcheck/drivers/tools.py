"""Which of a server's tools are called, and with what: by what they declare, and by what the plan names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from leakcheck.drivers.arguments import NoSmallest, smallest
from leakcheck.drivers.messages import Rpc, shown
from leakcheck.errors import UsageError
from leakcheck.model.event import NotPlayed
from leakcheck.model.plan import ToolChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """What a server says of one tool."""

    name: str
    schema: Mapping[str, object]
    read_only: bool
    """Declared so; False where nothing is declared."""
    closed_world: bool
    """Declared so; False where nothing is declared, as the standard has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A tool that may be called, with its arguments."""

    tool: Tool
    arguments: Mapping[str, object]

    @property
    def kind(self) -> str:
        """What a call of it is counted as."""
        return f"call:{self.tool.name}"

    @property
    def rpc(self) -> Rpc:
        """The call."""
        params = {"name": self.tool.name, "arguments": self.arguments}
        return Rpc(words=f"call of {shown(self.tool.name, 80)!r}", method="tools/call", params=params)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is to be tried, what undoes, and what was left out."""

    candidates: tuple[Chosen, ...]
    undo: tuple[Chosen, ...]
    left_out: tuple[NotPlayed, ...]


def known(listing: Iterable[object]) -> tuple[Tool, ...]:
    """Return the tools of a `tools/list` answer; what has no name is not a tool, and a name counts once."""
    tools: dict[str, Tool] = {}
    for entry in listing:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            continue
        hints, schema = entry.get("annotations"), entry.get("inputSchema")
        declared = hints if isinstance(hints, dict) else {}
        tools.setdefault(
            entry["name"],
            Tool(
                name=entry["name"],
                schema=schema if isinstance(schema, dict) else {},
                read_only=declared.get("readOnlyHint") is True,
                closed_world=declared.get("openWorldHint") is False,
            ),
        )
    return tuple(tools.values())


def choose(tools: tuple[Tool, ...], plan: ToolChoice) -> Choice:
    """Decide for each tool, before any is called. Raises UsageError for a name that no tool has."""
    _check_names(tools, plan)
    candidates: list[Chosen] = []
    undo: list[Chosen] = []
    left_out: list[NotPlayed] = []
    for tool in tools:
        undoing = tool.name in plan.undo
        reason = None if undoing else _not_eligible(tool, plan)
        if reason is None:
            try:
                (undo if undoing else candidates).append(Chosen(tool=tool, arguments=_arguments(tool, plan)))
            except NoSmallest as why:
                name = shown(tool.name, 80)
                reason = f"no valid arguments found, {shown(str(why))}; give them with --arguments {name}=JSON"
                if undoing:
                    raise UsageError(f"--undo {name}: {reason.replace('--arguments', '--undo')}.") from why
        if reason is not None:
            left_out.append(NotPlayed(operation=f"call:{tool.name}", reason=reason))
    order = list(plan.undo)
    undo.sort(key=lambda chosen: order.index(chosen.tool.name))
    return Choice(candidates=tuple(candidates), undo=tuple(undo), left_out=tuple(left_out))


def _check_names(tools: tuple[Tool, ...], plan: ToolChoice) -> None:
    there = [tool.name for tool in tools]
    for option, names in (("--tool", plan.named), ("--arguments", plan.arguments), ("--undo", plan.undo)):
        for name in names:
            if name not in there:
                exist = ", ".join(shown(other, 80) for other in there) or "none at all"
                raise UsageError(f"{option} {shown(name, 80)}: the server has no such tool; it has {exist}.")


def _not_eligible(tool: Tool, plan: ToolChoice) -> str | None:
    if tool.name in plan.named:
        return None
    if not tool.read_only:
        return None if plan.allow_destructive else "not declared read-only; name it with --tool, or --allow-destructive"
    if not tool.closed_world:
        return (
            None if plan.allow_open_world else "not declared closed-world; name it with --tool, or --allow-open-world"
        )
    return None


def _arguments(tool: Tool, plan: ToolChoice) -> Mapping[str, object]:
    given = plan.undo.get(tool.name) or plan.arguments.get(tool.name)
    if given is not None:
        return given
    # Root stays the whole schema: its `$ref`s point into it.
    value = smallest({"type": "object", **tool.schema}, tool.schema)
    return value if isinstance(value, dict) else {}


def none_called(tools: int) -> NotPlayed:
    """Return what is said when no tool at all can be called."""
    if not tools:
        return NotPlayed(operation="call:*", reason="the server lists no tools")
    return NotPlayed(
        operation="call:*",
        reason=f"0 of {tools} tools called: none is declared read-only and closed-world; name some with --tool",
    )
