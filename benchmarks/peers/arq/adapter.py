"""arq: a sorted set that is polled."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from arq.cron import CronJob, cron
from arq.worker import Worker
from marks import mark, tick
from protocol import Due, Peer, address, forever, main, run, when


async def noop(ctx: dict[str, Any], index: int) -> None:
    """Say that it ran."""
    mark(index)


def pulse(job: int) -> CronJob:
    """Return a job of each whole second."""

    async def work(ctx: dict[str, Any]) -> None:
        tick(job)

    second = set(range(60))
    return cron(work, name=f"pulse{job}", second=second, microsecond=0)


class Arq(Peer):
    """A worker, and a pool that enqueues."""

    packages = ("arq", "redis", "hiredis", "uvloop")

    def _settings(self) -> RedisSettings:
        host, port = address(self.url)
        return RedisSettings(host=host, port=port)

    async def open(self) -> None:
        """Connect."""
        self.pool = await create_pool(self._settings())

    async def close(self) -> None:
        """Disconnect."""
        await self.pool.aclose()

    async def bulk(self, indices: Sequence[int]) -> None:
        """Enqueue from 50 tasks: there is no verb for many."""
        left = iter(indices)

        async def lane() -> None:
            for index in left:
                await self.pool.enqueue_job("noop", index)

        await asyncio.gather(*(lane() for _ in range(50)))

    async def one(self, index: int) -> None:
        """Enqueue one job."""
        await self.pool.enqueue_job("noop", index)

    async def at(self, dues: Sequence[Due]) -> None:
        """Enqueue jobs that are deferred."""
        left = iter(dues)

        async def lane() -> None:
            for index, due in left:
                await self.pool.enqueue_job("noop", index, _defer_until=when(due))

        await asyncio.gather(*(lane() for _ in range(50)))

    def work(self) -> None:
        """Run one worker."""
        run(self._work(), uvloop=bool(self.settings.get("uvloop")))

    async def _work(self) -> None:
        worker = Worker(
            [noop],
            cron_jobs=[pulse(job) for job in range(self.periodic)],
            redis_settings=self._settings(),
            handle_signals=False,
            **self.settings.get("worker", {}),
        )
        await worker.async_run()
        await forever()


if __name__ == "__main__":
    main(Arq)
