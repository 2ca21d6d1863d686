"""What a watch knows at one instant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from leakcheck.model.audit import Audit
from leakcheck.model.event import Floor


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The last verdicts, and the last look: verdicts are dear and come now and then, a look comes every second."""

    audit: Audit
    """What Ctrl-C would have left when the verdicts were last reached."""
    floor: Floor | None
    """The last floor that they rest on."""
    look: Floor
    """The last look, as the floor it would be by itself."""
    first: Mapping[str, float]
    """The tree's values at the first look, by resource."""
    elapsed_seconds: float
    unix_seconds: float
    """The same instant by the machine's clock: what another process can know it by."""
    judged_seconds: float
    """When the verdicts were reached."""
    cpu_share: float
    """Of one core, that watching has used since it began."""
    resident_bytes: int
    """Memory of the watching process."""
