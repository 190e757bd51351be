"""taskiq over Redis: a list, or a stream that acknowledges."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from marks import mark
from protocol import Due, Peer, main, run, when
from taskiq import AsyncBroker, TaskiqScheduler
from taskiq.api import run_receiver_task, run_scheduler_task
from taskiq_redis import (
    ListQueueBroker,
    ListRedisScheduleSource,
    RedisAsyncResultBackend,
    RedisStreamBroker,
)


async def noop(index: int) -> None:
    """Say that it ran."""
    mark(index)


class Taskiq(Peer):
    """A receiver, a broker that enqueues, and a source of schedules."""

    packages = ("taskiq", "taskiq-redis", "redis", "hiredis", "uvloop")

    def __init__(self, url: str, settings: dict[str, Any]) -> None:
        """Build the broker that the settings name."""
        super().__init__(url, settings)
        options = settings.get("broker", {})
        broker: AsyncBroker
        if settings["queue"] == "stream":
            broker = RedisStreamBroker(url, consumer_id="0", **options)
        else:
            broker = ListQueueBroker(url, **options)
        if settings.get("results"):
            backend = RedisAsyncResultBackend(url, result_ex_time=3600)
            broker = broker.with_result_backend(backend)
        self.broker = broker
        self.task = broker.register_task(noop, "noop")
        self.source = ListRedisScheduleSource(url)

    async def open(self) -> None:
        """Connect."""
        await self.broker.startup()

    async def close(self) -> None:
        """Disconnect."""
        await self.broker.shutdown()

    async def bulk(self, indices: Sequence[int]) -> None:
        """Enqueue from 50 tasks: there is no verb for many."""
        left = iter(indices)

        async def lane() -> None:
            for index in left:
                await self.task.kiq(index)

        await asyncio.gather(*(lane() for _ in range(50)))

    async def one(self, index: int) -> None:
        """Enqueue one job."""
        await self.task.kiq(index)

    async def at(self, dues: Sequence[Due]) -> None:
        """Give jobs to the source that a scheduler reads."""
        left = iter(dues)

        async def lane() -> None:
            for index, due in left:
                await self.task.schedule_by_time(self.source, when(due), index)

        await asyncio.gather(*(lane() for _ in range(50)))

    def work(self) -> None:
        """Run one receiver, with a scheduler beside it where jobs are due later."""
        run(self._work(), uvloop=bool(self.settings.get("uvloop")))

    async def _work(self) -> None:
        receiver = run_receiver_task(
            self.broker, run_startup=True, **self.settings.get("receiver", {})
        )
        if not self.settings.get("scheduler"):
            await receiver
            return
        scheduler = TaskiqScheduler(self.broker, [self.source])
        second = timedelta(seconds=1)
        await asyncio.gather(
            receiver,
            run_scheduler_task(scheduler, interval=second, loop_interval=second),
        )


if __name__ == "__main__":
    main(Taskiq)
