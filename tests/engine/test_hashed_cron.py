"""Jobs whose cron expression has an ``H``: settled when scheduled, and for good."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from aiosched import (
    CronTrigger,
    Job,
    JobExistsError,
    Scheduler,
    TriggerError,
)
from tests.engine.conftest import MakeScheduler
from tests.engine.kit import World, adds_up, after, at


def hashed(expression: str = "H H * * *") -> CronTrigger:
    return CronTrigger(expression, tz="Europe/Paris")


async def work() -> None:
    """Do nothing."""


def with_work(scheduler: Scheduler) -> Scheduler:
    scheduler.register(work, name="work")
    return scheduler


# --- on every store ---


async def test_a_job_is_settled_once_and_may_be_scheduled_again(
    make_scheduler: MakeScheduler,
) -> None:
    async with with_work(make_scheduler()) as one, with_work(make_scheduler("b")) as b:
        job = Job("work", id="invoices", trigger=hashed())
        stored = await one.schedule(job)
        assert stored.trigger == hashed().for_job("invoices")
        assert stored.next_fire_time is not None
        assert (stored.next_fire_time.second, stored.version) == (0, 1)
        for peer in (one, b):
            again = await peer.schedule(Job("work", id="invoices", trigger=hashed()))
            assert (again.version, again.next_fire_time) == (1, stored.next_fire_time)
        # What the store answers may be scheduled as well.
        assert (await b.schedule(await b.get_job("invoices"))).version == 1
        with pytest.raises(JobExistsError):
            await b.schedule(Job("work", id="invoices", trigger=hashed("H 3 * * *")))
        other = await b.schedule(Job("work", id="letters", trigger=hashed()))
        assert other.trigger == hashed().for_job("letters") != stored.trigger


async def test_it_is_modified_and_replaced_as_any_other(
    make_scheduler: MakeScheduler,
) -> None:
    async with with_work(make_scheduler()) as peer:
        stored = await peer.schedule(Job("work", id="a", trigger=hashed()))
        same = await peer.modify("a", trigger=hashed())
        assert (same.version, same.next_fire_time) == (1, stored.next_fire_time)
        noted = await peer.modify("a", note="drawn")
        assert (noted.version, noted.trigger) == (2, stored.trigger)
        other = await peer.modify("a", trigger=hashed("H 3 * * *"))
        assert other.trigger == hashed("H 3 * * *").for_job("a")
        both = hashed("H * * * *") | CronTrigger("0 12 * * *")
        replaced = await peer.schedule(
            Job("work", id="a", trigger=both), on_conflict="replace"
        )
        assert replaced.trigger == both.for_job("a")
        kept = await peer.schedule(Job("work", id="a", trigger=both))
        assert kept.version == replaced.version


async def test_a_declared_job_keeps_its_draw_over_restarts(
    make_scheduler: MakeScheduler,
) -> None:
    found = []
    for name in ("first", "second"):
        peer = with_work(make_scheduler(name))
        peer.declare(Job("work", id="nightly", trigger=hashed("H H(0-5) * * *")))
        async with peer:
            found.append(await peer.get_job("nightly"))
    assert [job.version for job in found] == [1, 1]
    assert found[0].next_fire_time == found[1].next_fire_time
    assert found[0].trigger == hashed("H H(0-5) * * *").for_job("nightly")


async def test_what_has_no_fire_time_left_is_refused_when_it_is_settled(
    make_scheduler: MakeScheduler,
) -> None:
    async with with_work(make_scheduler()) as peer:
        gone = CronTrigger("H H * * *", end=datetime(2001, 1, 1, tzinfo=UTC))
        with pytest.raises(TriggerError, match="no fire time"):
            await peer.schedule(Job("work", id="a", trigger=gone))
        assert not await peer.job_exists("a")


# --- over time ---


@pytest.mark.virtual(timeout=1_000_000)
async def test_each_job_runs_at_its_own_second_of_every_minute() -> None:
    async with World() as world:
        peer = await world.peer()
        every_minute = CronTrigger("H * * * * *", seconds="first")
        ids = [f"job-{number}" for number in range(20)]
        for one in ids:
            await peer.schedule(Job("work", id=one, trigger=every_minute))
        await asyncio.sleep(600.5)
        seconds = set()
        for one in ids:
            times = every_minute.for_job(one).upcoming(11, at(0) - after(1))
            expected = [time for time in times if time <= at(600)]
            assert [at(when) for when in world.begun(one)] == expected
            seconds |= {time.second for time in expected}
            adds_up(await peer.get_job(one))
        assert len(seconds) > 10
