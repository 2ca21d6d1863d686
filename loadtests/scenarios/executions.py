"""Executions that end by themselves, in numbers: each is over when its caller is answered.

Wrong: an execution that is kept (kept_executions).
"""

from __future__ import annotations

from locust import task

from loadtests.checked import CheckedUser, must, phrase, round_trip


class Executions(CheckedUser):
    """Runs the shortest procedure that changes something and takes it back."""

    @task
    @round_trip
    def runs(self) -> None:
        """One from its start to its end."""
        run = self.tool("procedure_run", name="remember_and_find", context={"content": phrase()})
        must(run["status"] == "completed", f"remember_and_find ends as {run}")

    @task
    @round_trip
    def lists(self) -> None:
        """What runs now."""
        must("running" in self.tool("procedure_list"), "procedure_list does not say what runs")
