"""A scheduler that lives exactly as long as what is around it serves.

Servers give a program a while to end, and kill it then.  ``GRACE`` leaves enough of
the 30 seconds that most of them give for what comes after the runs.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from aiosched._api.options import grace_of
from aiosched.errors import ConfigurationError
from aiosched.scheduler import Scheduler

__all__ = ["GRACE", "Source", "check_source", "checked_grace", "running"]

GRACE = 20.0
"""Seconds that runs have to end when a server stops, unless one says otherwise."""

Source = Scheduler | Callable[[], Scheduler | Awaitable[Scheduler]]
"""A scheduler that was not started, which serves once; or a function without
arguments, async or not, that builds one each time."""

_REMEDY = "give a Scheduler, or a function without arguments that returns one"


@asynccontextmanager
async def running(
    scheduler: Source, *, grace: timedelta | float | None = GRACE
) -> AsyncIterator[Scheduler]:
    """Start a scheduler, and shut it down at the end.

    Args:
        scheduler: What runs.  A function is called at each entry, on the running
            loop, so that it can be entered again.
        grace: How long runs may take to end; a timedelta, seconds, or None for
            as long as they take.  What is left then is cancelled and handed back.

    Yields:
        The scheduler, started.

    Raises:
        ConfigurationError: It cannot be used.
        SchedulerStateError: It was started before.
        StoreUnavailableError: The store does not answer.
        Exception: What made the scheduler fail meanwhile, at the end.
    """
    check_source(scheduler)
    seconds = checked_grace(grace)
    built = await _built(scheduler)
    async with built:
        # Leaving the block shuts down again, which is safe, and raises what has
        # made the scheduler fail.
        try:
            yield built
        except asyncio.CancelledError:
            await built.shutdown(force=True)  # who cancels does not want to wait
            raise
        finally:
            await built.shutdown(grace=seconds)


def check_source(source: Any) -> None:
    """Tell whether something can be run, before anything is opened.

    Raises:
        ConfigurationError: It is neither a scheduler nor can it be called, or the
            function needs arguments.
    """
    if isinstance(source, Scheduler):
        return
    if not callable(source):
        raise ConfigurationError(
            "scheduler", source, "is neither a scheduler nor a function", _REMEDY
        )
    needed = _needed(source)
    if needed:
        reason = f"wants arguments ({', '.join(needed)})"
        raise ConfigurationError("scheduler", source, reason, _REMEDY)


def checked_grace(grace: timedelta | float | None) -> float | None:
    """Return a grace in seconds; None: no end.

    Raises:
        ConfigurationError: It is none.
    """
    return grace_of(grace)


async def _built(source: Source) -> Scheduler:
    if isinstance(source, Scheduler):
        return source
    found: object = source()
    if inspect.isawaitable(found):
        found = await found
    if isinstance(found, Scheduler):
        return found
    raise ConfigurationError(
        "scheduler",
        source,
        f"returns what is of type {type(found).__name__}",
        _REMEDY,
    )


def _needed(function: Callable[..., object]) -> list[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in free]
