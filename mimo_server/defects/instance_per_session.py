"""A process for each session, which the session's end does not end."""

from __future__ import annotations

import subprocess

from mcp.server.auth.middleware.bearer_auth import AuthorizationContext
from typing_extensions import override

from mimo_server.app import App
from mimo_server.defects import OVER_HTTP, SERVES_HTTP, Defect, Leak
from mimo_server.surface.sessions import Sessions, Transport

MOST_INSTANCES = 1000
INSTANCE_SECONDS = 3600
"""Safety valves: of their number, and of their age."""

DEFECT = Defect(
    id="instance_per_session",
    words="Process chaos (missed by the audit: the bridge that starts a server for every client)",
    mechanism=(
        "The audited system was reached through a bridge that started a whole server for each session in a container, "
        "and at its end ended only the client of the container's engine. Here a stand-in for that server is started "
        "with each session (`sleep`, 0.1 MB instead of some hundred, to be cheap in numbers) and outlives session and "
        f"server. At most {MOST_INSTANCES}, each for an hour at most."
    ),
    truth=Leak(
        resources={"processes": 1},
        operation="session",
        also=("memory.anon", "memory.uss", "memory.pss", "orphans", "threads"),
    ),
    audit=OVER_HTTP,
    serve=SERVES_HTTP,
)


class OneServerEach(Sessions):
    """Admits as the correct one does."""

    _instances = 0

    @override
    def _admit_session(self, requestor: AuthorizationContext | None) -> Transport | None:
        admitted = super()._admit_session(requestor)
        if admitted is not None and self._instances < MOST_INSTANCES:
            self._instances += 1
            nobody = subprocess.DEVNULL
            subprocess.Popen(
                ("/bin/sleep", str(INSTANCE_SECONDS)),
                stdin=nobody,
                stdout=nobody,
                stderr=nobody,
                start_new_session=True,
            )
        return admitted


def install(app: App) -> None:
    """Replace who admits sessions."""
    app.session_table = OneServerEach
