"""aiosched itself, from this tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marks import mark, tick
from protocol import Due, Peer, forever, main, run, when

from aiosched import DateTrigger, IntervalTrigger, Job, Scheduler


async def noop(index: int) -> None:
    """Say that it ran."""
    mark(index)


async def pulse(job: int) -> None:
    """Say that it ran in this second."""
    tick(job)


class Aiosched(Peer):
    """A scheduler that runs jobs, and one that only schedules."""

    packages = ("redis", "pydantic", "hiredis", "uvloop")

    def open(self) -> Any:
        """Begin as a client; ``noop`` is registered to check its arguments."""
        self.client = Scheduler(self.url, run_jobs=False)
        self.client.register(noop)
        self.client.register(pulse)
        return self.client.start()

    def close(self) -> Any:
        """End."""
        return self.client.shutdown()

    async def bulk(self, indices: Sequence[int]) -> None:
        """Build the jobs and store them all."""
        await self.client.schedule_many(
            [Job(executor="noop", args=(index,)) for index in indices]
        )

    async def one(self, index: int) -> None:
        """Build a job and store it."""
        await self.client.schedule(Job(executor="noop", args=(index,)))

    async def at(self, dues: Sequence[Due]) -> None:
        """Store jobs of one slot each, a few thousand at a time."""
        for begin in range(0, len(dues), 5_000):
            await self.client.schedule_many(
                [
                    Job(executor="noop", args=(index,), trigger=DateTrigger(when(due)))
                    for index, due in dues[begin : begin + 5_000]
                ]
            )

    async def every(self, jobs: int, first: float, times: int) -> None:
        """Store jobs of one slot each second."""
        await self.client.schedule_many(
            [
                Job(
                    executor="pulse",
                    args=(index,),
                    max_runs=times,
                    trigger=IntervalTrigger(seconds=1, start=when(first)),
                )
                for index in range(jobs)
            ]
        )

    def work(self) -> None:
        """Run one peer."""
        run(self._work(), uvloop=bool(self.settings.get("uvloop")))

    async def _work(self) -> None:
        async with Scheduler(self.url, **self.settings.get("scheduler", {})) as peer:
            peer.register(noop)
            peer.register(pulse)
            await forever()


if __name__ == "__main__":
    main(Aiosched)
