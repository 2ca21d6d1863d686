"""A health probe that searches. Not a leak."""

from __future__ import annotations

import numpy as np
from typing_extensions import override

from mimo_server.app import App
from mimo_server.defects import METRICS, SERVES_HTTP, Defect, LookAlike
from mimo_server.memory.record import Search
from mimo_server.supervision.health import Health, Report

DEFECT = Defect(
    id="health_scan",
    words="Missing Health Checks (missed by the audit: the one there was read the whole table)",
    mechanism=(
        "GET /health of the audited server searched its memories to see whether that works: all rows are read and all "
        "embeddings decoded for each probe, while everybody else waits. Time and a peak of memory, no slope."
    ),
    truth=LookAlike(shapes={"memory.anon": ("peak", "step", "plateau")}, operation="GET /health"),
    audit=("--request", "GET http://127.0.0.1:{port}/health", *METRICS, "--rounds", "27"),
    serve=(*SERVES_HTTP, "--seed-memories", "500"),
)


def install(app: App) -> None:
    """Replace what the report does."""

    class ScanningHealth(Health):
        """Checks as the correct one does; its report looks for something first."""

        @override
        def report(self) -> Report:
            from mimo_server.defects.scan_search import scanning  # noqa: PLC0415 -- a sibling, loaded on demand

            known, app.store.reader_class = app.store.reader_class, scanning(app.store.reader_class, app.store)
            reader = app.store.reader()
            app.store.reader_class = known
            try:
                anything = np.full(app.settings.dimensions, app.settings.dimensions**-0.5, dtype=np.float32)
                reader.search(Search(text="health"), anything)
            finally:
                reader.close()
            return super().report()

    app.health = ScanningHealth(app.events)
