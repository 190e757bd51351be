"""APScheduler 3, which is made for one process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.jobstores.redis import RedisJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from inmemory import Starts, resident
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

    async def memory_drain(self, count: int) -> dict[str, Any]:
        """Let so many due jobs go at once."""
        starts = Starts(count)
        scheduler = AsyncIOScheduler(timezone="UTC")
        scheduler.add_jobstore(MemoryJobStore())
        scheduler.start(paused=True)
        now = when(time.time())
        begun = time.perf_counter()
        for index in range(count):
            scheduler.add_job(
                starts.run, "date", args=(index,), run_date=now, **OPTIONS
            )
        added = time.perf_counter() - begun
        begun, used = time.perf_counter(), time.process_time()
        scheduler.resume()
        await starts.all()
        found = {"drained": time.perf_counter() - begun, "added": added}
        found["drain_cpu"] = time.process_time() - used
        scheduler.shutdown(wait=False)
        return found

    async def memory_bytes(self, count: int) -> dict[str, Any]:
        """Hold so many jobs an hour ahead."""
        starts = Starts(1)
        scheduler = AsyncIOScheduler(timezone="UTC")
        scheduler.start(paused=True)
        before, begin = resident(), time.time() + 3_600
        for index in range(count):
            scheduler.add_job(
                starts.run,
                "date",
                args=(index,),
                run_date=when(begin + index / 1_000),
                **OPTIONS,
            )
        found = {"bytes": (resident() - before) / count}
        scheduler.shutdown(wait=False)
        return found

    async def memory_lateness(self, offsets: Sequence[float]) -> dict[str, Any]:
        """Run jobs at instants, and say how late each was."""
        starts = Starts(len(offsets))
        scheduler = AsyncIOScheduler(timezone="UTC")
        scheduler.start()
        begin = time.time() + 0.5 + len(offsets) / 1_000
        dues = [begin + offset for offset in offsets]
        for index, due in enumerate(dues):
            scheduler.add_job(
                starts.run, "date", args=(index,), run_date=when(due), **OPTIONS
            )
        await starts.all()
        scheduler.shutdown(wait=False)
        return {"late_ms": starts.late_ms(dues)}

    def work(self) -> None:
        """Run the scheduler."""
        run(self._work(), uvloop=bool(self.settings.get("uvloop")))

    async def _work(self) -> None:
        self._scheduler().start()
        await forever()


if __name__ == "__main__":
    main(Apscheduler3)
