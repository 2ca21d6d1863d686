"""Every gauge of the target's own metrics page."""

from __future__ import annotations

import math
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

from leakcheck.model.reading import Reading, Resource, Statistic
from leakcheck.probes import CannotReadError, Setting, TreeView

_MOST_SERIES = 200
_MOST_BYTES = 4 << 20
_TIMEOUT_SECONDS = 5.0
_ACCEPT = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
_NOT_QUANTITIES = (
    *("_timestamp_seconds", "_time_seconds", "_created", "_info"),
    *("_limit", "_max", "_high_water", "_peak"),
)
"""Suffixes of gauges that hold an instant, a label set, a ceiling or a record, and no amount that is held now."""
_FRACTIONS = ("_bytes", "_seconds", "_ratio", "_percent", "_celsius", "_joules", "_volts", "_load")
"""Suffixes of gauges that are not counts even where their value is whole."""


class Probe:
    """Reads a Prometheus or OpenMetrics page: each gauge is a series per label set, at most 200.

    `process_*` is left out: those are read from outside, and better. Does not see: counters, histograms, summaries
    (they grow by design), series beyond the first 200, gauges of instants.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._resources: dict[str, Resource] = {}

    def resources(self) -> tuple[Resource, ...]:
        """Return the series seen so far."""
        return tuple(self._resources.values())

    def read_tree(self, view: TreeView) -> Iterable[Reading]:
        """Give one reading per series. Raises CannotReadError when the page does not answer or does not parse."""
        del view
        if self._setting.metrics_url is None:
            return
        for name, value in _gauges(self._setting.metrics_url, self._setting.headers):
            resource = self._resources.get(name)
            if resource is None:
                if len(self._resources) >= _MOST_SERIES:
                    continue
                self._resources[name] = _resource(name, value)
            yield Reading(resource=name, value=value)


def _gauges(url: str, headers: Mapping[str, str]) -> Iterable[tuple[str, float]]:
    for family in _families(url, headers):
        if family.type != "gauge" or family.name.startswith("process_") or family.name.endswith(_NOT_QUANTITIES):
            continue
        for sample in family.samples:
            if math.isfinite(sample.value):
                labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
                yield f"metric.{sample.name}" + (f"{{{labels}}}" if labels else ""), float(sample.value)


def _families(url: str, headers: Mapping[str, str]) -> list[Metric]:
    request = urllib.request.Request(url, headers={"Accept": _ACCEPT, **headers})  # noqa: S310 - the user's own URL
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - as above
            kind = answer.headers.get_content_type()
            text = answer.read(_MOST_BYTES).decode(errors="replace")
    except (urllib.error.URLError, OSError) as error:
        raise CannotReadError(f"the metrics page did not answer: {error}") from error
    try:
        return list((parse_openmetrics if kind == "application/openmetrics-text" else parse_prometheus)(text))
    except ValueError as error:
        raise CannotReadError(f"the metrics page is neither OpenMetrics nor Prometheus text: {error}") from error


def _resource(name: str, value: float) -> Resource:
    plain = name.removeprefix("metric.").partition("{")[0]
    counted = value == int(value) and not plain.endswith(_FRACTIONS)
    return Resource(
        name=name,
        unit="bytes" if plain.endswith("_bytes") else "entries" if counted else "units",
        statistic=Statistic.COUNT if counted else Statistic.LEVEL,
        per_process=False,
        title=name.removeprefix("metric."),
    )
