"""Which kinds a round plays more of, and which less: a plan in which no two kinds look alike.

Plackett and Burman's two-level designs (Biometrika 33, 1946), by Paley's construction: for a prime q with remainder 3
modulo 4, the quadratic residues modulo q and their cyclic shifts give q + 1 rounds in which up to q kinds are high or
low, each pair of kinds as often alike as not. So the growth of a round can be put down to one kind with the least
error that so many rounds allow.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count, cycle


def signs(kinds: int, seed: int) -> Iterator[tuple[int, ...]]:
    """Yield for each round one sign a kind, +1 or −1, without end; every q + 1 rounds the plan begins anew.

    `seed` draws the order of the rounds and which kind takes which column, so that nothing depends on either.
    """
    draw = random.Random(seed)  # noqa: S311 - a plan of doses, not a secret
    matrix = _orthogonal(_order(kinds))
    columns = draw.sample(range(len(matrix[0])), kinds)
    rows = [tuple(row[column] for column in columns) for row in matrix]
    draw.shuffle(rows)
    return cycle(rows)


def _order(kinds: int) -> int:
    """Return the smallest q that has room for so many kinds."""
    return next(q for q in count(max(3, kinds)) if q % 4 == 3 and all(q % divisor for divisor in range(3, q, 2)))


def _orthogonal(order: int) -> list[tuple[int, ...]]:
    """Return order + 1 rows of `order` signs whose columns are orthogonal and sum to zero."""
    residues = {number * number % order for number in range(1, order)}
    first = [1 if place == 0 or place in residues else -1 for place in range(order)]
    shifts = [tuple(first[(place - shift) % order] for place in range(order)) for shift in range(order)]
    return [*shifts, (-1,) * order]
