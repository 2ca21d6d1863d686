"""Which skills there are and how each is started."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """One external tool server."""

    name: str
    command: tuple[str, ...]
    answer_seconds: float = 10.0
    """A call that takes longer is given up, and its answer, should it come, belongs to nobody."""


ECHO = Skill(name="echo", command=(sys.executable, "-I", "-S", str(Path(__file__).with_name("echo.py"))))

CATALOG: Mapping[str, Skill] = MappingProxyType({ECHO.name: ECHO})
"""Fixed: it is as long as this file says, whatever is called."""
