"""What can be read, and what reading costs."""

from __future__ import annotations

import json
import time
from statistics import median

from rich.table import Table
from rich.text import Text

from leakcheck.credentials import Secrets
from leakcheck.model.reading import Resource, Snapshot
from leakcheck.probes import Setting
from leakcheck.probes import inside as inside_python
from leakcheck.probes import node as inside_node
from leakcheck.render import figures
from leakcheck.render.terminal import PatientConsole, print_plain
from leakcheck.snapshots import Looker
from leakcheck.targets.running import Running


def show(pid: int | None, times: int, console: PatientConsole, *, print_json: bool) -> None:
    """Print the probes; with `pid`, also what they read of it and what a snapshot costs."""
    looker = Looker(Setting())
    resources = looker.new_resources()
    inside = () if pid is not None else (*inside_python.POSSIBLE, *inside_node.POSSIBLE)
    costs: list[float] = []
    snapshot: Snapshot | None = None
    cpu = time.process_time()
    if pid is not None:
        with Running(pid, Secrets()) as target:
            for _ in range(times):
                begun = time.perf_counter()
                snapshot = looker.snapshot(target.members())
                costs.append(time.perf_counter() - begun)
    cpu = (time.process_time() - cpu) / times
    if print_json:
        print_plain(
            json.dumps(_document((*resources, *inside), snapshot, costs, cpu, looker), indent=1) + "\n", console
        )
        return
    console.print(_table(resources, _values(snapshot)))
    if inside:
        console.print("\nAnd inside the Python and Node processes of a target that an audit starts:\n")
        console.print(_table(inside, {}))
    if snapshot is not None:
        processes = figures.counted(len(snapshot.processes), "process", "processes")
        console.print(
            f"{processes}; a snapshot takes {1e3 * median(costs):.2f} ms (median of {times}) "
            f"and {1e3 * cpu:.2f} ms of CPU: at one a second, {100 * cpu:.2f} % of a core."
        )


def _values(snapshot: Snapshot | None) -> dict[str, float]:
    values: dict[str, float] = {}
    if snapshot is not None:
        for reading in snapshot.tree:
            values[reading.resource] = reading.value
        for one in snapshot.processes:
            for name, value in one.values.items():
                values[name] = values.get(name, 0.0) + value
    return values


def _document(
    resources: tuple[Resource, ...], snapshot: Snapshot | None, costs: list[float], cpu: float, looker: Looker
) -> dict[str, object]:
    values = _values(snapshot)
    document: dict[str, object] = {
        "resources": [
            {
                "name": one.name,
                "unit": one.unit,
                "title": one.title,
                "judged": one.judged,
                "value": values.get(one.name),
            }
            for one in resources
        ]
    }
    if snapshot is not None:
        document |= {
            "processes": len(snapshot.processes),
            "snapshot_ms": 1e3 * median(costs),
            "cpu_ms": 1e3 * cpu,
            "probe_ms": {name: 1e3 * spent / len(costs) for name, spent in looker.costs.items()},
            "unread": [{"resource": one.resource, "reason": one.reason} for one in snapshot.unread],
        }
    return document


def _table(resources: tuple[Resource, ...], values: dict[str, float]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("resource")
    table.add_column("what")
    if values:
        table.add_column("now", justify="right")
    for one in resources:
        title = one.title if one.judged else f"{one.title} (shown, not judged)"
        row = [Text(one.name), Text(title)]
        if values:
            value = values.get(one.name)
            row.append(Text("not read" if value is None else f"{value:,.0f}"))
        table.add_row(*row)
    return table
