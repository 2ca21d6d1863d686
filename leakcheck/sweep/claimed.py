"""The claims of a plan file."""

from __future__ import annotations

from collections.abc import Iterable

from leakcheck.errors import UsageError
from leakcheck.model.sweep import Claim
from leakcheck.sweep.quantities import amount
from leakcheck.sweep.table import Table

_KEYS = ("quantity", "variant", "size", "low", "high", "unit", "source", "words")


def claims(tables: Iterable[Table], variants: tuple[str, ...]) -> tuple[Claim, ...]:
    """Return the claims, checked. Raises UsageError.

    Does not see: whether a quantity of that name will be measured; where it is not, the verdict says so.
    """
    return tuple(_claim(table, variants) for table in tables)


def _claim(table: Table, variants: tuple[str, ...]) -> Claim:
    table.check(_KEYS)
    for key in ("quantity", "variant", "low"):
        if not table.has(key):
            raise UsageError(f"{table.where}: key '{key}' is missing; a claim needs quantity, variant, size and low")
    variant, given = table.text("variant", ""), table.text("unit", "")
    if variant not in variants:
        raise UsageError(f"{table.named('variant')} is {variant!r}; the plan has {', '.join(variants)}")
    low, unit = amount(table.get("low", None), given, table.named("low"))
    high, same = amount(table.get("high", table.get("low", None)), given, table.named("high"))
    if unit != same:
        raise UsageError(f"{table.where}: 'low' is in {unit or 'no unit'} and 'high' in {same or 'no unit'}; take one")
    if not unit:
        raise UsageError(f"{table.where}: 'low' has no unit; write low = '500 MB', or add unit = 'calls'")
    if not 0 < low <= high:
        raise UsageError(f"{table.where}: 'low' must be above 0 and not above 'high', not {low:g} to {high:g}")
    return Claim(
        quantity=table.text("quantity", ""),
        variant=variant,
        size=table.whole("size", None),
        low=low,
        high=high,
        unit=unit,
        source=table.text("source", ""),
        words=table.text("words", ""),
    )
