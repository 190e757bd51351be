"""What the code declares: put into the store at the start, and put back."""

from __future__ import annotations

from aiosched import planning
from aiosched._api.base import job_id_of
from aiosched._api.defining import Defining, scheduling
from aiosched.enums import JobState, OnConflict
from aiosched.errors import (
    ConfigurationError,
    SchedulerStateError,
    StoreDataError,
    StoreUnavailableError,
)
from aiosched.jobs import Job, checks
from aiosched.logs import log
from aiosched.records import Change, Definition, Record
from aiosched.rows import Act

__all__ = ["Restoring", "withdrawable"]


class Restoring(Defining):
    """Stores declared jobs one by one."""

    _revision: int

    def withdraw(self, job: Job | str) -> None:
        """Name a job that is switched off: each start takes it out of the store.

        Only a job that was declared, and not by a higher ``revision``; what was
        scheduled under the id is left alone.  Safe to call again.

        Raises:
            SchedulerStateError: The scheduler has been started already.
            ConfigurationError: It names no job, or one that is declared.
        """
        if self._session is not None or self._closed:
            message = (
                "jobs are withdrawn before the start; await "
                "scheduler.redeclare([], withdrawn=[job])"
            )
            raise SchedulerStateError(message)
        job_id = checks.identifier("job", job_id_of(job))
        if job_id in self._declared:
            raise ConfigurationError(
                "job", job_id, "is declared as well", "do one of the two"
            )
        self._withdrawn.add(job_id)

    async def _schedule_declared(self, passing: type[Exception]) -> None:
        """Store what was declared; report and pass over what fails that way.

        Raises:
            StoreUnavailableError: The store does not answer.
        """
        for job_id in sorted(self._withdrawn):
            await self._withdraw_one(job_id, self._act(None))
        for job in list(self._declared.values()):
            try:
                await self._schedule_one(job)
            except StoreUnavailableError:
                raise
            except (StoreDataError, passing) as error:
                # What a later version has stored under that name is left alone.
                if self._closed:
                    return
                log.warning(
                    "the declared job %s is passed over: %s",
                    job.id,
                    error,
                    extra={"action": "declared_failed", "job_id": job.id},
                )
                self._bus.emit("declared_failed", job.id, error=error)

    async def _schedule_one(self, job: Job) -> None:
        definition = await self._definition(job, declared=self._revision)
        await self._declare_one(definition, job, self._act(None))

    async def _declare_one(self, definition: Definition, job: Job, act: Act) -> bool:
        """Store one; return whether that changed anything."""
        written: list[bool] = []
        decide = scheduling(
            definition, OnConflict.REPLACE, act, paused=job.paused, again=False
        )

        def noting(record: Record | None, now: int) -> Change | None:
            change = decide(record, now)
            written[:] = [change is not None]
            return change

        await self._decide(job.id, noting)
        return written[-1:] == [True]

    async def _withdraw_one(self, job_id: str, act: Act) -> bool:
        """Take out a declared job; return whether there was one."""
        written: list[bool] = []

        def decide(record: Record | None, now: int) -> Change | None:
            written[:] = [withdrawable(record, self._revision)]
            if record is None or not written[0]:
                return None
            return planning.remove(record, now, act=act)

        try:
            await self._decide(job_id, decide, "job_removed")
        except StoreDataError as error:
            # What a later version has stored under that name is left alone.
            log.warning(
                "the job %s is not taken out: %s",
                job_id,
                error,
                extra={"action": "declared_failed", "job_id": job_id},
            )
            return False
        return written[-1:] == [True]


def withdrawable(record: Record | None, revision: int) -> bool:
    """Tell whether a record is that of a declared job that may be taken out."""
    if record is None or record.state.status not in (JobState.ACTIVE, JobState.PAUSED):
        return False
    declared = record.definition.spec.declared
    return declared is not None and declared <= revision
