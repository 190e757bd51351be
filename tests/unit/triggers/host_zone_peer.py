"""A peer on a host of its own zone: ``TZ=Asia/Tokyo python -m … URL``.

It schedules a job of its own, writes one line of JSON with what it computes for
every job of the store, and goes on as a peer until its input ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import UTC, datetime

from aiosched import Context, CronTrigger, Job, Scheduler

NUMBER = 50
# Later than any slot that is really run, and across a change of the clock.
AFTER = datetime(2090, 3, 20, tzinfo=UTC)


async def run(context: Context) -> str:
    """Say which slot this is."""
    assert context.fire_time is not None
    return context.fire_time.isoformat()


async def main(url: str) -> None:
    """Take part until the input ends."""
    host = os.environ["TZ"]
    async with Scheduler(url, namespace="hosts", name=host) as scheduler:
        scheduler.register(run, name="run")
        await scheduler.schedule(
            Job("run", trigger=CronTrigger("0 12 * * *"), id=f"of {host}")
        )
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        found = {}
        for job in await scheduler.get_jobs():
            assert job.trigger is not None
            times = job.trigger.upcoming(NUMBER, AFTER)
            seen = await scheduler.preview(job.id, NUMBER, after=AFTER)
            found[job.id] = {
                "upcoming": [one.isoformat() for one in times],
                "preview": [one.due.isoformat() for one in seen],
            }
        wall = datetime(2026, 7, 1, tzinfo=UTC).astimezone()  # the host's zone
        sys.stdout.write(json.dumps({"wall": wall.isoformat(), "jobs": found}) + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
