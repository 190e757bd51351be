"""Views on time, on every store: memory in virtual time, servers in real time."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from aiosched import (
    ConfigurationError,
    Context,
    CronTrigger,
    IntervalTrigger,
    Job,
    JobExistsError,
    JobNotFoundError,
)
from aiosched.clock import SystemClock
from aiosched.instants import moment
from tests.engine.conftest import MakeScheduler
from tests.waiting import wait_until

# --- preview ---


async def test_the_next_is_the_same_on_every_store(
    make_scheduler: MakeScheduler,
) -> None:
    async with make_scheduler("client", run_jobs=False) as client:
        assert await client.idle_seconds() is None
        for seconds in (900, 500, 700):
            trigger = IntervalTrigger(seconds=seconds)
            job = Job("work", id=f"a{seconds}", trigger=trigger, tags=[str(seconds)])
            await client.schedule(job, allow_unknown=True)
        idle = await client.idle_seconds()
        assert idle is not None
        assert 400 < idle <= 500
        stored = await client.get_job("a500")
        assert await client.next_fire_time() == stored.next_fire_time
        for seconds in (900, 500, 700):
            found = await client.next_fire_time(tag=str(seconds))
            assert found == (await client.get_job(f"a{seconds}")).next_fire_time


async def test_what_is_previewed_is_what_fires_on_every_store(
    make_scheduler: MakeScheduler,
) -> None:
    slots: list[datetime] = []

    async def work(context: Context) -> None:
        slots.append(context.fire_time)

    async with make_scheduler("peer") as peer:
        peer.register(work, name="work")
        trigger = IntervalTrigger(milliseconds=150)
        job = Job("work", id="a", trigger=trigger, max_runs=6, jitter=0.1)
        await peer.schedule(job)
        foreseen = await peer.preview("a", 100)
        assert len(foreseen) == 6
        await wait_until(lambda: len(slots) == 6, "six runs")
        assert slots == [preview.slot for preview in foreseen]


# --- why ---


async def test_why_says_the_same_on_every_store(make_scheduler: MakeScheduler) -> None:
    async def work(context: Context) -> str:
        return context.job_id

    async with make_scheduler("peer") as peer:
        peer.register(work, name="work")
        job = await peer.schedule(Job("work", id="a", keyword="k"))
        [firing] = await peer.fire_job("k")
        await peer.wait(firing, timeout=10)
        said = await peer.why(job, firing.fire_time)
        assert said.startswith("Job 'a' ran as fired by keyword at ")
        assert " on time, on peer peer, and succeeded after " in said
        await peer.remove_job("a", by="alice", note="done with it")
        gone = await peer.why("a", firing.fire_time.replace(year=2099))
        assert "it was removed at " in gone
        assert gone.endswith(" by alice (done with it).")


# --- backfill ---


async def test_a_backfill_runs_each_slot_once_on_every_store(
    make_scheduler: MakeScheduler,
) -> None:
    slots: dict[str, list[datetime]] = {}

    async def work(context: Context) -> None:
        slots.setdefault(context.job_id, []).append(context.fire_time)

    async with make_scheduler("one") as one, make_scheduler("two") as two:
        for peer in (one, two):
            peer.register(work, name="work")
        trigger = CronTrigger("0 9 * * *", tz="Europe/Helsinki")
        job = await one.schedule(Job("work", id="a", trigger=trigger))
        until = moment(SystemClock().wall()) - timedelta(days=30)
        since = until - timedelta(days=20)
        told = await two.backfill("a", since, until, dry_run=True)
        assert told.number == len(told.slots) == 20
        assert not await one.job_exists(told.job_id)
        filled = await one.backfill("a", since, until)
        again = await two.backfill("a", since, until)
        assert again.job_id == filled.job_id == told.job_id
        await wait_until(
            lambda: len(slots.get(filled.job_id, [])) >= 20, "20 runs", timeout=30
        )
        await one.drain(timeout=10)
        assert slots[filled.job_id] == list(told.slots)
        assert (await one.get_job("a")).next_fire_time == job.next_fire_time
        with pytest.raises(JobExistsError):
            await two.backfill("a", since, until, id="a")
        with pytest.raises(JobNotFoundError):
            await two.backfill("b", since, until)
        with pytest.raises(ConfigurationError):
            await two.backfill("a", since, until + timedelta(days=31))
