"""Executions that nothing ends any more."""

from __future__ import annotations

import asyncio

from typing_extensions import override

from mimo_server.app import App
from mimo_server.defects import SERVES_HTTP, Defect, Leak, scenario
from mimo_server.procedures.definition import State
from mimo_server.procedures.execution import Execution
from mimo_server.procedures.executions import Procedures

DEFECT = Defect(
    id="fsm_hang",
    words="Execution FSM Processes: No process limit or cleanup verification",
    mechanism=(
        "Two faults of the audited code, which the audit did not see. The overall deadline is armed for the first "
        "state and cancelled by the first transition, so that nothing ends an execution that is stuck in a later "
        "state; and the message that would start a retry is swallowed, so that an action that failed once never runs "
        "again. Each execution that waits or fails beyond its first state is a task, and a row that says running, for "
        "ever."
    ),
    truth=Leak(
        resources={'metric.mimo_registry_entries{registry="executions"}': 1, "metric.mimo_tasks": 1},
        operation="task:starts",
        also=(
            'metric.mimo_registry_high_water{registry="executions"}',
            "memory.anon",
            "memory.uss",
            "memory.pss",
        ),
    ),
    audit=scenario("deadlines"),
    serve=SERVES_HTTP,
)


class Stuck(Execution):
    """Walks as the correct one does, without a time limit and without a second try."""

    @override
    def enter(self, state: State, event: str) -> None:
        super().enter(state, event)
        if self.visits > 1 and self.deadline is not None:
            self.deadline.reschedule(None)

    @override
    async def before_retry(self, retry: int) -> None:
        await asyncio.Event().wait()  # for a message that somebody else took


def install(app: App) -> None:
    """Replace how one execution goes, and lift the limit."""
    known = app.procedures
    app.procedures = Procedures(known.definitions, known.tools, app.events, limit=None)
    app.procedures.execution = Stuck
