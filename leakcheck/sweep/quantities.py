"""Amounts as people write them in a plan: `500 MB`, `14 GiB`, `60%`, `1.5 s`."""

from __future__ import annotations

import re

from leakcheck.errors import UsageError

_BYTES = {"B": 1.0, "bytes": 1.0} | {
    f"{prefix}{ending}": factor**power
    for power, prefix in enumerate("KMGT", 1)
    for ending, factor in (("B", 1000.0), ("iB", 1024.0))
}
_BYTES["kB"] = _BYTES["KB"]
_SECONDS = {"s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0}
_WRITTEN = re.compile(r"(?P<number>\d[\d_]*(?:\.\d+)?)\s*(?P<unit>[A-Za-z]+|%)?")


def amount(value: object, unit: str, where: str) -> tuple[float, str]:
    """Return a number and its unit: bytes (`bytes`), seconds (`s`), or `unit` as it stands for a bare number.

    MB is 1,000,000 bytes and MiB 1,048,576 (IEC 80000-13). Raises UsageError naming `where`.
    Does not see: whether the unit suits the quantity.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        scale, name = _scale(unit, where) if unit else (1.0, "")
        return float(value) * scale, name
    found = _WRITTEN.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None or found["unit"] == "%":
        raise UsageError(f"{where} must be an amount such as '500 MB', '1.5 s' or a number, not {value!r}")
    scale, name = _scale(found["unit"] or unit, where)
    return float(found["number"].replace("_", "")) * scale, name


def share_or_bytes(value: object, whole: float, where: str) -> float:
    """Return bytes: an amount of them, or a share of `whole` such as `60%`. Raises UsageError naming `where`.

    Does not see: limits below the machine's memory (cgroups).
    """
    found = _WRITTEN.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is not None and found["unit"] == "%":
        bytes_ = float(found["number"]) / 100 * whole
    else:
        bytes_, unit = amount(value, "bytes", where)
        if unit != "bytes":
            raise UsageError(f"{where} must be a share such as '60%' or bytes such as '14 GiB', not {value!r}")
    if not 0 < bytes_ <= whole * 0.95:
        raise UsageError(
            f"{where} is {value!r}, which is nothing or above 95 % of this machine's memory; give a smaller one"
        )
    return bytes_


def _scale(unit: str, where: str) -> tuple[float, str]:
    if unit in _BYTES:
        return _BYTES[unit], "bytes"
    if unit in _SECONDS:
        return _SECONDS[unit], "s"
    if not unit:
        return 1.0, ""
    if re.fullmatch(r"[A-Za-z][A-Za-z /_-]*", unit) is None:
        raise UsageError(f"{where}: the unit {unit!r} is no word; write 'MB', 's', or a plural noun such as 'calls'")
    return 1.0, unit
