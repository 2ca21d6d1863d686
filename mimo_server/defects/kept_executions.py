"""Executions that ended and are kept for ever."""

from __future__ import annotations

from typing_extensions import override

from mimo_server.app import App
from mimo_server.defects import SERVES_HTTP, Defect, Leak, scenario
from mimo_server.procedures.execution import Execution
from mimo_server.procedures.executions import Procedures

DEFECT = Defect(
    id="kept_executions",
    words="Execution FSM Processes: No process limit or cleanup verification",
    mechanism=(
        "An execution that has ended, as it should, keeps its place among those that run: nobody cleans up, and there "
        "is no limit. In the audited code an execution that ended was gone; those that never ended stayed (fsm_hang)."
    ),
    truth=Leak(
        resources={'metric.mimo_registry_entries{registry="executions"}': 1},
        operation="task:runs",
        also=(
            'metric.mimo_registry_high_water{registry="executions"}',
            "memory.anon",
            "memory.uss",
            "memory.pss",
        ),
    ),
    audit=scenario("executions"),
    serve=SERVES_HTTP,
)


class NeverCleaned(Procedures):
    """Runs as the correct one does, and forgets nothing."""

    @override
    def ended(self, execution: Execution) -> None:
        """It has ended, and stays."""


def install(app: App) -> None:
    """Replace who runs procedures."""
    known = app.procedures
    app.procedures = NeverCleaned(known.definitions, known.tools, app.events, limit=None)
