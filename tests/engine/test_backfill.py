"""Backfills: each past slot once, in order, and nothing else moved."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from aiosched import (
    Backfill,
    CalendarIntervalTrigger,
    ConfigurationError,
    Context,
    CronTrigger,
    IntervalTrigger,
    Job,
    JobExistsError,
    JobNotFoundError,
    JobState,
    Retry,
    RowKind,
)
from tests.engine.kit import World, adds_up, at
from tests.waiting import wait_until

pytestmark = pytest.mark.virtual(timeout=100_000_000)

HOUR = 3_600.0
LAST_WEEK = -7 * 24 * HOUR


def daily(**more: Any) -> CronTrigger:
    return CronTrigger("0 9 * * *", tz="Europe/Helsinki", **more)


async def done(world: World, filled: Backfill) -> list[float]:
    """Wait until a backfill has ended; return its slots in the order of running."""
    p0 = world.peers["p0"]

    async def ended() -> bool:
        return not await p0.job_exists(filled.job_id)

    await wait_until(ended, f"the end of {filled.job_id}", timeout=1_000, poll=1)
    return [ran.fire_time for ran in world.of(filled.job_id)]


async def test_a_slot_is_due_when_its_turn_comes_and_no_run_is_late() -> None:
    async with World() as world:
        p0 = await world.peer()
        late = p0.events("run_started")
        await p0.schedule(Job("work", id="report", trigger=daily()))
        filled = await p0.backfill("report", at(LAST_WEEK))
        await done(world, filled)
        runs = [e.run for e in await p0.history(filled.job_id) if e.run is not None]
        assert len(runs) == 7
        for run in runs:
            assert run.due == run.started_at
            assert run.fire_time < at(0)
            assert not run.late
        told = [await anext(late) for _ in runs]
        assert [event.data["late"] for event in told] == [False] * 7
        why = await p0.why(filled.job_id, runs[0].fire_time)
        assert "late" not in why


async def test_each_past_slot_is_run_once_and_in_order() -> None:
    async with World() as world:
        p0 = await world.peer()
        job = Job(
            "work",
            id="report",
            trigger=daily(),
            kwargs={"seconds": 0.5},
            tags=["money"],
            jitter=600,
            max_runs=1_000,
        )
        await p0.schedule(job)
        before = await p0.get_job("report")
        filled = await p0.backfill("report", at(LAST_WEEK), by="alice", note="again")
        slots = [LAST_WEEK + 7 * HOUR + day * 24 * HOUR for day in range(7)]
        assert filled.job_id == "report.backfill.20231225T070000Z.20231231T070000Z"
        assert filled.number == 7
        assert list(filled.slots) == [at(slot) for slot in slots]
        assert (filled.first, filled.last) == (at(slots[0]), at(slots[-1]))
        assert (filled.number_excluded, filled.excluded) == (0, ())
        assert filled.job is not None
        assert filled.job.tags == ("money", "backfill")
        assert await done(world, filled) == slots
        # One after the other, and as of the job's own arguments.
        begun = world.begun(filled.job_id)
        assert all(later >= one + 0.5 for one, later in pairwise(begun))
        ended = (await p0.history(filled.job_id, limit=50))[-1]
        assert (ended.kind, ended.by, ended.note) == (
            RowKind.CREATED,
            "alice",
            "again",
        )
        after = await p0.get_job("report")
        assert (after.next_fire_time, after.counts) == (
            before.next_fire_time,
            before.counts,
        )
        assert world.of("report") == []


async def test_repeating_it_changes_nothing() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", trigger=daily()))
        first = await p0.backfill("a", at(LAST_WEEK))
        same = await p0.backfill("a", at(LAST_WEEK + 5))
        assert same.job_id == first.job_id
        await done(world, first)
        again = await p0.backfill("a", at(LAST_WEEK), at(-HOUR))
        assert again.job is not None
        assert again.job.state is JobState.FINISHED
        await asyncio.sleep(60)
        assert len(world.of(first.job_id)) == 7
        # Other slots are another backfill.
        other = await p0.backfill("a", at(LAST_WEEK / 2))
        assert other.job_id != first.job_id
        assert len(await done(world, other)) == 3


@pytest.mark.parametrize("finished", [False, True])
async def test_another_backfill_of_the_same_slots_is_refused(
    finished: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """No slot is run twice unasked, also after the job was changed."""
    async with World() as world:
        p0 = await world.peer()
        seconds = 0 if finished else 100
        job = Job("work", id="a", trigger=daily(), kwargs={"seconds": seconds}, keep=5)
        await p0.schedule(job)
        first = await p0.backfill("a", at(LAST_WEEK), at(-HOUR))
        if finished:
            await done(world, first)
            # Remembered for longer than the job's own ``keep``.
            await asyncio.sleep(6 * 24 * HOUR)
            assert (await p0.state(first.job_id)) is JobState.FINISHED
        before = len(world.of(first.job_id))
        with pytest.raises(JobExistsError) as caught:
            await p0.backfill("a", at(LAST_WEEK), at(-HOUR), max_running=2)
        assert caught.value.differing == ("max_running",)
        await p0.modify("a", retry=Retry(3))
        with pytest.raises(JobExistsError) as caught:
            await p0.backfill("a", at(LAST_WEEK), at(-HOUR))
        assert caught.value.differing == ("retry",)
        if finished:
            assert len(world.of(first.job_id)) == before == 7
        # Who means it says so.
        again = await p0.backfill("a", at(LAST_WEEK), at(-HOUR), id="again")
        assert again.number == 7
        if not finished:
            await p0.remove_job(first.job_id)
            anew = await p0.backfill("a", at(LAST_WEEK), at(-HOUR), max_running=2)
            assert anew.job_id == first.job_id


@pytest.mark.parametrize("held", ["pause", "until", "stop"])
async def test_a_backfill_that_is_held_goes_on_where_it_was(held: str) -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", trigger=daily(), kwargs={"seconds": 1}))
        filled = await p0.backfill("a", at(LAST_WEEK))
        await asyncio.sleep(2.5)
        if held == "stop":
            await p0.stop_job(filled.job_id)
        else:
            await p0.pause(filled.job_id, until=60 if held == "until" else None)
        await asyncio.sleep(5)
        so_far = len(world.of(filled.job_id))
        assert 2 <= so_far <= 4
        why = await p0.why(filled.job_id, filled.slots[-1])
        assert "has not run yet its slot" in why
        if held == "until":
            assert len(await p0.preview(filled.job_id)) == 7 - so_far
            await asyncio.sleep(60)
        else:
            await p0.resume(filled.job_id)
        assert len(await done(world, filled)) == 7
        kinds = {e.kind for e in await p0.history(filled.job_id, limit=50)}
        assert RowKind.PAUSED not in kinds


async def test_a_long_id_is_cut_and_told_apart() -> None:
    async with World() as world:
        p0 = await world.peer()
        names = ["x" * 200, "x" * 199 + "y"]
        ids = []
        for name in names:
            await p0.schedule(Job("work", id=name, trigger=daily()))
            filled = await p0.backfill(name, at(LAST_WEEK))
            again = await p0.backfill(name, at(LAST_WEEK))
            assert filled.job_id == again.job_id
            assert len(filled.job_id) == 200
            assert filled.job_id.startswith("x" * 100)
            assert filled.job_id.endswith(".backfill.20231225T070000Z.20231231T070000Z")
            assert len(await done(world, filled)) == 7
            ids.append(filled.job_id)
        assert len(set(ids)) == 2


async def test_a_slot_may_be_as_old_as_dates_are() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", trigger=CronTrigger("0 9 * * *")))
        since = datetime(1, 1, 3, tzinfo=UTC)
        filled = await p0.backfill("a", since, since + timedelta(days=6))
        assert filled.job_id == "a.backfill.00010103T090000Z.00010108T090000Z"
        assert len(await done(world, filled)) == filled.number == 6


async def test_a_dry_run_writes_nothing() -> None:
    async with World() as world:
        p0 = await world.peer()
        trigger = CronTrigger("0 * * * *").excluding("sat-sun")
        await p0.schedule(Job("work", id="a", trigger=trigger))
        # 1 January 2024 is a Monday.
        told = await p0.backfill("a", at(LAST_WEEK), at(-1), dry_run=True)
        assert (told.number, told.number_excluded) == (5 * 24, 2 * 24)
        assert (len(told.slots), len(told.excluded)) == (100, 48)
        assert told.slots[0] == told.first == at(LAST_WEEK)
        assert told.last == at(-2 * 24 * HOUR - HOUR)
        assert {slot.isoweekday() for slot in told.excluded} == {6, 7}
        assert told.job is None
        await asyncio.sleep(60)
        assert not await p0.job_exists(told.job_id)
        assert [job.id for job in await p0.get_jobs()] == ["a"]


async def test_what_the_trigger_excludes_or_moves_it_does_for_a_backfill() -> None:
    async with World() as world:
        p0 = await world.peer()
        skipping = daily().excluding("sat-sun")
        moving = CronTrigger("0 9 * * sat", tz="Europe/Helsinki").excluding(
            "sat-sun", shift="next_business_day"
        )
        await p0.schedule(Job("work", id="a", trigger=skipping))
        await p0.schedule(Job("work", id="m", trigger=moving))
        filled = await p0.backfill("a", at(LAST_WEEK))
        slots = [LAST_WEEK + 7 * HOUR + day * 24 * HOUR for day in range(5)]
        assert await done(world, filled) == slots
        job = [e for e in await p0.history(filled.job_id) if e.count]
        assert sum(e.count for e in job) == 7
        [excluded] = [e for e in job if e.kind is RowKind.EXCLUDED]
        assert excluded.count == filled.number_excluded == 2
        moved = await p0.backfill("m", at(2 * LAST_WEEK))
        # The slot of 30 December is due on 1 January, later today.
        assert await done(world, moved) == [LAST_WEEK - 2 * 24 * HOUR + 7 * HOUR]
        assert moved.number == 1


@pytest.mark.parametrize("max_running", [1, 3])
async def test_so_many_run_at_a_time(max_running: int) -> None:
    async with World() as world:
        p0 = await world.peer()
        await world.peer("p1")
        trigger = IntervalTrigger(minutes=10, start=at(-3 * HOUR))
        job = Job("work", id="a", trigger=trigger, kwargs={"seconds": 7})
        await p0.schedule(job)
        filled = await p0.backfill(job, at(-3 * HOUR), max_running=max_running)
        slots = await done(world, filled)
        assert sorted(slots) == [n * 600.0 for n in range(-18, 1)]
        assert sorted(set(slots)) == sorted(slots)
        runs = world.of(filled.job_id)
        most = max(
            sum(one.at <= other.at < (one.until or 0) for one in runs) for other in runs
        )
        assert most == max_running
        if max_running == 1:
            assert slots == sorted(slots)


async def test_failures_and_lost_peers_lose_no_slot() -> None:
    async with World() as world:
        p0 = world.build("p0")
        tries: list[tuple[str, datetime]] = []

        async def flaky(context: Context) -> None:
            tries.append((context.job_id, context.fire_time))
            await asyncio.sleep(3)
            if context.fire_time == at(-2 * HOUR):
                raise ValueError("no")

        p0.register(flaky, name="flaky")
        await world.start(p0)
        p1 = world.build("p1")
        p1.register(flaky, name="flaky")
        await world.start(p1)
        trigger = IntervalTrigger(hours=1, start=at(-6 * HOUR))
        await p0.schedule(Job("flaky", id="a", trigger=trigger))
        filled = await p0.backfill("a", at(-6 * HOUR), at(-1))
        await asyncio.sleep(5)
        world.crash("p1")
        await done(world, filled)
        ran = {slot for job_id, slot in tries if job_id == filled.job_id}
        assert ran == {at(-n * HOUR) for n in range(1, 7)}
        [created] = [
            e for e in await p0.history(filled.job_id) if e.kind is RowKind.CREATED
        ]
        assert created.by == "p0"
        runs = [e for e in await p0.history(filled.job_id) if e.run and e.run.final]
        kinds = sorted(e.kind.value for e in runs)
        assert kinds == ["failed", *["succeeded"] * 5]


async def test_a_paused_and_a_finished_job_can_be_backfilled() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="p", trigger=daily(), paused=True))
        filled = await p0.backfill("p", at(LAST_WEEK))
        assert len(await done(world, filled)) == 7
        assert (await p0.get_job("p")).state is JobState.PAUSED
        end = IntervalTrigger(hours=1, start=at(-3 * HOUR), end=at(HOUR + 60))
        await p0.schedule(Job("work", id="f", trigger=end, keep=10**6))
        await asyncio.sleep(HOUR + 200)
        assert await p0.state("f") is JobState.FINISHED
        filled = await p0.backfill("f", at(-3 * HOUR), at(-1))
        assert await done(world, filled) == [-3 * HOUR, -2 * HOUR, -HOUR]


async def test_slots_of_the_grid_only() -> None:
    """An interval has slots from its start on; a calendar from its first date."""
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="i", trigger=IntervalTrigger(hours=1)))
        await asyncio.sleep(3.5 * HOUR)
        filled = await p0.backfill("i", at(LAST_WEEK))
        assert list(filled.slots) == [at(n * HOUR) for n in (1, 2, 3)]
        await done(world, filled)
        calendar = CalendarIntervalTrigger(days=1, at="12:00", start="2023-12-20")
        await p0.schedule(Job("work", id="c", trigger=calendar))
        told = await p0.backfill("c", at(2 * LAST_WEEK), at(0), dry_run=True)
        assert told.number == 12
        empty = await p0.backfill("c", at(-3 * HOUR), at(-2 * HOUR))
        assert (empty.number, empty.job, empty.first) == (0, None, None)


async def test_many_slots_are_counted_without_listing_them() -> None:
    async with World() as world:
        p0 = await world.peer("p0", run_jobs=False)
        start = at(0) - timedelta(days=3_650)
        trigger = IntervalTrigger(seconds=1, start=start)
        job = Job("work", id="a", trigger=trigger)
        await p0.schedule(job, allow_unknown=True)
        told = await p0.backfill("a", start, at(0), dry_run=True)
        assert told.number == 3_650 * 86_400 + 1
        assert len(told.slots) == 100
        weekdays = trigger.excluding("sat-sun")
        await p0.modify("a", trigger=weekdays, allow_unknown=True)
        told = await p0.backfill("a", start, at(-1), dry_run=True)
        assert told.number + told.number_excluded == 3_650 * 86_400
        most = trigger.excluding("2099-01-01")
        await p0.modify("a", trigger=most, allow_unknown=True)
        full = await p0.backfill("a", start, at(-1), dry_run=True)
        assert (full.number, full.excluded) == (3_650 * 86_400, ())
        assert (len(told.slots), len(told.excluded)) == (100, 100)


async def test_what_cannot_be_backfilled_is_refused() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", trigger=daily()))
        await p0.schedule(Job("work", id="k", keyword="k"))
        since = at(LAST_WEEK)
        cases: list[tuple[str, dict[str, Any]]] = [
            ("until", {"until": at(5)}),
            ("since", {"until": since}),
            ("since", {"since": since.replace(tzinfo=None)}),
            ("max_running", {"max_running": 0}),
            ("max_running", {"max_running": 101}),
            ("dry_run", {"dry_run": 1}),
            ("id", {"id": ""}),
            ("by", {"by": ""}),
            ("note", {"note": 5}),
            ("job", {"job": "k"}),
        ]
        for field, options in cases:
            asked: dict[str, Any] = {"job": "a", "since": since, **options}
            with pytest.raises(ConfigurationError) as caught:
                await p0.backfill(asked.pop("job"), asked.pop("since"), **asked)
            assert caught.value.field == field, options
        with pytest.raises(JobNotFoundError):
            await p0.backfill("nobody", since)
        with pytest.raises(JobExistsError):
            await p0.backfill("a", since, id="k")
        assert len(await p0.get_jobs()) == 2
        adds_up(await p0.get_job("a"))
