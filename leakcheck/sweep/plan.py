"""What to sweep, checked: frozen data that `parsing` makes of a plan file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from leakcheck.model.sweep import SWEEP_SCHEMA, Claim
from leakcheck.model.wire import to_wire

NUMBER, ITEMS = "{number}", "{items}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandWork:
    """A command that fills or measures; its exit code must be 0."""

    command: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolWork:
    """Calls of one MCP tool over the server's stdin and stdout."""

    tool: str
    arguments: str
    """JSON, with `{number}`, `{items}` and `{size}` unfilled."""
    item: str = ""
    """JSON of one of `{items}`, with `{number}`."""
    batch: int = 1
    """Items in a call."""
    times: int = 1
    """Calls of a measure; a fill makes as many as the size needs."""
    in_flight: int = 1


Work = CommandWork | ToolWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One server, or one way to start it."""

    name: str
    command: tuple[str, ...]
    sizes: tuple[int, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    fill: Work | None = None
    measure: Work | None = None

    @property
    def seeded(self) -> bool:
        """Whether the server fills itself at its start: its empty state is then a run of its own, at size 0."""
        return any("{size}" in text for text in (*self.command, *self.environment.values()))

    @property
    def speaks_mcp(self) -> bool:
        """Whether its stdin and stdout are a conversation."""
        return any(isinstance(work, ToolWork) for work in (self.fill, self.measure))

    @property
    def runs(self) -> tuple[int, ...]:
        """Return the sizes to run, smallest first, the empty one of a seeded server before them."""
        return tuple(sorted({*self.sizes, 0} if self.seeded else set(self.sizes)))


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPlan:
    """A plan file as it is carried out."""

    file: str
    name: str
    here: str
    """The folder of the file: `{here}`."""
    cap_bytes: float
    repeats: int
    quiet_seconds: float
    ready_seconds: float
    call_seconds: float
    work_seconds: float
    reopen: bool
    """Start each server once more on what it stored, to read what that costs without the garbage of filling."""
    variants: tuple[Variant, ...]
    claims: tuple[Claim, ...]

    def digest(self, variant: Variant) -> str:
        """Return what names everything that a run of `variant` depends on, but its size and repeat.

        Claims, other variants and further sizes are not in it, so adding them keeps what was measured.
        Does not see: the server's own code, which may have changed between two calls (`--again`).
        """
        parts = {
            "schema": SWEEP_SCHEMA,
            "command": variant.command,
            "environment": dict(sorted(variant.environment.items())),
            "fill": variant.fill,
            "measure": variant.measure,
            "cap": self.cap_bytes,
            "reopen": self.reopen,
            "times": (self.quiet_seconds, self.ready_seconds, self.call_seconds, self.work_seconds),
        }
        return hashlib.sha256(json.dumps(to_wire(parts), sort_keys=True).encode()).hexdigest()[:16]
