"""``wait``, ``result``, ``drain``, callbacks and events, near and far."""

from __future__ import annotations

import asyncio

import pytest

from aiosched import (
    ConfigurationError,
    Context,
    Event,
    IntervalTrigger,
    Job,
    JobNotFoundError,
    Outcome,
    Reason,
    Retry,
    Run,
    RunCancelledError,
    RunFailedError,
    RunTimedOutError,
    Scheduler,
    SchedulerStateError,
    WaitTimeoutError,
)
from tests.engine.kit import World, after, now

pytestmark = pytest.mark.virtual(timeout=100_000)


async def test_wait_returns_the_final_attempt() -> None:
    async with World() as world:
        p0 = world.build("p0")

        @p0.executor
        async def flaky(context: Context) -> int:
            if context.attempt < 3:
                raise OSError("not yet")
            return context.attempt

        await world.start(p0)
        client = await world.peer("client", run_jobs=False)
        job = await client.schedule(Job("flaky", retry=Retry(5, delay=1, factor=1)))
        run = await client.wait(job)
        assert (run.attempt, run.final, run.result) == (3, True, 3)
        assert now() == 2.0


async def test_wait_on_a_repeating_job_means_the_next_run_to_end() -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        await world.peer("p1")
        await client.schedule(Job("work", id="a", trigger=IntervalTrigger(seconds=10)))
        await asyncio.sleep(12)
        run = await client.wait("a")
        assert (now(), run.outcome) == (20.0, Outcome.SUCCEEDED)


@pytest.mark.parametrize("size", [10, 5000])
@pytest.mark.parametrize("keep_last", [0, 1, 10])
async def test_wait_on_a_job_hears_of_runs_elsewhere(size: int, keep_last: int) -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        await world.peer("p1")
        job = Job(
            "work",
            id="a",
            trigger=IntervalTrigger(seconds=10),
            kwargs={"value": "x" * size},
            keep_last=keep_last,
        )
        await client.schedule(job)
        await asyncio.sleep(12)
        run = await client.wait("a", timeout=20)
        assert run.result == "x" * size
        assert now() == 20.0


async def test_wait_on_a_job_that_ended_long_ago_tells_its_last_run() -> None:
    async with World() as world:
        p0 = await world.peer()
        client = await world.peer("client", run_jobs=False)
        drawn = await p0.schedule(Job("work", kwargs={"value": 1}))
        named = await p0.schedule(Job("work", kwargs={"value": "x" * 5000}, id="named"))
        await asyncio.sleep(1000)
        assert await client.result(drawn) == 1
        assert await client.result(named) == "x" * 5000


async def test_a_firing_that_ended_long_ago_is_found() -> None:
    async with World() as world:
        p0 = await world.peer()
        client = await world.peer("client", run_jobs=False)
        await p0.schedule(Job("work", id="a", keyword="k"))
        (first,) = await p0.fire_job("k", {"value": "first"})
        for _ in range(30):
            await asyncio.sleep(1)
            await p0.fire_job("k")
        assert await client.result(first, timeout=1) == "first"


async def test_wait_for_nothing_known_says_so() -> None:
    async with World() as world:
        p0 = await world.peer()
        with pytest.raises(JobNotFoundError):
            await p0.wait("nobody")
        with pytest.raises(ConfigurationError):
            await p0.wait(7)  # type: ignore[arg-type]


@pytest.mark.parametrize("timeout", [3, 3.0, after(3)])
async def test_a_wait_that_times_out_disturbs_nothing(timeout: object) -> None:
    async with World() as world:
        p0 = await world.peer()
        job = await p0.schedule(Job("work", kwargs={"seconds": 10, "value": 1}))
        with pytest.raises(WaitTimeoutError):
            await p0.wait(job, timeout=timeout)  # type: ignore[arg-type]
        assert now() == 3.0
        assert await p0.result(job) == 1


async def test_a_hundred_may_wait_for_one_run() -> None:
    async with World() as world:
        peers = [await world.peer(f"p{n}") for n in range(3)]
        job = await peers[0].schedule(Job("work", kwargs={"seconds": 1, "value": 4}))
        waits = [peers[n % 3].result(job) for n in range(100)]
        assert await asyncio.gather(*waits) == [4] * 100


async def test_a_cancelled_wait_leaves_no_waiter() -> None:
    async with World() as world:
        p0 = await world.peer()
        job = await p0.schedule(Job("work", kwargs={"seconds": 10}))
        waiting = asyncio.create_task(p0.wait(job))
        await asyncio.sleep(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert p0._engine is not None
        assert not p0._engine.completions._waiters


async def test_who_waits_when_the_scheduler_closes_is_told() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        await world.peer("p1")
        job = await p0.schedule(Job("work", when=after(1000)))
        waiting = asyncio.create_task(p0.wait(job))
        await asyncio.sleep(1)
        await p0.shutdown()
        with pytest.raises((SchedulerStateError, WaitTimeoutError)):
            await waiting


async def test_result_raises_what_became_of_the_run() -> None:
    async with World() as world:
        p0 = world.build("p0")

        @p0.executor
        async def broken(context: Context) -> None:
            raise LookupError("no such order")

        await world.start(p0)
        client = await world.peer("client", run_jobs=False)
        with pytest.raises(
            RunFailedError, match="LookupError: no such order"
        ) as caught:
            await client.result(await client.schedule(Job("broken")))
        failure = caught.value.run.error
        assert (failure.type, failure.message) == ("LookupError", "no such order")
        assert "test_waiting.py" in failure.traceback

        long = Job("work", kwargs={"seconds": 100}, timeout=2)
        with pytest.raises(RunTimedOutError):
            await client.result(await client.schedule(long))

        job = await client.schedule(Job("work", kwargs={"seconds": 100}))
        await asyncio.sleep(1)
        await client.stop_job(job)
        with pytest.raises(RunCancelledError) as cancelled:
            await client.result(job)
        assert cancelled.value.run.reason is Reason.USER


async def test_drain_returns_when_nothing_is_due_or_running() -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        await world.peer("p1")
        await client.drain()
        assert now() == 0.0
        await client.schedule(Job("work", kwargs={"seconds": 7}))
        await client.schedule(Job("work", when=after(500)))
        await client.drain()
        assert 7.0 <= now() < 8.0
        assert world.runs[0].until == 7.0


async def test_drain_waits_for_retries_and_queues() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(
            Job("work", id="a", keyword="k", kwargs={"seconds": 5}, overlap="queue")
        )
        for _ in range(3):
            await p0.fire_job("k")
        with pytest.raises(WaitTimeoutError):
            await p0.drain(timeout=4)
        await p0.drain()
        assert 15.0 <= now() < 16.0


async def test_a_done_callback_hears_each_outcome_once_wherever_it_ran() -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        p1 = await world.peer("p1")
        await world.peer("p2")
        heard: list[Run] = []
        later: list[Run] = []
        own: list[Run] = []

        async def slowly(run: Run) -> None:
            later.append(run)

        client.add_done_callback(heard.append)
        client.add_done_callback(slowly)
        p1.add_done_callback(own.append, "b")
        jobs = [
            Job("work", id=name, trigger=IntervalTrigger(seconds=1)) for name in "ab"
        ]
        await client.schedule_many(jobs)
        await asyncio.sleep(30.5)
        ran = {(one.job, one.key) for one in world.runs}
        assert len(ran) == len(world.runs) >= 60
        assert sorted((run.job_id, run.key) for run in heard) == sorted(ran)
        assert {(run.job_id, run.key) for run in later} == ran
        assert len(own) == len(world.of("b"))


@pytest.mark.parametrize("size", [1, 5000])
@pytest.mark.parametrize("keep_last", [0, 1])
async def test_a_done_callback_misses_nothing_that_records_do_not_keep(
    size: int, keep_last: int
) -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        await world.peer("p1")
        heard: list[Run] = []
        client.add_done_callback(heard.append)
        job = Job(
            "work",
            id="a",
            trigger=IntervalTrigger(seconds=1),
            kwargs={"value": "x" * size},
            keep_last=keep_last,
        )
        await client.schedule(job)
        await asyncio.sleep(10.5)
        assert [run.key for run in heard] == [ran.key for ran in world.runs]
        assert {run.result for run in heard} == {"x" * size}


async def test_a_done_callback_that_raises_harms_nothing() -> None:
    async with World() as world:
        p0 = await world.peer()
        heard: list[Run] = []
        events: list[Event] = []

        def raising(run: Run) -> None:
            raise RuntimeError("callback")

        async def raising_later(run: Run) -> None:
            raise RuntimeError("callback")

        p0.add_done_callback(raising)
        p0.add_done_callback(raising_later)
        off = p0.add_done_callback(heard.append)
        p0.on("run_ended", events.append)
        p0.on("run_started", raising)  # type: ignore[arg-type]
        await p0.result(await p0.schedule(Job("work")))
        assert (len(heard), len(events)) == (1, 1)
        off()
        off()
        await p0.result(await p0.schedule(Job("work")))
        await asyncio.sleep(0)
        assert (len(heard), len(events)) == (1, 2)
        assert p0.health().ok


async def test_events_tell_a_jobs_story() -> None:
    async with World() as world:
        p0 = await world.peer()
        told: list[str] = []

        async def listen() -> None:
            told.extend([e.name async for e in p0.events() if e.job_id == "a"])

        listening = asyncio.create_task(listen())
        await asyncio.sleep(0)
        await p0.schedule(Job("work", id="a", trigger=IntervalTrigger(seconds=10)))
        await asyncio.sleep(11)
        await p0.modify("a", note="x")
        await p0.pause("a")
        await p0.resume("a")
        await p0.stop_job("a")
        await p0.remove_job("a")
        await p0.shutdown()
        await listening
        runs = [name for name in told if name.startswith("run_")]
        assert runs == ["run_started", "run_ended"]
        assert [name for name in told if name.startswith("job_")] == [
            f"job_{verb}"
            for verb in (
                "scheduled",
                "modified",
                "paused",
                "resumed",
                "stopped",
                "removed",
            )
        ]


async def test_a_handler_ends_with_what_on_returned() -> None:
    async with World() as world:
        p0 = world.build("p0")
        names: list[str] = []
        off = p0.on("*", lambda event: names.append(event.name))
        with pytest.raises(ConfigurationError, match="no event"):
            p0.on("nonsense", print)
        await world.start(p0)
        await p0.result(await p0.schedule(Job("work")))
        assert {"job_scheduled", "run_started", "run_ended"} <= set(names)
        off()
        names.clear()
        await p0.result(await p0.schedule(Job("work")))
        assert not names


async def test_peers_that_come_and_go_are_events() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        told: list[tuple[str, str]] = []
        p0.on("peer_joined", lambda e: told.append((e.name, e.data["name"])))
        p0.on("peer_left", lambda e: told.append((e.name, e.data["name"])))
        p1 = await world.peer("p1")
        await asyncio.sleep(6)
        await p1.shutdown()
        await asyncio.sleep(6)
        assert told == [("peer_joined", "p1"), ("peer_left", "p1")]


@pytest.mark.virtual
async def test_events_are_heard_from_the_call_on_not_from_the_first_step() -> None:
    async with Scheduler() as scheduler:
        scheduler.register(_nothing, name="nothing")
        await asyncio.sleep(1)
        stream = scheduler.events()
        await scheduler.schedule(Job("nothing", keyword="word", id="heard"))
        event = await anext(stream)
        assert (event.name, event.job_id) == ("job_scheduled", "heard")
    assert [event async for event in stream] == []


async def _nothing() -> None:
    """Do nothing."""
