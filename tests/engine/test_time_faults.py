"""Wall clocks that are wrong or step, and loops that stand still over a slot.

The wall clock comes in at one place: ``Clock.wall``, from which the memory store
takes its time once, at its first open.  So with wrong clocks a cluster must do
exactly what it does with right ones, step by step, and not only about the same.
"""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from aiosched import (
    CalendarIntervalTrigger,
    Context,
    CronTrigger,
    Event,
    IntervalTrigger,
    Job,
    MemoryJobStore,
    Retry,
    Scheduler,
)
from aiosched.abc import JobStore
from aiosched.enums import RowKind
from aiosched.testing import run_virtual
from tests.engine.conftest import MakeScheduler
from tests.engine.kit import Ran, World, adds_up, at, loop, now
from tests.waiting import wait_until

virtual = pytest.mark.virtual(timeout=100_000)

HOUR = 3600.0
TEN_YEARS = 10 * 365.25 * 86_400
SKEW = 300.0


# --- wrong clocks over the memory store: step by step the same -----------------------


@dataclass
class Told:
    """Everything that a cluster did in its time."""

    runs: list[Ran] = field(default_factory=list)
    counts: dict[str, Any] = field(default_factory=dict)
    rows: list[Any] = field(default_factory=list)
    wake_ups: dict[str, int] = field(default_factory=dict)

    @property
    def story(self) -> list[tuple[Any, ...]]:
        """The runs, as far as they can be compared."""
        return [
            (r.peer, r.job, r.key, r.attempt, r.at, r.fire_time, r.until)
            for r in self.runs
        ]


def _jobs() -> list[Job]:
    second = IntervalTrigger(seconds=1)
    return [
        Job("work", id="tick", trigger=second),
        Job("work", id="long", trigger=second, kwargs={"seconds": 3.5}),
        Job("work", id="cron", trigger=CronTrigger("*/5 * * * * *", seconds="first")),
        Job("work", id="daily", trigger=CalendarIntervalTrigger(days=1, at="00:00:40")),
        Job("work", id="soon", when=timedelta(seconds=25)),
        Job("work", id="shaken", trigger=second, jitter=3),
        Job("flaky", id="again", trigger=second, retry=Retry(attempts=3, delay=2)),
        Job("work", id="limited", trigger=second, kwargs={"seconds": 60}, timeout=7),
    ]


async def _cluster(skews: tuple[float, ...], steps: dict[float, float]) -> Told:
    """Run the same jobs on three peers for 70 seconds, with clocks that are wrong."""
    told = Told()
    # The memory store takes the host's time once, when it is opened first.
    async with World(await _opened()) as world:
        for n, skew in enumerate(skews):
            loop().set_wall_offset(skew, node=f"p{n}")
            peer = world.build(f"p{n}")
            peer.register(_flaky(world, peer.name), name="flaky")
            await world.start(peer)
        await asyncio.sleep(6)
        p0 = world.peers["p0"]
        await p0.schedule_many(_jobs())
        for moment, step in sorted(steps.items()):
            await asyncio.sleep(moment + 6 - now())
            loop().step_wall(step)
        await asyncio.sleep(76 - now())
        told.runs = world.runs
        for job in await p0.get_jobs():
            adds_up(job)
            told.counts[job.id] = job.counts
        told.rows = await p0.history(limit=10_000)
        told.wake_ups = {
            name: peer._running_engine().timer.wake_ups
            for name, peer in world.peers.items()
        }
    return told


def _flaky(world: World, name: str) -> Any:
    async def flaky(context: Context) -> None:
        world.note(name, context)
        if context.attempt < 2:
            message = "not yet"
            raise OSError(message)

    return flaky


async def _opened() -> JobStore:
    store = MemoryJobStore()
    await store.open("aiosched", {})
    return store


@pytest.mark.parametrize(
    ("skews", "steps"),
    [
        ((0.0, 0.0, 0.0), {20.5: -HOUR}),
        ((0.0, 0.0, 0.0), {20.5: TEN_YEARS}),
        ((0.0, SKEW, -SKEW), {}),
        ((SKEW, -SKEW, SKEW), {10.25: -HOUR, 30.0: TEN_YEARS, 50.75: -TEN_YEARS}),
        # Every second anew, between slots and at them.
        ((0.0, SKEW, -SKEW), {n / 2: (-1.0) ** n * 40.0 for n in range(140)}),
    ],
    ids=["an hour back", "ten years on", "skewed", "all of it", "shaking"],
)
def test_wrong_wall_clocks_change_nothing(
    skews: tuple[float, ...], steps: dict[float, float]
) -> None:
    right = run_virtual(lambda: _cluster((0.0, 0.0, 0.0), {}))
    wrong = run_virtual(lambda: _cluster(skews, steps))
    ticks = [ran.fire_time for ran in right.runs if ran.job == "tick"]
    assert ticks == [float(n) for n in range(7, 77)], "the measure itself is right"
    assert len(right.story) > 200
    assert wrong.story == right.story
    assert wrong.counts == right.counts
    assert [(r.job_id, r.kind, r.at, r.first, r.last) for r in wrong.rows] == [
        (r.job_id, r.kind, r.at, r.first, r.last) for r in right.rows
    ]
    assert wrong.wake_ups == right.wake_ups, "no storm, and no sleep"


@virtual
async def test_a_peer_that_joins_with_a_wrong_clock_is_one_of_them() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        job = Job("work", id="a", trigger=IntervalTrigger(seconds=1))
        await p0.schedule(job)
        loop().set_wall_offset(TEN_YEARS, node="p1")
        p1 = await world.peer("p1")
        await asyncio.sleep(20.5)
        (stored,) = await p1.get_jobs()
        assert stored.next_fire_time == at(21)
        assert world.begun("a") == [float(n) for n in range(1, 21)]
        # Not even the one who opened the store last: it is open already.
        await p0.shutdown()
        await asyncio.sleep(20)
        assert world.begun("a") == [float(n) for n in range(1, 41)]


# --- wrong clocks over every store --------------------------------------------------


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let every wall clock of the process be wrong by the sum of a list."""
    offsets: list[float] = []
    host, host_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: host() + sum(offsets))
    monkeypatch.setattr(
        time, "time_ns", lambda: host_ns() + int(sum(offsets) * 1_000_000_000)
    )
    return offsets


async def test_steps_of_the_hosts_clock_double_and_lose_nothing(
    make_scheduler: MakeScheduler, wall: list[float]
) -> None:
    slots = 20
    ran: list[tuple[str, int]] = []

    def work(name: str) -> Any:
        async def work(context: Context) -> None:
            ran.append((name, round(context.fire_time.timestamp() * 10)))

        return work

    peers = [make_scheduler(f"p{n}") for n in range(3)]
    try:
        for peer in peers:
            peer.register(work(peer.name), name="work")
            await peer.start()
        trigger = IntervalTrigger(milliseconds=200)
        job = await peers[0].schedule(
            Job("work", id="a", trigger=trigger, max_runs=slots, keep=600)
        )
        first = job.next_fire_time
        assert first is not None
        for count, step in ((5, -HOUR), (9, TEN_YEARS), (13, -2 * TEN_YEARS)):
            await wait_until(lambda count=count: len(ran) >= count, "the next runs")
            wall.append(step)
            _virtually(step)
        await wait_until(lambda: len(ran) >= slots, "the last run")
        await peers[0].drain(timeout=10)
        (stored,) = await peers[0].get_jobs(state="finished")
    finally:
        woken = [peer._engine.timer.wake_ups for peer in peers if peer._engine]
        await asyncio.gather(*(peer.shutdown(force=True) for peer in peers))
    begin = round(first.timestamp() * 10)
    assert [slot for _, slot in ran] == [begin + 2 * n for n in range(slots)]
    adds_up(stored)
    assert (stored.counts.fired, stored.counts.slots) == (slots, slots)
    # Each run wakes its own peer a few times and the two others at its signals.
    assert max(woken) <= 12 * slots, "a storm"


def _virtually(step: float) -> None:
    running: Any = asyncio.get_running_loop()
    if hasattr(running, "step_wall"):
        running.step_wall(step)


# --- loops that stand still over a slot ---------------------------------------------


def _listened(world: World, peer: Scheduler) -> list[Event]:
    told: list[Event] = []
    peer.on("*", told.append)
    return told


@virtual
@pytest.mark.parametrize("frozen", ["stalled", "blocked"])
async def test_a_slot_that_a_peer_slept_through_runs_late_and_is_flagged(
    frozen: str,
) -> None:
    async with World() as world:
        p0 = world.build("p0")
        told = _listened(world, p0)

        @p0.executor
        async def blocks() -> None:
            loop().block(7.5)

        await world.start(p0)
        await p0.schedule(Job("work", id="once", when=timedelta(seconds=10)))
        ticks = Job("work", id="ticks", trigger=IntervalTrigger(seconds=2))
        await p0.schedule(ticks)
        await asyncio.sleep(7)
        if frozen == "stalled":
            loop().stall("p0", 7.5)
        else:
            await p0.schedule(Job("blocks"))
        await asyncio.sleep(20)
        (once,) = [row.run for row in await p0.history("once") if row.run]
        assert once.late
        assert once.lateness == timedelta(seconds=4.5)
        (ran,) = world.of("once")
        assert ran.at == 14.5, "as soon as it was awake"
        # Of the interval the newest slot ran, and the others are told.
        assert world.begun("ticks") == [2, 4, 6, 14.5, 16, 18, 20, 22, 24, 26]
        late = [row.run for row in await p0.history("ticks") if row.run]
        assert [run.missed for run in late if run.missed] == [3]
        (passed,) = [e for e in told if e.name == "slots_passed"]
        assert (passed.data["first"], passed.data["last"]) == (at(8), at(12))
        starts = {
            e.job_id: e.data["lateness"]
            for e in told
            if e.name == "run_started" and e.data["late"]
        }
        assert starts == {"once": 4.5}, "the newest slot was half a second late"
        stored = await p0.get_job("ticks")
        adds_up(stored)
        assert stored.counts.slots == 13


@virtual
@pytest.mark.parametrize("grace", [1.0, 5.0, 60.0])
@pytest.mark.parametrize("coalesce", ["latest", "earliest", "all"])
async def test_nothing_of_what_was_slept_through_is_dropped_in_silence(
    grace: float, coalesce: str
) -> None:
    async with World() as world:
        p0 = world.build("p0")
        told = _listened(world, p0)
        await world.start(p0)
        job = Job(
            "work",
            id="a",
            trigger=IntervalTrigger(seconds=1),
            misfire_grace=grace,
            coalesce=coalesce,
            overlap="allow",
            max_running=50,
        )
        await p0.schedule(job)
        await asyncio.sleep(3.5)
        loop().stall("p0", 12)
        await asyncio.sleep(12.25)
        stored = await p0.get_job("a")
        adds_up(stored)
        # 1 to 15, whatever became of each.
        assert stored.counts.slots == 15
        rows = await p0.history("a", limit=100)
        slots = [row for row in rows if row.kind is not RowKind.CREATED]
        assert sum(row.count for row in slots) == 15
        ran = {ran.fire_time for ran in world.of("a")}
        assert all(ran.at - ran.fire_time <= grace for ran in world.of("a"))
        due = set(range(4, 16))
        in_grace = {slot for slot in due if 15.5 - slot <= grace}
        wanted = {
            "latest": {max(in_grace, default=0)} if in_grace else set(),
            "earliest": {min(in_grace, default=0)} if in_grace else set(),
            "all": in_grace,
        }[coalesce]
        assert ran & due == wanted
        passed = sum(e.data["count"] for e in told if e.name == "slots_passed")
        assert passed == len(due - wanted)
        missed = [row for row in slots if row.kind is RowKind.MISSED]
        assert sum(row.count for row in missed) == len(due - in_grace)


async def test_a_real_loop_that_was_blocked_over_a_slot_runs_it_late() -> None:
    ran: list[tuple[str, bool]] = []
    async with Scheduler() as scheduler:

        @scheduler.executor
        async def blocks() -> None:
            threading.Event().wait(1.3)  # what users do, and must survive

        @scheduler.executor
        async def look(context: Context) -> None:
            ran.append((context.job_id, context.late))

        told: list[Event] = []
        scheduler.on("run_started", told.append)
        await scheduler.schedule(Job("look", id="a", when=timedelta(seconds=0.1)))
        await scheduler.schedule(Job("blocks", id="b"))
        await scheduler.wait("a", timeout=10)
        (row,) = [row for row in await scheduler.history("a") if row.run]
        assert ran == [("a", True)]
        assert row.run is not None
        assert row.run.late
        (event,) = [event for event in told if event.job_id == "a"]
        assert event.data["late"]


@virtual
async def test_others_run_the_slots_of_a_peer_that_stands_still() -> None:
    async with World() as world:
        for n in range(3):
            await world.peer(f"p{n}")
        await asyncio.sleep(6)
        p0 = world.peers["p0"]
        jobs = [
            Job("work", id=f"j{n}", trigger=IntervalTrigger(seconds=1))
            for n in range(20)
        ]
        await p0.schedule_many(jobs)
        await asyncio.sleep(5)
        loop().stall("p1", 3)
        await asyncio.sleep(15.5)
        for job in jobs:
            slots = [ran.fire_time for ran in world.of(job)]
            assert slots == [float(n) for n in range(7, 27)]
            rows = [row.run for row in await p0.history(job) if row.run]
            assert not any(run.late for run in rows), "a steal delay is not late"
