"""The wrapper that services have around rq-scheduler: ``SchedulerService``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, TypeVar
from uuid import UUID

from aiosched.errors import SchedulerStateError
from aiosched.integrations.rq_scheduler import RqScheduler, job_for
from aiosched.integrations.rq_service import schedule_periodic
from aiosched.jobs import Job
from aiosched.scheduler import Scheduler

__all__ = ["SchedulerService"]

_LATE = 60.0
"""Seconds that an instant may be past."""
P = ParamSpec("P")
T = TypeVar("T")


async def _now(
    scheduler: Scheduler,
    /,
    func: Callable[..., Any] | str,
    args: Iterable[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Job:
    """Run a function once, now; sync or async, results and errors are kept."""
    return await scheduler.schedule(job_for(scheduler, func, args, kwargs))


async def _at(
    scheduler: Scheduler,
    /,
    execution_time: datetime,
    func: Callable[..., Any] | str,
    args: Iterable[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Job:
    """Run a function once, at an aware datetime.

    One that is longer ago than a minute is not run: it is recorded as missed, and told
    by the event ``missed``.
    """
    rq = RqScheduler(scheduler)
    return await rq.schedule(execution_time, func, args, kwargs, ttl=_LATE)


async def _periodic(
    scheduler: Scheduler,
    /,
    id: str | UUID,  # noqa: A002 - the name that such services use
    interval: float | None = None,
    func: Callable[..., Any] | str = "",
    args: Iterable[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    every_seconds: float | None = None,
) -> Job | None:
    """Run a function every so many seconds, as :func:`schedule_periodic` does.

    ``every_seconds`` is another name of ``interval``; both together are refused.
    """
    if interval is not None and every_seconds is not None:
        message = "interval and every_seconds mean the same: give one of the two"
        raise TypeError(message)
    seconds = every_seconds if interval is None else interval
    return await schedule_periodic(scheduler, id, seconds, func, args, kwargs)


class _OnBoth(Generic[P, T]):
    """A method that an instance has, and its class once it is configured."""

    def __init__(self, function: Callable[Concatenate[Scheduler, P], T]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def __get__(self, service: Any, kind: Any = None) -> Callable[P, T]:
        return partial(self._function, _scheduler_of(service, kind))


def _on_both(
    function: Callable[Concatenate[Scheduler, P], T],
) -> Callable[[Callable[..., None]], _OnBoth[P, T]]:
    """Make a method of a function; from that it has all that is said of it."""
    return lambda _: _OnBoth(function)


class SchedulerService:
    """Schedules functions; used as an instance, or as a class that is configured.

    An instance is all that a program needs.  The class itself can be used, too, as
    some wrappers around rq-scheduler are, after :meth:`configure`; a subclass may be
    configured by itself.

    ``schedule_job(func, args, kwargs)``, ``schedule_at(execution_time, func, args,
    kwargs)`` and ``schedule_periodic(id, interval, func, args, kwargs)`` are awaited.
    Before the class is configured they raise :class:`SchedulerStateError` there.
    """

    _configured: ClassVar[Scheduler | None] = None

    def __init__(self, scheduler: Scheduler) -> None:
        """Use a scheduler, which is started and ended elsewhere."""
        self.scheduler: Scheduler = scheduler

    @classmethod
    def configure(cls, scheduler: Scheduler | None) -> None:
        """Let the class be used without an instance; None ends that.

        Args:
            scheduler: Started and ended elsewhere.
        """
        cls._configured = scheduler

    @_on_both(_now)
    def schedule_job(self) -> None:
        """Run a function once, now."""

    @_on_both(_at)
    def schedule_at(self) -> None:
        """Run a function once, at an aware datetime."""

    @_on_both(_periodic)
    def schedule_periodic(self) -> None:
        """Run a function every so many seconds."""


def _scheduler_of(
    service: SchedulerService | None, kind: type[SchedulerService]
) -> Scheduler:
    """Return whose scheduler is meant.

    Raises:
        SchedulerStateError: The class is used, and nobody has configured it.
    """
    if service is not None:
        return service.scheduler
    if kind._configured is None:
        name = kind.__name__
        message = (
            f"{name} is not configured; call {name}.configure(scheduler) first, or "
            f"use an instance: {name}(scheduler)"
        )
        raise SchedulerStateError(message)
    return kind._configured
