"""The calls of rq-scheduler, on a scheduler of aiosched.

For programs that move: the same names and arguments, with ``await``.  What they
mean is said in the words of aiosched, so that nothing has to be moved twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from aiosched.clock import SystemClock
from aiosched.errors import ConfigurationError, JobNotFoundError, TriggerError
from aiosched.instants import moment
from aiosched.jobs import Job, checks
from aiosched.scheduler import Scheduler
from aiosched.triggers.cron import CronTrigger
from aiosched.triggers.date import DateTrigger
from aiosched.triggers.interval import IntervalTrigger

__all__ = ["RqScheduler", "job_for"]

_REFUSED = {
    "depends_on": "let the first executor schedule or fire the second",
    "at_front": "give urgent jobs a queue with peers of their own",
    "on_success": "use scheduler.add_done_callback(), or events('run_ended')",
    "on_failure": "use scheduler.add_done_callback(), or events('run_ended')",
}
_FIELDS = {
    "timeout": "timeout",
    "job_id": "id",
    "id": "id",
    "job_ttl": "misfire_grace",
    "ttl": "misfire_grace",
    "job_result_ttl": "keep_results",
    "result_ttl": "keep_results",
    "job_description": "note",
    "description": "note",
    "meta": "meta",
    "queue_name": "queue",
}
"""Options of rq-scheduler, and the fields of a job that mean the same."""


class RqScheduler:
    """Schedules as rq-scheduler does, with nothing that polls.

    A function is registered by its name where it is not yet; who runs jobs has to
    register it as well, because jobs name executors and not paths to import.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        """Use a scheduler, which is started and ended elsewhere."""
        self.scheduler: Scheduler = scheduler

    # -- scheduling --------------------------------------------------------

    async def enqueue_at(
        self,
        scheduled_time: datetime,
        func: Callable[..., Any] | str,
        *args: Any,
        **kwargs: Any,
    ) -> Job:
        """Run a function once, at an instant.

        Args:
            scheduled_time: An aware datetime; one in the past is due at once, or
                missed if it is longer ago than ``job_ttl``.
            func: A function, or the name of an executor.
            *args: For it.
            **kwargs: For it, but for the options of rq-scheduler: ``timeout``,
                ``job_id``, ``job_ttl``, ``job_result_ttl``, ``job_description``,
                ``meta`` and ``queue_name``.

        Raises:
            TriggerError: ``scheduled_time`` has no zone.
            ConfigurationError: An option that there is not here; it says what
                there is.
            InvalidInputError: As ``Scheduler.schedule``; nothing was written.
        """
        options = {name: kwargs.pop(name) for name in _OF_CALLS if name in kwargs}
        fields = job_fields(options)
        return await self._schedule(
            func, args, kwargs, trigger=DateTrigger(_aware(scheduled_time)), **fields
        )

    async def enqueue_in(
        self,
        time_delta: timedelta,
        func: Callable[..., Any] | str,
        *args: Any,
        **kwargs: Any,
    ) -> Job:
        """Run a function once, so long from now; else as :meth:`enqueue_at`."""
        options = {name: kwargs.pop(name) for name in _OF_CALLS if name in kwargs}
        fields = job_fields(options)
        return await self._schedule(func, args, kwargs, when=time_delta, **fields)

    async def schedule(
        self,
        scheduled_time: datetime,
        func: Callable[..., Any] | str,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        interval: float | None = None,
        repeat: int | None = None,
        **options: Any,
    ) -> Job:
        """Run a function at an instant, and again and again if there is an interval.

        Args:
            scheduled_time: Of the first run; an aware datetime.
            func: A function, or the name of an executor.
            args: For it.
            kwargs: For it.
            interval: Seconds from one slot to the next, counted from the first and
                not from the end of a run; None: once.
            repeat: Runs in all; None: for ever.
            **options: ``timeout``, ``id``, ``ttl``, ``result_ttl``,
                ``description``, ``meta``, ``queue_name``.  A result that is not
                kept never ends the job.
        """
        start, fields = _aware(scheduled_time), job_fields(options)
        trigger = (
            DateTrigger(start)
            if interval is None
            else IntervalTrigger(seconds=interval, start=start)
        )
        return await self._schedule(
            func, args, kwargs, trigger=trigger, max_runs=repeat, **fields
        )

    async def cron(
        self,
        cron_string: str,
        func: Callable[..., Any] | str,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        repeat: int | None = None,
        tz: str = "UTC",
        **options: Any,
    ) -> Job:
        """Run a function by a cron expression, in a zone that is named.

        Args:
            cron_string: The expression.
            func: A function, or the name of an executor.
            args: For it.
            kwargs: For it.
            repeat: Runs in all; None: for ever.
            tz: Name of a zone, in place of ``use_local_timezone``, which means
                another one on each host.
            **options: As for :meth:`schedule`.
        """
        return await self._schedule(
            func,
            args,
            kwargs,
            trigger=CronTrigger(cron_string, tz=tz),
            max_runs=repeat,
            **job_fields(options),
        )

    async def _schedule(
        self,
        func: Callable[..., Any] | str,
        args: Iterable[Any],
        kwargs: Mapping[str, Any] | None,
        **fields: Any,
    ) -> Job:
        job = job_for(self.scheduler, func, args, kwargs, **fields)
        return await self.scheduler.schedule(job, on_conflict="replace")

    # -- changing ----------------------------------------------------------

    async def cancel(self, job: Job | str, *, missing: str = "ignore") -> bool:
        """Take a job out.

        Args:
            job: Which one.
            missing: ``ignore``, or ``raise`` if there is no such job.

        Returns:
            Whether there was one.

        Raises:
            JobNotFoundError: There is none, and ``missing`` is ``raise``.
        """
        if missing not in ("ignore", "raise"):
            raise ConfigurationError(
                "missing", missing, "is not known", 'use "ignore" or "raise"'
            )
        try:
            await self.scheduler.remove_job(job)
        except JobNotFoundError:
            if missing == "raise":
                raise
            return False
        return True

    async def change_execution_time(self, job: Job | str, date_time: datetime) -> Job:
        """Move a job that runs once.

        It is moved or it is refused, and never both run and moved: whoever decides
        first about its slot, who runs it or who moves it, is the only one.

        Raises:
            JobNotFoundError: It is not there any more, perhaps because it has run.
            JobChangedError: It has been started, or somebody else changed it.
            TriggerError: It runs again and again, or ``date_time`` has no zone.
        """
        stored = await self.scheduler.get_job(job)
        if not isinstance(stored.trigger, DateTrigger):
            raise TriggerError(
                "job",
                stored.id,
                "does not run once",
                "give it another trigger: scheduler.modify(job, trigger=...)",
            )
        slot = stored.trigger.own_instant()
        return await self.scheduler.modify(
            stored.id,
            if_version=stored.version,
            if_next=moment(slot),
            trigger=DateTrigger(_aware(date_time)),
        )

    # -- looking -----------------------------------------------------------

    async def get_jobs(
        self,
        until: datetime | timedelta | None = None,
        *,
        with_times: bool = False,
        offset: int | None = None,
        length: int | None = None,
    ) -> list[Job] | list[tuple[Job, datetime]]:
        """Return the jobs that are to come, in the order of their fire times.

        Args:
            until: Only those that come by then: an instant, or how long from now.
            with_times: Pairs of a job and its fire time.
            offset: How many to pass over.
            length: How many to return, at most; None: all.
        """
        checks.number("offset", offset, least=0, most=10**9, none=True)
        checks.number("length", length, least=0, most=10**9, none=True)
        first = offset or 0
        last = None if length is None else first + length
        found = (await self._coming(until))[first:last]
        return found if with_times else [job for job, _ in found]

    async def count(self, until: datetime | timedelta | None = None) -> int:
        """Return how many jobs are to come by then; None: in all."""
        return len(await self._coming(until))

    async def contains(self, job: Job | str) -> bool:
        """Return whether a job may still run; rq-scheduler's ``job in scheduler``."""
        return await self.scheduler.job_exists(job)

    async def _coming(
        self, until: datetime | timedelta | None
    ) -> list[tuple[Job, datetime]]:
        limit = None
        if isinstance(until, timedelta):
            limit = moment(SystemClock().wall()) + until
        elif until is not None:
            limit = _aware(until)
        jobs: dict[str, Job] = {}
        cursor: str | None = None
        while True:
            page = await self.scheduler.get_jobs(limit=500, cursor=cursor)
            jobs.update((job.id, job) for job in page)
            cursor = page.cursor
            if cursor is None:
                break
        found = [
            (job, job.next_fire_time)
            for job in jobs.values()
            if job.next_fire_time is not None
            and (limit is None or job.next_fire_time <= limit)
        ]
        return sorted(found, key=lambda pair: (pair[1], pair[0].id))


_OF_CALLS = (
    "timeout",
    "job_id",
    "job_ttl",
    "job_result_ttl",
    "job_description",
    "meta",
    "queue_name",
    *_REFUSED,
)
"""What ``enqueue_at`` takes out of the keyword arguments, as rq-scheduler does."""


def job_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a job for options of rq-scheduler.

    Raises:
        ConfigurationError: One that there is not here; the remedy says what there is.
    """
    fields: dict[str, Any] = {}
    for name, value in options.items():
        if value is None:
            continue
        if name in _REFUSED:
            raise ConfigurationError(name, value, "is not supported", _REFUSED[name])
        if name not in _FIELDS:
            known = ", ".join(sorted(_FIELDS))
            raise ConfigurationError(name, value, "is not known", f"use {known}")
        if _FIELDS[name] == "keep_results" and value == -1:
            continue  # for ever: as long as the ledger
        fields[_FIELDS[name]] = value
    return fields


def job_for(
    scheduler: Scheduler,
    func: Callable[..., Any] | str,
    args: Iterable[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Job:
    """Return a job for a function, which is registered where it is not yet.

    Raises:
        InvalidInputError: The function has no name of its own, or its name is that
            of another one; or a field cannot be used.
    """
    job = Job(func, tuple(args), dict(kwargs or {}), **fields)
    if not isinstance(func, str) and scheduler.registry.find(func) is None:
        scheduler.register(func)
    return job


def _aware(value: object) -> datetime:
    """Return an instant in UTC.

    Raises:
        TriggerError: It has no zone, so that nobody knows which instant it is.
    """
    if isinstance(value, datetime) and value.utcoffset() is not None:
        return value.astimezone(UTC)
    raise TriggerError(
        "scheduled_time",
        value,
        "has no time zone, so it names no instant",
        "give it one: datetime(2030, 1, 1, tzinfo=UTC)",
    )
