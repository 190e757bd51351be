"""A host that was suspended, and one whose wall clock was set."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from aiosched import Context, CronTrigger, Event, IntervalTrigger, Job, MemoryJobStore
from aiosched.clock import SystemClock
from aiosched.testing import FaultyStore
from tests.engine.kit import World, adds_up, at, loop, now

pytestmark = pytest.mark.virtual(timeout=100_000)

TEN = IntervalTrigger(seconds=10)


class Suspended(SystemClock):
    """The clock of a host that can be suspended: timers of the loop do not notice."""

    def __init__(self) -> None:
        self.asleep = 0.0

    def monotonic(self) -> float:
        """Return the loop's time, and that of suspensions."""
        return super().monotonic() + self.asleep

    def wall(self) -> int:
        """Return the wall time, which a host has right when it is back."""
        return super().wall() + round(self.asleep * 1_000_000)


def listen(scheduler: Any, name: str) -> list[Event]:
    told: list[Event] = []
    scheduler.on(name, told.append)
    return told


# --- suspended -------------------------------------------------------------------


@pytest.mark.parametrize("hours", [0.02, 1, 400])
async def test_what_came_due_meanwhile_runs_within_half_a_minute(hours: float) -> None:
    """It is late by the time of the suspension, and the grid stays."""
    clock, lateness = Suspended(), list[float]()
    asleep = hours * 3600
    async with World(MemoryJobStore(clock), clock=clock) as world:
        p0 = world.build("p0")

        @p0.executor
        async def look(context: Context) -> None:
            lateness.append(context.lateness.total_seconds())

        await world.start(p0)
        await p0.schedule(Job("look", id="a", when=at(100)))
        await p0.schedule(Job("work", id="tick", trigger=TEN))
        await p0.schedule(Job("work", id="cron", trigger=CronTrigger("* * * * *")))
        await asyncio.sleep(35)
        stepped = listen(p0, "clock_stepped")
        assert p0.health().ok
        clock.asleep = asleep
        await asyncio.sleep(30)
        assert len(lateness) == (0 if asleep < 65 else 1)
        assert all(late <= asleep - 35 for late in lateness)
        late = [ran for ran in world.of("tick") if ran.at >= 35]
        assert late[0].missed == (35 + asleep) // 10 - 4, "one run stands for them"
        await asyncio.sleep(30)
        assert p0.health().ok
        for name in ("tick", "cron"):
            job = await p0.get_job(name)
            adds_up(job)
            assert job.next_fire_time is not None
            assert job.next_fire_time > at(now() + asleep)
            elapsed = now() + asleep
            slots = elapsed // 10 if name == "tick" else elapsed // 60 + 1
            assert job.counts.slots == slots
        assert stepped == [], "the clocks agree as before"


async def test_a_run_that_was_under_way_goes_on_and_is_not_run_twice() -> None:
    clock = Suspended()
    async with World(MemoryJobStore(clock), clock=clock) as world:
        p0 = await world.peer("p0")
        await p0.schedule(Job("work", id="a", kwargs={"seconds": 40}))
        await asyncio.sleep(5)
        clock.asleep = 3600.0
        await asyncio.sleep(50)
        (ran,) = world.of("a")
        assert (ran.until, ran.reason.value) == (40.0, "")
        assert [row.kind.value for row in await p0.history("a")] == [
            "succeeded",
            "created",
        ]


# --- set -------------------------------------------------------------------------


@pytest.mark.parametrize("faulty", [False, True])
async def test_a_wall_clock_that_was_set_is_told_once_a_step(
    caplog: pytest.LogCaptureFixture, *, faulty: bool
) -> None:
    store: Any = MemoryJobStore()
    async with World(FaultyStore(store) if faulty else store) as world:
        p0 = await world.peer("p0")
        told = listen(p0, "clock_stepped")
        await p0.schedule(Job("work", id="a", trigger=TEN))
        await asyncio.sleep(15)
        loop().set_wall_offset(0.9, node="p0")
        await asyncio.sleep(100)
        assert told == []
        for offset in (3600.0, 3600.4, -7200.0, 0.0):
            loop().set_wall_offset(offset, node="p0")
            await asyncio.sleep(100)
        assert [(e.data["seconds"], e.data["ahead"]) for e in told] == [
            (3600.0, 3600.0),
            (-10_800.0, -7200.0),
            (7200.0, 0.0),
        ]
        logged = [r for r in caplog.records if getattr(r, "action", "") == told[0].name]
        assert [record.levelno for record in logged] == [logging.WARNING] * 3
        assert "by +3600.0 s and is now +3600.0 s off" in logged[0].getMessage()
        assert "a restart takes the new wall time over" in logged[0].getMessage()
        assert world.begun("a") == [10.0 * n for n in range(1, 52)]


async def test_who_comes_after_the_clock_was_set_is_told_too() -> None:
    """And a new store takes the new time over."""
    async with World() as world:
        await world.peer("p0")
        loop().set_wall_offset(-3600.0)
        p1 = world.build("p1")
        told = listen(p1, "clock_stepped")
        await world.start(p1)
        assert [event.data["ahead"] for event in told] == [-3600.0]
    async with World() as world:
        p0 = world.build("p0")
        told = listen(p0, "clock_stepped")
        await world.start(p0)
        await asyncio.sleep(100)
        assert told == []
