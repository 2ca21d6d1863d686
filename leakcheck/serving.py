"""A watch's verdicts and values over HTTP on this machine: JSON, OpenMetrics, and the report as it would be now."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from leakcheck.answering import Server
from leakcheck.errors import UsageError
from leakcheck.history import tracks
from leakcheck.model.audit import Audit, Round, Value
from leakcheck.model.moment import Moment
from leakcheck.model.wire import to_wire
from leakcheck.render import html, openmetrics, watch_charts
from leakcheck.render._axis import Asked, asked

_HTML = "text/html; charset=utf-8"
_TYPES = {
    "/": _HTML,
    "/charts": _HTML,
    "/charts/fragment": _HTML,
    "/audit.json": "application/json",
    "/metrics": openmetrics.CONTENT_TYPE,
}
_MOST_DRAWN = 4
"""Of one look: readers whose load began at different times."""
_CHARTS = {"/charts": watch_charts.page, "/charts/fragment": watch_charts.fragment}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Documents:
    """What is served until the next look: verdicts rendered when they were reached, values when they are asked for."""

    moment: Moment
    latest: Round
    """The last look."""
    looks: tuple[Round, ...]
    """Those since the last floor that was judged."""
    head: bytes
    """audit.json up to the last round of its `rounds`, which stand at its end."""
    page: bytes
    drawn: dict[tuple[str, float | None, float | None], bytes] = field(default_factory=dict)
    """Charts of this look, by path and load: drawing them is dear, and readers come more often than looks."""

    def render(self, path: str, query: str) -> tuple[bytes, ...]:
        """Give one of the documents, in pieces: the long ones are not copied for each request."""
        if path == "/":
            return (self.page,)
        if path in _CHARTS:
            return (self._charts(path, asked(query)),)
        if path == "/metrics":
            return (openmetrics.render(replace(self.moment.audit, rounds=(self.latest,))),)
        comma = b"," if self.moment.audit.rounds else b""
        return self.head, comma, _json(self.latest), b"]}\n"

    def _charts(self, path: str, given: Asked) -> bytes:
        key = (path, given.since, given.until)
        known = self.drawn.get(key)
        if known is None:
            known = _CHARTS[path](self.moment, self.looks, given)
            if len(self.drawn) < _MOST_DRAWN:
                self.drawn[key] = known
        return known


class Serving:
    """Serves one watch on a thread of its own, from when it is made. Use it as a context manager.

    Does not see: what was between two looks.
    """

    def __init__(self, host: str, port: int) -> None:
        """Take the address; port 0 is any free one. Raises UsageError when it is taken."""
        try:
            self._server = Server(host, port, _TYPES, self._document)
        except OSError as error:
            raise UsageError(
                f"--serve {host}:{port}: the address cannot be used ({error.strerror}); give another port, or 0 for "
                "any free one"
            ) from error
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_address[1]}/"
        self._documents: _Documents | None = None
        self._recent = watch_charts.Recent()
        self._thread = threading.Thread(target=self._server.serve_forever, name="leakcheck serving", daemon=True)

    def publish(self, moment: Moment) -> None:
        """Serve this from now on."""
        before, latest, audit = self._documents, _latest(moment), moment.audit
        self._recent.add(latest, audit.rounds)
        known = before is not None and before.moment.audit is audit
        self._documents = _Documents(
            moment=moment,
            latest=latest,
            looks=self._recent.rounds,
            head=before.head if before and known else _head(audit),
            page=before.page if before and known else html.render(audit),
        )
        self._server.cut_off_the_slow()

    def _document(self, path: str, query: str) -> tuple[bytes, ...]:
        documents = self._documents
        return () if documents is None else documents.render(path, query)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _head(audit: Audit) -> bytes:
    """Write an audit as JSON with its rounds last and the list of them open: the latest look is still to follow."""
    whole = to_wire(audit)
    rounds = [_json(one) for one in whole.pop("rounds")]
    return _json(whole)[:-1] + b',"rounds":[' + b",".join(rounds)


def _json(value: object) -> bytes:
    return json.dumps(to_wire(value), separators=(",", ":"), allow_nan=False).encode("ascii")


def _latest(moment: Moment) -> Round:
    """Return the last look as a round of its own, which follows those that were judged."""
    look, floors = moment.look, [moment.look] if moment.floor is None else [moment.floor, moment.look]
    before = moment.audit.rounds[-1].readings if moment.audit.rounds else {}
    known = {one.name: one for one in (*moment.audit.resources, *look.resources)}
    return Round(
        number=len(moment.audit.rounds),
        phase=look.phase,
        at_seconds=look.snapshot.at_seconds,
        operations={},
        failed={},
        load_seconds=look.load_seconds,
        settle_seconds=0.0,
        settled=True,
        readings={
            name: Value(
                total=track.totals[-1],
                growth=track.growth[-1] + (before[name].growth if name in before else 0.0),
                broken=track.broken[-1],
                roles=track.roles[-1],
            )
            for name, track in tracks(tuple(known.values()), floors).items()
            if track.present[-1]
        },
        unread=tuple(sorted({one.resource for one in look.snapshot.unread})),
    )
