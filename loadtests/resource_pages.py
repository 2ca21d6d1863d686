"""Where Locust's web UI shows what a watch has seen: the tab, its rows as JSON, and the page of live charts."""

from __future__ import annotations

import http.client
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, jsonify, render_template, request
from flask_cors import cross_origin
from locust.web import WebUI

from loadtests.live_charts import LiveCharts
from loadtests.watch_source import Source, is_address
from loadtests.watched import COLUMNS

KEY = "resources"
"""Of the tab and of its table."""
_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; style-src-attr 'unsafe-inline'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Places on an axis are style attributes, of which only such that name a place are let through."""


def add_pages(web_ui: WebUI, app: Flask, source: Source, charts: LiveCharts, prefix: str) -> None:
    """Add the tab and the routes below `prefix`, behind Locust's login where there is one, for its own pages only.

    Does not see: a user of this machine who asks by the right name; who may reach Locust may read this.
    """
    _add_tab(web_ui, app, source, prefix)
    routes = Blueprint("leakcheck_resources", __name__, url_prefix=prefix or None, template_folder="templates")

    def add(path: str, name: str, give: Callable[[], Response]) -> None:
        def ours() -> Response:
            if _foreign(web_ui):
                words = "only Locust's own page, under this machine's own name, is answered here\n"
                return Response(words, status=http.client.FORBIDDEN, mimetype="text/plain")
            response = give()
            response.headers["Cache-Control"] = "no-store"
            response.headers["X-Content-Type-Options"] = "nosniff"
            return response

        guarded = web_ui.auth_required_if_enabled(ours)
        routes.add_url_rule(path, name, cross_origin(origins=[])(guarded))  # overrides Locust's own for this route

    add(
        "/resources.json",
        "rows",
        lambda: jsonify({"source": source.url, "rows": [asdict(one) for one in source.rows()]}),
    )
    add("/resources/charts", "charts", lambda: jsonify(charts.as_json()))
    add("/resources", "page", lambda: _page(charts))
    app.register_blueprint(routes)


def _page(charts: LiveCharts) -> Response:
    nonce = secrets.token_urlsafe(16)
    response = Response(render_template("resources.html", shown=charts.now(), nonce=nonce))
    response.headers["Content-Security-Policy"] = _POLICY.format(nonce=nonce)
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _foreign(web_ui: WebUI) -> bool:
    """Whether a page of somebody else asks: another Origin, or a Host whose name was made to point here.

    Locust's own routes answer every Origin (flask-cors without limits). An address as Host is always well: only
    a name can be made to point elsewhere.
    """
    host = urlsplit(f"//{request.host}").hostname or ""
    origin = request.headers.get("Origin")
    ours = {"localhost", socket.gethostname().lower(), web_ui.host.lower()}
    return not (is_address(host) or host in ours) or (origin is not None and urlsplit(origin).netloc != request.host)


def _add_tab(web_ui: WebUI, app: Flask, source: Source, prefix: str) -> None:
    """Locust's extension points for a table of one's own; what others have put there stays."""
    extensions: dict[str, tuple[Mapping[str, object], ...]] = {
        "extended_tabs": ({"title": "Resources", "key": KEY},),
        "extended_tables": (
            {"key": KEY, "structure": [{"key": key, "title": title} for key, title in COLUMNS.items()]},
        ),
        "extended_csv_files": (
            {"href": "./resources", "title": "Open live charts of the resources"},
            {"href": "./resources.json", "title": "Download resources JSON"},
        ),
    }
    for name, added in extensions.items():
        web_ui.template_args[name] = [*web_ui.template_args.get(name, []), *added]

    def with_rows(response: Response) -> Response:
        """Put the rows into Locust's own answer, for its own page only, and on a copy: Locust repeats that object."""
        if request.path != f"{prefix}/stats/requests" or response.status_code != http.client.OK or _foreign(web_ui):
            return response
        report = response.get_json()
        state, *rows = source.table()
        there = {**state, "forecast": f"live charts: {request.host_url.rstrip('/')}{prefix}/resources"}
        ours = {"key": KEY, "data": [there, *rows]}
        return jsonify({**report, "extended_stats": [*report.get("extended_stats", ()), ours]})

    app.after_request(with_rows)
