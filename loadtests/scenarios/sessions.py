"""Sessions of the handshake era: opened, used, and closed, several at once.

Wrong: a session that does not know its tools, or that is still served after it was closed.

Leaves: nothing.

Does not see: sessions that are abandoned; `leakcheck audit` plays those.
"""

from __future__ import annotations

from locust import task

from loadtests.checked import CheckedUser, must, round_trip
from loadtests.mcp_wire import HANDSHAKE, IDS, Expect, Session


class Sessions(CheckedUser):
    """Comes and goes."""

    @task
    @round_trip
    def visits(self) -> None:
        """Open one, work in it, close it; then it is gone."""
        session, _ = self.open_session(HANDSHAKE[-1])
        try:
            must(self.ask(session, "tools/list").get("tools"), "tools/list is empty in a new session")
            must(self.ask(session, "ping") == {}, "ping says something")
        finally:
            self.close_session(session)
        if session.id is not None:
            gone, headers = Session(version=session.version), {"Mcp-Session-Id": session.id}
            self.exchange(gone, next(IDS), "ping", expect=Expect.ERROR, name="ping a closed session", headers=headers)
