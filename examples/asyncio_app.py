"""An asyncio program with a job that repeats, one that is asked for, and a signal.

::

    python asyncio_app.py
"""

from __future__ import annotations

import asyncio
import os
import signal

from aiosched import Context, IntervalTrigger, Scheduler

scheduler = Scheduler(os.environ.get("REDIS_URL", "memory://"), namespace="asyncio")


@scheduler.job(IntervalTrigger(milliseconds=500), id="tick")
async def tick(context: Context) -> None:
    """Say which slot it is."""
    print(f"tick of {context.fire_time:%H:%M:%S.%f}", flush=True)


async def main() -> None:
    """Run until a signal comes."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with scheduler:
        await stop.wait()
    print("ended", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
