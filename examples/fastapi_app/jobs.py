"""The jobs of the report service, and the scheduler that runs them."""

from __future__ import annotations

import asyncio
import os

from aiosched import Context, IntervalTrigger, Job, Scheduler

STORE = os.environ.get("REDIS_URL", "memory://")


async def write_report(context: Context, title: str, seconds: float = 0.0) -> str:
    """Write a report, which takes a while."""
    await asyncio.sleep(seconds)
    return f"{title}, written by {context.peer}"


async def tick(context: Context) -> str:
    """Tell who has done it."""
    return context.peer


def build() -> Scheduler:
    """Build a peer: it runs jobs, unless RUN_JOBS=no makes it a client."""
    run_jobs = os.environ.get("RUN_JOBS", "yes") != "no"
    scheduler = Scheduler(STORE, namespace="reports", lease=5, run_jobs=run_jobs)
    scheduler.register(write_report)
    scheduler.register(tick)
    # It belongs to the code: however many processes say so, there is one.
    scheduler.declare(Job(tick, id="tick", trigger=IntervalTrigger(seconds=1)))
    return scheduler
