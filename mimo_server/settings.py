"""What one server was told on its command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be chosen at the start; nothing changes afterwards."""

    metrics_port: int | None = None
    """Port of the metrics page on 127.0.0.1; 0 takes a free one and logs it; None: no page."""
    data: Path | None = None
    """Folder of the memories; None: a private temporary one, removed at the end."""
    dimensions: int = 384
    """Length of an embedding."""
    seed_memories: int = 0
    """Top the store up to this many generated memories at the start."""
    defects: tuple[str, ...] = ()
    """Names of the defects to start with, in the order of their installation."""
