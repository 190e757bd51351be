"""Peers that die, stand still or block: what they ran, and what they find."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from aiosched import (
    Context,
    Event,
    IntervalTrigger,
    Job,
    Outcome,
    Reason,
    Run,
    RunLostError,
    Scheduler,
)
from aiosched.abc import shard_of
from aiosched.enums import RowKind
from tests.engine.kit import World, adds_up, after, loop, now

pytestmark = pytest.mark.virtual(timeout=100_000)

LEASE = 15.0


async def three(world: World) -> None:
    """Start three peers that know each other."""
    for n in range(3):
        await world.peer(f"p{n}")
    await asyncio.sleep(6)


def other(world: World, name: str) -> Any:
    return next(peer for each, peer in world.peers.items() if each != name)


async def test_a_run_of_a_dead_peer_runs_again_soon_after_its_lease() -> None:
    async with World() as world:
        await three(world)
        await world.peers["p0"].schedule(
            Job("work", id="a", kwargs={"seconds": 40, "value": 1})
        )
        await asyncio.sleep(20)
        (first,) = world.of("a")
        died = now()
        world.crash(first.peer)
        survivor = other(world, first.peer)
        run = await survivor.wait("a")
        _, second = world.of("a")
        assert second.at - died <= LEASE + 1
        assert (second.attempt, run.attempt, run.result) == (2, 2, 1)
        assert second.peer != first.peer
        assert second.fence > first.fence
        rows = [e for e in await survivor.history("a") if e.run]
        assert [row.kind for row in rows] == [RowKind.SUCCEEDED, RowKind.LOST]
        assert (rows[1].fence, rows[1].reason) == (first.fence, Reason.LEASE_LOST)


async def test_a_run_that_may_not_run_twice_is_recorded_as_lost() -> None:
    async with World() as world:
        await three(world)
        job = Job("work", id="a", kwargs={"seconds": 40}, on_lost="record")
        await world.peers["p0"].schedule(job)
        await asyncio.sleep(2)
        (first,) = world.of("a")
        world.crash(first.peer)
        with pytest.raises(RunLostError) as caught:
            await other(world, first.peer).result("a", timeout=LEASE + 1)
        assert caught.value.run.fence == first.fence
        await asyncio.sleep(100)
        assert len(world.runs) == 1


async def test_a_job_that_kills_its_peers_is_given_up() -> None:
    async with World() as world:
        for n in range(6):
            name = f"p{n}"
            peer = world.build(name)

            @peer.executor
            async def deadly(context: Context, name: str = name) -> None:
                world.note(name, context)
                await asyncio.sleep(1)
                world.crash(name)
                await asyncio.sleep(1)

            await world.start(peer)
        client = await world.peer("client", run_jobs=False)
        await client.schedule(Job("deadly", id="a", max_lost=2))
        run = await client.wait("a", timeout=200)
        assert run.outcome is Outcome.LOST
        assert [ran.attempt for ran in world.of("a")] == [1, 2, 3]
        assert [name for name in world.peers if name not in world._dead] != []


async def test_slots_go_on_while_a_peer_is_dead() -> None:
    async with World() as world:
        await three(world)
        jobs = [
            Job("work", id=f"j{n}", trigger=IntervalTrigger(seconds=1))
            for n in range(20)
        ]
        await world.peers["p0"].schedule_many(jobs)
        await asyncio.sleep(10.5)
        world.crash("p1")
        await asyncio.sleep(30)
        for job in jobs:
            ran = world.of(job)
            assert [one.fire_time for one in ran] == [float(n) for n in range(7, 47)]
            assert max(one.at - one.fire_time for one in ran) <= 1.0


async def test_a_dead_peers_queue_is_taken_over() -> None:
    async with World() as world:
        await three(world)
        client = await world.peer("client", run_jobs=False)
        job = Job("work", id="a", keyword="k", kwargs={"seconds": 5}, overlap="queue")
        await client.schedule(job)
        for n in range(6):
            await client.fire_job("k", {"value": n}, fire_id=f"f{n}")
        await asyncio.sleep(7)
        world.crash(world.runs[-1].peer)
        await asyncio.sleep(200)
        stored = await client.get_job("a")
        assert (stored.counts.asked, stored.counts.succeeded) == (6, 6)
        adds_up(stored)
        assert [ran.key for ran in world.runs] == [
            "f0",
            "f1",
            "f1",
            "f2",
            "f3",
            "f4",
            "f5",
        ]


async def test_a_peer_that_stood_still_runs_nothing_before_it_has_beaten() -> None:
    async with World() as world:
        await three(world)
        trigger = IntervalTrigger(seconds=1)
        jobs = [Job("work", id=f"j{n}", trigger=trigger) for n in range(20)]
        await world.peers["p0"].schedule_many(jobs)
        await asyncio.sleep(4.3)
        beats: list[float] = []
        stalled = world.peers["p1"]
        session = stalled._session
        assert session is not None
        inner = session.beat

        async def noted(beat: Any) -> Any:
            pulse = await inner(beat)
            beats.append(now())
            return pulse

        session.beat = noted  # type: ignore[method-assign]
        loop().stall("p1", 3 * LEASE)
        back = now() + 3 * LEASE
        await asyncio.sleep(3 * LEASE + 20)
        own = [ran.at for ran in world.runs if ran.peer == "p1" and ran.at >= back]
        assert own
        assert min(own) >= min(beats) >= back
        for job in jobs:
            slots = [ran.fire_time for ran in world.of(job)]
            assert len(slots) == len(set(slots)), "a slot ran twice"
            assert all(b - a == 1 for a, b in pairwise(slots)), "a slot is missing"


async def test_the_late_outcome_of_a_stalled_peer_is_fenced() -> None:
    async with World() as world:
        await three(world)
        job = Job("work", id="a", kwargs={"seconds": 20, "value": 1})
        await world.peers["p0"].schedule(job)
        await asyncio.sleep(5)
        (first,) = world.of("a")
        stalled, others = world.peers[first.peer], other(world, first.peer)
        told: list[Event] = []
        ended: list[Run] = []
        stalled.on("*", told.append)
        others.add_done_callback(ended.append)
        loop().stall(first.peer, 3 * LEASE)
        await asyncio.sleep(4 * LEASE)
        assert [ran.attempt for ran in world.of("a")] == [1, 2]
        assert len(ended) == 1
        assert (ended[0].outcome, ended[0].attempt) == (Outcome.SUCCEEDED, 2)
        finals = [e for e in await others.history("a") if e.run and e.run.final]
        assert len(finals) == 1
        assert {"lapsed", "fenced"} <= {event.name for event in told}
        assert stalled.health().ok
        assert stalled._engine is not None
        assert len(stalled._engine.runner.live) == 0


async def test_a_run_still_going_on_a_stalled_peer_is_cancelled_as_lost() -> None:
    async with World() as world:
        await three(world)
        job = Job("work", id="a", kwargs={"seconds": 100})
        await world.peers["p0"].schedule(job)
        await asyncio.sleep(5)
        (first,) = world.of("a")
        loop().stall(first.peer, 2 * LEASE)
        back = now() + 2 * LEASE
        await asyncio.sleep(200)
        first, second = world.of("a")
        assert first.reason is Reason.LEASE_LOST
        assert first.until == back
        assert (second.attempt, second.reason) == (2, Reason.NONE)


async def test_a_run_that_nobody_took_over_goes_on_after_a_stall() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        await p0.schedule(Job("work", id="a", kwargs={"seconds": 100, "value": 1}))
        await asyncio.sleep(5)
        loop().stall("p0", 3 * LEASE)
        run = await p0.wait("a")
        assert (run.attempt, run.outcome, run.result) == (1, Outcome.SUCCEEDED, 1)
        assert len(world.runs) == 1


def stop_before_it_enters(peer: Any) -> None:
    """Stop a peer when its next run has a task, which has not made its first step."""
    attender = peer._engine.attender
    starts = attender._start

    def stopped(*args: Any) -> None:
        starts(*args)
        attender._start = starts
        loop().stall(peer.name, 3 * LEASE)

    attender._start = stopped


async def test_what_was_claimed_just_before_a_stop_is_not_entered_after_it() -> None:
    async with World() as world:
        await three(world)
        for peer in world.peers.values():
            stop_before_it_enters(peer)
        await world.start(world.build("p3"))
        await asyncio.sleep(10)
        await world.peers["p3"].schedule(
            Job("work", id="a", kwargs={"seconds": 5, "value": 1})
        )
        run = await world.peers["p3"].wait("a", timeout=300)
        await asyncio.sleep(4 * LEASE)
        assert run.outcome is Outcome.SUCCEEDED
        assert run.attempt > 1, "the first to claim it was stopped"
        assert [ran.attempt for ran in world.of("a")] == [run.attempt]
        assert all(peer.health().ok for peer in world.peers.values())


async def test_what_nobody_took_meanwhile_is_entered_after_the_beat() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        beats: list[float] = []
        p0.on("lapsed", lambda _: beats.append(now()))
        await asyncio.sleep(6)
        stop_before_it_enters(p0)
        await p0.schedule(Job("work", id="a", kwargs={"seconds": 5, "value": 1}))
        run = await p0.wait("a", timeout=300)
        assert (run.outcome, run.attempt) == (Outcome.SUCCEEDED, 1)
        (ran,) = world.of("a")
        assert ran.at >= beats[0] >= 6 + 3 * LEASE


@pytest.mark.parametrize("after", [0.0, 5.0])
async def test_a_job_that_blocks_the_whole_loop_runs_once(after: float) -> None:
    async with World() as world:
        for n in range(3):
            peer = world.build(f"p{n}")

            @peer.executor
            async def blocks(context: Context, name: str = peer.name) -> str:
                world.note(name, context)
                loop().block(3 * LEASE)
                await asyncio.sleep(after)
                return "once"

            await world.start(peer)
        await asyncio.sleep(6)
        p0 = world.peers["p0"]
        await p0.schedule(Job("work", id="beside", kwargs={"seconds": 60}))
        await p0.schedule(Job("blocks", id="a"))
        run = await p0.wait("a")
        assert (run.attempt, run.result) == (1, "once")
        await asyncio.sleep(100)
        assert len(world.of("a")) == 1
        assert [ran.attempt for ran in world.of("beside")] == [1]
        for peer in world.peers.values():
            assert peer.health().ok


async def test_who_blocks_the_loop_is_named() -> None:
    async with World() as world:
        p0 = world.build("p0")
        told: list[Event] = []
        p0.on("blocked", told.append)

        @p0.executor
        async def blocks() -> None:
            loop().block(LEASE)
            await asyncio.sleep(1)

        await world.start(p0)
        await p0.schedule(Job("blocks", id="culprit"))
        await asyncio.sleep(30)
        (event,) = told
        assert event.data["jobs"] == ["culprit"]
        assert event.data["seconds"] >= 5


async def test_a_wall_clock_that_steps_moves_no_slot() -> None:
    async with World() as world:
        await three(world)
        await world.peers["p0"].schedule(
            Job("work", id="a", trigger=IntervalTrigger(seconds=1))
        )
        for step in (3600, -7200, 0.5, -0.5):
            await asyncio.sleep(3)
            loop().step_wall(step)
        await asyncio.sleep(3)
        assert world.begun("a") == [float(n) for n in range(7, 7 + len(world.runs))]
        assert len(world.runs) >= 14


async def test_every_peer_dies_and_another_takes_up_everything() -> None:
    async with World() as world:
        await three(world)
        trigger = IntervalTrigger(seconds=10)
        p0 = world.peers["p0"]
        await p0.schedule(Job("work", id="a", trigger=trigger, kwargs={"seconds": 9}))
        await p0.schedule(Job("work", id="b", kwargs={"seconds": 30}))
        await asyncio.sleep(12)
        for name in ("p0", "p1", "p2"):
            world.crash(name)
        await asyncio.sleep(100)
        p3 = await world.peer("p3")
        await asyncio.sleep(60)
        assert [ran.attempt for ran in world.of("b")] == [1, 2]
        job = await p3.get_job("a")
        adds_up(job)
        assert job.counts.slots == (now() - 6) // 10


@pytest.mark.parametrize(
    ("peers", "back"),
    [(2, 0.5 * LEASE), (2, 3 * LEASE), (1, 3 * LEASE)],
    ids=["held", "lost", "alone"],
)
async def test_a_thread_is_not_entered_after_the_lease(peers: int, back: float) -> None:
    """The process stops after a function was handed to a thread, before it begins."""
    entered: list[tuple[str, int]] = []
    stopped: list[str] = []

    def build(world: World, name: str) -> Scheduler:
        scheduler = world.build(name)

        def plain(context: Context) -> None:
            entered.append((name, context.fence))

        async def stops() -> None:
            if not stopped:
                stopped.append(name)
                loop().stall(name, back)

        scheduler.register(plain, name="plain")
        scheduler.register(stops, name="stops")
        return scheduler

    async with World() as world:
        for name in ("p0", "p1")[:peers]:
            await world.start(build(world, name))
        await asyncio.sleep(20)
        same = [f"j{n}" for n in range(1_000) if shard_of(f"j{n}", 64) == 3]
        plain_id, stops_id = sorted(same[:2])  # in this order they begin
        when = after(5.0)
        client = world.peers["p0"]
        jobs = [
            Job("plain", id=plain_id, when=when, keep=3_600),
            Job("stops", id=stops_id, when=when, keep=3_600),
        ]
        await client.schedule_many(jobs)
        await asyncio.sleep(6 * LEASE)
        (first,) = stopped
        names = [name for name, _ in entered]
        if peers == 1 or back < LEASE:
            assert names == [first], "it was still this peer's"
        else:
            assert names == [name for name in ("p0", "p1") if name != first]
        ended = [row.run for row in await client.history(plain_id) if row.run]
        assert [run.outcome for run in ended if run.final] == ["succeeded"]
