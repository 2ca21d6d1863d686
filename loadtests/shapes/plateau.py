"""A rate that rises in steps, holds, and ends: a plateau.

Does not see: whether the server keeps up; the table at the end says so.
"""

from __future__ import annotations

from loadtests.shapes._shape import Shape, option

RISE = 4
"""Steps on the way up."""


class Plateau(Shape):
    """A quarter, a half and three quarters of the rate, then all of it."""

    def rates(self, at: float) -> float | None:
        """Operations a second at so many seconds; None at the end."""
        rise, hold = self.number("plateau_rise"), self.number("plateau_hold")
        if at >= rise + hold:
            return None
        return self.target * min(1.0, (int(at / rise * RISE) + 1) / RISE if rise else 1.0)


option("--plateau-rise", 20.0, "seconds until the whole --arrival-rate is reached, in four steps")
option("--plateau-hold", 60.0, "seconds for which it is held")
