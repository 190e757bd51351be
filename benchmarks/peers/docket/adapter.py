"""docket: streams and a sorted set, with the state of each job."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from docket import Cron, Docket, Worker
from marks import mark, tick
from protocol import Due, Peer, main, run, when


async def noop(index: int) -> None:
    """Say that it ran."""
    mark(index)


def pulse(job: int) -> Any:
    """Return a task of each whole second."""

    async def work(cron: Cron = Cron("* * * * * *")) -> None:  # noqa: B008 - its way
        tick(job)

    work.__name__ = f"pulse{job}"
    return work


class Dockets(Peer):
    """A worker, and a docket that adds."""

    packages = ("pydocket", "redis", "hiredis", "uvloop")

    async def open(self) -> None:
        """Connect."""
        self.docket = await Docket(url=self.url).__aenter__()
        self.docket.register(noop)

    async def close(self) -> None:
        """Disconnect."""
        await self.docket.__aexit__(None, None, None)

    async def bulk(self, indices: Sequence[int]) -> None:
        """Add from 50 tasks: there is no verb for many."""
        left = iter(indices)

        async def lane() -> None:
            for index in left:
                await self.one(index)

        await asyncio.gather(*(lane() for _ in range(50)))

    async def one(self, index: int) -> None:
        """Add one job."""
        await self.docket.add(noop)(index)

    async def at(self, dues: Sequence[Due]) -> None:
        """Add jobs that are due later."""
        left = iter(dues)

        async def lane() -> None:
            for index, due in left:
                await self.docket.add(noop, when=when(due))(index)

        await asyncio.gather(*(lane() for _ in range(50)))

    def work(self) -> None:
        """Run one worker."""
        run(self._work(), uvloop=bool(self.settings.get("uvloop")))

    async def _work(self) -> None:
        options: dict[str, Any] = dict(self.settings.get("worker", {}))
        for name in ("minimum_check_interval", "scheduling_resolution"):
            if name in options:
                options[name] = timedelta(seconds=options[name])
        async with Docket(url=self.url) as docket:
            docket.register(noop)
            for job in range(self.periodic):
                docket.register(pulse(job))
            async with Worker(docket, **options) as worker:
                await worker.run_forever()


if __name__ == "__main__":
    main(Dockets)
