"""Places at which a test ends the process as a loss of power would, told by STORE_FAILPOINT=NAME or NAME:COUNT."""

from __future__ import annotations

import os
import signal

VARIABLE = "STORE_FAILPOINT"
NAMES = (
    "before_commit",
    "committed",
    "indexed",
    "sealed",
    "checkpointed",
    "filled",
    "moving",
    "moved",
    "migrating",
    "migrated",
)
"""In a commit: before the database's, after it, after the index, after the seal; after a checkpoint. While rows are
filled in, while slots move, and when they have but the old ones are still there. Before and after a migration."""

_name, _, _count = os.environ.get(VARIABLE, "").partition(":")
_left = int(_count or 1)


def reached(name: str) -> None:
    """Go on, but where a test said otherwise."""
    global _left  # noqa: PLW0603 -- of the process, like the signal
    if name == _name:
        _left -= 1
        if _left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
