"""How the view from inside gets into what is started: by the environment alone, which its children inherit.

Does not see: processes that are started with an emptied environment, or as `python -I`, `-E` or `-S`; there it is
said why nothing was read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_INJECT = Path(__file__).resolve().parent.parent / "agent" / "inject"


def environment(folder: Path, existing: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that bring an agent into each Python process.

    `folder` is where the agents' sockets go, open to this user alone; `existing` what the target gets otherwise.
    """
    path = existing.get("PYTHONPATH")
    return {
        "PYTHONPATH": str(_INJECT) if not path else f"{_INJECT}{os.pathsep}{path}",
        "LEAKCHECK_AGENT": str(folder),
    }
