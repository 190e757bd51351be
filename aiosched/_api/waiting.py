"""The verbs that wait: for a run, for its result, for silence, for events."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

from aiosched import planning
from aiosched._api.base import job_id_of
from aiosched._api.options import callable_of, length_of
from aiosched._api.queries import Queries
from aiosched._engine.events import Event, Handler
from aiosched.enums import JobState, Outcome
from aiosched.errors import (
    ConfigurationError,
    JobNotFoundError,
    RunCancelledError,
    RunError,
    RunExpiredError,
    RunFailedError,
    RunLostError,
    RunTimedOutError,
    SchedulerStateError,
    WaitTimeoutError,
)
from aiosched.instants import SECOND, micros
from aiosched.jobs import Firing, Job, Run, run_of
from aiosched.jobs.snapshots import readable_rows
from aiosched.records import Record, Row
from aiosched.rows import ELSEWHERE

__all__ = ["DoneCallback", "Waiting"]

DoneCallback = Callable[[Run], Awaitable[None] | None]

_ERRORS: dict[Outcome, type[RunError]] = {
    Outcome.FAILED: RunFailedError,
    Outcome.TIMED_OUT: RunTimedOutError,
    Outcome.CANCELLED: RunCancelledError,
    Outcome.LOST: RunLostError,
    Outcome.EXPIRED: RunExpiredError,
}
QUIET = 0.05
QUIETEST = 0.5


class Waiting(Queries):
    """What can be waited for."""

    async def wait(
        self,
        what: Firing | Job | str,
        *,
        timeout: timedelta | float | None = None,
    ) -> Run:
        """Wait for a firing's final attempt, wherever it runs.

        Args:
            what: A firing; or a job, whose next run to end is meant, or its
                last if it has finished.
            timeout: How long to wait; None: as long as it takes.

        Returns:
            The run, whatever its outcome.

        Raises:
            WaitTimeoutError: It had not ended in time; it goes on.
            JobNotFoundError: There is no such job or firing (any more), nor a
                trace of how it ended.
        """
        job_id = job_id_of(what)
        session = self._opened()
        key = what.key if isinstance(what, Firing) else None
        completions = self._running_engine().completions
        fired = micros(what.fire_time) if isinstance(what, Firing) else None
        waiter = completions.wait(job_id, key, fired)
        try:
            if key is None:
                before, over = await self._outcomes(job_id)
                if over:
                    return run_of(before[0], now=session.estimate())
                completions.after(waiter, before)
            async with asyncio.timeout(_seconds(timeout)):
                row = await self._or_failure(waiter.future)
                return run_of(row, now=session.estimate())
        except WaitTimeoutError:
            raise
        except TimeoutError:
            message = f"no run of {job_id} ended within {_seconds(timeout)} s"
            raise WaitTimeoutError(message) from None
        finally:
            completions.leave(waiter)

    async def _or_failure(self, future: asyncio.Future[Row]) -> Row:
        """Wait for an outcome, unless the scheduler ends before it."""
        ended = asyncio.ensure_future(self._running_engine().ended())
        try:
            await asyncio.wait((future, ended), return_when=asyncio.FIRST_COMPLETED)
            if not future.done():
                self._opened()  # says why
                message = "the scheduler was closed while somebody waited"
                raise WaitTimeoutError(message)
            return future.result()
        finally:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)

    async def _outcomes(self, job_id: str) -> tuple[list[Row], bool]:
        """Return a job's last outcomes, newest first, and whether it is over.

        Raises:
            JobNotFoundError: There is no such job, nor a trace of one.
        """
        session = self._opened()
        record = (await session.read([job_id])).get(job_id)
        over = record is None or _over(record)
        rows = list(readable_rows(record.state.recent)) if record else []
        if not rows or (over and rows[0].value == ELSEWHERE):
            ledger = await session.ledger(job_id, limit=100)
            # A run may have ended after the record was read: it is still to come.
            latest = math.inf if over or record is None else record.state.seq
            rows = [row for row in ledger if row.final and row.at <= latest]
        if over and not rows:
            raise JobNotFoundError(job_id)
        return rows, over

    async def result(
        self,
        what: Firing | Job | str,
        *,
        timeout: timedelta | float | None = None,
    ) -> Any:
        """Wait for a run and return what its executor returned, from JSON.

        Raises:
            RunFailedError: The executor raised.
            RunTimedOutError: It reached its time limit.
            RunCancelledError: It was cancelled; ``error.run.reason`` says why.
            RunLostError: Its peer died, and the job may not run again.
            RunExpiredError: It was not started within its time to live.
            WaitTimeoutError: It had not ended in time; it goes on.
            JobNotFoundError: There is no such job, nor a trace of one.
        """
        run = await self.wait(what, timeout=timeout)
        if run.outcome is Outcome.SUCCEEDED:
            return run.result
        error = run.error
        said = f": {error.type}: {error.message}" if error is not None else ""
        reason = f" ({run.reason.value})" if run.reason else ""
        word = run.outcome.value if run.outcome is not None else "unknown"
        kind = _ERRORS[run.outcome] if run.outcome is not None else RunError
        raise kind(run, f"run {run.run_id} {word}{reason}{said}")

    async def drain(self, *, timeout: timedelta | float | None = None) -> None:
        """Wait until nothing is due, waits or runs, on any peer.

        Raises:
            WaitTimeoutError: It was not quiet in time.
        """
        session = self._opened()
        pause = QUIET
        try:
            async with asyncio.timeout(_seconds(timeout)):
                while True:
                    now = await session.now()
                    records = await self._busy_records()
                    if not any(_busy(record, now) for record in records):
                        return
                    await self._clock.sleep(pause)
                    pause = min(pause * 1.5, QUIETEST)
        except TimeoutError:
            message = f"something was still due or running after {timeout} s"
            raise WaitTimeoutError(message) from None

    # -- events ------------------------------------------------------------

    def events(self, *names: str, job: Job | str | None = None) -> AsyncIterator[Event]:
        """Iterate over this peer's events from now on, until it is closed.

        What was emitted before the end is still handed out.  Who does not keep
        up loses the oldest of 10,000 events.

        Args:
            *names: Events of these names; none given: of all.
            job: Events about this job; None: about all jobs, and about none.

        Raises:
            SchedulerStateError: The scheduler is closed: nothing can come.
            ConfigurationError: There is no event of such a name.
        """
        if self._closed:
            message = "the scheduler is closed and has no more events"
            raise SchedulerStateError(message)
        job_id = None if job is None else job_id_of(job)
        try:
            return self._bus.iterate(map(str, names), job_id)
        except ValueError as error:
            raise ConfigurationError(
                "names", names, "no event is named so", str(error)
            ) from None

    def on(self, name: str, handler: Handler) -> Callable[[], None]:
        """Call a function or coroutine function for this peer's events.

        What it raises harms nothing: it becomes a ``callback_failed`` event.

        Args:
            name: Name of the event, ``*`` for all.
            handler: Takes the :class:`Event`.

        Returns:
            A function that ends it; safe to call twice.

        Raises:
            ConfigurationError: There is no event of that name.
        """
        callable_of("handler", handler)
        try:
            return self._bus.on(str(name), handler)
        except ValueError as error:
            raise ConfigurationError(
                "name", name, "no event is named so", str(error)
            ) from None

    def on_missed(self, handler: Handler) -> Callable[[], None]:
        """Call a function or coroutine function for slots that were not run in time.

        The same as ``on("missed", handler)``.  A slot is told of by the peer that
        records it as missed (``recorded``); and, where no live peer can run the
        job, by each peer that knows of it as soon as the slot is beyond its grace (60
        seconds by default), once for each job until somebody can run it again:
        then it may still run late.

        Args:
            handler: Takes the :class:`Event`, whose ``data`` has ``slot`` (an aware
                datetime), ``overdue`` (seconds), ``recorded``, ``reason`` and
                ``cause``.

        Returns:
            A function that ends it; safe to call twice.

        Raises:
            ConfigurationError: The handler cannot be called.
        """
        return self.on("missed", handler)

    def add_done_callback(
        self, callback: DoneCallback, job: Job | str | None = None
    ) -> Callable[[], None]:
        """Call back for each final outcome from now on, whichever peer ran it.

        Args:
            callback: A function or coroutine function that takes the
                :class:`Run`.  What it raises harms nothing.
            job: Of this job; None: of all.

        Returns:
            A function that ends it; safe to call twice.
        """
        callable_of("callback", callback)
        job_id = None if job is None else job_id_of(job)
        bus = self._bus
        completions = self._running_engine().completions
        now = self._opened().estimate
        return completions.listen(
            job_id, lambda row: bus.call(callback, run_of(row, now=now()))
        )


def _seconds(value: timedelta | float | None) -> float | None:
    if value is None:
        return None
    return length_of("timeout", value, zero=True) / SECOND


def _over(record: Record) -> bool:
    """Tell whether a job is at its end, whether or not it is still kept."""
    state = record.state
    if state.status is JobState.FINISHED:
        return True
    idle = not state.runs and not state.waiting and state.next is None
    return idle and record.definition.spec.keyword is None


def _busy(record: Record, now: int) -> bool:
    state = record.state
    if state.runs:
        return True
    if state.status is not JobState.ACTIVE:
        return False
    at = planning.instant(record.definition, state)
    return bool(state.waiting) or (at is not None and at <= now)
