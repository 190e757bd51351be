"""One numbered database: values, deadlines, watchers, and what a write touched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from aiosched.testing.redis_model.resp import RefusedError
from aiosched.testing.redis_model.values import Value, copied

__all__ = ["WRONG_TYPE", "Changes", "Database", "Watch"]

WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"

V = TypeVar("V")
Changes = dict[tuple[int, bytes], Value | None]
"""Value of each touched (database, key) before the first touch."""


class Watch:
    """One connection's watch over keys.

    Attributes:
        keys: (database, key): whether its deadline had passed when the watch
            began, so that its removal changes nothing.
        broken: A watched key was written.
    """

    __slots__ = ("broken", "keys")

    def __init__(self) -> None:
        """Watch nothing."""
        self.keys: dict[tuple[int, bytes], bool] = {}
        self.broken: bool = False


class Database:
    """The keys of one number.

    Attributes:
        number: Which database.
        values: What stands under each key, passed deadlines included.
        deadlines: Milliseconds since 1970 after which a key is gone.
        watchers: Who watches a key, in the order of their coming.
        changes: Where touched keys are noted; None while nobody wants to know.
        clock_us: The server's clock.
    """

    def __init__(self, number: int, clock_us: Callable[[], int]) -> None:
        """Be empty."""
        self.number = number
        self.clock_us = clock_us
        self.values: dict[bytes, Value] = {}
        self.deadlines: dict[bytes, int] = {}
        self.watchers: dict[bytes, list[Watch]] = {}
        self.changes: Changes | None = None

    def now(self) -> int:
        """Return the server's time in milliseconds."""
        return self.clock_us() // 1000

    # Reading

    def find(self, key: bytes) -> Value | None:
        """Return what stands under a key; a passed deadline removes it first."""
        if self.deadlines and self.lapsed(key):
            self._touch(key, lapsed=True)
            del self.values[key], self.deadlines[key]
            return None
        return self.values.get(key)

    def typed(self, key: bytes, of: type[V]) -> V | None:
        """Return a value that must be of one type, if it is there.

        Raises:
            RefusedError: It is of another one.
        """
        found: Any = self.find(key) if self.deadlines else self.values.get(key)
        if found is not None and type(found) is not of:
            raise RefusedError(WRONG_TYPE)
        return found

    def lapsed(self, key: bytes) -> bool:
        """Say whether a key is still here although its deadline has passed."""
        deadline = self.deadlines.get(key)
        return deadline is not None and self.now() > deadline

    # Writing

    def touch(self, key: bytes) -> None:
        """Note that a key is about to be written: call it before each change."""
        self._touch(key, lapsed=False)

    def _touch(self, key: bytes, *, lapsed: bool) -> None:
        changes = self.changes
        if changes is not None and (self.number, key) not in changes:
            changes[self.number, key] = copied(self.values.get(key))
        for watch in self.watchers.get(key, ()):
            name = (self.number, key)
            if lapsed and watch.keys[name]:
                watch.keys[name] = False
            else:
                watch.broken = True

    def put(self, key: bytes, value: Value) -> None:
        """Set a key to a value, noting it; a deadline stays."""
        self._touch(key, lapsed=False)
        self.values[key] = value

    def own(self, key: bytes, of: Callable[[], V]) -> V:
        """Return a value that is about to be changed, made if missing, noting it.

        Raises:
            RefusedError: It is of another type.
        """
        found = self.typed(key, of)  # type: ignore[arg-type]
        self._touch(key, lapsed=False)
        if found is None:
            found = of()
            self.values[key] = found  # type: ignore[assignment]
        return found

    def remove(self, key: bytes) -> bool:
        """Delete a key, noting it; say whether it was there."""
        if self.find(key) is None:
            return False
        self._touch(key, lapsed=False)
        del self.values[key]
        self.deadlines.pop(key, None)
        return True

    def tidy(self, key: bytes) -> None:
        """Drop a collection that has become empty; the change is noted already."""
        if not self.values[key]:
            del self.values[key]
            self.deadlines.pop(key, None)

    def flush(self) -> None:
        """Delete everything, noting it."""
        for key in list(self.values):
            self._touch(key, lapsed=self.lapsed(key))
        self.values.clear()
        self.deadlines.clear()
