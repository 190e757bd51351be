"""Peers stay in step: S3-01, 02, 18, 46, 47, 59."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from typing import Any

import pytest
from redis.asyncio import Redis

from aiosched import IntervalTrigger, Job, JobState, MemoryJobStore, open_store
from aiosched.clock import SystemClock
from aiosched.testing.faults import Fault, FaultyStore
from tests.engine.kit import World, adds_up, after, at, loop, now
from tests.seeds.stage import Stage, overhear
from tests.waiting import wait_until

_DEAF = Fault("signals", kind="drop", times=None)
_SLOW_BEAT = {"beat": 60.0, "member_timeout": 200.0, "shards": 4}

# --- S3-01: chaos ---


@pytest.mark.seed("S3-01")
@pytest.mark.virtual(timeout=1_000_000)
async def test_ten_thousand_slots_survive_peers_that_are_killed() -> None:
    source = random.Random(1)
    terms = {"beat": 1.0, "member_timeout": 3.0, "shards": 8}
    async with World(lease=3.0, terms=terms) as world:
        client = await world.peer("client", run_jobs=False)
        alive = [f"p{n}" for n in range(5)]
        for name in alive:
            await world.peer(name)
        jobs = [
            Job(
                "work",
                id=f"j{n}",
                kwargs={"seconds": 1.5},
                trigger=IntervalTrigger(seconds=5, start=at(10)),
                max_runs=100,
                overlap="queue",
                misfire_grace=600,
                coalesce="all",
                max_lost=100,
            )
            for n in range(100)
        ]
        await client.schedule_many(jobs)
        killed = 0
        while now() < 520:
            await asyncio.sleep(source.uniform(5, 25))
            gone = alive.pop(source.randrange(5))
            world.crash(gone)
            killed += 1
            await asyncio.sleep(source.uniform(0, 3))
            alive.append(f"q{killed}")
            await world.peer(alive[-1])
        await client.drain(timeout=600)
        slots = {(ran.job, ran.key) for ran in world.runs}
        assert len(slots) == 10_000
        attempts = Counter((ran.job, ran.key, ran.fence) for ran in world.runs)
        assert max(attempts.values()) == 1
        again = [ran for ran in world.runs if ran.attempt > 1]
        assert killed > 25
        assert 0 < len(again) < 100 * killed
        for ran in world.runs:
            assert ran.at >= ran.fire_time
            assert ran.until is None or ran.until - ran.at <= 1.5 + 1e-6
        for job in await client.get_jobs(state="finished", limit=1000):
            assert (job.counts.fired, job.counts.succeeded) == (100, 100)
            adds_up(job)


# --- S3-02: messages may be lost ---


@pytest.mark.seed("S3-02")
@pytest.mark.virtual(timeout=1_000_000)
async def test_with_every_message_lost_a_change_is_seen_by_the_next_resync() -> None:
    store = MemoryJobStore()
    deaf = FaultyStore(store, _DEAF)
    async with World(deaf) as world:
        await world.peer("deaf")
        client = await world.peer("client", run_jobs=False)
        for number in range(40):
            await asyncio.sleep(3.7)
            before = now()
            job = await client.schedule(Job("work", id=f"j{number}"))
            await asyncio.sleep(20)
            [begun] = world.begun(job)
            assert begun - before <= 5.1
        assert max(world.begun("j0")) > 0
        assert len(deaf.struck) > 40


@pytest.mark.seed("S3-02")
async def test_with_every_message_lost_jobs_still_move_between_peers(
    stage: Stage,
) -> None:
    deaf = FaultyStore(open_store(stage.store), _DEAF)
    async with stage:
        client = await stage.peer("client", run_jobs=False)
        await stage.peer("deaf", store=deaf)
        job = await client.schedule(Job("hold", id="a"))
        [ran] = await stage.begun(job)
        await client.stop_job(job)
        await wait_until(lambda: ran.ended, "the stop to be seen")
        assert deaf.struck


@pytest.mark.seed("S3-02")
async def test_a_subscription_that_is_cut_is_made_again(redis_url: str) -> None:
    stage = Stage(redis_url)
    async with stage, Redis.from_url(redis_url) as server:
        client, _ = await stage.two()
        for number in range(5):
            assert await server.client_kill_filter(_type="pubsub") >= 1
            job = await client.schedule(Job("note", kwargs={"value": number}))
            assert await client.result(job, timeout=10) == number


# --- S3-18: clocks that differ ---

_SKEWED = """
import sys, time
skew = float(sys.argv[3])
wall, wall_ns = time.time, time.time_ns
time.time = lambda: wall() + skew
time.time_ns = lambda: wall_ns() + int(skew * 1e9)
import datetime
class Skewed(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)
datetime.datetime = Skewed

import asyncio
from aiosched import Context, Scheduler

async def main():
    peer = Scheduler(sys.argv[1], namespace=sys.argv[2], name=sys.argv[3])

    @peer.executor
    async def note(context: Context) -> None:
        print(context.job_id, sys.argv[3], flush=True)

    async with peer:
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""


async def _skewed(url: str, skew: int) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    words = (sys.executable, "-c", _SKEWED, url, "seeds", str(skew))
    process = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 20) == b"ready\n"
    return process


@pytest.mark.seed("S3-18")
async def test_processes_with_wrong_clocks_fire_on_time_and_once(
    redis_url: str,
) -> None:
    stage = Stage(redis_url)
    async with stage:
        client = await stage.peer("client", run_jobs=False)
        # One after the other: the first settles the terms of nothing new.
        peers = [await _skewed(redis_url, skew) for skew in (90, -90)]
        try:
            jobs = [Job("note", id=f"j{n}", when=after(0.5)) for n in range(20)]
            await client.schedule_many(jobs)
            runs = [await client.wait(job, timeout=10) for job in jobs]
        finally:
            said = [(await process.communicate(b""))[0] for process in peers]
        for run in runs:
            assert run.started_at is not None
            late = (run.started_at - run.fire_time).total_seconds()
            assert 0 <= late < 3
        lines = b"".join(said).decode().splitlines()
        assert sorted(line.split()[0] for line in lines) == sorted(j.id for j in jobs)


class _WrongClock(SystemClock):
    def __init__(self, skew: float) -> None:
        self.skew = skew

    def wall(self) -> int:
        return super().wall() + round(self.skew * 1e6)


@pytest.mark.seed("S3-18")
@pytest.mark.virtual(timeout=1_000_000)
async def test_a_clock_that_is_wrong_or_set_moves_nothing() -> None:
    async with World() as world:
        for number, skew in enumerate((90.0, -90.0, 0.0)):
            await world.peer(f"p{number}", clock=_WrongClock(skew))
        client = await world.peer("client", run_jobs=False)
        tick = IntervalTrigger(seconds=10, start=at(10))
        for number in range(20):
            job = Job("work", id=f"j{number}", trigger=tick, max_runs=9)
            await client.schedule(job)
        for step in (3600, -7200, 3600):
            await asyncio.sleep(30)
            loop().step_wall(step)
        await asyncio.sleep(30)
        grid = [10.0 * n for n in range(1, 10)]
        for number in range(20):
            assert world.begun(f"j{number}") == grid


# --- S3-46, S3-47: schedule and modify, told to the others ---


@pytest.mark.seed("S3-46")
@pytest.mark.virtual(timeout=1_000_000)
async def test_a_thousand_jobs_start_on_their_instant() -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        for name in ("p0", "p1", "p2"):
            await world.peer(name)
        source = random.Random(46)
        due = {f"j{n}": round(source.uniform(10, 100), 6) for n in range(1000)}
        await client.schedule_many(
            [Job("work", id=name, when=at(second)) for name, second in due.items()]
        )
        await asyncio.sleep(110)
        assert len(world.runs) == 1000
        late = {ran.job: ran.at - due[ran.job] for ran in world.runs}
        assert min(late.values()) >= 0
        assert max(late.values()) < 0.05


@pytest.mark.seed("S3-46")
async def test_a_peer_is_woken_and_does_not_ask_again_and_again(stage: Stage) -> None:
    async with stage:
        # Nobody looks by himself within a minute: only a message wakes the worker.
        client = await stage.peer("client", run_jobs=False, terms=_SLOW_BEAT, lease=60)
        await stage.peer("worker", terms=_SLOW_BEAT, lease=60)
        for number in range(20):
            job = await client.schedule(Job("note", kwargs={"value": number}))
            assert await client.result(job, timeout=5) == number
        later = await client.schedule(Job("note", when=after(0.2)))
        run = await client.wait(later, timeout=5)
        assert run.started_at is not None
        assert 0 <= (run.started_at - run.fire_time).total_seconds() < 2


@pytest.mark.seed("S3-47")
@pytest.mark.virtual(timeout=1_000_000)
async def test_a_changed_time_is_the_only_one_on_every_peer() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        client = await world.peer("client", run_jobs=False)
        for number in range(20):
            await p0.schedule(Job("work", id=f"j{number}", when=at(100)))
        await asyncio.sleep(50)
        for number in range(20):
            peer = (p0, p1, client)[number % 3]
            when = at(60 if number % 2 else 200)
            assert (await peer.modify(f"j{number}", when=when)).version == 2
        await asyncio.sleep(300)
        for number in range(20):
            assert world.begun(f"j{number}") == [60.0 if number % 2 else 200.0]


@pytest.mark.seed("S3-47")
async def test_a_change_wakes_the_other_peer_and_spares_the_running_run(
    stage: Stage,
) -> None:
    async with stage:
        client = await stage.peer("client", run_jobs=False, terms=_SLOW_BEAT, lease=60)
        await stage.peer("worker", terms=_SLOW_BEAT, lease=60)
        await client.schedule(Job("note", id="a", when=after(3600)))
        await client.modify("a", when=after(0.1), kwargs={"value": "new"})
        assert await client.result("a", timeout=20) == "new"
        assert len(stage.of("a")) == 1
        await client.schedule(Job("hold", id="b", keyword="k"))
        [firing] = await client.fire_job("k")
        await stage.begun("b")
        await client.modify("b", executor="note", kwargs={"value": "second"})
        stage.gate.set()
        assert await client.result(firing, timeout=20) == "held"
        assert await client.result(await client.start_job("b"), timeout=20) == "second"


# --- S3-59: messages may be repeated and mixed up ---


async def _six_verbs(client: Any) -> None:
    """Add, modify, stop, remove, pause, resume, fire."""
    for name in ("a", "b", "c", "d"):
        await client.schedule(Job("note", id=name, keyword="k"))
    await client.modify("a", note="new")
    await client.pause("b")
    await client.stop_job("c")
    await client.resume("c")
    await client.remove_job("d")
    for firing in await client.fire_job("k", {"value": 1}):
        if firing.job_id != "b":
            await client.wait(firing, timeout=20)


@pytest.mark.seed("S3-59")
async def test_messages_that_are_repeated_and_mixed_up_change_nothing(
    redis_url: str,
) -> None:
    stage = Stage(redis_url)
    source = random.Random(59)
    async with stage, overhear(redis_url) as overheard:
        client, worker = await stage.two()
        await _six_verbs(client)
        await overheard.catch_up()
        messages = list(overheard.messages)
        assert len(messages) > 10
        before = [await client.get_job(name) for name in ("a", "b", "c")]
        ran = len(stage.ran)
        for _ in range(5):
            source.shuffle(messages)
            for channel, data in messages:
                await overheard.server.publish(channel, data)
        done = await client.schedule(Job("note"))
        await client.wait(done, timeout=5)
        after_it = [await worker.get_job(name) for name in ("a", "b", "c")]
        assert [job.to_dict(snapshot=True) for job in after_it] == [
            job.to_dict(snapshot=True) for job in before
        ]
        assert len(stage.ran) == ran + 1
        assert await worker.state("d") is JobState.REMOVED


@pytest.mark.seed("S3-59")
async def test_the_verbs_are_told_in_place_of_alert(stage: Stage) -> None:
    async with stage:
        client = await stage.peer("client", run_jobs=False, terms=_SLOW_BEAT, lease=60)
        await stage.peer("worker", terms=_SLOW_BEAT, lease=60)
        tick = IntervalTrigger(hours=1)
        await client.schedule(Job("hold", id="a", trigger=tick, paused=True))
        await client.start_job("a")
        [ran] = await stage.begun("a")
        await client.stop_job("a")
        await wait_until(lambda: ran.ended, "the stop to be heard")

        async def over() -> bool:
            return not (await client.get_job("a")).running

        await wait_until(over, "its end to be recorded")
        await client.start_job("a")
        _, second = await stage.begun("a", 2)
        await client.remove_job("a")
        await wait_until(lambda: second.ended, "the removal to be heard")
        await client.schedule(Job("note", id="b", paused=True))
        await client.resume("b")
        await stage.begun("b")
