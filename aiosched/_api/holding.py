"""The verbs that hold a peer: it claims nothing by itself, and runs when asked."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from aiosched._api.base import Base
from aiosched._api.options import length_of
from aiosched._engine.engine import Engine
from aiosched.errors import SchedulerStateError, WaitTimeoutError
from aiosched.instants import SECOND
from aiosched.jobs import Run

__all__ = ["Holding"]


class Holding(Base):
    """What holds this peer, and not the jobs."""

    async def hold(self) -> None:
        """Let this peer claim nothing more; what runs on it goes on.

        The other peers take over what it looked after.  When it returns, no
        claim of this peer's is under way.  It stays a member and does all else:
        it schedules, fires, waits and hears events.  Safe to call again.

        Raises:
            SchedulerStateError: It is not started, closed, has failed, or is a
                client, which claims nothing anyhow.
        """
        await self._claiming().hold()

    async def release(self) -> None:
        """Let this peer claim again, after :meth:`hold` or ``start(paused=True)``.

        Safe to call again.

        Raises:
            SchedulerStateError: As for :meth:`hold`.
        """
        await self._claiming().release()

    async def run_pending(
        self, *, timeout: timedelta | float | None = None
    ) -> list[Run]:
        """Run what is due now, once, on this held peer, and wait for it.

        For tests, and for programs that have a loop of their own.  Due are the
        slots, fires and retries whose instant has come when it is called; what
        comes due later is left to the next call.  Each is run by the rules of
        its job: of several due slots the newest, unless the job says otherwise.
        Safe to call from several peers at once: a firing is claimed by one.

        Args:
            timeout: How long to wait, as a timedelta or seconds; None: as long
                as it takes.

        Returns:
            The runs that have ended, in the order of their ends; empty if
            nothing was due, or this peer has none of the executors.  One that
            failed and will be retried is among them, with ``final`` False.

        Raises:
            SchedulerStateError: The peer is not held, or as for :meth:`hold`.
            WaitTimeoutError: Some had not ended in time; they go on, and
                nothing more is begun.
            StoreUnavailableError: The store did not answer; what was begun goes
                on.  Calling again is safe.
            ConfigurationError: A timeout that cannot be used.
        """
        seconds = None
        if timeout is not None:
            seconds = length_of("timeout", timeout, zero=True) / SECOND
        engine = self._claiming()
        if not engine.held:
            message = "the scheduler is not held; await hold() or start(paused=True)"
            raise SchedulerStateError(message)
        with self._logging():
            once, done = engine.run_due()
        try:
            # Not a time-out around it: what has been done by then is to be kept.
            await asyncio.wait((done,), timeout=seconds)
        finally:
            once.stopped = True
        if not done.done():
            message = f"some runs had not ended within {seconds} s"
            raise WaitTimeoutError(message)
        done.result()
        if engine.failure is not None:
            self._opened()  # says why
        return once.runs

    def _claiming(self) -> Engine:
        engine = self._running_engine()
        if not engine.claims:
            message = "the scheduler is a client (run_jobs=False): it claims nothing"
            raise SchedulerStateError(message)
        return engine
