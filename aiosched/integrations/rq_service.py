"""The periodic jobs of a service on rq-scheduler, on a scheduler of aiosched.

Such services take the interval from the environment, and by convention a negative
one means that the job is switched off.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

from aiosched.errors import ConfigurationError, JobNotFoundError
from aiosched.jobs import Job
from aiosched.scheduler import Scheduler
from aiosched.triggers.interval import IntervalTrigger

__all__ = ["schedule_periodic"]

log: logging.Logger = logging.getLogger("aiosched")


async def schedule_periodic(
    scheduler: Scheduler,
    job_id: str | UUID,
    interval: float | None,
    func: Callable[..., Any] | str,
    args: Iterable[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Job | None:
    """Run a function every so many seconds, or not at all.

    Calling it at each start of a service is safe: a job that is the same keeps its
    due slot; one with another interval begins to count anew.  The first run comes
    one interval after the first call.

    Args:
        scheduler: Started.
        job_id: Which job it is, on all peers and after every restart.
        interval: Seconds.  A negative number or None switches the job off: what is
            stored under the id is removed, and the log says so in one line.
        func: A function, sync or async, which is registered by its name where it
            is not yet; or the name of an executor.
        args: Positional arguments.
        kwargs: Named arguments.

    Returns:
        The job as it is stored; None if it is off.

    Raises:
        ConfigurationError: ``interval`` is 0 or no finite number; nothing was
            written.
        InvalidInputError: The arguments do not fit the function, or the interval
            is not a whole number of milliseconds; nothing was written.
        StoreUnavailableError: The store did not answer; calling again is safe.
    """
    name = str(job_id)
    seconds = _seconds(interval)
    if seconds is None:
        with suppress(JobNotFoundError):
            await scheduler.remove_job(name)
        log.info(
            "job %r is off: its interval is %s",
            name,
            interval,
            extra={"action": "periodic_off"},
        )
        return None
    if not isinstance(func, str) and scheduler.registry.find(func) is None:
        scheduler.register(func)
    job = Job(
        func,
        tuple(args),
        dict(kwargs or {}),
        id=name,
        trigger=IntervalTrigger(seconds=seconds),
    )
    return await scheduler.schedule(job, on_conflict="replace")


def _seconds(interval: Any) -> float | None:
    """Return a positive number of seconds; None means off."""
    if interval is None:
        return None
    number = isinstance(interval, int | float) and not isinstance(interval, bool)
    if not number or not math.isfinite(interval) or interval == 0:
        raise ConfigurationError(
            "interval",
            interval,
            "is not an interval",
            "give a positive number of seconds; a negative one, or None, means off",
        )
    return interval if interval > 0 else None
