"""One table of a plan file: its keys looked up with their types, and named in errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from leakcheck.errors import UsageError


class Table:
    """A TOML table and where it stands. Every error is a UsageError naming key, value, and what is expected."""

    def __init__(self, values: Mapping[str, object], where: str) -> None:
        self._values = values
        self.where = where
        """As errors name it: `'plan.toml', [fill]`."""

    def names(self) -> tuple[str, ...]:
        """Return the keys in the file's order."""
        return tuple(self._values)

    def has(self, key: str) -> bool:
        """Tell whether the key is given."""
        return key in self._values

    def named(self, key: str) -> str:
        """Return the words that name a key in an error."""
        return f"{self.where}: key '{key}'"

    def get(self, key: str, usual: object) -> object:
        """Return a value of any type."""
        return self._values.get(key, usual)

    def check(self, known: Iterable[str]) -> None:
        """Refuse a key that means nothing: it would be a setting that silently does not hold."""
        known = tuple(known)
        for key in self._values:
            if key not in known:
                raise UsageError(f"{self.where}: there is no key '{key}'; known are {', '.join(known)}")

    def text(self, key: str, usual: str) -> str:
        """Return a text."""
        value = self._values.get(key, usual)
        if not isinstance(value, str):
            raise UsageError(f"{self.named(key)} must be a text in quotes, not {value!r}")
        return value

    def flag(self, key: str) -> bool:
        """Return true or false; false where it is not given."""
        value = self._values.get(key, False)
        if not isinstance(value, bool):
            raise UsageError(f"{self.named(key)} must be true or false, not {value!r}")
        return value

    def whole(self, key: str, usual: int | None) -> int:
        """Return a whole number of at least 1; without `usual` it must be given."""
        value = self._values.get(key, usual)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UsageError(f"{self.named(key)} must be a whole number of at least 1, not {value!r}")
        return value

    def sizes(self, key: str, usual: tuple[int, ...]) -> tuple[int, ...]:
        """Return sizes, smallest first."""
        value = self._values.get(key, list(usual))
        numbers = value if isinstance(value, list) else [None]
        if any(not isinstance(one, int) or isinstance(one, bool) or one < 1 for one in numbers):
            raise UsageError(
                f"{self.named(key)} must be a list of whole numbers such as [1_000, 10_000], not {value!r}"
            )
        if len(set(numbers)) != len(numbers):
            raise UsageError(f"{self.named(key)} names a size twice: {value!r}; `repeats` repeats")
        return tuple(sorted(numbers))

    def table(self, key: str) -> Table:
        """Return a table in it; an empty one where it is not given."""
        value = self._values.get(key, {})
        if not isinstance(value, dict):
            raise UsageError(f"{self.named(key)} must be a table, not {value!r}")
        return Table(value, f"{self.where}, [{key}]")

    def tables(self, key: str) -> tuple[Table, ...]:
        """Return a list of tables."""
        value = self._values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise UsageError(f"{self.named(key)} must be a list of tables [[{key}]], not {value!r}")
        return tuple(Table(one, f"{self.where}, [[{key}]] number {index}") for index, one in enumerate(value, 1))
