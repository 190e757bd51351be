"""A service with periodic jobs, started by ``python app/main.py``.

Jobs are plain functions with any arguments; ids are uuids that stay the same, so
that a restart adds nothing.  REDIS_URL names a store; without one it is in memory.
"""

from __future__ import annotations

import asyncio
import os

from aiosched import Scheduler
from aiosched.integrations.rq_service import schedule_periodic

GREETING = "0b8a5d29-2c3b-4d70-9d3f-6a0d2f1f5c11"


def greet(name: str, *, mark: str = "!") -> str:
    """Do the work of a job."""
    print(f"hello {name}{mark}", flush=True)
    return name


async def main() -> None:
    """Run until the process is told to end."""
    async with Scheduler(os.environ.get("REDIS_URL"), namespace="service") as scheduler:
        interval = float(os.environ.get("GREETING_INTERVAL", "1"))
        await schedule_periodic(
            scheduler, GREETING, interval, greet, ["world"], {"mark": "?"}
        )
        await scheduler.run_forever()


if __name__ == "__main__":
    asyncio.run(main())
