"""The verbs of a scheduler, as threads call them.

Each is made of the coroutine method of :class:`~aiosched.Scheduler` that it
stands for, with the same parameters: there is nothing here that could differ.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from aiosched.scheduler import Scheduler

__all__ = ["Caller", "blocking", "like", "passed"]

P = ParamSpec("P")
T = TypeVar("T")


class Caller(Protocol):
    """Who has verbs: it knows the scheduler, and the loop to call it on."""

    def _call(self, make: Callable[[Scheduler], Coroutine[Any, Any, T]]) -> T: ...

    def _pass(self, function: Callable[[Scheduler], T]) -> T: ...


def blocking(
    verb: Callable[Concatenate[Scheduler, P], Coroutine[Any, Any, T]],
) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, P], T]]:
    """Make of a method one that waits for a coroutine method of the scheduler."""

    @functools.wraps(verb)
    def call(self: Caller, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._call(lambda scheduler: verb(scheduler, *args, **kwargs))

    return lambda _: call


def passed(
    verb: Callable[Concatenate[Scheduler, P], T],
) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, P], T]]:
    """Make of a method one that calls a plain one of the scheduler where it may be."""

    @functools.wraps(verb)
    def call(self: Caller, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._pass(lambda scheduler: verb(scheduler, *args, **kwargs))

    return lambda _: call


def like(
    method: Callable[Concatenate[Any, P], None],
) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, P], None]]:
    """Give a method the parameters of another."""

    def decorate(function: Callable[..., None]) -> Callable[Concatenate[Any, P], None]:
        taken = functools.wraps(method)(function)
        taken.__doc__ = function.__doc__ or method.__doc__
        return taken

    return decorate
