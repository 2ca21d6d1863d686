"""A sweep as Markdown, for a repository or an issue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from leakcheck.model.sweep import Sweep, SweptVariant
from leakcheck.render import _sweep_words as words
from leakcheck.render import figures
from leakcheck.render._visible import visible

PLUGIN = False
FILE = "sweep.md"


def render(sweep: Sweep) -> bytes:
    """Give the text. Words that came from a plan or a server are made visible and cannot break a table."""
    return "\n".join(_lines(sweep)).encode() + b"\n"


def _lines(sweep: Sweep) -> Iterator[str]:
    yield f"# {_plain(sweep.name)}: cost against size"
    yield ""
    yield _plain(words.headline(sweep))
    for line in words.not_done(sweep):
        yield f"- {_plain(line)}"
    if sweep.claims:
        yield from ("", "## Claims", "")
        yield from _table(
            ("claim", "size", "claimed", "measured", "verdict"),
            (
                (
                    words.about(one),
                    f"{one.claim.size:,}",
                    words.claimed(one.claim),
                    words.measured(one),
                    f"**{words.verdict(one)}**" + (f": {one.reason}" if one.reason else ""),
                )
                for one in sweep.claims
            ),
        )
    for shape in sweep.shapes:
        yield from ("", f"{_plain(shape.variant)}, {words.title(shape.quantity)}: {_plain(shape.reason)}.")
    for variant in sweep.variants:
        yield from _of_variant(sweep, variant)
    yield from ("", "## How to read it", "")
    yield from (f"- {note}" for note in words.notes(sweep))
    where = sweep.environment
    memory = figures.quantity(float(where.get("memory_bytes", 0)), "bytes")
    yield f"- Measured {figures.moment(sweep.at)} on {where.get('cores')} cores, {memory}, Linux {where.get('kernel')}."


def _of_variant(sweep: Sweep, variant: SweptVariant) -> Iterator[str]:
    yield from ("", f"## {_plain(variant.name)}", "", f"`{_plain(' '.join(variant.command))}`", "")
    yield f"Filled by {_plain(variant.fill)}; measured by {_plain(variant.measure)}."
    yield ""
    yield from _table(
        ("quantity", *(f"{size:,}" for size in variant.sizes), "grows as", "per item"),
        (
            (
                words.title(one.quantity),
                *(words.cell(cell, one.unit) for cell in one.cells if cell.size in variant.sizes),
                words.exponent(one.growth),
                words.per_item(one.growth, one.unit),
            )
            for one in words.main_series(sweep, variant.name)
        ),
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(map(_plain, row))} |"


def _plain(text: str) -> str:
    return visible(text).replace("|", "\\|").replace("<", "&lt;")
