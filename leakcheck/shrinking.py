"""Which statements take entries out of a container, and which add to it, by their syntax."""

from __future__ import annotations

import ast
from collections.abc import Iterator

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_SHRINKING = frozenset({"popitem", "pop", "popleft", "clear", "discard", "remove"})
_ADDING = frozenset({"append", "appendleft", "add", "insert", "setdefault", "update", "extend", "put", "push"})
_EMPTY = frozenset({"dict", "list", "set", "deque", "OrderedDict"})


def assigned(statement: ast.AST) -> list[tuple[ast.expr, ast.expr]]:
    """Return targets and values of an assignment; none of any other statement."""
    if isinstance(statement, ast.Assign):
        return [(target, statement.value) for target in statement.targets]
    if isinstance(statement, ast.AnnAssign) and statement.value is not None:
        return [(statement.target, statement.value)]
    return []


def last(expression: ast.expr) -> str:
    """Return the last name of `a.b.c`: `c`; empty where it ends otherwise."""
    if isinstance(expression, ast.Name):
        return expression.id
    return expression.attr if isinstance(expression, ast.Attribute) else ""


def _below(statements: list[ast.stmt]) -> Iterator[ast.AST]:
    """Yield what runs with these statements: not what is in functions that they only define."""
    step: list[ast.AST] = list(statements)
    while step:
        node = step.pop()
        if not isinstance(node, FUNCTIONS):
            yield node
            step += ast.iter_child_nodes(node)


def shrinks(statements: list[ast.stmt], same: str) -> bool:
    """Say whether these statements take entries out of the container whose expression is dumped as `same`."""
    return any(_takes(node, same) for node in _below(statements))


def empties(tree: ast.AST, same: str) -> bool:
    """Say whether anything in there takes all entries out of the container at once."""
    return any(_takes_all(node, same) for node in ast.walk(tree))


def takes_out(tree: ast.Module, name: str) -> bool:
    """Say whether anything in the file may take entries out of a container of this name, or put another in its place.

    What is taken out of a plain variable counts too: it may be the same container under another name.

    Does not see: code of other files.
    """
    return any(_may_take(node, name) for node in ast.walk(tree)) or _is_replaced(tree, name, at_start=True)


def _may_take(node: ast.AST, name: str) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=value, attr=method)) if method in _SHRINKING:
            return isinstance(value, ast.Name) or last(value) == name
        case ast.Call(func=function, args=[first, *_]) if last(function) == "heappop":
            return isinstance(first, ast.Name) or last(first) == name
        case ast.Delete(targets=targets):
            taken = [one.value for one in targets if isinstance(one, ast.Subscript)]
            return any(isinstance(one, ast.Name) or last(one) == name for one in taken)
        case _:
            return any(
                isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Slice) and last(target.value) == name
                for target, _ in assigned(node)
            )


def _is_replaced(node: ast.AST, name: str, *, at_start: bool) -> bool:
    """Say whether it is assigned anywhere but where a module, a class or an object begins."""
    for child in ast.iter_child_nodes(node):
        starts = at_start and not (isinstance(child, FUNCTIONS) and getattr(child, "name", "") != "__init__")
        if not starts and any(last(target) == name for target, _ in assigned(child)):
            return True
        if _is_replaced(child, name, at_start=starts):
            return True
    return False


def _takes_all(node: ast.AST, same: str) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=value, attr="clear")):
            return ast.dump(value) == same
        case ast.Delete(targets=targets):
            return any(isinstance(one, ast.Subscript) and _is_stored(one, same) for one in targets)
        case _:
            return any(_is_stored(target, same) and _is_new(value) for target, value in assigned(node))


def _takes(node: ast.AST, same: str) -> bool:
    """Say whether this takes entries out of the container whose expression is dumped as `same`."""
    match node:
        case ast.Call(func=ast.Attribute(value=value, attr=method)) if method in _SHRINKING:
            through_super = isinstance(value, ast.Call) and last(value.func) == "super"
            return ast.dump(value) == same or (through_super and same == _SELF)
        case ast.Call(func=function, args=[first, *_]) if last(function) == "heappop":
            return ast.dump(first) == same
        case ast.Delete(targets=targets):
            return any(isinstance(one, ast.Subscript) and ast.dump(one.value) == same for one in targets)
        case _:
            return any(_is_stored(target, same) and _is_shorter(value, same) for target, value in assigned(node))


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
        case _:
            return _is_new(value)


def _is_new(value: ast.expr) -> bool:
    """Say whether it is an empty container."""
    match value:
        case ast.List(elts=[]) | ast.Dict(keys=[]):
            return True
        case ast.Call(func=function, args=[], keywords=[]):
            return last(function) in _EMPTY
        case _:
            return False


def refuses(statements: list[ast.stmt]) -> bool:
    """Say whether nothing after these statements is reached."""
    return bool(statements) and isinstance(statements[-1], (ast.Raise, ast.Return))


def adds_after(function: ast.AST | None, test: ast.stmt, same: str) -> bool:
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
