"""The verbs that define jobs: schedule, declare, modify."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Literal, ParamSpec, TypeVar, Unpack

from aiosched import planning
from aiosched._api.base import (
    Base,
    DecideOne,
    job_id_of,
    refuse_silent,
    shown_job,
)
from aiosched._api.options import instant_of
from aiosched.enums import OnConflict
from aiosched.errors import (
    ConfigurationError,
    JobChangedError,
    SchedulerStateError,
    StoreConflictError,
)
from aiosched.instants import moment
from aiosched.jobs import Job, JobChanges, JobOptions, checks
from aiosched.jobs.inputs import executor_name
from aiosched.records import Change, Definition, Record
from aiosched.rows import Act
from aiosched.triggers.base import Trigger

__all__ = ["Defining", "refuse_other", "scheduling"]

P = ParamSpec("P")
T = TypeVar("T")
ConflictWord = Literal["raise", "replace", "keep"]


class Defining(Base):
    """What makes and changes jobs.  Called on any peer, it takes effect on all."""

    _declared: dict[str, Job]
    _withdrawn: set[str]

    async def schedule(
        self,
        job: Job,
        *,
        on_conflict: OnConflict | ConflictWord = "raise",
        again: bool = False,
        allow_unknown: bool = False,
        by: str | None = None,
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
            by: Who asks, 1 to 200 characters; None: this scheduler's name.

        Returns:
            The job as it is stored, with version, state and next fire time.

        Raises:
            InvalidInputError: Something about it cannot be stored; nothing was.
            JobExistsError: Its id has another definition.
            StoreUnavailableError: The store did not answer; calling again is
                safe if the job's id was not drawn anew.
        """
        rule = _conflict(on_conflict)
        refuse_other(job)
        _refuse_unclear(again=again, allow_unknown=allow_unknown)
        act = self._act(by)
        definition = await self._definition(job, allow_unknown=allow_unknown)
        decide = scheduling(definition, rule, act, paused=job.paused, again=again)
        record = await self._decide_together(definition, decide, "job_scheduled")
        return self._snapshot(record, job.id)

    async def schedule_many(
        self,
        jobs: Iterable[Job],
        *,
        on_conflict: OnConflict | ConflictWord = "raise",
        again: bool = False,
        allow_unknown: bool = False,
        by: str | None = None,
    ) -> list[Job]:
        """Store many jobs, in transactions of up to a hundred.

        All of them are checked before the first is written.  Calling again
        after an error is safe: what is stored already is left as it is.

        Args:
            jobs: Any number of them, each with an id of its own.
            on_conflict: As for :meth:`schedule`.
            again: As for :meth:`schedule`.
            allow_unknown: As for :meth:`schedule`.
            by: As for :meth:`schedule`.

        Returns:
            The jobs as they are stored, in the order given.

        Raises:
            InvalidInputError: One cannot be stored; nothing was written.
            JobExistsError: An id has another definition; the others are stored.
        """
        rule = _conflict(on_conflict)
        given = _jobs_of(jobs)
        _refuse_unclear(again=again, allow_unknown=allow_unknown)
        act = self._act(by)
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
                definitions[job_id], rule, act, paused=job_id in paused, again=again
            )

        records, errors = await self._decide_many(definitions, decide, "job_scheduled")
        if errors:
            raise next(iter(errors.values()))
        gap, now = self._running_engine().alarms.gaps(), self._opened().estimate()
        return [self._snapshot(records[job.id], job.id, gap, now) for job in given]

    def declare(self, job: Job) -> Job:
        """Name a job that belongs to the code: it is scheduled at each start.

        With ``on_conflict="replace"``, never from a higher ``revision`` to a
        lower; restored if the store loses its data.

        Raises:
            SchedulerStateError: The scheduler has been started already.
            ConfigurationError: Another job was declared with the id, or the id
                was drawn, so that each start would make one more.
        """
        refuse_other(job)
        self._refuse_late()
        if job.drawn:
            raise ConfigurationError(
                "id",
                job.id,
                "was drawn anew, so each start would add another job",
                'give the job an id: Job(..., id="nightly-report")',
            )
        if job.id in self._withdrawn:
            raise ConfigurationError(
                "id", job.id, "is withdrawn as well", "do one of the two"
            )
        if self._declared.setdefault(job.id, job) != job:
            raise ConfigurationError(
                "id", job.id, "is declared twice", "give each job an id of its own"
            )
        return job

    def _refuse_late(self) -> None:
        if self._session is not None or self._closed:
            message = (
                "jobs are declared before the start; await scheduler.schedule(job)"
            )
            raise SchedulerStateError(message)

    def job(
        self, trigger: Trigger | None = None, **options: Unpack[JobOptions]
    ) -> Callable[[Callable[P, T]], Callable[P, T]]:
        """Register a function and declare a job for it, in one decorator.

        It may be stacked: each adds a job with an ``id`` and arguments of its
        own.  A function that is registered already, under whatever name, stays
        as it is.  For a bound method call it: ``scheduler.job(...)(box.empty)``.

        Args:
            trigger: When it runs; None with ``keyword=``.
            **options: Those of :class:`Job`; ``id`` is the function's name
                unless it is given.

        Returns:
            A decorator that returns the function as it was.

        Raises:
            ConfigurationError: An option that there is not, or that cannot be
                used; the decorator raises it, and registers nothing then.
            SchedulerStateError: As :meth:`declare`; by the decorator.
        """
        given: dict[str, object] = {**options}
        if "executor" in given:
            raise ConfigurationError(
                "executor",
                given["executor"],
                "is the function that is decorated",
                "leave it out, or declare(Job(...))",
            )

        def decorate(function: Callable[P, T]) -> Callable[P, T]:
            known = self.registry.find(function)
            name = executor_name(function) if known is None else known.name
            values: JobOptions = {"id": name, **options}
            job = Job(function, trigger=trigger, **values)
            if known is None:
                self.registry.register(function)
            self.declare(job)
            return function

        return decorate

    async def modify(
        self,
        job: Job | str,
        *,
        if_version: int | None = None,
        if_next: datetime | None = None,
        allow_unknown: bool = False,
        by: str | None = None,
        act_note: str = "",
        **changes: Unpack[JobChanges],
    ) -> Job:
        """Change fields of a stored job.

        A trigger that is not changed keeps its due slot; live runs end under
        the definition with which they began.

        Args:
            job: An id, with ``changes``; or a ``Job``, whose whole definition
                is then taken (and ``changes`` on top).
            if_version: Only if the stored version is this one.
            if_next: Only if this slot, an aware datetime, is the next that has not
                been decided on: neither started nor skipped.
            allow_unknown: Accept an executor that no peer has advertised.
            by: Who asks, 1 to 200 characters; None: this scheduler's name.
            act_note: Why, for those who read the ledger; up to 1,000
                characters.  (``note`` is the job's own.)
            **changes: Fields of :class:`Job` and their new values; an id is
                for life.

        Raises:
            JobNotFoundError: There is no such job (any more).
            JobChangedError: It is at another version than ``if_version``, or
                another slot is next than ``if_next``.
            StoreConflictError: Others changed it, again and again; nothing was
                written, and calling again is safe.
            InvalidInputError: The result cannot be stored; nothing was.
        """
        job_id = job_id_of(job)
        _refuse_unclear(allow_unknown=allow_unknown)
        act = self._act(by, act_note, field="act_note")
        checks.number("if_version", if_version, least=0, most=10**12, none=True)
        slot = None if if_next is None else instant_of("if_next", if_next)
        other = changes.get("id", job_id)
        if other != job_id:
            raise ConfigurationError(
                "id",
                other,
                f"job {job_id!r} keeps its id for life",
                "schedule a new job, and remove this one",
            )
        for number in range(_TRIES):
            stored = await self._stored(job_id)
            base = job if isinstance(job, Job) else shown_job(stored, 0)
            wanted = base.with_changes(**changes) if changes else base
            definition = await self._definition(wanted, allow_unknown=allow_unknown)
            spec = replace(definition.spec, declared=stored.definition.spec.declared)
            definition = replace(definition, spec=spec)
            version = if_version
            if version is None and not isinstance(job, Job):
                # The changes were laid over what was read: it must still hold.
                version = stored.state.version
            try:
                record = await self._decide(
                    job_id, _modifying(definition, version, slot, act), "job_modified"
                )
            except JobChangedError:
                chosen = if_version is not None or slot is not None
                if chosen or isinstance(job, Job):
                    raise
                await self._step_aside(number)
                continue
            return self._snapshot(record, job_id)
        raise StoreConflictError(f"the change of job {job_id!r}", _TRIES)

    async def _step_aside(self, number: int) -> None:
        """Wait a little, each at another time, so that many changes all get through."""
        share = int(self._ids()[:4], 16) / 0xFFFF
        await self._clock.sleep(share * min(_PAUSE * 2**number, _LONGEST_PAUSE))

    async def _stored(self, job_id: str) -> Record:
        records = await self._opened().read([job_id])
        return planning.living(records.get(job_id), job_id)


_TRIES = 32
_PAUSE, _LONGEST_PAUSE = 0.002, 0.25
"""Seconds, at most, before the first and before a late new try of a change."""


_RULES: dict[str, OnConflict] = {rule.value: rule for rule in OnConflict}


def _conflict(word: object) -> OnConflict:
    rule = _RULES.get(word) if isinstance(word, str) else None
    if rule is None:
        raise ConfigurationError(
            "on_conflict", word, "is not known", 'use "raise", "replace" or "keep"'
        )
    return rule


def _refuse_unclear(**flags: object) -> None:
    for name, value in flags.items():
        checks.flag(name, value)


def refuse_other(job: object, field: str = "job") -> None:
    """Refuse what is no job."""
    if not isinstance(job, Job):
        raise ConfigurationError(
            field, job, "is not a Job", 'write Job("name of the executor", ...)'
        )


def _jobs_of(jobs: object) -> list[Job]:
    remedy = "give a list of them; a single one goes to schedule"
    if isinstance(jobs, Job | str | bytes | Mapping) or not isinstance(jobs, Iterable):
        raise ConfigurationError("jobs", jobs, "is not a list of Jobs", remedy)
    given = list(jobs)
    for number, job in enumerate(given):
        refuse_other(job, f"jobs[{number}]")
    return given


def scheduling(
    definition: Definition,
    rule: OnConflict,
    act: Act,
    *,
    paused: bool,
    again: bool,
) -> DecideOne:
    """Build the decision that schedules one definition."""

    def decide(record: Record | None, now: int) -> Change | None:
        change = planning.schedule(
            definition,
            record,
            now,
            on_conflict=rule,
            paused=paused,
            again=again,
            act=act,
        )
        if change is not None:
            refuse_silent(definition, now)
        return change

    return decide


def _modifying(
    definition: Definition, version: int | None, slot: int | None, act: Act
) -> DecideOne:
    def decide(record: Record | None, now: int) -> Change | None:
        found = planning.living(record, definition.id)
        if slot is not None and found.state.next != slot:
            stored = found.state.version
            problem = f"has another next slot than {moment(slot).isoformat()}"
            raise JobChangedError(definition.id, stored, stored, problem)
        change = planning.modify(definition, found, now, if_version=version, act=act)
        if change is not None and "trigger" in planning.differing(
            found.definition, definition
        ):
            refuse_silent(definition, now)
        return change

    return decide
