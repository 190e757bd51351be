"""The verbs that write: schedule, modify, pause, start, stop, remove, fire."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ParamSpec, TypeVar

from aiosched import planning
from aiosched._api.base import Base, DecideOne, job_id_of, refuse_silent
from aiosched.enums import Cause, JobState, OnConflict
from aiosched.errors import (
    ConfigurationError,
    JobChangedError,
    JobNotFoundError,
    SchedulerStateError,
    TooManyWaitingError,
)
from aiosched.instants import micros, moment, span
from aiosched.jobs import Firing, Job, checks
from aiosched.jobs.conversions import job_of
from aiosched.records import MAX_WAITING, Change, Definition, Record
from aiosched.registry import check_payload, dump_payload
from aiosched.triggers.base import Trigger

__all__ = ["Scheduling", "scheduling"]

P = ParamSpec("P")
T = TypeVar("T")


class Scheduling(Base):
    """What changes jobs.  Called on any peer, it takes effect on all."""

    _declared: dict[str, Job]

    # -- defining ----------------------------------------------------------

    async def schedule(
        self,
        job: Job,
        *,
        on_conflict: str = "raise",
        again: bool = False,
        allow_unknown: bool = False,
    ) -> Job:
        """Store a job, so that it runs when its trigger or keyword says.

        The same id with the same definition is a no-op that keeps the due
        slot, so registering at every boot is safe.  A finished job that is
        scheduled again with the same definition does not run again.

        Args:
            job: What to run, when.
            on_conflict: What to do if the id has another definition: ``raise``,
                ``replace`` (as :meth:`modify`) or ``keep`` the stored one.
            again: Run a finished job once more.
            allow_unknown: Accept an executor that no peer has advertised.

        Returns:
            The job as it is stored, with version, state and next fire time.

        Raises:
            InvalidInputError: Something about it cannot be stored; nothing was.
            JobExistsError: Its id has another definition.
            StoreUnavailableError: The store did not answer; calling again is
                safe if the job's id was not drawn anew.
        """
        rule = _conflict(on_conflict)
        definition = await self._definition(job, allow_unknown=allow_unknown)
        decide = scheduling(definition, rule, paused=job.paused, again=again)
        record = await self._decide(job.id, decide)
        if record is not None:
            self._bus.emit("job_scheduled", job.id)
        return self._snapshot(record, job.id)

    async def schedule_many(
        self,
        jobs: Iterable[Job],
        *,
        on_conflict: str = "raise",
        again: bool = False,
        allow_unknown: bool = False,
    ) -> list[Job]:
        """Store many jobs, in transactions of up to a hundred.

        All of them are checked before the first is written.  Calling again
        after an error is safe: what is stored already is left as it is.

        Returns:
            The jobs as they are stored, in the order given.

        Raises:
            InvalidInputError: One cannot be stored; nothing was written.
            JobExistsError: An id has another definition; the others are stored.
        """
        rule = _conflict(on_conflict)
        given = list(jobs)
        definitions = {
            job.id: await self._definition(job, allow_unknown=allow_unknown)
            for job in given
        }
        paused = {job.id for job in given if job.paused}
        if len(definitions) < len(given):
            ids = [job.id for job in given]
            twice = next(job_id for job_id in ids if ids.count(job_id) > 1)
            raise ConfigurationError(
                "jobs", twice, "this id occurs twice", "give each job an id of its own"
            )

        def decide(job_id: str) -> DecideOne:
            return scheduling(
                definitions[job_id], rule, paused=job_id in paused, again=again
            )

        records, errors = await self._decide_many(definitions, decide)
        for job_id in definitions.keys() - errors.keys():
            self._bus.emit("job_scheduled", job_id)
        if errors:
            raise next(iter(errors.values()))
        return [self._snapshot(records[job.id], job.id) for job in given]

    def declare(self, job: Job) -> Job:
        """Name a job that belongs to the code: it is scheduled at each start.

        With ``on_conflict="replace"``, never from a higher ``revision`` to a
        lower; restored if the store loses its data.

        Raises:
            SchedulerStateError: The scheduler has been started already.
            ConfigurationError: Another job was declared with the id, or the id
                was drawn, so that each start would make one more.
        """
        if self._session is not None or self._closed:
            message = (
                "jobs are declared before the start; await scheduler.schedule(job)"
            )
            raise SchedulerStateError(message)
        if job.drawn:
            raise ConfigurationError(
                "id",
                job.id,
                "was drawn anew, so each start would add another job",
                'give the job an id: Job(..., id="nightly-report")',
            )
        if self._declared.setdefault(job.id, job) != job:
            raise ConfigurationError(
                "id", job.id, "is declared twice", "give each job an id of its own"
            )
        return job

    def job(
        self, trigger: Trigger | None = None, **options: Any
    ) -> Callable[[Callable[P, T]], Callable[P, T]]:
        """Register a function and declare a job for it, in one decorator.

        Args:
            trigger: When it runs; None with ``keyword=``.
            **options: Those of :class:`Job`; ``id`` is the function's name
                unless it is given.

        Returns:
            A decorator that returns the function as it was.
        """

        def decorate(function: Callable[P, T]) -> Callable[P, T]:
            registered = self.registry.register(function)
            values = {"id": registered.name, **options}
            self.declare(Job(function, trigger=trigger, **values))
            return function

        return decorate

    async def modify(
        self,
        job: Job | str,
        *,
        if_version: int | None = None,
        allow_unknown: bool = False,
        **changes: Any,
    ) -> Job:
        """Change fields of a stored job.

        A trigger that is not changed keeps its due slot; live runs end under
        the definition with which they began.

        Args:
            job: An id, with ``changes``; or a ``Job``, whose whole definition
                is then taken (and ``changes`` on top).
            if_version: Only if the stored version is this one.
            allow_unknown: Accept an executor that no peer has advertised.
            **changes: Fields of :class:`Job` and their new values.

        Raises:
            JobNotFoundError: There is no such job (any more).
            JobChangedError: It is at another version.
            InvalidInputError: The result cannot be stored; nothing was.
        """
        job_id = job_id_of(job)
        for _ in range(_TRIES):
            stored = await self._stored(job_id)
            base = job if isinstance(job, Job) else job_of(stored, now=0)
            wanted = base.with_changes(**changes) if changes else base
            definition = await self._definition(wanted, allow_unknown=allow_unknown)
            spec = replace(definition.spec, declared=stored.definition.spec.declared)
            definition = replace(definition, spec=spec)
            version = if_version
            if version is None and not isinstance(job, Job):
                # The changes were laid over what was read: it must still hold.
                version = stored.state.version
            try:
                record = await self._decide(job_id, _modifying(definition, version))
            except JobChangedError:
                if if_version is not None or isinstance(job, Job):
                    raise
                continue
            self._bus.emit("job_modified", job_id)
            return self._snapshot(record, job_id)
        raise JobChangedError(job_id, stored.state.version, stored.state.version + 1)

    async def _stored(self, job_id: str) -> Record:
        records = await self._opened().read([job_id])
        return planning.living(records.get(job_id), job_id)

    # -- holding and going on ----------------------------------------------

    async def pause(
        self,
        job: Job | str,
        *,
        note: str = "",
        until: datetime | timedelta | float | None = None,
    ) -> Job:
        """Hold a job; live runs go on, slots are counted as paused.

        Args:
            job: Which one.
            note: Why, for those who look.
            until: When it goes on by itself: an aware datetime, or how long.

        Raises:
            JobNotFoundError: There is no such job (any more).
        """
        job_id = job_id_of(job)
        end = self._instant("until", until)

        def decide(record: Record | None, now: int) -> Change | None:
            return planning.pause(
                planning.living(record, job_id), now, note=note, until=end
            )

        record = await self._decide(job_id, decide)
        self._bus.emit("job_paused", job_id)
        return self._snapshot(record, job_id)

    async def resume(self, job: Job | str) -> Job:
        """End a pause, or restart a stopped job, on its old grid.

        Raises:
            JobNotFoundError: There is no such job (any more).
        """
        job_id = job_id_of(job)
        kept: list[Record] = []

        def decide(record: Record | None, now: int) -> Change | None:
            kept[:] = [planning.living(record, job_id)]
            return planning.resume(kept[0], now)

        record = await self._decide(job_id, decide)
        self._bus.emit("job_resumed", job_id)
        # A one-time job that was stopped has nothing left to do, and is gone.
        return self._snapshot(record or kept[0], job_id)

    # -- running and stopping ----------------------------------------------

    async def start_job(self, job: Job | str) -> Firing:
        """Run a job once, now, in any state, without moving its slots.

        Raises:
            JobNotFoundError: There is no such job (any more).
            AlreadyRunningError: It runs somewhere, and its overlap is ``skip``.
            TooManyWaitingError: Too many of its firings wait already.
        """
        job_id, fire_id = job_id_of(job), self._ids()
        asked: list[int] = [0]

        def decide(record: Record | None, now: int) -> Change | None:
            if record is None or record.state.status is JobState.REMOVED:
                raise JobNotFoundError(job_id)
            asked[0] = now
            return planning.start(record, now, fire_id)

        await self._decide(job_id, decide)
        return Firing(job_id, fire_id, Cause.MANUAL, moment(asked[0]))

    async def stop_job(self, job: Job | str) -> Job:
        """Cancel a job's live and waiting firings, wherever, and pause it.

        Raises:
            JobNotFoundError: There is no such job (any more).
        """
        job_id = job_id_of(job)

        def decide(record: Record | None, now: int) -> Change | None:
            return planning.stop(planning.living(record, job_id), now)

        record = await self._decide(job_id, decide)
        self._bus.emit("job_stopped", job_id)
        return self._snapshot(record, job_id)

    async def stop_jobs(self, *, tag: str | None = None) -> list[str]:
        """Stop every job, or those with a tag.

        Returns:
            Their ids, sorted.  Safe to repeat.
        """
        stopped = await self._every(tag, lambda r, now: planning.stop(r, now))
        for job_id in stopped:
            self._bus.emit("job_stopped", job_id)
        return stopped

    async def remove_job(self, job: Job | str) -> None:
        """Take a job out; its runs are cancelled, and nothing starts after.

        Raises:
            JobNotFoundError: There is no such job (any more).
        """
        job_id = job_id_of(job)

        def decide(record: Record | None, now: int) -> Change | None:
            return planning.remove(planning.living(record, job_id), now)

        await self._decide(job_id, decide)
        self._bus.emit("job_removed", job_id)

    async def remove_jobs(self, *, tag: str | None = None) -> list[str]:
        """Take out every job of this namespace, or those with a tag.

        Returns:
            Their ids, sorted.  Safe to repeat.
        """
        removed = await self._every(tag, lambda r, now: planning.remove(r, now))
        for job_id in removed:
            self._bus.emit("job_removed", job_id)
        return removed

    async def _every(
        self, tag: str | None, verb: Callable[[Record, int], Change | None]
    ) -> list[str]:
        session = self._opened()
        done: set[str] = set()

        def decide(job_id: str) -> DecideOne:
            return lambda record, now: verb(planning.living(record, job_id), now)

        cursor: str | None = None
        while True:
            page = await session.list(cursor=cursor)
            ids = [
                record.definition.id
                for record in page.records
                if record.state.status in (JobState.ACTIVE, JobState.PAUSED)
                and (tag is None or tag in record.definition.spec.tags)
            ]
            _, errors = await self._decide_many(ids, decide)
            done.update(job_id for job_id in ids if job_id not in errors)
            cursor = page.cursor
            if cursor is None:
                return sorted(done)

    # -- firing ------------------------------------------------------------

    async def fire_job(
        self,
        keyword: str,
        payload: Any = None,
        *,
        fire_id: str | None = None,
        ttl: timedelta | float | None = None,
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
            ttl: How long it may wait to be started; None: as long as it takes.

        Returns:
            One firing a subscribed job, sorted by job id; empty for none.

        Raises:
            ArgumentsError: The payload does not fit a subscriber; nothing was
                written.
            TooManyWaitingError: A subscriber has too many waiting; those that
                come before it have been fired, and firing again with the same
                ``fire_id`` is safe.
        """
        session = self._opened()
        checks.keyword("keyword", keyword)
        fire_id = checks.text_id("fire_id", fire_id or self._ids())
        life = None if ttl is None else _positive_span("ttl", ttl)
        ids = await session.by_keyword(keyword)
        records = await self._subscribers(keyword, ids)
        text = await self._check_fire(records, payload, fire_id)
        asked: list[int] = [session.estimate()]

        def decide(_: str) -> DecideOne:
            def fire(record: Record | None, now: int) -> Change | None:
                if record is None or not _subscribed(record, keyword):
                    return None
                asked[0] = now
                expires = None if life is None else now + life
                return planning.fire(record, now, fire_id, text, expires=expires)

            return fire

        after, errors = await self._decide_many(sorted(records), decide)
        if errors:
            raise next(iter(errors.values()))
        when = moment(asked[0])
        return [
            Firing(job_id, fire_id, Cause.KEYWORD, when)
            for job_id in sorted(after)
            if after[job_id] is not None
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
            if value.tzinfo is None:
                raise ConfigurationError(
                    field,
                    value,
                    "is naive, so it names no instant",
                    "give it a zone: datetime(..., tzinfo=UTC)",
                )
            return micros(value)
        return self._opened().estimate() + _positive_span(field, value)


_TRIES = 16


def _positive_span(field: str, value: timedelta | float) -> int:
    if isinstance(value, bool) or not isinstance(value, timedelta | int | float):
        raise ConfigurationError(
            field, value, "is no duration", "give a timedelta or seconds"
        )
    micro = span(value)
    if micro <= 0:
        raise ConfigurationError(
            field, value, "is not positive", "give a longer duration"
        )
    return micro


def _conflict(word: str) -> OnConflict:
    try:
        return OnConflict(word)
    except ValueError:
        raise ConfigurationError(
            "on_conflict", word, "is not known", 'use "raise", "replace" or "keep"'
        ) from None


def _subscribed(record: Record, keyword: str) -> bool:
    return record.definition.spec.keyword == keyword and record.state.status in (
        JobState.ACTIVE,
        JobState.PAUSED,
    )


def scheduling(
    definition: Definition, rule: OnConflict, *, paused: bool, again: bool
) -> DecideOne:
    """Build the decision that schedules one definition."""

    def decide(record: Record | None, now: int) -> Change | None:
        change = planning.schedule(
            definition, record, now, on_conflict=rule, paused=paused, again=again
        )
        if change is not None:
            refuse_silent(definition, now)
        return change

    return decide


def _modifying(definition: Definition, version: int | None) -> DecideOne:
    def decide(record: Record | None, now: int) -> Change | None:
        found = planning.living(record, definition.id)
        change = planning.modify(definition, found, now, if_version=version)
        if change is not None and "trigger" in planning.differing(
            found.definition, definition
        ):
            refuse_silent(definition, now)
        return change

    return decide
