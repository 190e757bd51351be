"""Jobs that use Django's models.

Django looks after its database connections at both ends of a request, and a run is
none: without this a connection that the database has closed meanwhile stays in its
thread, and one that a run has opened is never given back.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from aiosched.errors import ConfigurationError

try:
    from asgiref.sync import ThreadSensitiveContext, sync_to_async
    from django.db import connections
    from django.db.backends.base.base import BaseDatabaseWrapper
except ImportError as _missing:
    raise ImportError(
        "Django is not installed: pip install 'aiosched[django]'", name="django"
    ) from _missing

__all__ = ["uses_orm"]

F = TypeVar("F", bound=Callable[..., Any])


def uses_orm(function: F) -> F:
    """Give a function sound database connections while it runs; a decorator.

    It stands below ``@scheduler.executor``.  A plain function is run in a thread,
    where models may be used as in a view.  A coroutine function uses the models'
    methods that begin with ``a``, or ``sync_to_async``; each of its runs has a
    thread of its own for that, as each request has, so that runs do not wait for
    one another.

    Args:
        function: A plain function, or a coroutine function.

    Returns:
        A function with its name, its parameters and its outcome.  What it has
        opened is closed when it ends, except inside a transaction that stood open
        around it, as in a test case.

    Raises:
        ConfigurationError: It is no function; of a class, decorate its ``run``.
    """
    if not inspect.isroutine(function):
        raise ConfigurationError(
            "function", function, "is no function", "of a class, decorate its run"
        )
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def on_the_loop(*args: Any, **kwargs: Any) -> Any:
            async with ThreadSensitiveContext():
                try:
                    return await function(*args, **kwargs)
                finally:
                    await sync_to_async(_close)()

        return cast("F", on_the_loop)

    @functools.wraps(function)
    def in_a_thread(*args: Any, **kwargs: Any) -> Any:
        for connection in _outside_transactions():
            connection.close_if_unusable_or_obsolete()
        try:
            return function(*args, **kwargs)
        finally:
            _close()

    return cast("F", in_a_thread)


def _close() -> None:
    for connection in _outside_transactions():
        connection.close()


def _outside_transactions() -> list[BaseDatabaseWrapper]:
    opened = connections.all(initialized_only=True)
    return [one for one in opened if not one.in_atomic_block]
