"""A subscription that an abrupt end of its connection leaves behind."""

from __future__ import annotations

from typing_extensions import override

from mimo_server.app import App
from mimo_server.defects import SERVES_HTTP, Defect, Leak, scenario
from mimo_server.supervision.owner import Owner
from mimo_server.synapse.router import Router

DEFECT = Defect(
    id="ws_subscription",
    words="`:synapse_connections` - WebSocket connections: no cleanup of dead process entries",
    mechanism=(
        "The audited table of connections was monitored and gave its rows back. What it did not give back was its "
        "subscription to the agent's topic: it unsubscribes when an agent leaves, and not when one is found dead. Each "
        "later message to that agent is copied once for each of them. A subscription that its owner gives up itself "
        "goes; one that the owner's end should have released stays, and its queue with it."
    ),
    truth=Leak(  # its own topic, and the alerts that it subscribed to
        resources={'metric.mimo_registry_entries{registry="topic_subscriptions"}': 2},
        operation="task:drops",
        also=(
            'metric.mimo_registry_high_water{registry="topic_subscriptions"}',
            'metric.mimo_registry_entries{registry="queued_messages"}',
            'metric.mimo_registry_high_water{registry="queued_messages"}',
            "memory.anon",
            "memory.uss",
            "memory.pss",
        ),
    ),
    audit=scenario("synapse"),
    serve=SERVES_HTTP,
)


class NeverReleased(Router):
    """Routes as the correct one does; the end of an owner is nobody's concern."""

    @override
    def release(self, topic: str, owner: Owner) -> None:
        """The owner has ended."""


def install(app: App) -> None:
    """Replace the router, and lift its limit on subscriptions."""
    app.synapse.router = NeverReleased(limit=None)
