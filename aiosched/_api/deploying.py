"""What is declared, beside what is stored: the difference, and carrying it out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

from aiosched import planning
from aiosched._api.base import job_id_of, shown_job
from aiosched._api.defining import refuse_other
from aiosched._api.queries import Queries
from aiosched._api.restoring import Restoring, withdrawable
from aiosched.enums import JobState
from aiosched.errors import (
    ConfigurationError,
    InvalidInputError,
    StoreDataError,
    UnknownExecutorError,
)
from aiosched.jobs import Job
from aiosched.jobs.conversions import job_of_definition
from aiosched.jobs.plans import PlannedJob
from aiosched.records import Apart, Definition, Record

__all__ = ["Deploying"]

_PAGE = 500
_APART = "(too long to be shown)"


class Deploying(Restoring, Queries):
    """Compares declared jobs with stored ones, and changes what is declared."""

    @property
    def declared(self) -> tuple[Job, ...]:
        """The jobs that are declared on this scheduler, in order."""
        return tuple(self._declared.values())

    async def plan(
        self,
        jobs: Iterable[Job],
        *,
        withdrawn: Iterable[Job | str] = (),
        others: Iterable[str] = (),
    ) -> list[PlannedJob]:
        """Compare declared jobs with what is stored; nothing is written.

        Args:
            jobs: All that are declared, each with an id of its own.
            withdrawn: Those that are switched off.
            others: Patterns (``*``, ``?``) of ids that are declared elsewhere, and
                so are no orphans.

        Returns:
            Each job given, in order; then the orphans: jobs of the store that were
            declared once, by code or a file, and are not among these.

        Raises:
            ConfigurationError: ``jobs`` are none.
            StoreUnavailableError: The store did not answer; calling again is safe.
        """
        given = _by_id(jobs)
        planned: list[PlannedJob] = []
        for part in _parts(given.values()):
            records = await self._opened().read([job.id for job in part])
            planned += [await self._planned(job, records.get(job.id)) for job in part]
        off = [job_id_of(job) for job in withdrawn]
        for ids in _parts(off):
            records = await self._opened().read(list(ids))
            for job_id in ids:
                record = records.get(job_id)
                there = record is not None and withdrawable(record, self._revision)
                due = self._due(record) if there else None
                change: Any = "off" if there else "unchanged"
                planned.append(PlannedJob(job_id, change, next_fire_time=due))
        known = {*given, *off}
        return planned + await self._orphans(known, tuple(others))

    async def _planned(self, job: Job, record: Record | None) -> PlannedJob:
        try:
            definition = await self._definition(job, declared=self._revision)
        except UnknownExecutorError as error:
            return PlannedJob(job.id, "unresolvable", problem=error.problem)
        except InvalidInputError as error:
            return PlannedJob(job.id, "refused", problem=str(error))
        if record is None:
            try:
                # A listing leaves out what cannot be read; asked by name, it is told.
                record = await self._decide(job.id, lambda _record, _now: None)
            except StoreDataError as error:
                return PlannedJob(job.id, "held", problem=str(error))
        if record is None or record.state.status is JobState.REMOVED:
            return PlannedJob(job.id, "new")
        stored = record.definition
        fields = planning.differing(stored, definition)
        due = self._due(record)
        if not fields:
            return PlannedJob(job.id, "unchanged", next_fire_time=due)
        old, new = _values(stored), _values(definition)
        values = {name: (old.get(name), new.get(name)) for name in fields}
        later = stored.spec.declared
        if later is not None and later > self._revision:
            problem = (
                f"it was declared by revision {later}, and this is {self._revision}"
            )
            return PlannedJob(job.id, "held", values, problem, due)
        return PlannedJob(job.id, "changed", values, next_fire_time=due)

    def _due(self, record: Record | None) -> Any:
        if record is None:
            return None
        return shown_job(record, self._opened().estimate()).next_fire_time

    async def _orphans(
        self, known: set[str], others: tuple[str, ...]
    ) -> list[PlannedJob]:
        found: dict[str, PlannedJob] = {}
        cursor: str | None = None
        while True:
            page = await self.get_jobs(limit=_PAGE, cursor=cursor)
            for job in page:
                if job.declared is None or job.id in known:
                    continue
                if not any(fnmatchcase(job.id, one) for one in others):
                    due = job.next_fire_time
                    found[job.id] = PlannedJob(job.id, "orphaned", next_fire_time=due)
            cursor = page.cursor
            if cursor is None:
                return [found[job_id] for job_id in sorted(found)]

    async def redeclare(
        self,
        jobs: Iterable[Job],
        *,
        withdrawn: Iterable[Job | str] = (),
        dropped: Iterable[Job | str] = (),
        by: str | None = None,
    ) -> list[str]:
        """Change what is declared while the scheduler runs.

        All jobs are checked before the first is written.  Calling again after an
        error is safe: what is stored already is left as it is.

        Args:
            jobs: Declared from now on, and stored as at a start: what is the same
                keeps its due slot, and a higher ``revision`` is left alone.
            withdrawn: Taken out of the store, if they were declared; and not put
                there by any start of this scheduler any more.
            dropped: Not declared any more; what is stored goes on.
            by: Who asks, 1 to 200 characters; None: this scheduler's name.

        Returns:
            The ids of the jobs of which anything was written, in order.

        Raises:
            InvalidInputError: A job cannot be stored; nothing was.
            StoreUnavailableError: The store did not answer; some may be stored.
        """
        given = _by_id(jobs)
        off = [job_id_of(job) for job in withdrawn]
        gone = [job_id_of(job) for job in dropped]
        act = self._act(by)
        for job_id in (*off, *gone):
            if job_id in given:
                raise ConfigurationError(
                    "jobs", job_id, "is given up as well", "do one of the two"
                )
        definitions: dict[str, Definition] = {}
        for job in given.values():
            if job.drawn:
                raise ConfigurationError(
                    "id", job.id, "was drawn anew", "give the job an id"
                )
            definitions[job.id] = await self._definition(job, declared=self._revision)
        for job_id in (*off, *gone):
            self._declared.pop(job_id, None)
        self._withdrawn.update(off)
        self._withdrawn.difference_update(given)
        self._declared.update(given)
        written = [job_id for job_id in off if await self._withdraw_one(job_id, act)]
        for job_id, definition in definitions.items():
            if await self._declare_one(definition, given[job_id], act):
                written.append(job_id)
        return written


def _by_id(jobs: object) -> dict[str, Job]:
    remedy = "give a list of jobs"
    if isinstance(jobs, Job | str | bytes) or not isinstance(jobs, Iterable):
        raise ConfigurationError("jobs", jobs, "is not a list of Jobs", remedy)
    found: dict[str, Job] = {}
    for number, job in enumerate(jobs):
        refuse_other(job, f"jobs[{number}]")
        if job.id in found:
            raise ConfigurationError(
                "jobs", job.id, "this id occurs twice", "give each an id of its own"
            )
        found[job.id] = job
    return found


def _parts(items: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    while part := list(islice(rest, 100)):
        yield part


def _values(definition: Definition) -> dict[str, Any]:
    """Return the fields of a definition as JSON values, its trigger in words."""
    values = job_of_definition(definition).to_dict()
    values["trigger"] = _when(definition)
    if isinstance(definition.arguments, Apart):
        values["args"] = values["kwargs"] = _APART
    return values


def _when(definition: Definition) -> str:
    spec = definition.spec
    trigger = spec.unpinned or spec.trigger
    if trigger is None:
        if spec.keyword is not None:
            return "by its keyword alone"
        delay = 0 if spec.delay is None else spec.delay / 1_000_000
        return f"once, {delay:g} s after it is scheduled"
    if spec.unpinned is None and definition.anchor is not None:
        trigger = trigger.with_instant(definition.anchor)
    return trigger.describe()
