"""Schedules as classes, their names, runs and errors: S1-07, 10 to 17, 19, 20, 26."""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aiosched import (
    ConfigurationError,
    Context,
    Executor,
    IntervalTrigger,
    Job,
    JobExistsError,
    JobState,
    Outcome,
    Retry,
    Scheduler,
    SchedulerStateError,
    Trigger,
    TriggerError,
    every,
)
from tests.engine.kit import World, at
from tests.seeds.clocked import ran_at
from tests.seeds.stage import Stage
from tests.waiting import wait_until

# A Friday.
NOW = datetime(2026, 5, 1, 10, 5, 7, tzinfo=UTC)
virtual = pytest.mark.virtual(start=NOW, timeout=10**8)


# --- S1-07: last and next run, equal on all nodes ---


@pytest.mark.seed("S1-07")
async def test_every_node_shows_the_same_last_and_next_run(stage: Stage) -> None:
    async with stage:
        p0, p1 = await stage.peer("p0"), await stage.peer("p1")
        trigger = IntervalTrigger(milliseconds=50)
        await p0.schedule(Job("note", id="a", trigger=trigger, max_runs=3, keep=60))

        async def over() -> bool:
            return await p1.state("a") is JobState.FINISHED

        await wait_until(over, "the last run")
        seen = []
        for peer in (p0, p1):
            [job] = await peer.get_jobs(state="finished")
            seen.append((job.last_fire_time, job.next_fire_time, job.last_outcome))
        assert seen[0] == seen[1]
        last, following, outcome = seen[0]
        assert (following, outcome) == (None, Outcome.SUCCEEDED)
        runs = [entry.run for entry in await p1.history("a") if entry.run]
        assert last == max(run.fire_time for run in runs)
        assert len(runs) == 3


# --- S1-10: a class with its work in one method ---


class Ticking(Executor):
    """``class TestScheduler(BaseScheduler)`` with ``owner_do`` of the original."""

    schedule = every(10).minutes

    def __init__(self) -> None:
        self.ran: list[str] = []

    async def run(self, context: Context) -> None:
        """Do the work."""
        self.ran.append(context.job_id)


class Threaded(Executor):
    """A plain ``run`` is in a thread; the schedule may be worked out."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self.threads: set[int] = set()

    def schedule(self) -> Trigger:
        """Say when."""
        return IntervalTrigger(seconds=self.seconds)

    def run(self, context: Context) -> None:
        """Do the work."""
        self.threads.add(threading.get_ident())


@pytest.mark.seed("S1-10", "S1-11", "S1-13")
@virtual
async def test_a_class_with_a_schedule_runs_once_a_tick() -> None:
    ticking = Ticking()
    scheduler = Scheduler()
    assert scheduler.register(ticking) == "Ticking"
    async with scheduler:
        await asyncio.sleep(3_601)
        assert ticking.ran == ["Ticking"] * 6
        job = await scheduler.get_job("Ticking")
        assert job.trigger is not None
        assert job.executor == "Ticking"


@pytest.mark.seed("S1-10")
async def test_a_plain_run_is_in_a_thread(stage: Stage) -> None:
    async with stage:
        peer = stage.build("peer")
        threaded = Threaded(1)
        peer.register(threaded, name="threaded")
        await peer.start()
        await peer.wait("threaded", timeout=10)
        assert threaded.threads
        assert threading.get_ident() not in threaded.threads


# --- S1-11: the class says when, and is held to it at once ---


def scheduled(said: Any) -> type[Executor]:
    class Said(Executor):
        schedule = said

        async def run(self, context: Context) -> None:
            """Do nothing."""

    return Said


@pytest.mark.seed("S1-11")
@pytest.mark.parametrize(
    "said",
    [5, "every 10 minutes", lambda self: 5, lambda self, when: when, timedelta(1)],
)
def test_what_is_no_schedule_is_refused_when_it_is_registered(said: Any) -> None:
    scheduler = Scheduler()
    with pytest.raises(TriggerError) as caught:
        scheduler.register(scheduled(said))
    assert caught.value.field == "schedule"
    assert "Said" not in scheduler.registry


@pytest.mark.seed("S1-11")
async def test_a_schedule_comes_before_the_start_and_once_a_name() -> None:
    scheduler = Scheduler()
    scheduler.register(scheduled(every().hour))
    with pytest.raises(ConfigurationError, match="taken"):
        scheduler.register(scheduled(every().day))
    async with scheduler:
        with pytest.raises(SchedulerStateError):
            scheduler.register(Ticking())
        assert "Ticking" not in scheduler.registry
        assert [job.id for job in await scheduler.get_jobs()] == ["Said"]


# --- S1-12: no schedule is to run once, over all nodes ---


@pytest.mark.seed("S1-12")
async def test_none_runs_once_in_all(stage: Stage) -> None:
    """In the original it never runs; here once, however many nodes start."""
    ran: list[str] = []

    class Once(Executor):
        schedule = None

        async def run(self, context: Context) -> None:
            ran.append(context.peer)

    async with stage:
        peers = [stage.build(f"p{n}") for n in range(3)]
        for peer in peers:
            peer.register(Once)
        await asyncio.gather(*(peer.start() for peer in peers))
        await peers[0].drain(timeout=10)
        assert len(ran) == 1
        # Nor does the next deployment run it again, for as long as it is remembered.
        later = stage.build("later")
        later.register(Once)
        await later.start()
        await later.drain(timeout=10)
        assert len(ran) == 1


# --- S1-13 to S1-17: the phrases of the sample ---


@pytest.mark.seed("S1-13")
@virtual
async def test_every_ten_minutes_is_six_times_an_hour() -> None:
    began = await ran_at(every(10).minutes, timedelta(hours=1))
    assert began == [NOW + timedelta(minutes=10 * n) for n in range(1, 7)]


@pytest.mark.seed("S1-14")
@virtual
async def test_every_day_at_half_past_ten_in_its_zone() -> None:
    """The zone is UTC unless one is named, and never that of the host."""
    began = await ran_at(every().day.at("10:30"), timedelta(days=3))
    assert [f"{one:%d %H:%M}" for one in began] == ["01 10:30", "02 10:30", "03 10:30"]
    trigger = every().day.at("10:30", tz="Asia/Ho_Chi_Minh")
    began = await ran_at(trigger, timedelta(days=3))
    assert [f"{one:%H:%M}" for one in began] == ["03:30"] * 3


@pytest.mark.seed("S1-15")
@virtual
async def test_every_hour_is_five_times_in_five_hours() -> None:
    assert len(await ran_at(every().hour, timedelta(hours=5))) == 5


@pytest.mark.seed("S1-16")
@virtual
async def test_every_monday_is_four_times_in_four_weeks() -> None:
    began = await ran_at(every().monday, timedelta(weeks=4))
    assert [(one.weekday(), one.hour, one.minute) for one in began] == [(0, 0, 0)] * 4


@pytest.mark.seed("S1-17")
@virtual
@pytest.mark.parametrize(("day", "number"), [("thursday", 3), ("wednesday", 2)])
async def test_a_weekday_says_which_it_is(day: str, number: int) -> None:
    """The comment of the sample says Thursday, and its code Wednesday."""
    trigger = getattr(every(), day).at("13:15")
    words = trigger.describe().lower()
    other = {"thursday": "wednesday", "wednesday": "thursday"}[day]
    assert day[:3] in words
    assert other[:3] not in words.replace("every", "")
    assert "13:15" in words
    began = await ran_at(trigger, timedelta(weeks=2))
    assert [(one.weekday(), f"{one:%H:%M}") for one in began] == [(number, "13:15")] * 2


# --- S1-19: one scheduler for many ---


@pytest.mark.seed("S1-19")
async def test_one_scheduler_takes_a_thousand_jobs(stage: Stage) -> None:
    async with stage:
        peer = await stage.peer("peer")
        trigger = every().hour
        jobs = [Job("note", id=f"j{n}", trigger=trigger) for n in range(1_000)]
        await peer.schedule_many(jobs)
        cursor, ids = None, set[str]()
        while True:
            page = await peer.get_jobs(limit=500, cursor=cursor)
            ids |= {job.id for job in page}
            if (cursor := page.cursor) is None:
                break
        assert len(ids) == 1_000


@pytest.mark.seed("S1-19")
@virtual
async def test_parts_of_an_application_are_included() -> None:
    """``factory.add(...)`` of the original, for each part."""
    ran: list[str] = []
    parts = [Scheduler(), Scheduler()]

    async def note(context: Context) -> None:
        ran.append(context.job_id)

    for number, part in enumerate(parts):
        part.register(note, name=f"note{number}", queue=f"q{number}")
        part.declare(Job(f"note{number}", id=f"job{number}", trigger=every().minute))
    parts[0].register(Ticking())
    whole = Scheduler()
    for part in (*parts, parts[0]):
        whole.include(part)
    async with whole:
        await asyncio.sleep(61)
        assert sorted(ran) == ["job0", "job1"]
        jobs = {job.id: job.queue for job in await whole.get_jobs()}
        assert jobs == {"job0": "q0", "job1": "q1", "Ticking": "default"}
        with pytest.raises(SchedulerStateError):
            whole.include(parts[0])
    other = Scheduler()
    other.register(len, name="note0")
    with pytest.raises(ConfigurationError):
        other.include(parts[0])


# --- S1-20: names, and the second one that was lost without a word ---


@pytest.mark.seed("S1-20")
async def test_two_of_one_class_under_two_names_are_two_jobs(stage: Stage) -> None:
    async with stage:
        peer = stage.build("peer")
        first, second = Threaded(1), Threaded(1)
        peer.register(first, name="scheduler 1")
        peer.register(second, name="Báo cáo")
        with pytest.raises(ConfigurationError, match="taken"):
            peer.register(Threaded(2), name="Báo cáo")
        await peer.start()
        for name in ("scheduler 1", "Báo cáo"):
            await peer.wait(name, timeout=10)
        assert first.threads
        assert second.threads
        assert {job.id for job in await peer.get_jobs()} == {"scheduler 1", "Báo cáo"}
        assert (await peer.get_job("Báo cáo")).executor == "Báo cáo"


@pytest.mark.seed("S1-20")
async def test_a_second_job_of_a_name_is_an_error_unless_it_is_settled(
    stage: Stage,
) -> None:
    async with stage:
        peer = await stage.peer("peer")
        await peer.schedule(Job("note", id="Báo cáo", trigger=every().hour))
        other = Job("note", id="Báo cáo", trigger=every().day)
        with pytest.raises(JobExistsError):
            await peer.schedule(other)
        kept = await peer.schedule(other, on_conflict="keep")
        assert kept.trigger != other.trigger
        await peer.schedule(other, on_conflict="replace")
        stored = await peer.get_job("Báo cáo")
        assert stored.version == 2


# --- S1-26: what a job raises ends its run, and no more ---


@pytest.mark.seed("S1-26")
@pytest.mark.virtual(timeout=100_000)
async def test_errors_are_caught_logged_kept_told_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "aiosched")
    async with World() as world:
        p0 = world.build("p0")
        told = p0.events("run_ended")

        @p0.executor
        async def fails(context: Context) -> None:
            raise LookupError(f"attempt {context.attempt}")

        await world.start(p0)
        trigger = IntervalTrigger(seconds=1, start=at(1))
        retry = Retry(attempts=2, delay=0.1)
        job = Job("fails", id="a", trigger=trigger, max_runs=5, retry=retry, keep=60)
        await p0.schedule(job)
        await asyncio.sleep(20)
        runs = [entry.run for entry in await p0.history("a") if entry.run]
        assert [run.error.message for run in runs if run.final] == ["attempt 2"] * 5  # type: ignore[union-attr]
        assert len(runs) == 10
        assert {run.outcome for run in runs} == {Outcome.FAILED}
        assert p0.health().ok
        await p0.shutdown()
        assert [event.job_id async for event in told] == ["a"] * 10
    logged = [
        one for one in caplog.records if one.__dict__.get("action") == "run_failed"
    ]
    assert {one.__dict__["job_id"] for one in logged} == {"a"}
    assert len(logged) == 10
    assert all(one.exc_info for one in logged)
