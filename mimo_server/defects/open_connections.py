"""Connection objects that are never closed."""

from __future__ import annotations

from collections.abc import Hashable

from mimo_server.app import App
from mimo_server.defects import Defect, Leak
from mimo_server.synapse.connections import Connections

DEFECT = Defect(
    id="open_connections",
    words="`:synapse_connections` - WebSocket connections (...) No cleanup of dead process entries",
    mechanism=(
        "When a conversation with an agent is over, our end of the socket is neither closed nor taken out of the table "
        "of connections. The agent has hung up, so its end is gone: one socket per call stays, held by the table."
    ),
    truth=Leak(
        resources={"fds.socket": 1, 'metric.mimo_registry_entries{registry="connections"}': 1},
        operation="call:agent_ping",
        also=('metric.mimo_registry_high_water{registry="connections"}',),
    ),
)


class NeverReleased(Connections):
    """Opens as the correct one does, and keeps what it opened."""

    def release(self, number: Hashable) -> None:
        """The conversation is over, and nobody cares."""


def install(app: App) -> None:
    """Replace the policy of release, and the limit that would turn the leak into refusals."""
    app.synapse.connections = NeverReleased(limit=None)
