"""One file per output format: each turns an Audit into bytes, and needs nothing else.

A format is a module with

- `FILE`: the name under which its output is kept, for example `report.html`;
- `render(audit) -> bytes`: pure and complete; the same audit gives the same bytes.

Files whose name starts with `_`, and those that set `PLUGIN = False`, serve the formats and are none themselves.
Does not see: the journal or the target; what is not in the Audit can't be shown.
"""

from __future__ import annotations

import sys
from typing import Protocol, cast

from leakcheck import _discover
from leakcheck.errors import UsageError
from leakcheck.model.audit import Audit


class Renderer(Protocol):
    """What each format's module offers."""

    FILE: str
    """The output's file name."""

    def render(self, audit: Audit) -> bytes:
        """Give the whole output."""


def renderers() -> dict[str, Renderer]:
    """Find the formats by their files; raises BrokenContractError for a file that breaks the contract."""
    found = _discover.modules(sys.modules[__name__], "render")
    for module in found.values():
        if not isinstance(getattr(module, "FILE", None), str):
            raise _discover.BrokenContractError(
                f"{module.__file__} defines no `FILE`; give it the name of its output, for example FILE = 'report.html'"
            )
    return {name: cast("Renderer", module) for name, module in found.items()}


def renderer(name: str) -> Renderer:
    """Get one format by name."""
    found = renderers()
    if name not in found:
        raise UsageError(f"There is no format {name!r}; choose one of {', '.join(found)}")
    return found[name]
