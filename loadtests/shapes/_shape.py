"""What shapes have in common: a rate for each moment, which arrivals follow; users are there from the beginning.

Does not see: runs without --arrival-rate, which it refuses.
"""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from locust import LoadTestShape, events
from locust.argument_parser import LocustArgumentParser

from loadtests import arrivals

logger = logging.getLogger(__name__)


class Shape(LoadTestShape):
    """Subclass it and say `rates`; the class must stand alone in its file's namespace but for this one."""

    abstract: ClassVar[bool] = True
    use_common_options = True

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        cls.abstract = False

    @property
    def options(self) -> Any:
        """What the command line or the web form say."""
        assert self.runner is not None  # noqa: S101 - Locust sets it before the first tick
        return self.runner.environment.parsed_options

    @property
    def target(self) -> float:
        """--arrival-rate."""
        return float(self.options.arrival_rate)

    def number(self, name: str) -> float:
        """An option of the shape's own."""
        return float(getattr(self.options, name))

    def rates(self, at: float) -> float | None:
        """Operations a second at so many seconds of the run; None at its end."""
        raise NotImplementedError

    def tick(self) -> tuple[int, float] | None:
        """Called by Locust every second: sets the rate; gives the users, all at once."""
        assert self.runner is not None  # noqa: S101 - as above
        if not self.target:
            logger.error("shapes need --arrival-rate: how many operations a second, at most")
            self.runner.environment.process_exit_code = 2
            return None
        rate = self.rates(self.get_run_time())  # type: ignore[no-untyped-call]
        if rate is None:
            return None
        arrivals.of(self.runner.environment).want(rate)
        users = int(self.options.num_users or 1)
        return users, float(users)


def option(name: str, default: float, words: str) -> None:
    """Add an option to Locust's command line and web form."""

    def add(parser: LocustArgumentParser) -> None:
        parser.add_argument(name, type=float, default=default, help=words)

    events.init_command_line_parser.add_listener(add)
