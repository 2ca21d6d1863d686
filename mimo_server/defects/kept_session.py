"""A session that its close does not end."""

from __future__ import annotations

import math

from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from mimo_server.app import App
from mimo_server.defects import OVER_HTTP, SERVES_HTTP, Defect, Leak
from mimo_server.supervision.registry import Registry
from mimo_server.surface.sessions import Sessions

DEFECT = Defect(
    id="kept_session",
    words="Zombie process references accumulate",
    mechanism=(
        "DELETE takes the session's id out of the table of routes, so it is answered as it should be, and so is every "
        "later request (404). Nobody ends the session itself: its entry, its transport and its two tasks stay, and its "
        "idle time never runs out. Over HTTP only: there are no sessions over stdio."
    ),
    truth=Leak(
        resources={'metric.mimo_registry_entries{registry="sessions"}': 1},
        operation="session",
        also=(
            "metric.mimo_tasks",
            'metric.mimo_registry_high_water{registry="sessions"}',
            "memory.anon",
            "memory.uss",
            "memory.pss",
        ),
    ),
    audit=OVER_HTTP,
    serve=SERVES_HTTP,
)


class ForgottenNotEnded(Sessions):
    """Admits and expires as the correct one does; a close only hides the session."""

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer DELETE by ourselves."""
        session_id = Headers(scope=scope).get(MCP_SESSION_ID_HEADER, "")
        if scope["method"] != "DELETE" or session_id not in self._server_instances:
            await super().__call__(scope, receive, send)
            return
        transport = self._server_instances.pop(session_id)
        if transport.idle_scope is not None:
            transport.idle_scope.deadline = math.inf
        await Response(headers={MCP_SESSION_ID_HEADER: session_id})(scope, receive, send)


def install(app: App) -> None:
    """Replace who ends sessions, and lift the limit that would turn the leak into refusals."""
    app.session_table = ForgottenNotEnded
    app.sessions = Registry("sessions", limit=None)
