"""A periodic request to a backend: /v1/jobs/breaking-news each 10 seconds.

Where it goes and how often, the environment says:

    API_BASE_URL=http://127.0.0.1:8000 NEWS_INTERVAL=10 python examples/http_job.py

``JOBS_SECRET`` signs it, for a ``JobReceiver`` at the other end; ``REDIS_URL`` makes
it one peer of many.  A negative interval switches the job off.
"""

from __future__ import annotations

import asyncio
import os
import signal
from uuid import UUID

from aiosched import Scheduler
from aiosched.integrations.http import HttpRequest, Target
from aiosched.integrations.rq_service import schedule_periodic

NEWS = UUID("cc1dface-9213-4eed-8cb2-0edba6b2159c")


async def main() -> None:
    """Ask until SIGINT or SIGTERM."""
    base = os.environ["API_BASE_URL"].rstrip("/") + "/v1/jobs"
    secret = os.environ.get("JOBS_SECRET")
    request = HttpRequest(
        [Target(base, sign="jobs" if secret else None)],
        base_url=base,
        secrets={"jobs": secret} if secret else {},
    )
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with Scheduler(os.environ.get("REDIS_URL")) as scheduler:
        scheduler.register(request)
        await schedule_periodic(
            scheduler,
            NEWS,
            float(os.environ.get("NEWS_INTERVAL", "10")),
            "HttpRequest",
            kwargs={"url": "breaking-news"},
        )
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main())
