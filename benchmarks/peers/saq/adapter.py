"""saq: lists and a sorted set that is looked at each second."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from marks import mark, tick
from protocol import Due, Peer, main, run
from saq import CronJob, Queue, Worker


async def noop(ctx: dict[str, Any], *, index: int) -> None:
    """Say that it ran."""
    mark(index)


def pulse(job: int) -> CronJob[Any]:
    """Return a job of each whole second."""

    async def work(ctx: dict[str, Any]) -> None:
        tick(job)

    work.__qualname__ = f"pulse{job}"
    return CronJob(work, cron="* * * * * *")


class Saq(Peer):
    """A worker, and a queue that enqueues."""

    packages = ("saq", "redis", "hiredis", "uvloop")

    async def open(self) -> None:
        """Connect."""
        self.queue = Queue.from_url(self.url)
        await self.queue.connect()

    async def close(self) -> None:
        """Disconnect."""
        await self.queue.disconnect()

    async def bulk(self, indices: Sequence[int]) -> None:
        """Enqueue from 50 tasks: there is no verb that stores many at once."""
        left = iter(indices)

        async def lane() -> None:
            for index in left:
                await self.one(index)

        await asyncio.gather(*(lane() for _ in range(50)))

    async def one(self, index: int) -> None:
        """Enqueue one job."""
        await self.queue.enqueue("noop", index=index)

    async def at(self, dues: Sequence[Due]) -> None:
        """Enqueue jobs that are due later; it takes whole seconds."""
        left = iter(dues)

        async def lane() -> None:
            for index, due in left:
                await self.queue.enqueue("noop", index=index, scheduled=due)

        await asyncio.gather(*(lane() for _ in range(50)))

    def work(self) -> None:
        """Run one worker."""
        run(self._work(), uvloop=bool(self.settings.get("uvloop")))

    async def _work(self) -> None:
        queue = Queue.from_url(self.url, **self.settings.get("queue", {}))
        await queue.connect()
        worker: Any = Worker(
            queue,
            [noop],
            cron_jobs=[pulse(job) for job in range(self.periodic)],
            **self.settings.get("worker", {}),
        )
        await worker.start()


if __name__ == "__main__":
    main(Saq)
