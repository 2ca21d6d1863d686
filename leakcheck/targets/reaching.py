"""How the view from inside gets into what is started: by the environment alone, which its children inherit.

Does not see: what another libc than glibc keeps of freed memory; processes that are started with an emptied
environment, or as `python -I`, `-E` or `-S`; there it is said why nothing was read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_INJECT = Path(__file__).resolve().parent.parent / "agent" / "inject"
_TCACHE = "glibc.malloc.tcache_count"
"""glibc keeps up to seven freed blocks of each small size, thread by thread, for the next request, and counts them as
in use: some 200 KiB a thread that fill up over minutes, the slower the rarer a size, and look like a slow leak. Source:
malloc.c and the manual's chapter on tunables, glibc 2.26 to 2.36. With 0, freed is freed at once in every count."""


def environment(folder: Path, existing: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that bring an agent into each Python process, and make what malloc counts exact.

    `folder` is where the agents' sockets go, open to this user alone; `existing` what the target gets otherwise.
    """
    path, tunables = existing.get("PYTHONPATH"), existing.get("GLIBC_TUNABLES")
    found = {
        "PYTHONPATH": str(_INJECT) if not path else f"{_INJECT}{os.pathsep}{path}",
        "LEAKCHECK_AGENT": str(folder),
    }
    if _TCACHE not in (tunables or ""):
        found["GLIBC_TUNABLES"] = f"{tunables}:{_TCACHE}=0" if tunables else f"{_TCACHE}=0"
    return found
