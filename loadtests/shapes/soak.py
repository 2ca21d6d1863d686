"""Load and silence in turn, for hours: leaks show in the silences, where a healthy server gives everything back.

Does not see: leaks itself; `leakcheck watch PID` beside it does.
"""

from __future__ import annotations

from loadtests.shapes._shape import Shape, option

IDLE = 0.01
"""Operations a second in a silence: next to none."""


class Soak(Shape):
    """The whole rate, then next to nothing, and again."""

    def rates(self, at: float) -> float | None:
        """Operations a second at so many seconds; None at the end."""
        load, quiet = self.number("soak_load"), self.number("soak_quiet")
        if at >= self.number("soak_hours") * 3600:
            return None
        return self.target if at % (load + quiet) < load else IDLE


option("--soak-hours", 1.0, "hours in all")
option("--soak-load", 240.0, "seconds of load")
option("--soak-quiet", 60.0, "seconds of silence after each")
