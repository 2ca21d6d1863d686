"""After one late answer, every caller gets somebody else's."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from mimo_server.app import App
from mimo_server.defects import SERVES_HTTP, Defect, WrongAnswer, scenario
from mimo_server.skills.client import SkillClient, Waiting
from mimo_server.skills.pool import SkillPool

DEFECT = Defect(
    id="desync",
    words="Messages can accumulate in process mailbox during timeouts",
    mechanism=(
        "The audited client waited for any data of its port and took it for the answer, whatever its id. After a call "
        "that timed out, its late answer goes to the next caller, whose own goes to the one after it: what one client "
        "asked is answered to another. The audit saw the mailbox and not this."
    ),
    truth=WrongAnswer(scenario="skills"),
    audit=scenario("skills"),
    serve=SERVES_HTTP,
)


class AnyAnswer(SkillClient):
    """Takes whatever comes for the answer to the request that waits the longest."""

    @override
    def match(self, message: dict[str, Any]) -> Waiting | None:
        return next(iter(self._waiting.values()), None)

    @override
    def _give_up(self, number: int, reason: str) -> None:
        """The audited client told nobody, so the answer comes."""


class AnyAnswerPool(SkillPool):
    """Uses it."""

    client_class = AnyAnswer


def install(app: App) -> None:
    """Replace who talks to skills."""
    app.skills.pool_class = AnyAnswerPool
