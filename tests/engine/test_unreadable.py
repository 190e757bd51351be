"""Garbage in the way of a service, a claim or a settlement: told, and waited out."""

from __future__ import annotations

import asyncio

import pytest

from aiosched import Event, IntervalTrigger, Job, MemoryJobStore, StoreDataError
from aiosched.testing import Fault, FaultyStore
from tests.engine.kit import World, adds_up

pytestmark = pytest.mark.virtual(timeout=100_000)

GARBAGE = StoreDataError("a:key", "a key is of another type")


@pytest.mark.parametrize("verb", ["transact", "agenda", "beat", "ledger"])
async def test_what_cannot_be_read_is_no_outage_and_ends_nothing(verb: str) -> None:
    store = FaultyStore(MemoryJobStore())
    async with World(store) as world:
        p0 = await world.peer("p0")
        told: list[Event] = []
        p0.on("*", told.append)
        job = Job(
            "work",
            id="a",
            trigger=IntervalTrigger(seconds=10),
            kwargs={"seconds": 5},
            misfire_grace=600,
            coalesce="all",
            overlap="queue",
        )
        await p0.schedule(job)
        p0.add_done_callback(lambda _: None)  # reads the ledger
        await asyncio.sleep(12)
        store.plan(Fault(verb, kind="error", error=GARBAGE, times=None))
        await asyncio.sleep(30)
        store.heal()
        await asyncio.sleep(28)
        names = [event.name for event in told]
        assert "store_down" not in names
        assert "store_up" not in names
        (event, *more) = [event for event in told if event.name == "unreadable"]
        assert event.data == {"key": "a:key", "problem": GARBAGE.problem}
        assert more == [], "once is enough"
        assert p0.health().ok
        await asyncio.sleep(30)
        stored = await p0.get_job("a")
        adds_up(stored)
        # Nothing was left out; a run whose lease ended meanwhile was done again.
        assert stored.counts.lost == stored.counts.skipped == 0
        assert stored.counts.succeeded == len({ran.key for ran in world.runs})


async def test_what_stays_is_told_once_and_again_after_a_day() -> None:
    store = FaultyStore(MemoryJobStore())
    async with World(store) as world:
        p0 = await world.peer("p0")
        told: list[Event] = []
        p0.on("unreadable", told.append)
        store.plan(Fault("agenda", kind="error", error=GARBAGE, times=None))
        p0._running_engine().heads.invalidate()
        await asyncio.sleep(3600)
        assert len(told) == 1
        await asyncio.sleep(24 * 3600)
        assert len(told) == 2
        store.heal()
