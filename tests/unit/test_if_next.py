"""A change that holds only while nobody has decided on a job's next slot."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from aiosched import (
    ConfigurationError,
    IntervalTrigger,
    Job,
    JobChangedError,
    Scheduler,
)

pytestmark = pytest.mark.virtual(timeout=100_000)


async def test_it_holds_for_the_slot_that_is_next() -> None:
    begun, gate = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await gate.wait()

    async with Scheduler() as scheduler:
        scheduler.register(work)
        trigger = IntervalTrigger(seconds=10)
        job = await scheduler.schedule(Job("work", id="a", trigger=trigger))
        first = job.next_fire_time
        assert first is not None
        changed = await scheduler.modify("a", if_next=first, tags=["t"])
        assert (changed.version, changed.next_fire_time) == (2, first)
        await begun.wait()
        with pytest.raises(JobChangedError, match="another next slot") as caught:
            await scheduler.modify("a", if_next=first, tags=["u"])
        assert (caught.value.expected, caught.value.actual) == (2, 2)
        second = first + timedelta(seconds=10)
        assert (await scheduler.modify("a", if_next=second, note="n")).version == 3
        gate.set()
        with pytest.raises(ConfigurationError, match="naive"):
            await scheduler.modify("a", if_next=datetime(2030, 1, 1), note="m")  # noqa: DTZ001
        assert (await scheduler.get_job("a")).note == "n"
