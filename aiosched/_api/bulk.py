"""The verbs that act on many jobs at once: by tag, or all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta

from aiosched import planning
from aiosched._api.acting import Acting
from aiosched._api.base import DecideOne
from aiosched._api.options import length_of, optional_text
from aiosched.enums import Cause, JobState
from aiosched.errors import AlreadyRunningError, JobError, JobNotFoundError
from aiosched.instants import SECOND, moment
from aiosched.jobs import Firing
from aiosched.records import Change, Record

__all__ = ["Bulk"]

_LIVING = (JobState.ACTIVE, JobState.PAUSED)


class Bulk(Acting):
    """What holds, runs and ends many jobs, in transactions of up to a hundred.

    Jobs that are scheduled while such a verb goes on may be left out.  If it
    is interrupted, what it has done stays done; calling again does the rest.
    """

    async def pause_jobs(
        self,
        *,
        tag: str | None = None,
        note: str = "",
        until: datetime | timedelta | float | None = None,
        by: str | None = None,
    ) -> list[str]:
        """Hold every job, or those with a tag; as :meth:`pause`.

        Args:
            tag: Jobs that carry it; None: all of the namespace.
            note: Why, for those who look; up to 1,000 characters.
            until: When they go on by themselves: an aware datetime, or how
                long, up to 100 years; None: when they are resumed.
            by: Who asks, 1 to 200 characters; None: this scheduler's name.

        Returns:
            Their ids, sorted.  Safe to repeat.

        Raises:
            ConfigurationError: A tag, note, name or end that cannot be used;
                nothing was written.
        """
        act = self._act(by, note)
        end = self._instant("until", until)
        return await self._every(
            tag,
            lambda r, now: planning.pause(r, now, note=act.note, until=end, act=act),
            "job_paused",
        )

    async def resume_jobs(
        self, *, tag: str | None = None, note: str = "", by: str | None = None
    ) -> list[str]:
        """Let every paused job go on, or those with a tag; as :meth:`resume`.

        Args:
            tag: Jobs that carry it; None: all of the namespace.
            note: Why; up to 1,000 characters.
            by: Who asks, 1 to 200 characters; None: this scheduler's name.

        Returns:
            The ids of those that were paused, sorted.  Safe to repeat.

        Raises:
            ConfigurationError: A tag, note or name that cannot be used;
                nothing was written.
        """
        act = self._act(by, note)
        return await self._every(
            tag,
            lambda r, now: planning.resume(r, now, act=act),
            "job_resumed",
            states=(JobState.PAUSED,),
        )

    async def stop_jobs(
        self, *, tag: str | None = None, note: str = "", by: str | None = None
    ) -> list[str]:
        """Stop every job, or those with a tag; as :meth:`stop_job`.

        Args:
            tag: Jobs that carry it; None: all of the namespace.
            note: Why; up to 1,000 characters.
            by: Who asks, 1 to 200 characters; None: this scheduler's name.

        Returns:
            Their ids, sorted.  Safe to repeat.

        Raises:
            ConfigurationError: A tag, note or name that cannot be used;
                nothing was written.
        """
        act = self._act(by, note)
        return await self._every(
            tag,
            lambda r, now: planning.stop(r, now, act=act),
            "job_stopped",
        )

    async def remove_jobs(
        self, *, tag: str | None = None, note: str = "", by: str | None = None
    ) -> list[str]:
        """Take out every job of this namespace, or those with a tag.

        Args:
            tag: Jobs that carry it; None: all of the namespace.
            note: Why; up to 1,000 characters.
            by: Who asks, 1 to 200 characters; None: this scheduler's name.

        Returns:
            Their ids, sorted.  Safe to repeat.

        Raises:
            ConfigurationError: A tag, note or name that cannot be used;
                nothing was written.
        """
        act = self._act(by, note)
        return await self._every(
            tag,
            lambda r, now: planning.remove(r, now, act=act),
            "job_removed",
        )

    async def start_jobs(
        self,
        *,
        tag: str | None = None,
        spacing: timedelta | float = 0,
        note: str = "",
        by: str | None = None,
    ) -> list[Firing]:
        """Run every active job once, now, or those with a tag.

        Their slots stay where they are.  Paused jobs, and those that may not
        run beside themselves and are running, are passed over.  Calling again
        runs them again.

        Args:
            tag: Jobs that carry it; None: all of the namespace.
            spacing: Time from one start to the next; 0: all at once.
            note: Why; up to 1,000 characters.
            by: Who asks, 1 to 200 characters; None: this scheduler's name.

        Returns:
            What was made to run, sorted by job id.

        Raises:
            ConfigurationError: A tag, spacing, note or name that cannot be
                used; nothing was started.
            TooManyWaitingError: Too many firings of a job wait already; the
                others have been started.
        """
        self._opened()
        optional_text("tag", tag)
        pause = length_of("spacing", spacing, zero=True) / SECOND
        act = self._act(by, note)
        ids = sorted({i async for page in self._chosen(tag) for i in page})
        fire_ids = {job_id: self._ids() for job_id in ids}
        asked: dict[str, int] = {}

        def decide(job_id: str) -> DecideOne:
            def start(record: Record | None, now: int) -> Change | None:
                found = planning.living(record, job_id)
                asked.pop(job_id, None)
                if found.state.status is not JobState.ACTIVE:
                    return None
                change = planning.start(found, now, fire_ids[job_id], act=act)
                asked[job_id] = now
                return change

            return start

        parts = [[job_id] for job_id in ids] if pause else [ids]
        failed: list[JobError] = []
        for number, part in enumerate(parts):
            if number:
                await self._clock.sleep(pause)
            _, errors = await self._decide_many(part, decide)
            failed += errors.values()
        for error in failed:
            if not isinstance(error, AlreadyRunningError | JobNotFoundError):
                raise error
        return [
            Firing(job_id, fire_ids[job_id], Cause.MANUAL, moment(asked[job_id]))
            for job_id in ids
            if job_id in asked
        ]

    async def _every(
        self,
        tag: str | None,
        verb: Callable[[Record, int], Change | None],
        event: str,
        *,
        states: tuple[JobState, ...] = _LIVING,
    ) -> list[str]:
        """Do something to jobs, and tell of what changes; return their ids, sorted."""
        self._opened()
        optional_text("tag", tag)
        done: set[str] = set()

        def decide(job_id: str) -> DecideOne:
            return lambda record, now: verb(planning.living(record, job_id), now)

        async for ids in self._chosen(tag, states):
            _, errors = await self._decide_many(ids, decide, event)
            done |= set(ids) - errors.keys()
        return sorted(done)

    async def _chosen(
        self, tag: str | None, states: tuple[JobState, ...] = (JobState.ACTIVE,)
    ) -> AsyncIterator[list[str]]:
        """Yield the ids of the jobs that are meant, page by page."""
        cursor: str | None = None
        while True:
            page = await self._opened().list(cursor=cursor)
            yield [
                record.definition.id
                for record in page.records
                if record.state.status in states
                and (tag is None or tag in record.definition.spec.tags)
            ]
            cursor = page.cursor
            if cursor is None:
                return
