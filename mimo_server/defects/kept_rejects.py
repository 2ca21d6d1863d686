"""A file that each refused request leaves open."""

from __future__ import annotations

import tempfile
from typing import IO

from typing_extensions import override

from mimo_server.app import App
from mimo_server.defects import Defect, Leak
from mimo_server.supervision.refusals import Refusals

DEFECT = Defect(
    id="kept_rejects",
    words="Port.close(state.port)  # Only closes on normal termination",
    mechanism=(
        "Each request that is refused is written down for diagnosis in a file of its own, without a name, that is "
        "opened for it and closed by nobody. All kinds of refusal: an answer with an error (wrong arguments, unknown "
        "tool or method), and over HTTP every status from 400 on (wrong content type, unknown session, GET without a "
        "session). Over stdio as well, but for lines that are no JSON-RPC."
    ),
    truth=Leak(
        resources={"fds.file": 1},
        operation="reject",
        also=("memory.anon", "memory.uss", "memory.pss"),
    ),
)


class KeptForDiagnosis(Refusals):
    """Counts as the correct one does, and keeps a record of each."""

    def __init__(self) -> None:
        super().__init__()
        self._records: list[IO[bytes]] = []

    @override
    def note(self, request: str) -> None:
        super().note(request)
        record = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 -- that is the defect
        record.write(request.encode())
        self._records.append(record)


def install(app: App) -> None:
    """Replace who is told of refusals."""
    app.refusals = KeptForDiagnosis()
