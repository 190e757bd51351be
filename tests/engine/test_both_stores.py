"""The same stories on every store: memory in virtual time, servers in real time."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from aiosched import (
    AlreadyRunningError,
    Context,
    Firing,
    IntervalTrigger,
    Job,
    JobChangedError,
    JobState,
    Outcome,
    Reason,
    Retry,
    Run,
    RunFailedError,
    Scheduler,
)
from tests.engine.conftest import MakeScheduler

LONG = 10.0
"""More than anything here takes, on a busy machine too."""


class Runs(list[tuple[str, str, int]]):
    """(peer, job, attempt) of each run, over all peers of a test."""

    def give(self, scheduler: Scheduler) -> Scheduler:
        held = asyncio.Event()

        async def work(context: Context, value: Any = None, hold: bool = False) -> Any:  # noqa: FBT001, FBT002
            self.append((scheduler.name, context.job_id, context.attempt))
            if hold:
                await held.wait()
            return value

        async def flaky(context: Context) -> int:
            self.append((scheduler.name, context.job_id, context.attempt))
            if context.attempt < 3:
                raise OSError("not yet")
            return context.attempt

        scheduler.register(work, name="work")
        scheduler.register(flaky, name="flaky")
        return scheduler


async def begin(
    stack: AsyncExitStack, make: MakeScheduler, peers: int = 2
) -> tuple[Runs, list[Scheduler]]:
    """Start some peers that know each other, and a client as the last."""
    runs = Runs()
    started = [
        await stack.enter_async_context(runs.give(make(f"p{n}"))) for n in range(peers)
    ]
    client = make("client", run_jobs=False)
    started.append(await stack.enter_async_context(client))
    async with asyncio.timeout(LONG):
        while not all([len(await peer.peers()) == peers + 1 for peer in started]):
            await next_event(started[0])
    return runs, started


async def next_event(scheduler: Scheduler) -> None:
    """Wait until something happens on a peer, or a beat has passed."""
    heard = asyncio.Event()
    off = scheduler.on("*", lambda _: heard.set())
    try:
        async with asyncio.timeout(0.3):
            await heard.wait()
    except TimeoutError:
        return
    finally:
        off()


async def test_a_job_runs_and_its_result_comes_back(
    make_scheduler: MakeScheduler,
) -> None:
    async with AsyncExitStack() as stack:
        runs, (*_, client) = await begin(stack, make_scheduler)
        job = await client.schedule(Job("work", kwargs={"value": {"deep": [1, "ü"]}}))
        assert await client.result(job, timeout=LONG) == {"deep": [1, "ü"]}
        big = await client.schedule(Job("work", kwargs={"value": "x" * 5000}))
        assert await client.result(big, timeout=LONG) == "x" * 5000
        assert len(runs) == 2


async def test_a_fire_reaches_every_subscriber_on_some_peer(
    make_scheduler: MakeScheduler,
) -> None:
    async with AsyncExitStack() as stack:
        runs, (*_, client) = await begin(stack, make_scheduler, 3)
        jobs = [Job("work", id=f"j{n:02}", keyword="k") for n in range(20)]
        await client.schedule_many(jobs)
        firings = await client.fire_job("k", {"value": 5}, fire_id="once")
        assert await client.fire_job("k", {"value": 5}, fire_id="once") == firings
        waits = [client.result(firing, timeout=LONG) for firing in firings]
        assert await asyncio.gather(*waits) == [5] * 20
        assert sorted(job for _, job, _ in runs) == [job.id for job in jobs]


async def test_a_stop_from_elsewhere_cancels(make_scheduler: MakeScheduler) -> None:
    async with AsyncExitStack() as stack:
        runs, (p0, _, client) = await begin(stack, make_scheduler)
        job = await client.schedule(Job("work", id="a", kwargs={"hold": True}))
        while not runs:
            await next_event(p0)
        await client.stop_job(job)
        firing = Firing("a", *(await firing_of(client, "a")))
        run = await client.wait(firing, timeout=LONG)
        assert (run.outcome, run.reason) == (Outcome.CANCELLED, Reason.USER)
        assert await client.state("a") is JobState.PAUSED


async def firing_of(client: Scheduler, job_id: str) -> tuple[str, Any, Any]:
    """Return key, cause and fire time of a job's only firing."""
    async with asyncio.timeout(LONG):
        while True:
            entries = [e for e in await client.history(job_id) if e.run]
            if entries:
                firing = entries[0].run.firing
                return firing.key, firing.cause, firing.fire_time
            await next_event(client)


async def test_of_many_starts_one_wins_under_skip(
    make_scheduler: MakeScheduler,
) -> None:
    async with AsyncExitStack() as stack:
        runs, (p0, p1, client) = await begin(stack, make_scheduler)
        await client.schedule(Job("work", id="a", keyword="k", kwargs={"hold": True}))
        peers = (p0, p1, client)
        answers = await asyncio.gather(
            *(peers[n % 3].start_job("a") for n in range(60)), return_exceptions=True
        )
        won = [answer for answer in answers if isinstance(answer, Firing)]
        lost = [a for a in answers if isinstance(a, AlreadyRunningError)]
        assert (len(won), len(lost)) == (1, 59)
        await client.stop_job("a")
        run = await client.wait(won[0], timeout=LONG)
        assert run.outcome is Outcome.CANCELLED
        assert len(runs) <= 1


async def test_of_two_modifies_of_one_version_one_is_told(
    make_scheduler: MakeScheduler,
) -> None:
    async with AsyncExitStack() as stack:
        _, (p0, p1, client) = await begin(stack, make_scheduler)
        await client.schedule(Job("work", id="a", keyword="k"))
        answers = await asyncio.gather(
            p0.modify("a", if_version=1, note="0"),
            p1.modify("a", if_version=1, note="1"),
            return_exceptions=True,
        )
        assert sum(isinstance(a, JobChangedError) for a in answers) == 1
        await asyncio.gather(p0.modify("a", tags=("t",)), p1.modify("a", timeout=9))
        job = await client.get_job("a")
        assert (job.version, job.tags) == (4, ("t",))
        assert job.timeout is not None


async def test_retries_end_well_or_tell_why(make_scheduler: MakeScheduler) -> None:
    async with AsyncExitStack() as stack:
        _, (*_, client) = await begin(stack, make_scheduler)
        rule = Retry(3, delay=0.05, factor=1)
        good = await client.schedule(Job("flaky", retry=rule))
        bad = await client.schedule(Job("flaky", retry=Retry(2, delay=0.05)))
        assert await client.result(good, timeout=LONG) == 3
        with pytest.raises(RunFailedError, match="OSError: not yet") as caught:
            await client.result(bad, timeout=LONG)
        assert caught.value.run.attempt == 2


async def test_slots_are_shared_without_a_double_or_a_gap(
    make_scheduler: MakeScheduler,
) -> None:
    async with AsyncExitStack() as stack:
        _, (*peers, client) = await begin(stack, make_scheduler, 3)
        heard: list[Run] = []
        client.add_done_callback(heard.append)
        trigger = IntervalTrigger(milliseconds=100)
        jobs = [
            Job(
                "work",
                id=f"j{n}",
                trigger=trigger,
                max_runs=10,
                overlap="queue",
                # A busy machine may be a few slots late: none is to be left out.
                coalesce="all",
                misfire_grace=60,
            )
            for n in range(10)
        ]
        await client.schedule_many(jobs)
        async with asyncio.timeout(LONG):
            while len(heard) < 100:
                await next_event(client)
        for job in jobs:
            keys = [int(run.key) for run in heard if run.job_id == job.id]
            assert sorted(keys) == list(range(min(keys), max(keys) + 1, 100_000))
            assert len(keys) == 10
        assert {run.peer for run in heard} <= {peer.id for peer in peers}


async def test_force_hands_back_to_another_peer(make_scheduler: MakeScheduler) -> None:
    async with AsyncExitStack() as stack:
        runs, (p0, p1, client) = await begin(stack, make_scheduler)
        await client.schedule(Job("work", id="a", kwargs={"hold": True}))
        while not runs:
            await next_event(p0)
        first, second = (p0, p1) if runs[0][0] == "p0" else (p1, p0)
        await first.shutdown(force=True)
        async with asyncio.timeout(LONG):
            while len(runs) < 2:
                await next_event(second)
        assert runs == [(first.name, "a", 1), (second.name, "a", 1)]
        await second.shutdown(force=True)


async def test_a_finished_job_is_not_run_by_the_next_boot(
    make_scheduler: MakeScheduler,
) -> None:
    runs = Runs()
    for _ in range(3):
        boot = runs.give(make_scheduler("boot"))
        boot.declare(Job("work", id="migrate", kwargs={"value": 1}))
        async with boot:
            assert await boot.result("migrate", timeout=LONG) == 1
            assert not await boot.job_exists("migrate")
    assert len(runs) == 1


async def test_everything_can_be_read_on_every_peer(
    make_scheduler: MakeScheduler,
) -> None:
    async with AsyncExitStack() as stack:
        _, (p0, p1, client) = await begin(stack, make_scheduler)
        jobs = [
            Job("work", id=f"j{n:03}", keyword="k", tags=("t",)) for n in range(130)
        ]
        await p0.schedule_many(jobs)
        for peer in (p0, p1, client):
            found: list[str] = []
            cursor = None
            while True:
                page = await peer.get_jobs(tag="t", limit=50, cursor=cursor)
                found += [job.id for job in page]
                cursor = page.cursor
                if cursor is None:
                    break
            assert sorted(set(found)) == [job.id for job in jobs]
            assert {p.name for p in await peer.peers()} == {"p0", "p1", "client"}
            assert peer.health().ok
        assert len(await p1.remove_jobs(tag="t")) == 130
        assert not await client.get_jobs()
        assert {entry.kind.value for entry in await client.history("j000")} == {
            "created",
            "removed",
        }
