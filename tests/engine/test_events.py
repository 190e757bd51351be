"""What a peer tells of jobs, runs and slots, and to whom."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from aiosched import (
    ConfigurationError,
    Context,
    DateTrigger,
    Event,
    IntervalTrigger,
    Job,
    MemoryJobStore,
    Retry,
    Scheduler,
    SchedulerStateError,
)
from aiosched.enums import RowKind
from aiosched.testing import Fault, FaultyStore
from tests.engine.conftest import MakeScheduler
from tests.engine.kit import World, after, at, loop, now

virtual = pytest.mark.virtual(timeout=100_000)

STORY = ["job_scheduled", "run_started", "run_ended", "job_finished"]


def listen(scheduler: Scheduler, name: str = "*") -> list[Event]:
    told: list[Event] = []
    scheduler.on(name, told.append)
    return told


def names(told: list[Event], job_id: str) -> list[str]:
    return [event.name for event in told if event.job_id == job_id]


# --- the story of a job ------------------------------------------------------------


async def test_a_one_time_job_is_told_from_its_scheduling_to_its_end(
    make_scheduler: MakeScheduler,
) -> None:
    async with AsyncExitStack() as stack:
        peer = make_scheduler("p0")
        peer.register(_nothing, name="nothing")
        await stack.enter_async_context(peer)
        stream = peer.events("job_finished", *STORY, job="a")
        await peer.schedule(Job("nothing", id="b"))
        await peer.schedule(Job("nothing", id="a"))
        async with asyncio.timeout(10):
            heard = [await anext(stream) for _ in STORY]
        assert [event.name for event in heard] == STORY
        assert heard[2].data["run"].outcome.value == "succeeded"


@virtual
@pytest.mark.parametrize(
    ("options", "ends"),
    [
        ({"trigger": DateTrigger(at(5))}, 5.0),
        ({"trigger": IntervalTrigger(seconds=2, start=at(1), end=at(6))}, 5.0),
        ({"trigger": IntervalTrigger(seconds=1), "max_runs": 3}, 3.0),
        # Nobody runs the last slot: the run before it is in the way.
        (
            {
                "trigger": IntervalTrigger(seconds=2, start=at(1), end=at(3)),
                "kwargs": {"seconds": 5},
            },
            6.0,
        ),
        ({"trigger": DateTrigger(at(5)), "retry": Retry(attempts=2, delay=1)}, 5.0),
    ],
)
async def test_a_job_that_has_come_to_its_end_is_told_once(
    options: dict[str, Any], ends: float
) -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        told = listen(p0, "job_finished")
        await p0.schedule(Job("work", id="a", keep=60, **options))
        await asyncio.sleep(1000)
        assert [event.job_id for event in told] == ["a"]
        assert told[0].when == at(ends)


@virtual
async def test_the_last_slot_is_nobodys_run_and_the_end_is_told_all_the_same() -> None:
    async with World() as world:
        p0 = world.build("p0")
        told = listen(p0)
        await p0.start(paused=True)
        trigger = IntervalTrigger(seconds=1, start=at(1), end=at(5))
        job = Job("work", id="a", trigger=trigger, misfire_grace=2, coalesce="all")
        await p0.schedule(job)
        await asyncio.sleep(30)
        await p0.release()
        await asyncio.sleep(1)
        (passed,) = [event for event in told if event.name == "slots_passed"]
        assert passed.data == {
            "kind": "missed",
            "count": 5,
            "first": at(1),
            "last": at(5),
            "reason": "grace",
        }
        assert names(told, "a")[-1] == "job_finished"
        assert world.runs == []


@virtual
async def test_a_job_that_was_removed_has_not_finished() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        told = listen(p0)
        await p0.schedule(Job("work", id="a", kwargs={"seconds": 10}))
        await p0.schedule(Job("work", id="b", trigger=IntervalTrigger(seconds=5)))
        await asyncio.sleep(7)
        await p0.remove_job("a")
        await p0.remove_job("b")
        await asyncio.sleep(100)
        for job_id in "ab":
            assert names(told, job_id).count("job_removed") == 1
            assert "job_finished" not in names(told, job_id)


@virtual
async def test_who_ends_a_stopped_job_by_letting_it_go_on_is_told() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        told = listen(p0)
        await p0.schedule(Job("work", id="a", kwargs={"seconds": 100}))
        await asyncio.sleep(5)
        await p0.stop_job("a")
        await asyncio.sleep(5)
        assert "job_finished" not in names(told, "a")
        await p0.resume("a")
        assert names(told, "a").count("job_finished") == 1


@virtual
async def test_a_lost_reply_costs_no_event() -> None:
    store = FaultyStore(MemoryJobStore())
    async with World(store) as world:
        p0 = await world.peer("p0")
        await p0.schedule(Job("work", id="a", kwargs={"seconds": 5}))
        await p0.schedule(Job("work", id="r", kwargs={"seconds": 5}))
        await asyncio.sleep(4)
        told = listen(p0)
        await p0.remove_job("r")
        settles = Fault(
            "transact",
            kind="lost_reply",
            times=2,
        )
        store.plan(settles)
        await asyncio.sleep(20)
        assert store.unused == ()
        assert names(told, "a") == ["run_ended", "job_finished"]
        assert names(told, "r") == ["job_removed", "run_ended"]


# --- slots ----------------------------------------------------------------------


@virtual
async def test_each_slot_that_is_not_run_is_told_with_its_reason() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        told = listen(p0, "slots_passed")

        async def passed(act: Any) -> list[tuple[Any, ...]]:
            told.clear()
            await act
            return [tuple(event.data.values()) for event in told]

        await p0.schedule(Job("work", id="a", trigger=IntervalTrigger(seconds=10)))
        await p0.pause("a")
        await asyncio.sleep(35)
        assert await passed(p0.resume("a")) == [("paused", 3, at(10), at(30), "")]
        await p0.modify("a", kwargs={"seconds": 25})
        # In its way from 40 to 65.
        assert await passed(asyncio.sleep(31)) == [
            ("skipped", 2, at(50), at(60), "overlap")
        ]
        await p0.hold()
        await asyncio.sleep(20)
        assert await passed(p0.modify("a", trigger=IntervalTrigger(seconds=7))) == [
            ("skipped", 2, at(70), at(80), "modified")
        ]
        await asyncio.sleep(8)
        assert await passed(p0.remove_job("a")) == [
            ("skipped", 1, at(93), at(93), "removed")
        ]


@virtual
async def test_what_peers_tell_of_slots_adds_up_to_the_ledger() -> None:
    async with World() as world:
        told: list[Event] = []
        for n in range(3):
            peer = await world.peer(f"p{n}")
            peer.on("slots_passed", told.append)
        await asyncio.sleep(6)
        p0 = world.peers["p0"]
        jobs = [
            Job(
                "work",
                id=f"j{n}",
                trigger=IntervalTrigger(seconds=1 + n % 3),
                kwargs={"seconds": 1.5 + n % 4},
                max_running=1 + n % 2,
            )
            for n in range(12)
        ]
        await p0.schedule_many(jobs)
        await asyncio.sleep(30)
        loop().stall("p1", 40)
        await asyncio.sleep(50)
        for job in jobs[:6]:
            await p0.pause(job)
        await asyncio.sleep(20)
        for job in jobs[:6]:
            await p0.resume(job)
        await asyncio.sleep(20)
        sums: Counter[tuple[str | None, str]] = Counter()
        for event in told:
            sums[event.job_id, event.data["kind"]] += event.data["count"]
        for job in jobs:
            counts = (await p0.get_job(job)).counts
            for kind in (RowKind.SKIPPED, RowKind.MISSED, RowKind.PAUSED):
                assert sums[job.id, kind.value] == getattr(counts, kind.value), job.id
        assert len({kind for _, kind in sums}) == 2


@virtual
async def test_two_runs_that_end_together_tell_of_their_slots_once() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        told = listen(p0, "slots_passed")
        trigger = IntervalTrigger(seconds=1)
        job = Job("work", id="a", trigger=trigger, kwargs={"seconds": 10})
        await p0.schedule(job)
        await asyncio.sleep(2.5)
        await p0.modify("a", max_running=2, kwargs={"seconds": 7.0})
        await asyncio.sleep(60)
        counts = (await p0.get_job("a")).counts
        assert sum(event.data["count"] for event in told) == counts.skipped > 0


# --- lateness -------------------------------------------------------------------


@virtual
async def test_a_late_run_is_flagged_wherever_somebody_looks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with World() as world:
        p0 = world.build("p0")
        told = listen(p0, "run_started")
        seen: list[tuple[Any, ...]] = []

        @p0.executor
        async def look(context: Context) -> None:
            seen.append((context.due, context.lateness, context.late))

        await p0.start(paused=True)
        await p0.schedule(Job("look", id="late", trigger=DateTrigger(at(10))))
        await p0.schedule(Job("look", id="close", trigger=DateTrigger(at(11.5))))
        await asyncio.sleep(12)
        with caplog.at_level(logging.WARNING, "aiosched"):
            await p0.release()
            await asyncio.sleep(1)
        assert sorted(seen) == [
            (at(10), timedelta(seconds=2), True),
            (at(11.5), timedelta(seconds=0.5), False),
        ]
        assert {e.job_id: (e.data["lateness"], e.data["late"]) for e in told} == {
            "late": (2.0, True),
            "close": (0.5, False),
        }
        warned = [r for r in caplog.records if getattr(r, "action", "") == "run_late"]
        assert [getattr(record, "job_id", "") for record in warned] == ["late"]
        rows = {row.job_id: row.run for row in await p0.history() if row.run}
        assert (rows["late"].lateness, rows["late"].late) == (
            timedelta(seconds=2),
            True,
        )
        assert not rows["close"].late


@virtual
async def test_a_backlog_does_not_flood_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Twenty late runs are told one by one, then that there are more, each minute."""
    async with World() as world:
        p0 = world.build("p0")
        await p0.start(paused=True)
        told = listen(p0, "run_started")
        for batch in range(2):
            jobs = [Job("work", id=f"{batch}-{n}", when=after(1)) for n in range(50)]
            await p0.schedule_many(jobs)
            await asyncio.sleep(20)
            with caplog.at_level(logging.WARNING, "aiosched"):
                await p0.release()
                await asyncio.sleep(10)
            actions = [getattr(record, "action", "") for record in caplog.records]
            assert actions == [*["run_late"] * 20, "runs_late"]
            assert sum(event.data["late"] for event in told) == 50 * (batch + 1)
            caplog.clear()
            await p0.hold()
            await asyncio.sleep(60)


@virtual
async def test_a_retry_that_comes_when_it_should_warns_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with World() as world:
        p0 = world.build("p0")
        seen: list[timedelta] = []

        @p0.executor
        async def flaky(context: Context) -> None:
            seen.append(context.lateness)
            message = "not yet"
            raise OSError(message)

        await world.start(p0)
        await p0.schedule(Job("flaky", id="a", retry=Retry(attempts=3, delay=10)))
        await asyncio.sleep(100)
        assert not [r for r in caplog.records if getattr(r, "action", "") == "run_late"]
        rows = [row.run for row in await p0.history("a") if row.run]
        assert [run.lateness for run in reversed(rows)] == seen
        assert seen == [timedelta()] * 3


# --- who hears what ---------------------------------------------------------------


@virtual
async def test_a_stream_hears_the_events_that_it_asked_for() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        ends = p0.events("run_ended", job="b")
        every = p0.events(job="a")
        await p0.schedule(Job("work", id="a"))
        await p0.schedule(Job("work", id="b"))
        await asyncio.sleep(1)
        await p0.shutdown()
        assert [(e.name, e.job_id) async for e in ends] == [("run_ended", "b")]
        assert [e.name async for e in every] == STORY


@virtual
async def test_a_stream_of_what_there_is_not_is_refused() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        with pytest.raises(ConfigurationError, match="run_ended"):
            p0.events("run_finished")
        await p0.shutdown()
        with pytest.raises(SchedulerStateError, match="closed"):
            p0.events()


@virtual
async def test_an_event_knows_its_instant() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        told = listen(p0, "job_scheduled")
        await asyncio.sleep(1.25)
        await p0.schedule(Job("work", id="a"))
        assert told[0].when == at(1.25) == at(now())


async def _nothing() -> None:
    """Do nothing."""


def _warned(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return level and job of what the log says of late runs."""
    return [
        (record.levelname, getattr(record, "job_id", ""))
        for record in caplog.records
        if getattr(record, "action", "") == "run_late"
    ]


@virtual
@pytest.mark.parametrize("overlap", ["queue", "cancel_previous"])
async def test_who_waits_for_the_jobs_own_run_is_late_and_alarms_nobody(
    caplog: pytest.LogCaptureFixture, overlap: Any
) -> None:
    caplog.set_level(logging.INFO, "aiosched")
    async with World() as world:
        p0 = world.build("p0")

        @p0.executor
        async def stubborn() -> None:
            ends = now() + 3
            while now() < ends:
                try:
                    await asyncio.sleep(ends - now())
                except asyncio.CancelledError:
                    continue

        await world.start(p0)
        told = listen(p0, "run_started")
        trigger = IntervalTrigger(seconds=2, start=at(2), end=at(4))
        await p0.schedule(Job("stubborn", id="a", trigger=trigger, overlap=overlap))
        await asyncio.sleep(100)
        assert [event.data["late"] for event in told] == [False, True]
        assert _warned(caplog) == [("INFO", "a")]


@virtual
async def test_a_fire_that_waited_for_a_pause_to_end_alarms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "aiosched")
    async with World() as world:
        p0 = await world.peer("p0")
        told = listen(p0, "run_started")
        await p0.schedule(Job("work", id="k", keyword="word"))
        await p0.pause("k")
        await p0.fire_job("word")
        await asyncio.sleep(60)
        await p0.resume("k")
        await asyncio.sleep(1)
        assert [event.data["lateness"] for event in told] == [60.0]
        assert _warned(caplog) == [("INFO", "k")]


@virtual
async def test_a_run_that_follows_a_lost_one_does_alarm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Though it stood in the waiting list: that is no design."""
    async with World() as world:
        p0 = await world.peer("p0")
        await world.peer("p1")
        await asyncio.sleep(6)
        await p0.schedule(Job("work", id="a", kwargs={"seconds": 10}))
        await asyncio.sleep(1)
        (ran,) = world.runs
        world.crash(ran.peer)
        await asyncio.sleep(100)
        assert len(world.of("a")) == 2
        assert _warned(caplog) == [("WARNING", "a")]


@virtual
async def test_a_verb_that_changes_nothing_tells_nothing() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        told = listen(p0)
        job = Job("work", id="a", trigger=IntervalTrigger(seconds=60), tags=["x"])
        for _ in range(3):
            await p0.schedule(job)
            await p0.schedule_many([job])
            await p0.schedule(job.with_changes(note="other"), on_conflict="keep")
        assert names(told, "a") == ["job_scheduled"]
        for verb, event in (
            (lambda: p0.pause("a", note="x"), "job_paused"),
            (lambda: p0.pause_jobs(tag="x", note="x"), None),
            (lambda: p0.stop_job("a"), None),
            (lambda: p0.stop_jobs(tag="x"), None),
            (lambda: p0.resume("a"), "job_resumed"),
            (lambda: p0.resume_jobs(tag="x"), None),
            (lambda: p0.modify("a", note="z"), "job_modified"),
            (lambda: p0.stop_jobs(tag="x"), "job_stopped"),
            (lambda: p0.remove_jobs(tag="x"), "job_removed"),
            (lambda: p0.remove_jobs(tag="x"), None),
        ):
            before = len(told)
            for _ in range(1 if event == "job_removed" else 3):
                await verb()
            assert names(told[before:], "a") == ([] if event is None else [event])
