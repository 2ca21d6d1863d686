"""Every gauge of the target's own metrics page."""

from __future__ import annotations

import math
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus
from prometheus_client.samples import Sample

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
_HELD = ("_entries", "_size", "_items", "")
"""Suffixes of a gauge of entries; what is before is the name that its ceiling and its evictions share with it."""
_CEILINGS = ("_limit", "_max", "_max_entries", "_max_size", "_capacity")
_EVICTIONS = ("_evicted", "_evictions")
_FRACTIONS = ("_bytes", "_seconds", "_ratio", "_percent", "_celsius", "_joules", "_volts", "_load")
"""Suffixes of gauges that are not counts even where their value is whole."""


class Probe:
    """Reads a Prometheus or OpenMetrics page: each gauge is a series per label set, at most 200.

    `process_*` is left out: those are read from outside, and better. A gauge of entries that has its ceiling and a
    counter of evictions beside it (`x_entries`, `x_limit`, `x_evicted_total`, of the same labels) makes room for newer
    ones, and is bounded there. A ceiling alone bounds nothing: a pool that turns away when full can be full of leaks.

    Does not see: counters, histograms, summaries (they grow by design), series beyond the first 200, gauges of
    instants; a ceiling that was not there or another one when the series was first seen; whether the page is true.
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
        families = {one.name: one for one in _families(self._setting.metrics_url, self._setting.headers)}
        for sample in _gauges(families.values()):
            name = _name(sample)
            resource = self._resources.get(name)
            if resource is None:
                if len(self._resources) >= _MOST_SERIES:
                    continue
                self._resources[name] = _resource(name, sample.value, _makes_room_at(sample, families))
            yield Reading(resource=name, value=float(sample.value))


def _gauges(families: Iterable[Metric]) -> Iterator[Sample]:
    for family in families:
        if family.type != "gauge" or family.name.startswith("process_") or family.name.endswith(_NOT_QUANTITIES):
            continue
        yield from (sample for sample in family.samples if math.isfinite(sample.value))


def _name(sample: Sample) -> str:
    labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
    return f"metric.{sample.name}" + (f"{{{labels}}}" if labels else "")


def _makes_room_at(held: Sample, families: Mapping[str, Metric]) -> Sample | None:
    """The ceiling at which the oldest entries go, where the page says that they do."""
    for end in _HELD:
        if held.name.endswith(end):
            stem = held.name.removesuffix(end)
            ceiling = next(_beside(held, stem, _CEILINGS, families), None)
            if ceiling is not None and 0 < ceiling.value < math.inf and any(_beside(held, stem, _EVICTIONS, families)):
                return ceiling
    return None


def _beside(held: Sample, stem: str, ends: Sequence[str], families: Mapping[str, Metric]) -> Iterator[Sample]:
    """Samples of the families of that name that have the labels of what is held, and perhaps more (a reason)."""
    for end in ends:
        if (family := families.get(stem + end)) is not None:
            yield from (one for one in family.samples if held.labels.items() <= one.labels.items())


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


def _resource(name: str, value: float, ceiling: Sample | None) -> Resource:
    plain = name.removeprefix("metric.").partition("{")[0]
    counted = value == int(value) and not plain.endswith(_FRACTIONS)
    return Resource(
        name=name,
        unit="bytes" if plain.endswith("_bytes") else "entries" if counted else "units",
        statistic=Statistic.COUNT if counted else Statistic.LEVEL,
        per_process=False,
        title=name.removeprefix("metric."),
        bound=None if ceiling is None else float(ceiling.value),
        bound_by="" if ceiling is None else ceiling.name,
    )
