"""The verbs of a scheduler, as threads call them.

Each is made of the coroutine method of :class:`~aiosched.Scheduler` that it
stands for, with the same parameters: there is nothing here that could differ.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from aiosched.scheduler import Scheduler

__all__ = ["Blocking", "Caller", "Passed", "like"]

P = ParamSpec("P")
T = TypeVar("T")


class Caller(Protocol):
    """Who has verbs: it knows the scheduler, and the loop to call it on."""

    def _call(self, make: Callable[[Scheduler], Coroutine[Any, Any, T]]) -> T: ...

    def _pass(self, function: Callable[[Scheduler], T]) -> T: ...


class Blocking(Generic[P, T]):
    """A coroutine method of the scheduler that is waited for."""

    def __init__(
        self, verb: Callable[Concatenate[Scheduler, P], Coroutine[Any, Any, T]]
    ) -> None:
        """Stand for one verb."""

        @functools.wraps(verb)
        def call(self: Caller, *args: P.args, **kwargs: P.kwargs) -> T:
            return self._call(lambda scheduler: verb(scheduler, *args, **kwargs))

        self._function = call

    @overload
    def __get__(self, one: None, of: type) -> Callable[Concatenate[Any, P], T]: ...

    @overload
    def __get__(self, one: Caller, of: type) -> Callable[P, T]: ...

    def __get__(self, one: Caller | None, of: type) -> Any:
        """Bind it, as a function does."""
        return self._function if one is None else MethodType(self._function, one)


class Passed(Generic[P, T]):
    """A plain method of the scheduler, called where it may be called."""

    def __init__(self, verb: Callable[Concatenate[Scheduler, P], T]) -> None:
        """Stand for one verb."""

        @functools.wraps(verb)
        def call(self: Caller, *args: P.args, **kwargs: P.kwargs) -> T:
            return self._pass(lambda scheduler: verb(scheduler, *args, **kwargs))

        self._function = call

    @overload
    def __get__(self, one: None, of: type) -> Callable[Concatenate[Any, P], T]: ...

    @overload
    def __get__(self, one: Caller, of: type) -> Callable[P, T]: ...

    def __get__(self, one: Caller | None, of: type) -> Any:
        """Bind it, as a function does."""
        return self._function if one is None else MethodType(self._function, one)


def like(
    method: Callable[Concatenate[Any, P], None],
) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, P], None]]:
    """Give a method the parameters of another."""

    def decorate(function: Callable[..., None]) -> Callable[Concatenate[Any, P], None]:
        taken = functools.wraps(method)(function)
        taken.__doc__ = function.__doc__ or method.__doc__
        return taken

    return decorate
