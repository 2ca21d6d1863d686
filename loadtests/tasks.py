"""A user's own locustfile as operations: every task of every user class becomes `task:<name>`.

A plain TaskSet is flattened into its tasks; a SequentialTaskSet is one operation: one pass. Weights are ignored. What
may never end by itself is not played.

Does not see: a TaskSet that is left by an interrupt in a function that its tasks call.
"""

from __future__ import annotations

import contextlib
import os
import traceback
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

from locust import FastHttpUser, HttpUser, SequentialTaskSet, TaskSet, User
from locust.argument_parser import get_parser
from locust.exception import RescheduleTask, RescheduleTaskImmediately
from locust.user.task import is_markov_taskset
from locust.util.load_locustfile import load_locustfile

from loadtests.mcp_user import McpUser
from loadtests.mcp_wire import shown


class BrokenError(Exception):
    """The locustfile cannot be used; the text says what, where, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A task that can be played."""

    user: type[User]
    within: tuple[type[TaskSet], ...]
    """The TaskSets around it, outermost first."""
    task: Any
    """A function, or a SequentialTaskSet class."""

    @property
    def names(self) -> tuple[str, ...]:
        """What it may be called, shortest first; the first that nothing else is called is taken."""
        name = getattr(self.task, "__name__", "task")
        inner = ".".join((*(holder.__name__ for holder in self.within), name))
        return name, f"{self.user.__name__}.{name}", f"{self.user.__name__}.{inner}"

    def play(self, player: Any) -> None:
        """Play it once."""
        holder = player
        for around in self.within:
            holder = player.entered_in(around, holder)
        if isinstance(self.task, type):
            _one_pass(self.task, holder)
        else:
            self.task(holder)


@dataclass(slots=True, kw_only=True)
class Locustfile:
    """What was found in it."""

    users: list[type[User]]
    options: Namespace
    """Locust's own and those that the file adds, from locust.conf and the environment."""
    operations: dict[str, Found] = field(default_factory=dict)
    not_played: list[dict[str, str]] = field(default_factory=list)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Where its users send requests."""
        return tuple(dict.fromkeys(user.host for user in self.users if user.host))


def _is_taskset(task: Any, sort: type[TaskSet] = TaskSet) -> bool:
    return isinstance(task, type) and issubclass(task, sort)


def _one_pass(sequence: Any, parent: Any) -> None:
    """Enter a SequentialTaskSet, do each of its tasks, leave it."""
    entered = sequence(parent)
    try:
        entered.on_start()
        for task in sequence.tasks:
            if _is_taskset(task, SequentialTaskSet):
                _one_pass(task, entered)
            elif _is_taskset(task):
                _until_interrupted(task(entered))
            else:
                task(entered)
    finally:
        entered.on_stop()


def _until_interrupted(nested: TaskSet) -> None:
    """Let a TaskSet run as in Locust; `_endless` made sure that it can interrupt itself."""
    nested.wait_time = lambda: 0  # type: ignore[method-assign] # no waiting between operations
    with contextlib.suppress(RescheduleTask, RescheduleTaskImmediately):
        nested.run()


def _endless(task: Any) -> str | None:
    """Return why a TaskSet below a SequentialTaskSet may never end by itself; None if it does."""
    if not _is_taskset(task):
        return None
    if is_markov_taskset(task):
        return f"{task.__name__} is a MarkovTaskSet, which walks on without an end"
    if issubclass(task, SequentialTaskSet):
        return next((reason for inner in task.tasks if (reason := _endless(inner))), None)
    if not any(_interrupts(getattr(inner, "__code__", None)) for inner in (*task.tasks, task.on_start)):
        return f"{task.__name__} below a SequentialTaskSet never calls self.interrupt(), so a pass would not end"
    return None


def _interrupts(code: CodeType | None) -> bool:
    if code is None:
        return False
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return "interrupt" in code.co_names or "InterruptTaskSet" in code.co_names or any(map(_interrupts, inner))


def _walk(user: type[User], holder: Any, within: tuple[type[TaskSet], ...]) -> Iterator[Found | tuple[str, str]]:
    """Yield each task once, in the order of its definition; or the name of what is not played, and why."""
    for task in dict.fromkeys(holder.tasks):
        nested = _is_taskset(task)
        if nested and task in within:
            continue  # a TaskSet that contains itself
        if nested and (is_markov_taskset(task) or issubclass(task, SequentialTaskSet)):
            reason = _endless(task)
            yield (task.__name__, reason) if reason else Found(user=user, within=within, task=task)
        elif nested:
            yield from _walk(user, task, (*within, task))
        else:
            yield Found(user=user, within=within, task=task)


def load(path: str, host: str | None) -> Locustfile:
    """Load a locustfile with Locust's own loader; `host` is for users without one. Raises BrokenError."""
    loaded = Locustfile(users=_users(path), options=_options())
    host = host or loaded.options.host
    found: list[Found] = []
    for user in loaded.users:
        user.host = user.host or host
        if user.host is None and issubclass(user, HttpUser | FastHttpUser | McpUser):
            raise BrokenError(f"the user class {user.__name__} has no host: pass --host URL, or set host in the class")
        for one in _walk(user, user, ()):
            if isinstance(one, Found):
                found.append(one)
            else:
                loaded.not_played.append({"operation": f"task:{one[0]}", "reason": one[1]})
    if not found:
        why = "".join(f"; {line['operation']}: {line['reason']}" for line in loaded.not_played)
        raise BrokenError(f"{path} has no task that can be played: mark methods of its users with @task{why}")
    counts = Counter(name for one in found for name in set(one.names))
    for one in found:
        name = next((name for name in one.names if counts[name] == 1), one.names[-1])
        loaded.operations[f"task:{name}"] = one
    return loaded


def _users(path: str) -> list[type[User]]:
    whole = os.path.abspath(path)  # noqa: PTH100 - Locust's loader takes text
    if not os.path.isfile(whole):  # noqa: PTH113
        raise BrokenError(f"there is no locustfile at {path}: give the path of a Python file")
    try:
        users, _ = load_locustfile(whole)
    except (Exception, SystemExit) as error:
        raise BrokenError(
            f"{path} cannot be loaded: {where(error, whole)}; see that `locust -f {path}` runs"
        ) from error
    if not users:
        raise BrokenError(f"{path} has no user class: give it a subclass of HttpUser or User with a @task in it")
    return list(users.values())


def _options() -> Namespace:
    try:
        options: Namespace = get_parser().parse_args([])
    except SystemExit as error:
        raise BrokenError("Locust's options in locust.conf, pyproject.toml or LOCUST_* are wrong: see above") from error
    return options


def where(error: BaseException, path: str) -> str:
    """Return an error in words, with the last line of the locustfile that it came from."""
    words = f"{type(error).__name__}: {shown(str(error))}"
    if isinstance(error, SyntaxError):
        return f"{words} ({error.filename}, line {error.lineno})"
    mine = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return f"{words} ({path}, line {mine[-1].lineno})" if mine else words
