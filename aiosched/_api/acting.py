"""The verbs that act on jobs: pause, resume, start, stop, remove, fire."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from aiosched import planning
from aiosched._api.base import Base, DecideOne, job_id_of
from aiosched._api.options import instant_of, length_of
from aiosched.enums import Cause, JobState
from aiosched.errors import (
    ConfigurationError,
    JobNotFoundError,
    TooManyWaitingError,
)
from aiosched.instants import moment
from aiosched.jobs import Firing, Job, checks
from aiosched.records import MAX_WAITING, Change, Record
from aiosched.registry import check_payload, dump_payload

__all__ = ["Acting"]


class Acting(Base):
    """What holds, runs and ends jobs.  Called on any peer, it takes effect on all."""

    # -- holding and going on ----------------------------------------------

    async def pause(
        self,
        job: Job | str,
        *,
        note: str = "",
        until: datetime | timedelta | float | None = None,
        by: str | None = None,
    ) -> Job:
        """Hold a job; live runs go on, slots are counted as paused.

        Safe to repeat: a job that is held in the same way stays as it is.

        Args:
            job: Which one.
            note: Why, for those who look; up to 1,000 characters.
            until: When it goes on by itself: an aware datetime, or how long,
                up to 100 years; None: when it is resumed.
            by: Who asks, 1 to 200 characters; None: this scheduler's name.

        Raises:
            JobNotFoundError: There is no such job (any more).
            ConfigurationError: A note, name or end that cannot be stored.
        """
        job_id = job_id_of(job)
        act = self._act(by, note)
        end = self._instant("until", until)

        def decide(record: Record | None, now: int) -> Change | None:
            found = planning.living(record, job_id)
            return planning.pause(found, now, note=act.note, until=end, act=act)

        record = await self._decide(job_id, decide, "job_paused")
        return self._snapshot(record, job_id)

    async def resume(
        self, job: Job | str, *, note: str = "", by: str | None = None
    ) -> Job:
        """End a pause, or restart a stopped job, on its old grid.

        What passed meanwhile is not made up.  Safe to repeat: a job that is not
        paused stays as it is.

        Args:
            job: Which one.
            note: Why; up to 1,000 characters.
            by: Who asks, 1 to 200 characters; None: this scheduler's name.

        Raises:
            JobNotFoundError: There is no such job (any more).
            ConfigurationError: A note or name that cannot be stored.
        """
        job_id = job_id_of(job)
        act = self._act(by, note)
        kept: list[Record] = []

        def decide(record: Record | None, now: int) -> Change | None:
            kept[:] = [planning.living(record, job_id)]
            return planning.resume(kept[0], now, act=act)

        record = await self._decide(job_id, decide, "job_resumed")
        # A one-time job that was stopped has nothing left to do, and is gone.
        return self._snapshot(record or kept[0], job_id)

    # -- running and stopping ----------------------------------------------

    async def start_job(
        self, job: Job | str, *, note: str = "", by: str | None = None
    ) -> Firing:
        """Run a job once, now, in any state, without moving its slots.

        Args:
            job: Which one.
            note: Why; up to 1,000 characters.
            by: Who asks, 1 to 200 characters; None: this scheduler's name.

        Returns:
            What ``wait`` and ``result`` take.

        Raises:
            JobNotFoundError: There is no such job (any more).
            AlreadyRunningError: It runs somewhere, and its overlap is ``skip``.
            TooManyWaitingError: Too many of its firings wait already.
            ConfigurationError: A note or name that cannot be stored.
        """
        job_id, fire_id = job_id_of(job), self._ids()
        act = self._act(by, note)
        asked: list[int] = [0]

        def decide(record: Record | None, now: int) -> Change | None:
            if record is None or record.state.status is JobState.REMOVED:
                raise JobNotFoundError(job_id)
            asked[0] = now
            return planning.start(record, now, fire_id, act=act)

        await self._decide(job_id, decide)
        return Firing(job_id, fire_id, Cause.MANUAL, moment(asked[0]))

    async def stop_job(
        self, job: Job | str, *, note: str = "", by: str | None = None
    ) -> Job:
        """Cancel a job's live and waiting firings, wherever, and pause it.

        It stays paused until somebody resumes it, also where it was paused until
        an instant.  Safe to repeat: a job that is stopped stays as it is.

        Args:
            job: Which one.
            note: Why; up to 1,000 characters.
            by: Who asks, 1 to 200 characters; None: this scheduler's name.

        Raises:
            JobNotFoundError: There is no such job (any more).
            ConfigurationError: A note or name that cannot be stored.
        """
        job_id = job_id_of(job)
        act = self._act(by, note)

        def decide(record: Record | None, now: int) -> Change | None:
            return planning.stop(planning.living(record, job_id), now, act=act)

        record = await self._decide(job_id, decide, "job_stopped")
        return self._snapshot(record, job_id)

    async def remove_job(
        self, job: Job | str, *, note: str = "", by: str | None = None
    ) -> None:
        """Take a job out; its runs are cancelled, and nothing starts after.

        Args:
            job: Which one.
            note: Why; up to 1,000 characters.
            by: Who asks, 1 to 200 characters; None: this scheduler's name.

        Raises:
            JobNotFoundError: There is no such job (any more).
            ConfigurationError: A note or name that cannot be stored.
        """
        job_id = job_id_of(job)
        act = self._act(by, note)

        def decide(record: Record | None, now: int) -> Change | None:
            return planning.remove(planning.living(record, job_id), now, act=act)

        await self._decide(job_id, decide, "job_removed")

    # -- firing ------------------------------------------------------------

    async def fire_job(
        self,
        keyword: str,
        payload: Any = None,
        *,
        fire_id: str | None = None,
        ttl: timedelta | float | None = None,
        by: str | None = None,
    ) -> list[Firing]:
        """Run every job that is subscribed to a keyword, once each.

        The fire is stored: it reaches jobs whose peers are all down at the
        moment, as soon as one is back.

        Args:
            keyword: The word.
            payload: JSON data for the runs; the keys of a mapping are keyword
                arguments, and win over the job's own.
            fire_id: Names the fire, so that repeating it changes nothing while
                it is open and for the job's last few outcomes; drawn if None.
            ttl: How long it may wait to be started, up to 100 years; None: as
                long as it takes.
            by: Who asks, 1 to 200 characters, for those who listen to
                ``job_fired``; None: this scheduler's name.

        Returns:
            One firing a subscribed job, sorted by job id; empty for none.

        Raises:
            ConfigurationError: No keyword, id or time to live that can be used.
            ArgumentsError: The payload does not fit a subscriber; nothing was
                written.
            TooManyWaitingError: A subscriber has too many waiting; those that
                come before it have been fired, and firing again with the same
                ``fire_id`` is safe.
        """
        session = self._opened()
        if checks.keyword("keyword", keyword) is None:
            raise ConfigurationError(
                "keyword", None, "names no jobs", "give the word that they wait for"
            )
        fire_id = self._ids() if fire_id is None else checks.text_id("fire_id", fire_id)
        life = None if ttl is None else length_of("ttl", ttl)
        trace = "" if self._carry is None else self._carry()
        who = self._act(by).by
        ids = await session.by_keyword(keyword)
        records = await self._subscribers(keyword, ids)
        text = await self._check_fire(records, payload, fire_id)
        asked: dict[str, int] = {}

        def decide(job_id: str) -> DecideOne:
            def fire(record: Record | None, now: int) -> Change | None:
                asked.pop(job_id, None)
                if record is None or not _subscribed(record, keyword):
                    return None  # it was removed, or listens to another one, since
                expires = None if life is None else now + life
                change = planning.fire(
                    record, now, fire_id, text, expires=expires, trace=trace
                )
                asked[job_id] = now
                return change

            return fire

        def told(job_id: str) -> None:
            self._bus.emit(
                "job_fired", job_id, keyword=keyword, fire_id=fire_id, by=who
            )

        _, errors = await self._decide_many(sorted(records), decide, told)
        if errors:
            raise next(iter(errors.values()))
        return [
            Firing(job_id, fire_id, Cause.KEYWORD, moment(asked[job_id]))
            for job_id in sorted(asked)
        ]

    async def _subscribers(self, keyword: str, ids: Sequence[str]) -> dict[str, Record]:
        records: dict[str, Record] = {}
        for first in range(0, len(ids), 1000):
            found = await self._opened().read(ids[first : first + 1000])
            records.update({k: r for k, r in found.items() if _subscribed(r, keyword)})
        return records

    async def _check_fire(
        self, records: dict[str, Record], payload: Any, fire_id: str
    ) -> bytes:
        for job_id, record in sorted(records.items()):
            name = record.definition.spec.executor
            known = self.registry.find(name) or await self._advertised(name)
            arguments = record.definition.arguments
            if known is not None and isinstance(arguments, bytes):
                check_payload(known, arguments, payload, limit=self._max_payload)
            waiting = record.state.waiting
            said = any(firing.key == fire_id for firing in waiting)
            if len(waiting) >= MAX_WAITING and not said:
                raise TooManyWaitingError(job_id, MAX_WAITING)
        return dump_payload(payload, limit=self._max_payload)

    # -- helpers -----------------------------------------------------------

    def _instant(
        self, field: str, value: datetime | timedelta | float | None
    ) -> int | None:
        if value is None:
            return None
        if isinstance(value, datetime):
            return instant_of(field, value)
        return self._opened().estimate() + length_of(field, value)


def _subscribed(record: Record, keyword: str) -> bool:
    return record.definition.spec.keyword == keyword and record.state.status in (
        JobState.ACTIVE,
        JobState.PAUSED,
    )
