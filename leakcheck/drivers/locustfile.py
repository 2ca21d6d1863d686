"""The tasks of the user's own locustfile, played by a Locust process: each task is an operation.

Does not see: what a task does. It has failed if it raised, or if a request in it was reported as failed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from leakcheck.credentials import Secrets
from leakcheck.drivers import Opened
from leakcheck.drivers.http_request import THIS_MACHINE
from leakcheck.drivers.load_driver import Address, LoadDriver
from leakcheck.drivers.load_process import locust_command
from leakcheck.errors import UsageError
from leakcheck.model.event import NotPlayed
from leakcheck.model.plan import AuditPlan
from leakcheck.targets import Target

PLAY_SECONDS = 15.0
"""No task is begun later in a round."""


class LocustfileDriver(LoadDriver):
    """Plays the tasks, four players for each class of users; see the protocol `Driver`."""

    def __init__(
        self,
        plan: AuditPlan,
        environment: Mapping[str, str],
        secrets: Secrets,
        *,
        command: tuple[str, ...] | None = None,
    ) -> None:
        """`environment` (PORT, `--env`) is added to ours; `command` starts another load process. Raises UsageError."""
        name = plan.locustfile or ""
        unknown = Address(place=f"the host of '{name}'", asked=name, option="--host")
        super().__init__(secrets, Address.of(plan.host, name, "--host") if plan.host else unknown, PLAY_SECONDS)
        self._plan = plan
        self._name = name
        self._environment = {**os.environ, **environment}
        self._command = command or locust_command(f"--locustfile {name}")

    def open(self, target: Target) -> Opened:
        """Load the file and wait for its hosts. Raises UsageError, NotReady or TargetDied."""
        file = {"path": str(Path(self._name).resolve()), "host": self._plan.host}
        self._start(target, self._command, self._environment, {"locustfile": file})
        found = self._first_answer(lambda seconds: {"discover": {"seconds": seconds}}, self._plan.ready_timeout_seconds)
        if "broken" in found:
            raise UsageError(f"--locustfile {self._name}: {self._told(found['broken'])}")
        for host in found["hosts"]:
            if urlsplit(host).hostname not in THIS_MACHINE:
                raise UsageError(
                    f"--locustfile {self._name} speaks to {self._told(host)}, another machine; leakcheck sends load"
                    " to this one only: give its users no host but --host http://127.0.0.1:{port}"
                )
        self._kinds = tuple(found["operations"])
        return Opened(
            server=target.root.role,
            protocol="driven by a locustfile",
            operations=self._kinds,
            not_played=tuple(
                NotPlayed(operation=one["operation"], reason=self._told(one["reason"])) for one in found["not_played"]
            ),
        )
