"""Procedures run to their end: by themselves, on an event, by an interrupt, and when a step keeps failing.

Wrong: a run that hangs after its first state, a retry that never happens (fsm_hang).
"""

from __future__ import annotations

from typing import Any

from locust import task

from loadtests.checked import CheckedUser, must, phrase, round_trip

FAILS = "remember_and_find"
"""Its second state stores a memory, which must be refused when there is nothing in it."""
ENDED = frozenset({"completed", "failed", "timed_out", "interrupted"})


class Procedures(CheckedUser):
    """Runs the procedures that come along."""

    soon_seconds = 15.0
    """Two retries with back-off take 0.3 s; a quarter of the deadline is patience enough."""

    @task(3)
    @round_trip
    def remembers(self) -> None:
        """Store, find and forget a memory, state by state."""
        text = phrase()
        run = self.tool("procedure_run", name="remember_and_find", context={"content": text})
        must(run["status"] == "completed", f"remember_and_find ends as {run}")
        context = run["context"]
        must(context["content"] == text, f"a run for {text!r} has the context {context}: another's")
        must(context["id"] in context["ids"], f"it does not find what it stored: {context}")
        must(context["forgotten"] == 1, f"it does not forget what it stored: {context}")
        self.refused("memory_get", id=context["id"])

    @task(3)
    @round_trip
    def waits(self) -> None:
        """Wait for an event, which brings something along."""
        run = self.started("wait_for_event")
        note = phrase()
        self.tool("procedure_send", id=run, event="go", data={"note": note})
        ended = self.ended(run)
        must(ended["status"] == "completed", f"after its event a run ends as {ended}")
        must(ended["context"].get("note") == note, f"what the event {note!r} brought is not in {ended['context']}")
        must(run not in self.tool("procedure_list")["running"], f"{run} has ended and is listed as running")
        self.refused("procedure_send", id=run, event="go")

    @task(1)
    @round_trip
    def interrupts(self) -> None:
        """End a run that waits."""
        run, reason = self.started("wait_for_event"), phrase()
        self.tool("procedure_interrupt", id=run, reason=reason)
        ended = self.ended(run)
        must(ended["status"] == "interrupted", f"an interrupted run ends as {ended}")
        must(reason in (ended.get("problem") or ""), f"the reason {reason!r} is not in {ended}")

    @task(1)
    @round_trip
    def retries(self) -> None:
        """A step that fails twice is played a third time."""
        run = self.tool("procedure_run", name="retry_then_succeed")
        must(run["status"] == "completed", f"retry_then_succeed ends as {run}")
        must(run["context"].get("attempt") == 3, f"it succeeded at attempt {run['context'].get('attempt')}, not 3")

    @task(1)
    @round_trip
    def fails(self) -> None:
        """A step that always fails, in the second state, is retried and then ends the run."""
        run = self.tool("procedure_run", name=FAILS, context={"content": ""}, wait=False)["id"]
        ended = self.ended(run)
        must(ended["status"] == "failed", f"a run whose step always fails ends as {ended}")
        must(ended["state"] == "remember", f"it was to fail in its second state, and did in {ended['state']}")
        must(ended["context"].get("attempt") == 3, f"2 retries make 3 attempts; it had {ended['context']}")

    def started(self, name: str) -> str:
        """Start a procedure that waits for an event, and see that it does."""
        run: str = self.tool("procedure_run", name=name, wait=False)["id"]
        self.eventually(
            lambda: self.tool("procedure_status", id=run)["status"] == "waiting", f"{name} does not come to wait"
        )
        must(run in self.tool("procedure_list")["running"], f"{run} waits and is not listed as running")
        return run

    def ended(self, run: str) -> dict[str, Any]:
        """How a run has ended."""
        found: dict[str, Any] = {}

        def look() -> bool:
            found.update(self.tool("procedure_status", id=run))
            return found["status"] in ENDED

        self.eventually(look, f"{run} has not ended")
        return found
