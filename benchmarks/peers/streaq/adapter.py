"""streaq: streams and a sorted set."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from marks import mark, tick
from protocol import Due, Peer, main, when
from streaq import Worker


class Streaq(Peer):
    """A worker, which enqueues as well."""

    packages = ("streaq", "coredis", "hiredis", "uvloop")

    def __init__(self, url: str, settings: dict[str, Any]) -> None:
        """Build the worker."""
        super().__init__(url, settings)
        options = settings.get("worker", {})
        if settings.get("uvloop"):
            options = {**options, "anyio_kwargs": {"use_uvloop": True}}
        self.worker: Any = Worker(url, **options)

        @self.worker.task(ttl=timedelta(minutes=5))
        async def noop(index: int) -> None:
            """Say that it ran."""
            mark(index)

        self.noop = noop
        for job in range(self.periodic):
            self._pulse(job)

    def _pulse(self, job: int) -> None:
        @self.worker.cron("* * * * * * *", name=f"pulse{job}")
        async def pulse() -> None:
            """Say that it ran in this second."""
            tick(job)

    async def open(self) -> None:
        """Connect."""
        await self.worker.__aenter__()

    async def close(self) -> None:
        """Disconnect."""
        await self.worker.__aexit__(None, None, None)

    async def bulk(self, indices: Sequence[int]) -> None:
        """Enqueue in pipelines of 1,000."""
        for begin in range(0, len(indices), 1_000):
            some = indices[begin : begin + 1_000]
            await self.worker.enqueue_many([self.noop.enqueue(one) for one in some])

    async def one(self, index: int) -> None:
        """Enqueue one job."""
        await self.noop.enqueue(index)

    async def at(self, dues: Sequence[Due]) -> None:
        """Enqueue jobs that are due later, in pipelines of 1,000."""
        for begin in range(0, len(dues), 1_000):
            await self.worker.enqueue_many(
                [
                    self.noop.enqueue(index).start(schedule=when(due))
                    for index, due in dues[begin : begin + 1_000]
                ]
            )

    def work(self) -> None:
        """Run one worker."""
        self.worker.run_sync()


if __name__ == "__main__":
    main(Streaq)
