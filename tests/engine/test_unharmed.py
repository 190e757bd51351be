"""A slot that fails, or whose peer dies, harms no later one."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from aiosched import (
    Context,
    IntervalTrigger,
    Job,
    Outcome,
    Reason,
    Retry,
)
from aiosched.enums import RowKind
from tests.engine.conftest import MakeScheduler
from tests.engine.kit import World, adds_up
from tests.waiting import wait_until

virtual = pytest.mark.virtual(timeout=100_000)

FAILING = (9.0, 12.0, 13.0)
"""Slots that fail at each of three attempts, 1.25 and 2.5 seconds apart."""


async def _three(world: World) -> None:
    for n in range(3):
        peer = world.build(f"p{n}")

        async def work(context: Context, name: str = peer.name) -> None:
            ran = world.note(name, context)
            if ran.fire_time in FAILING:
                message = f"slot {ran.fire_time}"
                raise LookupError(message)

        peer.register(work, name="fails")
        await world.start(peer)
    await asyncio.sleep(6)


def _job(name: str = "a", **options: Any) -> Job:
    retry = Retry(attempts=3, delay=1.25, factor=2)
    trigger = IntervalTrigger(seconds=1)
    return Job("fails", id=name, trigger=trigger, retry=retry, max_runs=20, **options)


@virtual
async def test_where_there_is_room_later_slots_run_at_their_instants() -> None:
    async with World() as world:
        await _three(world)
        p0 = world.peers["p0"]
        ids = [f"j{n}" for n in range(6)]
        options: dict[str, Any] = {"overlap": "allow", "max_running": 4, "keep": 600}
        await p0.schedule_many([_job(job_id, **options) for job_id in ids])
        await asyncio.sleep(60)
        assert len({ran.peer for ran in world.runs}) > 1
        for job_id in ids:
            runs = world.of(job_id)
            first = [(ran.fire_time, ran.at) for ran in runs if ran.attempt == 1]
            assert first == [(float(n), float(n)) for n in range(7, 27)]
            for slot in FAILING:
                tries = [ran.at - slot for ran in runs if ran.fire_time == slot]
                assert tries == [0.0, 1.25, 3.75]
            rows = [row.run for row in await p0.history(job_id) if row.run]
            last = {run.fire_time: run for run in rows if run.final}
            assert Counter(run.attempt for run in last.values()) == {1: 17, 3: 3}
        for job in await p0.get_jobs(state="finished"):
            adds_up(job)
            assert (job.counts.succeeded, job.counts.failed) == (17, 3)


@virtual
async def test_slots_in_the_way_of_a_retry_are_skipped_and_the_grid_stays() -> None:
    async with World() as world:
        await _three(world)
        p0 = world.peers["p0"]
        await p0.schedule(_job(overlap="skip", keep=600))
        await asyncio.sleep(60)
        first = [ran.fire_time for ran in world.runs if ran.attempt == 1]
        # 9 is tried until 12.75 and 13 until 16.75.
        assert first == [7.0, 8, 9, 13, *range(17, 33)]
        assert all(r.at == r.fire_time for r in world.runs if r.attempt == 1)
        (job,) = await p0.get_jobs(state="finished")
        adds_up(job)
        assert (job.counts.fired, job.counts.skipped) == (20, 6)
        passed = [
            (row.count, row.reason)
            for row in await p0.history("a", limit=100)
            if row.kind is RowKind.SKIPPED
        ]
        assert sum(count for count, _ in passed) == 6
        assert {reason for _, reason in passed} == {Reason.OVERLAP}


async def test_a_failing_slot_harms_no_other(make_scheduler: MakeScheduler) -> None:
    slots = 12
    tried: list[tuple[str, int]] = []

    async def work(context: Context) -> None:
        key = context.run_id.split("/")[1]
        tried.append((key, context.attempt))
        if len({key for key, _ in tried}) % 3 == 0:
            message = "every third"
            raise LookupError(message)

    peers = [make_scheduler(f"p{n}") for n in range(3)]
    try:
        for peer in peers:
            peer.register(work, name="work")
            await peer.start()
        job = Job(
            "work",
            id="a",
            trigger=IntervalTrigger(milliseconds=300),
            retry=Retry(attempts=2, delay=0.05),
            max_runs=slots,
            keep=600,
        )
        await peers[0].schedule(job)
        await wait_until(lambda: len({key for key, _ in tried}) >= slots, "all slots")
        await peers[0].drain(timeout=10)
        (stored,) = await peers[0].get_jobs(state="finished")
        rows = [row.run for row in await peers[1].history("a", limit=100) if row.run]
    finally:
        await asyncio.gather(*(peer.shutdown(force=True) for peer in peers))
    adds_up(stored)
    assert (stored.counts.succeeded, stored.counts.failed) == (8, 4)
    assert len(set(tried)) == len(tried) == 16
    failed = [run for run in rows if run.outcome is Outcome.FAILED]
    assert Counter(run.attempt for run in failed) == {1: 4, 2: 4}
    assert all(run.error is not None for run in failed)


@virtual
async def test_a_slot_whose_peer_died_is_recorded_and_the_others_go_on() -> None:
    async with World() as world:
        for n in range(3):
            await world.peer(f"p{n}")
        await asyncio.sleep(6)
        job = Job(
            "work",
            id="a",
            trigger=IntervalTrigger(seconds=10),
            kwargs={"seconds": 5},
            on_lost="record",
            keep=600,
            max_runs=6,
        )
        await world.peers["p0"].schedule(job)
        await asyncio.sleep(12)
        (first,) = world.runs
        world.crash(first.peer)
        await asyncio.sleep(100)
        survivor = next(p for name, p in world.peers.items() if name != first.peer)
        slots = Counter(ran.fire_time for ran in world.runs)
        assert set(slots.values()) == {1}, "none ran twice"
        (stored,) = await survivor.get_jobs(state="finished")
        adds_up(stored)
        assert (stored.counts.lost, stored.counts.succeeded) == (1, 5)
        rows = await survivor.history("a", limit=100)
        (lost,) = [row for row in rows if row.kind is RowKind.LOST]
        assert lost.run is not None
        assert (lost.run.final, lost.reason, lost.fence) == (
            True,
            Reason.LEASE_LOST,
            first.fence,
        )
