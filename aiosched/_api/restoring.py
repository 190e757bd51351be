"""What the code declares: put into the store at the start, and put back."""

from __future__ import annotations

from aiosched._api.defining import Defining, scheduling
from aiosched.enums import OnConflict
from aiosched.errors import StoreDataError, StoreUnavailableError
from aiosched.jobs import Job
from aiosched.logs import log

__all__ = ["Restoring"]


class Restoring(Defining):
    """Stores declared jobs one by one."""

    _revision: int

    async def _schedule_declared(self, passing: type[Exception]) -> None:
        """Store what was declared; report and pass over what fails that way.

        Raises:
            StoreUnavailableError: The store does not answer.
        """
        for job in self._declared.values():
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
        decide = scheduling(
            definition,
            OnConflict.REPLACE,
            self._act(None),
            paused=job.paused,
            again=False,
        )
        await self._decide(job.id, decide)
