"""Which operation the growth belongs to: a regression of growth per round on the operations of that round."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leakcheck.detect import amount
from leakcheck.detect.wandering import t_quantile
from leakcheck.model.finding import Per, Rate, Suspect
from leakcheck.model.kinds import ALL, is_part_of, way_of, without_era
from leakcheck.model.series import Series

_T95 = 2.0
"""Two standard errors: the t quantile for 95 % is 2.09 at 20 degrees of freedom and 1.98 at 100."""
_ROUNDING = 1e-9
"""Relative errors below this are those of the arithmetic: counts that fit exactly have an interval of no width."""
_FEWEST_FOR_ONE = 6
_FAR_BETTER = 0.1
"""Share of the next best cause's sum of squares: at doses of a half and one and a half, a wrong cause leaves 0.36 of
the whole."""
_SURE = 0.4
"""Low end of an owner's interval, as a share of its rate: of seventeen causes one is 2 standard errors from zero by
chance in a third of all runs, and 3.3 in one of sixty."""
_TAKEN_AWAY = 0.3
"""Of the growth, that causes together may seem to take away: no operation does, so more says that nothing fits."""
_TOLD_APART = 6.0
"""Strong, by Kass and Raftery (1995): noise alone makes one of three equal causes fit so much better in a few of a
hundred runs."""
_MOST_OF_IT = 0.6
"""An operation owns the growth when it explains this share: two equal owners explain half each."""
_NEARLY_ALL = 0.8
"""…and all tools together when they explain this much: they are most of what is played anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What the regression gives to one cause."""

    cause: str | None
    """A kind of operation; None: time."""
    rate: float
    low: float
    high: float
    share: float
    """Of the whole growth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Growth put down to its causes, and the one that owns it, if one does."""

    shares: tuple[Share, ...]
    """Largest first; causes with nothing to show left out."""
    owner: Share | None

    def rate(self, unit: str) -> Rate | None:
        """Return the owner's rate with its interval."""
        if self.owner is None:
            return None
        per = Per.SECOND if self.owner.cause is None else Per.OPERATION
        return Rate(value=self.owner.rate, low=self.owner.low, high=self.owner.high, unit=unit, per=per)

    def shared(self, unit: str) -> tuple[Suspect, ...]:
        """Return who shares the growth, with what each adds; nobody where it has one owner."""
        if self.owner is not None:
            return ()
        return tuple(
            Suspect(
                holder=share.cause or "time",
                proof=f"{amount(share.rate, unit)} each ({amount(share.low, unit)} to {amount(share.high, unit)}), "
                f"{share.share:.0%} of all",
            )
            for share in self.shares
            if share.cause != ALL
        )


def attribute(series: Series, first: int) -> Attribution:
    """Regress the increments from floor `first` on the operations played and the seconds passed.

    Ordinary least squares without intercept: growth = Σ rate_k · operations_k + rate_t · seconds. Doses differ from
    round to round by a plan of full rank, and quiet rounds tell time from work. Increments across a break are left
    out. Where there are too few rounds for that, the one cause that fits far better than any other owns the growth, and
    where none does, all operations together are the one cause. What one kind adds in every era alike
    (`reject@2025-11-25` and `reject@2026-07-28`) is owned by `reject`; what no single tool does, but all calls alike,
    by `call`; what calls of a tool share with the cancelled and dropped calls of it, by that tool.

    Does not see: growth that shows up only rounds after its cause; causes that act only together.
    """
    used = [index for index in range(first + 1, len(series.values)) if index not in series.breaks]
    growth = np.array([series.values[index] - series.values[index - 1] for index in used], dtype=float)
    seconds = np.array([series.seconds[index] - series.seconds[index - 1] for index in used], dtype=float)
    played = np.array([series.operations[index] for index in used], dtype=float).reshape(len(used), len(series.kinds))
    kinds: list[str] = list(series.kinds)
    if len(used) < len(kinds) + 3 or np.linalg.matrix_rank(played) < len(kinds):
        return _sparse(played, seconds, growth, kinds)
    finest = _regress(played, seconds, growth, kinds)
    found, names = finest, kinds
    for coarser, share in ((without_era, _MOST_OF_IT), (way_of, _NEARLY_ALL)):
        if found.owner is not None and not _is_shared_with_another_era(found):
            return found
        merged = list(dict.fromkeys(map(coarser, kinds)))
        if coarser is way_of and len(merged) == 1:
            merged = [ALL]  # a name for all that is played is none
        if len(merged) < len(names):
            columns = np.column_stack([_summed(played, kinds, name) for name in merged])
            found, names = _regress(columns, seconds, growth, merged, share), merged
    return found if found.owner is not None else _of_a_tool(finest, series)


def follows_the_doses(attribution: Attribution, rounds: int, by_chance: float) -> bool:
    """Whether rounds rise by what was played of one operation, more closely than the best of all would by chance."""
    owner = attribution.owner
    if owner is None or owner.cause in {None, ALL}:
        return False
    error = (owner.high - owner.low) / (2 * _T95)
    causes = max(1, len(attribution.shares))
    return owner.rate > error * t_quantile(1 - by_chance / 2 / causes, rounds - causes)


def _is_shared_with_another_era(found: Attribution) -> bool:
    """Whether the same operation in another era adds its part: then the era is not the cause."""
    owner = found.owner.cause if found.owner else None
    return owner is not None and any(
        one.cause not in {None, owner} and without_era(one.cause or "") == without_era(owner) for one in found.shares
    )


def _of_a_tool(found: Attribution, series: Series) -> Attribution:
    """Put down to one tool what its calls, and the operations that call it too, add together."""
    using: dict[str, set[str]] = {}
    for kind, called in series.invokes:
        using.setdefault(without_era(series.kinds[called]), set()).add(series.kinds[kind])
    for tool, others in using.items():
        calls = [one for one in found.shares if one.cause is not None and without_era(one.cause) == tool]
        share = sum(one.share for one in found.shares if one in calls or one.cause in others)
        if calls and share >= _NEARLY_ALL:
            owner = Share(
                cause=tool,
                rate=sum(one.rate for one in calls) / len(calls),
                low=min(one.low for one in calls),
                high=max(one.high for one in calls),
                share=share,
            )
            return Attribution(shares=found.shares, owner=owner)
    return found


def work_of(series: Series, index: int, cause: str | None) -> float:
    """Return the operations of a round that belong to a cause; its seconds where time is the cause."""
    if cause is None:
        return series.seconds[index] - series.seconds[index - 1]
    row = zip(series.kinds, series.operations[index], strict=True)
    return float(sum(count for kind, count in row if is_part_of(kind, cause)))


def _summed(played: NDArray[np.float64], kinds: list[str], cause: str) -> NDArray[np.float64]:
    columns = [index for index, kind in enumerate(kinds) if is_part_of(kind, cause)]
    return np.asarray(played[:, columns].sum(axis=1), dtype=np.float64)


def _sparse(
    played: NDArray[np.float64], seconds: NDArray[np.float64], growth: NDArray[np.float64], kinds: list[str]
) -> Attribution:
    """Put growth down to one cause alone, if it fits far better than every other; else to all operations together.

    What few rounds cannot tell apart in general they can where only one cause acts (effect sparsity).
    """
    # What one era alone has is the same column twice, and then neither of the two would fit better than the other.
    bases = [base for base, eras in Counter(map(without_era, kinds)).items() if eras > 1 and base not in kinds]
    causes: list[str | None] = [*kinds, *bases, None]
    columns = [*played.T, *(_summed(played, kinds, base) for base in bases), seconds]
    fits = sorted(
        ((_residual(column, growth), place) for place, column in enumerate(columns) if column.any()),
        key=lambda fit: fit[0],
    )
    if len(growth) >= _FEWEST_FOR_ONE and len(fits) > 1:
        (best, place), (second, _) = fits[:2]
        if best < second and best <= _FAR_BETTER * second and best <= _FAR_BETTER * float(growth @ growth):
            return _shares(columns[place][:, None], growth, [causes[place]])
    return _regress(played.sum(axis=1, keepdims=True), seconds, growth, [ALL if len(kinds) != 1 else kinds[0]])


def _residual(column: NDArray[np.float64], growth: NDArray[np.float64]) -> float:
    """Return the sum of squares that one cause leaves unexplained; a cause never takes away."""
    rate = max(0.0, float(column @ growth) / float(column @ column))
    left = growth - rate * column
    return float(left @ left)


def _regress(
    played: NDArray[np.float64],
    seconds: NDArray[np.float64],
    growth: NDArray[np.float64],
    kinds: list[str],
    owned_from: float = _MOST_OF_IT,
) -> Attribution:
    has_quiet = bool((played.sum(axis=1) == 0).any())
    design = np.column_stack([played, seconds]) if has_quiet else played
    causes: list[str | None] = [*kinds, None] if has_quiet else [*kinds]
    if not len(growth) > len(causes):
        return Attribution(shares=(), owner=None)
    return _shares(design, growth, causes, owned_from)


def _shares(
    design: NDArray[np.float64],
    growth: NDArray[np.float64],
    causes: list[str | None],
    owned_from: float = _MOST_OF_IT,
) -> Attribution:
    rates, errors = _least_squares(design, growth)
    total = float(growth.sum())
    amounts = rates * design.sum(axis=0)
    found = [
        Share(
            cause=cause,
            rate=float(rate),
            low=float(rate - _T95 * error),
            high=float(rate + _T95 * error),
            share=float(amount / total) if total else 0.0,
        )
        for cause, rate, error, amount in zip(causes, rates, errors, amounts, strict=True)
    ]
    if sum(one.share for one in found if one.share < 0) < -_TAKEN_AWAY:
        return Attribution(shares=(), owner=None)
    shares = tuple(sorted((one for one in found if one.low > 0), key=lambda one: -one.share))
    sure = [
        one
        for one in shares
        if one.share >= owned_from and one.low >= _SURE * one.rate and _is_told_apart(one.cause, causes, design, growth)
    ]
    return Attribution(shares=shares, owner=sure[0] if sure else None)


def _is_told_apart(
    cause: str | None, causes: list[str | None], design: NDArray[np.float64], growth: NDArray[np.float64]
) -> bool:
    """Whether the one cause fits better than all operations alike would, by more than noise makes it seem to.

    The difference of the two fits' log-likelihoods, as of BIC for as many parameters; nothing to tell where there is
    only one operation.
    """
    played = [place for place, one in enumerate(causes) if one is not None]
    if cause is not None and len(played) < 2:
        return True
    everything = design[:, played].sum(axis=1)
    if not everything.any():
        return True
    own, alike = _residual(design[:, causes.index(cause)], growth), _residual(everything, growth)
    return own < alike and (own <= 0 or len(growth) * float(np.log(alike / own)) >= _TOLD_APART)


def _least_squares(
    design: NDArray[np.float64], growth: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coefficients and their standard errors; exact data give errors of zero."""
    rates, _, rank, _ = np.linalg.lstsq(design, growth, rcond=None)
    residual = growth - design @ rates
    freedom = max(1, len(growth) - int(rank))
    variance = float(residual @ residual) / freedom
    spread = np.linalg.pinv(design.T @ design)
    errors = np.sqrt(np.maximum(np.diag(spread) * variance, 0.0))
    errors[errors < _ROUNDING * np.abs(rates)] = 0.0
    return np.asarray(rates, dtype=np.float64), np.asarray(errors, dtype=np.float64)
