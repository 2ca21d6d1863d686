"""One file per run in points/: what was measured once is not measured again."""

from __future__ import annotations

import json
from pathlib import Path

from leakcheck.errors import LeakcheckError, UsageError
from leakcheck.model.sweep import SWEEP_SCHEMA, Outcome, Point
from leakcheck.model.wire import WireError, from_wire, to_wire
from leakcheck.store import write_whole


class Points:
    """The runs that a folder keeps. Raises UsageError when it cannot be written."""

    def __init__(self, directory: Path) -> None:
        self._folder = directory / "points"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"The folder '{directory}' cannot be written ({error.strerror}); give another one with --out"
            ) from error

    def find(self, digest: str, variant: str, size: int, repeat: int) -> Point | None:
        """Return a run of the same plan that ended as it should, or at the cap; one that failed is tried again.

        Raises LeakcheckError for a file that is none. Does not see: that the server's code has changed.
        """
        path = self._path(variant, size, repeat)
        if not path.is_file():
            return None
        try:
            point = from_wire(Point, json.loads(path.read_text(encoding="utf-8")))
        except (WireError, ValueError, KeyError) as error:
            raise LeakcheckError(f"'{path}' is no run of a sweep ({error}); remove it") from error
        fits = (point.schema, point.digest) == (SWEEP_SCHEMA, digest) and point.outcome is not Outcome.FAILED
        return point if fits else None

    def keep(self, point: Point) -> None:
        """Write one run, whole. Raises LeakcheckError."""
        content = json.dumps(to_wire(point), indent=1, allow_nan=False)
        write_whole(self._path(point.variant, point.size, point.repeat), content.encode("ascii") + b"\n")

    def _path(self, variant: str, size: int, repeat: int) -> Path:
        return self._folder / f"{variant}-{size}-{repeat}.json"
