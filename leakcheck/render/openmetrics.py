"""An Audit as OpenMetrics 1.0: what is held now, how fast it grows, and the verdict, resource by resource."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, StateSetMetricFamily
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from leakcheck.model.audit import Audit
from leakcheck.model.finding import Finding, Verdict
from leakcheck.render import _summary
from leakcheck.render._visible import visible

PLUGIN = False
"""Served while a watch goes on; a file of it would be out of date at once."""

CONTENT_TYPE = CONTENT_TYPE_LATEST
_MOST = 400
"""Resources: a target's own metrics page gives 200 at most, and this bounds whatever comes."""
_LONGEST = 200
"""Characters of a label."""
_OF_A_FINDING = ("resource", "operation")
"""Labels; `operation` is empty where growth is put down to time or to nothing."""


def render(audit: Audit) -> bytes:
    """Give the page: values are those of the last round, rates and verdicts those of the findings.

    Does not see: resources beyond the first 400; of two with the same first 200 characters, the second.
    """
    registry = CollectorRegistry()
    registry.register(_Page(audit))
    return bytes(generate_latest(registry))  # type: ignore[no-untyped-call]


class _Page(Collector):
    def __init__(self, audit: Audit) -> None:
        self._audit = audit
        self._findings = _each_once(audit.findings)

    def collect(self) -> Iterator[Metric]:
        """Give all families."""
        yield self._target()
        yield GaugeMetricFamily(
            "leakcheck_elapsed_seconds",
            "Time of the last look, since the target was ready.",
            value=self._audit.rounds[-1].at_seconds if self._audit.rounds else 0.0,
        )
        overall = StateSetMetricFamily("leakcheck_verdict", "The overall verdict so far.")
        overall.add_metric((), _states(self._audit.verdict))
        yield overall
        yield self._values()
        verdicts = StateSetMetricFamily("leakcheck_resource_verdict", "The verdict so far.", labels=_OF_A_FINDING)
        for labels, one in self._findings.items():
            verdicts.add_metric(labels, _states(one.verdict))
        yield verdicts
        yield from self._rates()
        yield self._forecasts()

    def _target(self) -> Metric:
        target = self._audit.target
        family = InfoMetricFamily("leakcheck_target", "Who is audited.")
        family.add_metric((), {"name": _label(_summary.name_of(self._audit)), "pid": str(target.pid) if target else ""})
        return family

    def _values(self) -> Metric:
        units = {resource.name: resource.unit for resource in self._audit.resources}
        family = GaugeMetricFamily(
            "leakcheck_resource_value", "What is held now, over the whole tree.", labels=("resource", "unit")
        )
        readings = self._audit.rounds[-1].readings if self._audit.rounds else {}
        shown = {_label(name): name for name in list(readings)[:_MOST]}
        for label, name in shown.items():
            family.add_metric((label, _label(units.get(name, ""))), readings[name].total)
        return family

    def _rates(self) -> Iterator[Metric]:
        for suffix, what in (("", "Growth of what leaks"), ("_low", "Lower end of it"), ("_high", "Upper end of it")):
            family = GaugeMetricFamily(
                f"leakcheck_resource_growth{suffix}",
                f"{what}, in units of the resource per `per`.",
                labels=(*_OF_A_FINDING, "per"),
            )
            for labels, one in self._findings.items():
                if one.rate is not None:
                    value = {"": one.rate.value, "_low": one.rate.low, "_high": one.rate.high}[suffix]
                    family.add_metric((*labels, one.rate.per.value), value)
            yield family

    def _forecasts(self) -> Metric:
        family = GaugeMetricFamily(
            "leakcheck_resource_limit_seconds",
            "The soonest that a limit is hit if growth goes on.",
            labels=(*_OF_A_FINDING, "limit"),
        )
        for labels, one in self._findings.items():
            if one.forecast is not None:
                family.add_metric((*labels, _label(one.forecast.limit)), 3600 * one.forecast.hours_low)
        return family


def _each_once(findings: Iterable[Finding]) -> dict[Sequence[str], Finding]:
    """By their labels, which no two series of a page may share."""
    found: dict[Sequence[str], Finding] = {}
    for one in findings:
        if len(found) < _MOST:
            found.setdefault((_label(one.resource), _label(one.operation or "")), one)
    return found


def _states(verdict: Verdict) -> dict[str, bool]:
    return {one.value: one is verdict for one in Verdict}


def _label(text: str) -> str:
    return visible(text, _LONGEST)
