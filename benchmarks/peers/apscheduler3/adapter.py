"""APScheduler 3, which is made for one process."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from apscheduler.jobstores.redis import RedisJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from protocol import Due, Peer, address, forever, main, run, when

OPTIONS: dict[str, Any] = {"misfire_grace_time": None}


class Apscheduler3(Peer):
    """A scheduler on a Redis job store; the producer's is paused."""

    packages = ("apscheduler", "redis", "hiredis", "uvloop")

    def _scheduler(self) -> AsyncIOScheduler:
        host, port = address(self.url)
        store = RedisJobStore(host=host, port=port)
        return AsyncIOScheduler(jobstores={"default": store}, timezone="UTC")

    async def open(self) -> None:
        """Connect, and run nothing."""
        self.scheduler = self._scheduler()
        self.scheduler.start(paused=True)

    def bulk(self, indices: Sequence[int]) -> None:
        """Add one after the other: there is no verb for many."""
        for index in indices:
            self.one(index)

    def one(self, index: int) -> None:
        """Add one job."""
        self.scheduler.add_job("work:noop", args=(index,), **OPTIONS)

    def at(self, dues: Sequence[Due]) -> None:
        """Add jobs with a date."""
        for index, due in dues:
            self.scheduler.add_job(
                "work:noop", "date", args=(index,), run_date=when(due), **OPTIONS
            )

    def every(self, jobs: int, first: float, times: int) -> None:
        """Add jobs of each second."""
        for job in range(jobs):
            self.scheduler.add_job(
                "work:pulse",
                "interval",
                args=(job,),
                seconds=1,
                start_date=when(first),
                **OPTIONS,
            )

    def work(self) -> None:
        """Run the scheduler."""
        logging.disable(logging.WARNING)
        run(self._work(), uvloop=bool(self.settings.get("uvloop")))

    async def _work(self) -> None:
        self._scheduler().start()
        await forever()


if __name__ == "__main__":
    main(Apscheduler3)
