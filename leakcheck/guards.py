"""Bounds that a program's own code keeps, found in its source: `if len(self.items) > 500: self.items.popitem()`."""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from leakcheck.shrinking import FUNCTIONS, adds_after, assigned, empties, last, refuses, shrinks, takes_out

_MORE, _LESS = (ast.Gt, ast.GtE, ast.Eq), (ast.Lt, ast.LtE, ast.NotEq)
_LONGEST_TEST = 80
_LONGEST_SOURCE = 4 << 20
"""Bytes: longer files are generated, and not read."""


@dataclass(frozen=True, kw_only=True)
class Guard:
    """Code that keeps a container from growing past a bound."""

    line: int
    """Of the test."""
    bound: float | None
    """Entries; None when the code has a bound whose value cannot be told from the source and the numbers."""
    text: str
    """The test as it stands there, 80 characters at most."""


@dataclass(frozen=True, kw_only=True)
class _Source:
    """A parsed file, and the values that names in it have."""

    tree: ast.Module
    numbers: Mapping[str, int]
    attribute: str
    """The container's last name; empty when it is `self`."""
    owners: frozenset[str] | None
    """Classes whose `self.attribute` is meant; None: all of them."""
    constants: dict[str, float] = field(default_factory=dict)


def guard(source: str, attribute: str, numbers: Mapping[str, int], owner: str | None = None) -> Guard | None:
    """Return the first code in `source` that bounds a container of this name, one with a known bound before others.

    A bound is kept by an `if` or `while` that compares the container's `len` and then takes entries from the same
    container, or refuses: raises or returns before the function adds to it; or by a method that returns the comparison
    (`shouldFlush`), where the file also empties the container at once. numbers: integers known from the running
    program, by name. owner: the class that has the attribute ("" for a global); None for any. Raises SyntaxError for
    what is no Python, ValueError for null bytes.

    Does not see: shrinking through an alias or another function; whether all ways to add pass the test.
    """
    tree = ast.parse(source)
    owners = None if owner is None else _with_bases(tree, owner)
    return _first(_Source(tree=tree, numbers=numbers, attribute=attribute, owners=owners, constants=_constants(tree)))


def guard_of_class(source: str, class_name: str, numbers: Mapping[str, int]) -> Guard | None:
    """Return the code with which a class derived from a container bounds itself by `len(self)`; else as `guard`."""
    tree = ast.parse(source)
    owners = _with_bases(tree, class_name.rpartition(".")[2])
    return _first(_Source(tree=tree, numbers=numbers, attribute="", owners=owners, constants=_constants(tree)))


def bound_in_source(name: str, type_: str, file: str | None, numbers: Mapping[str, int]) -> tuple[float | None, str]:
    """Return a registry's bound and the line that keeps it, `cache.py:41: len(self.items) > self.most`.

    name, type_, file and numbers are the agent's. (None, "") where no code was found, or none could be read; elements
    of containers (`[*]`) have no code of their own.
    """
    place = name.partition(":")[2]
    if file is None or not place or "[*]" in place:
        return None, ""
    owner, _, attribute = place.rpartition(".")
    try:
        source = _read(Path(file))
        found = guard_of_class(source, type_, numbers) if "." in type_ else None
        if found is None:
            whose = None if attribute.startswith("<") else owner.rpartition(".")[2]
            found = guard(source, attribute.strip("<>"), numbers, whose)
    except (OSError, SyntaxError, ValueError, RecursionError):  # another Python's source, or none: no bound is known
        return None, ""
    return (None, "") if found is None else (found.bound, f"{Path(file).name}:{found.line}: {found.text}")


def keeps_in_source(name: str, type_: str, file: str | None) -> bool:
    """Say whether the code is known and takes nothing out of the container: what is in it stays.

    name, type_ and file are the agent's, as in `bound_in_source`. False for a class of the program's or a library's
    own: it may take things out by itself.
    """
    place = name.partition(":")[2]
    is_plain = "." not in type_ or type_.startswith("collections.")
    if file is None or not place or "[*]" in place or not is_plain:
        return False
    try:
        return not takes_out(ast.parse(_read(Path(file))), place.rpartition(".")[2].strip("<>"))
    except (OSError, SyntaxError, ValueError, RecursionError):  # as above: nothing is known
        return False


def _read(path: Path) -> str:
    if path.stat().st_size > _LONGEST_SOURCE:
        raise ValueError(f"{path} has more than {_LONGEST_SOURCE} bytes: nobody wrote that by hand")
    with tokenize.open(path) as file:
        return file.read()


def _with_bases(tree: ast.Module, name: str) -> frozenset[str]:
    """Return the class and those of the same file that it is derived from."""
    bases = {
        node.name: [base for base in map(last, node.bases) if base]
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    found, step = set(), [name] if name else []
    while step:
        one = step.pop()
        if one not in found:
            found.add(one)
            step += bases.get(one, [])
    return frozenset(found)


def _constants(tree: ast.Module) -> dict[str, float]:
    """Return the numbers that the module and its classes assign to a name, once."""
    found: dict[str, float] = {}
    twice = set()
    bodies = [tree.body, *(node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]
    for statement in (one for body in bodies for one in body):
        for target, value in assigned(statement):
            number = _literal(value) if isinstance(target, ast.Name) else None
            if isinstance(target, ast.Name) and number is not None:
                if found.get(target.id, number) != number:
                    twice.add(target.id)
                found[target.id] = number
    return {name: number for name, number in found.items() if name not in twice}


def _literal(expression: ast.expr) -> float | None:
    return _value(expression, {}, {})


def _value(expression: ast.expr, numbers: Mapping[str, float], constants: Mapping[str, float]) -> float | None:
    """Evaluate a bound: a number, a name or an attribute with a known value, sums and products of these."""
    if isinstance(expression, ast.Constant):
        value = expression.value
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    if isinstance(expression, ast.BinOp):
        left, right = (_value(side, numbers, constants) for side in (expression.left, expression.right))
        if left is None or right is None:
            return None
        return _calculated(expression.op, left, right)
    name = last(expression)
    if isinstance(expression, ast.Subscript) and isinstance(expression.slice, ast.Constant):
        name = str(expression.slice.value)
    return numbers.get(name, constants.get(name)) if name else None


def _calculated(operator: ast.operator, left: float, right: float) -> float | None:
    match operator:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.LShift() if right < 64:
            return left * 2**right
        case ast.Pow() if abs(left) <= 1024 and 0 <= right < 64:
            return float(left**right)
        case _:
            return None


def _first(source: _Source) -> Guard | None:
    found = list(_guards(source, source.tree, None, None))
    return next((one for one in found if one.bound is not None), found[0] if found else None)


def _guards(source: _Source, node: ast.AST, within: str | None, function: ast.AST | None) -> Iterator[Guard]:
    """Yield the guards below a node, which is in that class and that function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.If, ast.While)):
            yield from _tested(source, child, within, function)
        if isinstance(child, ast.Return) and child.value is not None:
            yield from _answered(source, child, child.value, within)
        if isinstance(child, ast.ClassDef):
            yield from _guards(source, child, child.name, None)
        else:
            yield from _guards(source, child, within, child if isinstance(child, FUNCTIONS) else function)


def _tested(source: _Source, node: ast.If | ast.While, within: str | None, function: ast.AST | None) -> Iterator[Guard]:
    for container, bound, is_more in _comparisons(node.test, negated=False):
        if not _is_meant(source, container, within):
            continue
        value = _value(bound, {k: float(v) for k, v in source.numbers.items()}, source.constants)
        if value is not None and value < 1:
            continue  # `if len(items) > 0` asks whether there is anything
        same = ast.dump(container)
        body = node.body if is_more else node.orelse
        if shrinks(body, same) or (refuses(body) and adds_after(function, node, same)):
            yield Guard(line=node.lineno, bound=value, text=_text(node.test))


def _answered(source: _Source, node: ast.Return, answer: ast.expr, within: str | None) -> Iterator[Guard]:
    """Yield the bound of a method that answers whether the container is full, where its file also empties it."""
    for container, bound, is_more in _comparisons(answer, negated=False):
        value = _value(bound, {k: float(v) for k, v in source.numbers.items()}, source.constants)
        meant = is_more and _is_meant(source, container, within) and value is not None and value >= 1
        if meant and empties(source.tree, ast.dump(container)):
            yield Guard(line=node.lineno, bound=value, text=_text(answer))


def _comparisons(test: ast.expr, *, negated: bool) -> Iterator[tuple[ast.expr, ast.expr, bool]]:
    """Yield container, bound, and whether the test is true when there is more in it than that."""
    if isinstance(test, ast.BoolOp):
        for part in test.values:
            yield from _comparisons(part, negated=negated)
    elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        yield from _comparisons(test.operand, negated=not negated)
    elif isinstance(test, ast.Compare) and len(test.ops) == 1:
        left, right, operator = test.left, test.comparators[0], test.ops[0]
        if not isinstance(operator, (*_MORE, *_LESS)):
            return
        more = isinstance(operator, _MORE) != negated
        if (container := _measured(left)) is not None:
            yield container, right, more
        elif (container := _measured(right)) is not None:
            symmetric = isinstance(operator, (ast.Eq, ast.NotEq))
            yield container, left, more if symmetric else not more


def _measured(expression: ast.expr) -> ast.expr | None:
    """Return x of `len(x)`."""
    match expression:
        case ast.Call(func=ast.Name(id="len"), args=[container]):
            return container
        case _:
            return None


def _is_meant(source: _Source, container: ast.expr, within: str | None) -> bool:
    """Say whether it is the container that is asked about, as far as names tell."""
    mine = source.owners is None or within in source.owners
    match container:
        case ast.Name(id="self"):
            return not source.attribute and mine
        case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=attribute):
            return attribute == source.attribute and mine
        case _:  # of another object: known to be meant only where no other class speaks of its own
            near = mine or within is None
            return bool(source.attribute) and near and last(container) == source.attribute


def _text(test: ast.expr) -> str:
    text = " ".join(ast.unparse(test).split())
    return text if len(text) <= _LONGEST_TEST else text[: _LONGEST_TEST - 1] + "…"
