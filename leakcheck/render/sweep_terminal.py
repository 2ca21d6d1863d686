"""A sweep on the terminal, at 80 columns; and what it is doing, while it does it."""

from __future__ import annotations

import time
from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.status import Status
from rich.table import Table
from rich.text import Text

from leakcheck.model.sweep import ClaimVerdict, Outcome, Point, Sweep, SweptVariant
from leakcheck.render import _sweep_words as words
from leakcheck.render import figures
from leakcheck.render._visible import visible

PLUGIN = False

_MOST_SIZES = 4
_STYLES = {
    ClaimVerdict.CONFIRMED: "bold green",
    ClaimVerdict.UNDERSTATED: "bold red",
    ClaimVerdict.OVERSTATED: "bold red",
    ClaimVerdict.WRONG_SHAPE: "bold red",
    ClaimVerdict.NOT_MEASURED: "bold",
}


def print_sweep(sweep: Sweep, directory: str, console: Console) -> None:
    """Print claims, then a table for each variant, then where the files are."""
    for part in _parts(sweep, directory):
        console.print(part, markup=False, highlight=False, emoji=False)


def _parts(sweep: Sweep, directory: str) -> Iterator[RenderableType]:
    yield Text.assemble((visible(sweep.name), "bold"), f": {words.headline(sweep)}")
    if sweep.claims:
        yield Text()
        yield _claims(sweep)
    for variant in sweep.variants:
        yield Text()
        yield Text(visible(variant.name), style="bold")
        yield _table(sweep, variant)
    problems = words.not_done(sweep)
    if problems:
        yield Text()
        yield from (Text(f"! {visible(line, 400)}", style="yellow") for line in problems)
    yield Text()
    yield Text(f"~ is projected. Pictures and intervals: {directory}/sweep.html")


def _claims(sweep: Sweep) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for name in ("claim", "size", "claimed", "measured", "verdict"):
        table.add_column(name, header_style="dim", justify="right" if name == "size" else "left")
    for one in sweep.claims:
        table.add_row(
            Text(visible(f"{one.claim.variant}: {words.title(one.claim.quantity)}")),
            figures.tick(one.claim.size, ""),
            words.claimed(one.claim),
            Text(words.middle(one)),
            Text(words.verdict(one), style=_STYLES[one.verdict]),
        )
    return table


def _table(sweep: Sweep, variant: SweptVariant) -> RenderableType:
    sizes = words.shown_sizes(variant.sizes, _MOST_SIZES)
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("")
    for size in sizes:
        table.add_column(figures.tick(size, ""), header_style="dim", justify="right", no_wrap=True)
    table.add_column("grows as", header_style="dim")
    table.add_column("per item", header_style="dim", justify="right", no_wrap=True)
    for one in words.main_series(sweep, variant.name):
        shown = {cell.size: words.cell(cell, one.unit) for cell in one.cells}
        growth = one.growth
        power = "flat" if growth and growth.flat else figures.DASH
        if growth and growth.exponent is not None and not growth.flat:
            power = f"size^{growth.exponent:.2f}".replace("-", figures.MINUS)
            if growth.bends and growth.last_exponent is not None:
                power = f"bends, ^{growth.last_exponent:.2f}".replace("-", figures.MINUS)
        name = Text(visible(words.title(one.quantity), 60))
        table.add_row(name, *(shown.get(size, "") for size in sizes), power, words.per_item(growth, one.unit))
    return Padding(table, (0, 0, 0, 2))


class Progress:
    """Tells the runs of one sweep to a console: a line for each, and on a terminal what runs now."""

    def __init__(self, console: Console, count: int) -> None:
        """Take a console, best one on standard error, and how many runs there are at most."""
        self._console, self._count, self._done = console, count, 0
        self._began = 0.0
        self._status: Status | None = None

    def begins(self, variant: str, size: int, repeat: int) -> None:
        """Say that a run begins."""
        self._began = time.monotonic()
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            again = f", run {repeat}" if repeat > 1 else ""
            self._status = self._console.status(Text(visible(f"{variant} at {size:,}{again}")))
            self._status.start()

    def ended(self, point: Point, *, kept: bool) -> None:
        """Say how a run ended."""
        self.close()
        self._done += 1
        told = "kept from before" if kept else figures.seconds(time.monotonic() - self._began)
        how = "" if point.outcome is Outcome.DONE else f"  {point.outcome.value}: {point.reason}"
        memory = point.amounts.get("memory.anon.rest")
        shown = f"  {figures.quantity(memory.value, 'bytes')} at rest" if memory else ""
        line = f"{self._done}/{self._count} {point.variant} {point.size:,}  {told}{shown}{how}"
        self._console.print(Text(visible(line, 400)), soft_wrap=True, highlight=False)

    def close(self) -> None:
        """Take the status away. May be called more than once."""
        status, self._status = self._status, None
        if status is not None:
            status.stop()
