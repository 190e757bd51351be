"""How a scheduler ends: it drains, hands back, and never hangs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Coroutine
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from aiosched import (
    Context,
    Event,
    IntervalTrigger,
    Job,
    MemoryJobStore,
    Outcome,
    Reason,
    SchedulerStateError,
)
from aiosched._engine.settler import Settler
from aiosched.clock import SystemClock
from aiosched.enums import RowKind
from aiosched.testing.faults import Fault, FaultyStore
from tests.cli.commands import environment
from tests.engine.kit import World, now

pytestmark = pytest.mark.virtual(timeout=100_000)


async def test_shutdown_lets_runs_end() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", kwargs={"seconds": 20}))
        await asyncio.sleep(1)
        await p0.shutdown()
        assert now() == 20.0
        (ran,) = world.runs
        assert (ran.until, ran.reason) == (20.0, Reason.NONE)
        p1 = await world.peer("p1")
        assert (await p1.wait("a")).outcome is Outcome.SUCCEEDED


async def test_nothing_is_claimed_while_it_drains() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="long", kwargs={"seconds": 20}))
        await p0.schedule(Job("work", id="tick", trigger=IntervalTrigger(seconds=1)))
        await asyncio.sleep(2.5)
        await p0.shutdown()
        assert world.begun("tick") == [1.0, 2.0]


@pytest.mark.parametrize("grace", [5, 5.0, timedelta(seconds=5)])
async def test_runs_that_outlast_the_grace_are_handed_back(grace: Any) -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        await p0.schedule(Job("work", id="a", kwargs={"seconds": 100, "value": 1}))
        await asyncio.sleep(1)
        await p0.shutdown(grace=grace)
        assert now() == 6.0
        p1 = await world.peer("p1")
        run = await p1.wait("a")
        assert (run.outcome, run.attempt) == (Outcome.SUCCEEDED, 1)
        assert [(ran.peer, ran.attempt) for ran in world.runs] == [("p0", 1), ("p1", 1)]
        assert world.runs[0].reason is Reason.SHUTDOWN
        assert world.runs[0].fence < world.runs[1].fence
        kinds = [entry.kind for entry in await p1.history("a") if entry.run]
        assert kinds == [RowKind.SUCCEEDED, RowKind.HANDED_BACK]


async def test_force_hands_back_and_another_peer_takes_over_at_once() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        await asyncio.sleep(6)
        jobs = [Job("work", id=f"j{n}", kwargs={"seconds": 10}) for n in range(20)]
        await p0.schedule_many(jobs)
        await asyncio.sleep(2)
        first = {ran.job: ran.peer for ran in world.runs}
        assert set(first.values()) == {"p0", "p1"}
        await p0.shutdown(force=True)
        assert now() == 8.0
        await asyncio.sleep(0.3)
        again = [ran for ran in world.runs if ran.at > 6]
        assert {ran.job for ran in again} == {j for j, p in first.items() if p == "p0"}
        assert {(ran.peer, ran.attempt) for ran in again} == {("p1", 1)}
        await asyncio.sleep(30)
        for job in jobs:
            assert (await p1.wait(job)).outcome is Outcome.SUCCEEDED


async def test_a_run_that_may_not_run_twice_is_recorded_as_cancelled() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        job = Job("work", id="a", kwargs={"seconds": 100}, on_lost="record")
        await p0.schedule(job)
        await asyncio.sleep(1)
        (ran,) = world.runs
        survivor = p1 if ran.peer == "p0" else p0
        await world.peers[ran.peer].shutdown(force=True)
        run = await survivor.wait("a")
        assert (run.outcome, run.reason) == (Outcome.CANCELLED, Reason.SHUTDOWN)
        assert len(world.runs) == 1


async def test_a_run_that_was_not_entered_yet_is_handed_back_in_any_case() -> None:
    async with World() as world:
        p0 = await world.peer("p0")

        async def leave(event: Event) -> None:
            await p0.shutdown(force=True)

        p0.on("run_started", leave)
        await p0.schedule(Job("work", id="a", on_lost="record"))
        await asyncio.sleep(10)
        p1 = await world.peer("p1")
        run = await p1.wait("a", timeout=1)
        assert (run.outcome, run.attempt) == (Outcome.SUCCEEDED, 1)
        assert p0._engine is not None
        assert len(p0._engine.runner.live) == 0


async def test_a_claim_under_way_is_handed_back_too() -> None:
    def claims(**call: Any) -> bool:
        return bool(call["claim"])

    slow = Fault("transact", kind="delay", seconds=1, match=claims)
    async with World(FaultyStore(MemoryJobStore(), slow)) as world:
        p0 = await world.peer("p0")
        await p0.schedule(Job("work", id="a", kwargs={"seconds": 50}))
        await asyncio.sleep(0.5)
        await p0.shutdown(force=True)
        assert now() == 1.0
        p1 = await world.peer("p1")
        await asyncio.sleep(0.3)
        assert [(ran.peer, ran.attempt) for ran in world.of("a")][-1] == ("p1", 1)
        assert p1.health().ok


async def test_an_uncooperative_run_does_not_hold_up_the_end() -> None:
    async with World() as world:
        p0 = world.build("p0")
        release = asyncio.Event()
        told: list[Event] = []

        @p0.executor
        async def stubborn(context: Context) -> None:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

        p0.on("uncooperative", told.append)
        await world.start(p0)
        await p0.schedule(Job("stubborn", id="a"))
        await asyncio.sleep(1)
        await p0.shutdown(force=True)
        assert now() <= 10.0
        assert [event.job_id for event in told] == ["a"]
        release.set()
        await asyncio.sleep(1)


@pytest.mark.virtual(timeout=100_000, thread_delay=500.0)
async def test_a_thread_does_not_hold_up_the_end() -> None:
    async with World() as world:
        p0 = world.build("p0")

        @p0.executor
        def compute() -> None:
            """Takes the delay of threads."""

        await world.start(p0)
        await p0.schedule(Job("compute", id="a"))
        await asyncio.sleep(1)
        await p0.shutdown(grace=5)
        assert now() <= 15.0


async def test_who_shuts_down_twice_waits_for_the_same_end() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", kwargs={"seconds": 5}))
        await asyncio.sleep(1)
        await asyncio.gather(p0.shutdown(), p0.shutdown(), p0.shutdown())
        assert now() == 5.0
        await p0.shutdown()


async def test_a_scheduler_that_was_never_started_closes() -> None:
    async with World() as world:
        p0 = world.build("p0")
        await p0.shutdown()
        with pytest.raises(SchedulerStateError):
            await p0.start()


async def test_run_forever_ends_with_shutdown_and_shuts_down_when_cancelled() -> None:
    async with World() as world:
        p0, p1 = world.build("p0"), world.build("p1")
        forever = [asyncio.create_task(p.run_forever()) for p in (p0, p1)]
        await asyncio.sleep(1)
        await p0.shutdown()
        await asyncio.wait_for(forever[0], 1)
        forever[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await forever[1]
        with pytest.raises(SchedulerStateError, match="closed"):
            await p1.get_jobs()


async def test_a_peer_leaves_the_others_at_once() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        await p1.shutdown()
        await asyncio.sleep(5)
        assert [peer.name for peer in await p0.peers()] == ["p0"]


async def test_a_rolling_restart_misses_no_slot() -> None:
    async with World() as world:
        await world.peer("p0")
        p = world.peers["p0"]
        await p.schedule(Job("work", id="tick", trigger=IntervalTrigger(seconds=1)))
        for n in range(1, 8):
            await world.peer(f"p{n}")
            await asyncio.sleep(1.3)
            await world.peers[f"p{n - 1}"].shutdown()
            await asyncio.sleep(1.3)
        elapsed = int(now())
        slots = [float(n) for n in range(1, elapsed + 1)]
        assert [ran.fire_time for ran in world.runs] == slots
        assert max(ran.at - ran.fire_time for ran in world.runs) <= 0.25


_LEFT = """
import asyncio
from aiosched import Job, Scheduler

async def main():
    scheduler = Scheduler()

    @scheduler.executor
    async def work():
        try:
            await asyncio.sleep(60)
        finally:
            print("cancelled")

    await scheduler.start()
    await scheduler.schedule(Job(work, id="left"))
    while not (await scheduler.get_job("left")).running:
        await asyncio.sleep(0.01)

asyncio.run(main())
"""


def test_who_leaves_without_a_shutdown_is_told_what_is_not_recorded() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", _LEFT],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "cancelled\n")
    assert "unhandled" not in done.stderr
    assert "never awaited" not in done.stderr
    assert (
        "the end of a run of left is not recorded: its loop was ended before "
        "shutdown() was awaited"
    ) in done.stderr


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("closing", [False, True])
@pytest.mark.parametrize("spanning", [False, True])
async def test_each_outcome_that_was_cut_off_is_told(
    steps: int, caplog: pytest.LogCaptureFixture, *, closing: bool, spanning: bool
) -> None:
    """Also if what writes it is cancelled before its first step."""
    writers: list[asyncio.Task[None]] = []

    def spawn(work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        writers.append(asyncio.create_task(work, name=name))
        return writers[-1]

    async def transact(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    any_: Any = SimpleNamespace(transact=transact, spanning=spanning)
    settler = Settler(
        SystemClock(), any_, any_, "p", lambda _: True, any_, any_, any_, spawn, any_
    )
    settler.closing = closing
    for fence in (1, 2):
        live: Any = SimpleNamespace(
            shard=3,
            queue="default",
            job_id=f"j{fence}",
            fence=fence,
            said=lambda action: {"action": action},
        )
        ended: Any = SimpleNamespace(finish=True)
        settler.put(live, ended)
    for _ in range(steps):
        await asyncio.sleep(0)
    [writer] = writers
    writer.cancel()
    await settler.flush()
    told = [record.getMessage() for record in caplog.records]
    assert [text.partition(" is ")[0] for text in told] == [
        "the end of a run of j1",
        "the end of a run of j2",
    ]
    assert all(("shutdown ended" in text) is closing for text in told)
