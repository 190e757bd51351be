"""A periodic job: three greetings, one a second, and the end.

python examples/service_periodic.py
"""

from __future__ import annotations

import asyncio
from uuid import UUID

from aiosched import Scheduler
from aiosched.integrations.scheduler_service import SchedulerService

TICK = UUID("cc1dface-9213-4eed-8cb2-0edba6b2159c")


def greet(name: str) -> None:
    """Do the work of a job."""
    print(f"hello {name}", flush=True)


async def main() -> None:
    """Schedule it, and wait for three runs."""
    async with Scheduler() as scheduler:
        service = SchedulerService(scheduler)
        await service.schedule_periodic(id=TICK, interval=1, func=greet, args=["world"])
        for _ in range(3):
            await scheduler.wait(str(TICK), timeout=10)


if __name__ == "__main__":
    asyncio.run(main())
