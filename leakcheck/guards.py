"""Bounds that a program's own code keeps, found in its source: `if len(self.items) > 500: self.items.popitem()`."""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_SHRINKING = frozenset({"popitem", "pop", "popleft", "clear", "discard", "remove"})
_ADDING = frozenset({"append", "appendleft", "add", "insert", "setdefault", "update", "extend", "put", "push"})
_EMPTY = frozenset({"dict", "list", "set", "deque", "OrderedDict"})
_MORE, _LESS = (ast.Gt, ast.GtE, ast.Eq), (ast.Lt, ast.LtE, ast.NotEq)
_LONGEST_TEST = 80
_LONGEST_SOURCE = 4 << 20
"""Bytes: longer files are generated, and not read."""
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


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
    container, or refuses: raises or returns before the function adds to it. numbers: integers known from the running
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


def _read(path: Path) -> str:
    if path.stat().st_size > _LONGEST_SOURCE:
        raise ValueError(f"{path} has more than {_LONGEST_SOURCE} bytes: nobody wrote that by hand")
    with tokenize.open(path) as file:
        return file.read()


def _with_bases(tree: ast.Module, name: str) -> frozenset[str]:
    """Return the class and those of the same file that it is derived from."""
    bases = {
        node.name: [base for base in map(_last, node.bases) if base]
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
        for target, value in _assigned(statement):
            number = _literal(value) if isinstance(target, ast.Name) else None
            if isinstance(target, ast.Name) and number is not None:
                if found.get(target.id, number) != number:
                    twice.add(target.id)
                found[target.id] = number
    return {name: number for name, number in found.items() if name not in twice}


def _assigned(statement: ast.AST) -> list[tuple[ast.expr, ast.expr]]:
    if isinstance(statement, ast.Assign):
        return [(target, statement.value) for target in statement.targets]
    if isinstance(statement, ast.AnnAssign) and statement.value is not None:
        return [(statement.target, statement.value)]
    return []


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
    name = _last(expression)
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


def _last(expression: ast.expr) -> str:
    if isinstance(expression, ast.Name):
        return expression.id
    return expression.attr if isinstance(expression, ast.Attribute) else ""


def _first(source: _Source) -> Guard | None:
    found = list(_guards(source, source.tree, None, None))
    return next((one for one in found if one.bound is not None), found[0] if found else None)


def _guards(source: _Source, node: ast.AST, within: str | None, function: ast.AST | None) -> Iterator[Guard]:
    """Yield the guards below a node, which is in that class and that function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.If, ast.While)):
            yield from _tested(source, child, within, function)
        if isinstance(child, ast.ClassDef):
            yield from _guards(source, child, child.name, None)
        else:
            yield from _guards(source, child, within, child if isinstance(child, _FUNCTIONS) else function)


def _tested(source: _Source, node: ast.If | ast.While, within: str | None, function: ast.AST | None) -> Iterator[Guard]:
    for container, bound, is_more in _comparisons(node.test, negated=False):
        if not _is_meant(source, container, within):
            continue
        value = _value(bound, {k: float(v) for k, v in source.numbers.items()}, source.constants)
        if value is not None and value < 1:
            continue  # `if len(items) > 0` asks whether there is anything
        same = ast.dump(container)
        body = node.body if is_more else node.orelse
        if _shrinks(body, same) or (_refuses(body) and _adds_after(function, node, same)):
            yield Guard(line=node.lineno, bound=value, text=_text(node.test))


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
        case _:
            return bool(source.attribute) and _last(container) == source.attribute


def _below(statements: list[ast.stmt]) -> Iterator[ast.AST]:
    """Yield what runs with these statements: not what is in functions that they only define."""
    step: list[ast.AST] = list(statements)
    while step:
        node = step.pop()
        if not isinstance(node, _FUNCTIONS):
            yield node
            step += ast.iter_child_nodes(node)


def _shrinks(statements: list[ast.stmt], same: str) -> bool:
    return any(_takes(node, same) for node in _below(statements))


def _takes(node: ast.AST, same: str) -> bool:
    """Say whether this takes entries out of the container whose expression is dumped as `same`."""
    match node:
        case ast.Call(func=ast.Attribute(value=value, attr=method)) if method in _SHRINKING:
            through_super = isinstance(value, ast.Call) and _last(value.func) == "super"
            return ast.dump(value) == same or (through_super and same == _SELF)
        case ast.Call(func=function, args=[first, *_]) if _last(function) == "heappop":
            return ast.dump(first) == same
        case ast.Delete(targets=targets):
            return any(isinstance(one, ast.Subscript) and ast.dump(one.value) == same for one in targets)
        case _:
            return any(_is_stored(target, same) and _is_shorter(value, same) for target, value in _assigned(node))


_SELF = ast.dump(ast.Name(id="self", ctx=ast.Load()))


def _is_stored(target: ast.expr, same: str) -> bool:
    """Say whether the container itself, or all of it (`x[:]`), is assigned."""
    if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Slice):
        return ast.dump(target.value) == same
    return ast.dump(target).replace("ctx=Store()", "ctx=Load()") == same


def _is_shorter(value: ast.expr, same: str) -> bool:
    """Say whether it is a slice of the same container, or empty."""
    match value:
        case ast.Subscript(value=whole, slice=ast.Slice()):
            return ast.dump(whole) == same
        case ast.List(elts=[]) | ast.Dict(keys=[]):
            return True
        case ast.Call(func=function, args=[], keywords=[]):
            return _last(function) in _EMPTY
        case _:
            return False


def _refuses(statements: list[ast.stmt]) -> bool:
    """Say whether nothing after these statements is reached."""
    return bool(statements) and isinstance(statements[-1], (ast.Raise, ast.Return))


def _adds_after(function: ast.AST | None, test: ast.stmt, same: str) -> bool:
    """Say whether the function adds to the container after the test that may end it."""
    if function is None or isinstance(test, ast.While):
        return False
    after = [node for node in ast.walk(function) if getattr(node, "lineno", 0) > (test.end_lineno or 0)]
    return any(_adds(node, same) for node in after)


def _adds(node: ast.AST, same: str) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=value, attr=method)) if method in _ADDING:
            return ast.dump(value) == same
        case ast.Assign(targets=[ast.Subscript(value=value)]):
            return ast.dump(value) == same
        case _:
            return False


def _text(test: ast.expr) -> str:
    text = " ".join(ast.unparse(test).split())
    return text if len(text) <= _LONGEST_TEST else text[: _LONGEST_TEST - 1] + "…"
