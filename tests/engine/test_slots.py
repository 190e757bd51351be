"""What becomes of slots: grids, misfires, coalescing, overlap, bounds."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from aiosched import (
    CronTrigger,
    DateTrigger,
    IntervalTrigger,
    Job,
    JobState,
    Outcome,
    Reason,
)
from aiosched.abc import Session
from aiosched.enums import RowKind
from tests.engine.kit import World, adds_up, after, at, now

pytestmark = pytest.mark.virtual(timeout=1_000_000)


async def passed(world: World, job_id: str) -> dict[tuple[RowKind, Reason], int]:
    """Return how many slots were passed over, by kind and reason."""
    entries = await next(iter(world.peers.values())).history(job_id, limit=1000)
    sums: dict[tuple[RowKind, Reason], int] = {}
    for entry in entries:
        if entry.count and entry.run is None:
            key = (entry.kind, entry.reason)
            sums[key] = sums.get(key, 0) + entry.count
    return sums


# Grids


async def test_an_interval_runs_on_its_grid_whatever_the_run_takes() -> None:
    async with World() as world:
        p0 = await world.peer()
        await asyncio.sleep(0.123)
        job = Job(
            "work", id="a", kwargs={"seconds": 3.5}, trigger=IntervalTrigger(seconds=7)
        )
        await p0.schedule(job)
        await asyncio.sleep(100)
        begun = world.begun("a")
        assert begun == [round(7 * n + 0.123, 6) for n in range(1, 15)]


async def test_a_cron_job_with_seconds_fires_at_its_seconds() -> None:
    async with World() as world:
        p0 = await world.peer()
        trigger = CronTrigger("*/20 * * * * *", seconds="first")
        await p0.schedule(Job("work", id="a", trigger=trigger))
        await asyncio.sleep(65)
        assert world.begun("a") in ([20.0, 40.0, 60.0], [0.0, 20.0, 40.0, 60.0])


async def test_many_peers_share_a_grid_without_a_double_or_a_gap() -> None:
    async with World() as world:
        for n in range(5):
            await world.peer(f"p{n}")
        await asyncio.sleep(6)
        jobs = [
            Job("work", id=f"j{n}", trigger=IntervalTrigger(seconds=1))
            for n in range(30)
        ]
        p0 = world.peers["p0"]
        await p0.schedule_many(jobs)
        await asyncio.sleep(20.5)
        for job in jobs:
            assert world.begun(job) == [float(n) for n in range(7, 27)]
        assert len({ran.peer for ran in world.runs}) == 5


async def test_early_wake_ups_run_no_slot_before_its_instant_and_none_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The peer's idea of the store's time runs ahead, so it always looks early."""
    async with World() as world:
        p0 = await world.peer()
        session = p0._session
        assert session is not None
        honest = session.estimate
        ahead = iter(range(10**9))

        def early(_: Session) -> int:
            return honest() + 1_000 + next(ahead) % 7 * 3_000

        monkeypatch.setattr(type(session), "estimate", early)
        await p0.schedule(Job("work", id="a", trigger=IntervalTrigger(seconds=1)))
        await asyncio.sleep(10_000.5)
        begun = world.begun("a")
        assert [ran.fire_time for ran in world.runs] == [
            float(n + 1) for n in range(10_000)
        ]
        assert all(ran.at >= ran.fire_time for ran in world.runs)
        assert len(begun) == 10_000
        assert max(ran.at - ran.fire_time for ran in world.runs) < 0.1


# Misfires


async def test_after_ten_slots_away_the_newest_runs_for_all() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        await p0.schedule(Job("work", id="a", trigger=IntervalTrigger(seconds=10)))
        await asyncio.sleep(10.5)
        await p0.shutdown()
        await asyncio.sleep(100)
        p1 = await world.peer("p1")
        await asyncio.sleep(1)
        first, second = world.of("a")
        assert (first.fire_time, first.missed) == (10.0, 0)
        assert (second.fire_time, second.at, second.missed) == (110.0, 110.5, 9)
        job = await p1.get_job("a")
        assert (job.counts.fired, job.counts.skipped) == (2, 9)
        adds_up(job)
        del world.peers["p0"]
        assert await passed(world, "a") == {(RowKind.SKIPPED, Reason.COALESCED): 9}


async def test_coalescing_to_the_earliest_or_to_none() -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        trigger = IntervalTrigger(seconds=10, start=at(10))
        options: Any = {"trigger": trigger, "misfire_grace": 1000}
        for rule in ("earliest", "all"):
            job = Job("work", id=rule, coalesce=rule, kwargs={"seconds": 1}, **options)
            await client.schedule(job, allow_unknown=True)
        await asyncio.sleep(55)
        await world.peer("p1")
        await asyncio.sleep(4)
        assert [(r.fire_time, r.missed) for r in world.of("earliest")] == [(10.0, 4)]
        await asyncio.sleep(12)
        # 60 came while those before it had their turn, one second each.
        every = [(r.fire_time, r.missed) for r in world.of("all")]
        assert every == [
            (10.0, 0),
            (20.0, 0),
            (30.0, 0),
            (40.0, 0),
            (50.0, 0),
            (70.0, 0),
        ]
        assert await passed(world, "all") == {(RowKind.SKIPPED, Reason.OVERLAP): 1}
        for name in ("earliest", "all"):
            adds_up(await client.get_job(name))


@pytest.mark.parametrize("peers", [1, 3])
async def test_all_that_was_late_runs_whatever_a_peer_can_take(peers: int) -> None:
    """Under ``skip``: what one peer cannot start waits for the others."""
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        trigger = IntervalTrigger(seconds=10, start=at(10))
        job = Job(
            "work",
            id="a",
            trigger=trigger,
            coalesce="all",
            misfire_grace=1000,
            max_running=3,
            kwargs={"seconds": 1.5},
        )
        await client.schedule(job, allow_unknown=True)
        await asyncio.sleep(151)
        for number in range(peers):
            await world.peer(f"p{number}", max_concurrency=1)
        await asyncio.sleep(8)
        runs = world.of("a")
        assert max(
            sum(one.at <= other.at < (one.until or at_end) for one in runs)
            for other in runs
            for at_end in [now()]
        ) == min(peers, 3)
        await asyncio.sleep(32)
        came = sorted(run.fire_time for run in world.of("a"))
        # One after the other takes 22.5 s, and slots are skipped until it is over.
        skipped = {160.0, 170.0} if peers == 1 else set()
        assert came == [t for n in range(1, 20) if (t := 10.0 * n) not in skipped]
        kinds = await passed(world, "a")
        assert sum(kinds.values()) == len(skipped)
        assert set(kinds) <= {(RowKind.SKIPPED, Reason.OVERLAP)}
        adds_up(await client.get_job("a"))


async def test_a_slot_later_than_its_grace_is_missed() -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        trigger = IntervalTrigger(seconds=100, start=at(100))
        for grace in (5, 60):
            job = Job("work", id=f"g{grace}", trigger=trigger, misfire_grace=grace)
            await client.schedule(job, allow_unknown=True)
        await asyncio.sleep(330)
        await world.peer("p1")
        await asyncio.sleep(1)
        assert world.of("g5") == []
        assert [(ran.fire_time, ran.at) for ran in world.of("g60")] == [(300.0, 330.0)]
        assert await passed(world, "g5") == {(RowKind.MISSED, Reason.GRACE): 3}
        job = await client.get_job("g60")
        assert (job.counts.missed, job.counts.fired, job.counts.slots) == (2, 1, 3)
        await asyncio.sleep(100)
        assert len(world.of("g5")) == 1


async def test_a_one_time_job_never_lapses() -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        job = Job("work", id="a", trigger=DateTrigger(at(50)))
        await client.schedule(job, allow_unknown=True)
        await asyncio.sleep(50_000)
        await world.peer("p1")
        run = await client.wait("a", timeout=1)
        assert run.outcome is Outcome.SUCCEEDED


async def test_the_last_slot_of_a_trigger_never_lapses() -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        trigger = IntervalTrigger(seconds=10, start=at(10), end=at(100))
        await client.schedule(Job("work", id="a", trigger=trigger), allow_unknown=True)
        await asyncio.sleep(50_000)
        await world.peer("p1")
        await asyncio.sleep(1)
        assert [ran.fire_time for ran in world.of("a")] == [100.0]


# Overlap over three peers; the run takes 2.5 s, the slots come each second

TABLE = [
    ("skip", 1, [1.0, 4.0, 7.0, 10.0]),
    ("queue", 1, [1.0, 3.5, 6.0, 8.5, 11.0]),
    ("allow", 3, [float(n) for n in range(1, 13)]),
    ("allow", 2, None),
    ("cancel_previous", 1, [float(n) for n in range(1, 13)]),
]


@pytest.mark.parametrize(("overlap", "most", "starts"), TABLE)
async def test_overlap_rules_hold_over_three_peers(
    overlap: Any, most: int, starts: list[float] | None
) -> None:
    async with World() as world:
        for n in range(3):
            await world.peer(f"p{n}")
        trigger = IntervalTrigger(seconds=1, start=at(1), end=at(12))
        job = Job(
            "work",
            id="a",
            trigger=trigger,
            overlap=overlap,
            max_running=most,
            kwargs={"seconds": 2.5},
        )
        await world.peers["p0"].schedule(job)
        await asyncio.sleep(12.2)
        if starts is not None:
            assert world.begun("a") == starts
        assert most_at_once(world) <= most
        stored = await world.peers["p1"].get_job("a")
        adds_up(stored)
        await asyncio.sleep(60)
        entries = [e for e in await world.peers["p2"].history("a") if e.run]
        ended = [entry.run.outcome for entry in entries]
        if overlap == "cancel_previous":
            assert ended == [Outcome.SUCCEEDED] + [Outcome.CANCELLED] * 11
            assert {e.reason for e in entries[1:]} == {Reason.REPLACED}
        else:
            assert set(ended) == {Outcome.SUCCEEDED}
        if overlap == "queue":
            assert len(ended) == 12


def most_at_once(world: World) -> int:
    ends = [ran.until if ran.until is not None else now() for ran in world.runs]
    moments = [(ran.at, 1) for ran in world.runs] + [(end, -1) for end in ends]
    depth = most = 0
    for _, step in sorted(moments):
        depth += step
        most = max(most, depth)
    return most


async def test_slots_that_came_during_a_run_are_counted_as_its_overlap() -> None:
    async with World() as world:
        p0 = await world.peer()
        trigger = IntervalTrigger(seconds=1)
        await p0.schedule(Job("work", id="a", trigger=trigger, kwargs={"seconds": 2.5}))
        await asyncio.sleep(12.2)
        job = await p0.get_job("a")
        adds_up(job)
        assert await passed(world, "a") == {(RowKind.SKIPPED, Reason.OVERLAP): 6}
        skipped = [e for e in await p0.history("a") if e.kind is RowKind.SKIPPED]
        fences = {ran.fence for ran in world.runs}
        assert {entry.fence for entry in skipped} <= fences


# Bounds


async def test_a_job_ends_with_max_runs() -> None:
    async with World() as world:
        for n in range(3):
            await world.peer(f"p{n}")
        p0 = world.peers["p0"]
        trigger = IntervalTrigger(seconds=1)
        await p0.schedule(Job("work", id="a", trigger=trigger, max_runs=5))
        await asyncio.sleep(20)
        assert world.begun("a") == [1.0, 2.0, 3.0, 4.0, 5.0]
        assert await p0.state("a") is JobState.FINISHED


async def test_start_and_end_bound_the_slots_and_belong_to_them() -> None:
    async with World() as world:
        p0 = await world.peer()
        trigger = IntervalTrigger(seconds=10, start=at(25), end=at(55))
        await p0.schedule(Job("work", id="a", trigger=trigger))
        await asyncio.sleep(200)
        assert world.begun("a") == [25.0, 35.0, 45.0, 55.0]
        assert not await p0.job_exists("a")


async def test_jitter_delays_each_slot_by_a_share_of_its_own() -> None:
    async with World() as world:
        p0 = await world.peer()
        trigger = IntervalTrigger(seconds=60)
        await p0.schedule(Job("work", id="a", trigger=trigger, jitter=30))
        await asyncio.sleep(1000)
        late = [ran.at - ran.fire_time for ran in world.of("a")]
        assert len(late) == 16
        assert all(0 <= delay <= 30 for delay in late)
        assert len(set(late)) > 10


# Long runs


async def test_hours_of_a_one_second_job_add_up() -> None:
    async with World(terms={"ledger_cap": 1000}) as world:
        p0 = world.build("p0", work=False)
        count = 0
        wrong = 0

        @p0.executor
        async def tick() -> None:
            nonlocal count, wrong
            count += 1
            wrong += now() != count

        await world.start(p0)
        await p0.schedule(Job(tick, id="a", trigger=IntervalTrigger(seconds=1)))
        # A whole day takes a minute of real time, and shows no more.
        await asyncio.sleep(4 * 3600.0 + 0.5)
        job = await p0.get_job("a")
        assert (count, wrong) == (14_400, 0)
        assert job.counts.fired == job.counts.slots == job.counts.succeeded == 14_400
        adds_up(job)


async def test_an_idle_scheduler_hardly_wakes() -> None:
    async with World() as world:
        p0 = await world.peer()
        jobs = [Job("work", id=f"j{n}", when=after(90_000 + n)) for n in range(1000)]
        await p0.schedule_many(jobs)
        await asyncio.sleep(10)
        assert p0._engine is not None
        assert p0._session is not None
        before = p0._engine.timer.wake_ups
        transactions = p0._session.counters.transactions
        await asyncio.sleep(3600)
        woken = p0._engine.timer.wake_ups - before
        # One for each longest sleep; a beat that brings no news wakes nobody.
        assert woken <= 3600 / 30 + 2
        assert p0._session.counters.transactions == transactions


def test_the_table_covers_every_overlap_rule() -> None:
    rules = [overlap for overlap, _, _ in TABLE]
    assert set(rules) == {"skip", "queue", "allow", "cancel_previous"}
    assert all(a <= b for starts in TABLE if starts[2] for a, b in pairwise(starts[2]))
