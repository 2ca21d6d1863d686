"""Executions that nothing but their deadline ends, and that nobody waits for.

Wrong: a deadline that a transition takes off (fsm_hang).
"""

from __future__ import annotations

from locust import task

from loadtests.checked import CheckedUser, must, round_trip


class Deadlines(CheckedUser):
    """Starts them and goes on."""

    @task
    @round_trip
    def starts(self) -> None:
        """One whose second state waits for an event that never comes; it has a tenth of a second."""
        run = self.tool("procedure_run", name="wait_in_vain", wait=False)
        must(run["status"] in {"pending", "running", "waiting"}, f"wait_in_vain starts as {run}")

    @task
    @round_trip
    def lists(self) -> None:
        """What runs now."""
        must("running" in self.tool("procedure_list"), "procedure_list does not say what runs")
