"""Nets: what executors raise, threads, declared jobs, answers that were lost."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from aiosched import (
    Context,
    Event,
    IntervalTrigger,
    Job,
    MemoryJobStore,
    Outcome,
    Scheduler,
    UnknownExecutorError,
)
from aiosched._engine.threads import DaemonThreads
from aiosched.stores.space import Shard
from aiosched.testing.faults import Fault, FaultyStore
from tests.engine.kit import World, at, loop

virtual = pytest.mark.virtual(timeout=100_000)


# Executors that raise what is no error


def stops() -> None:
    next(iter(()))


async def leaves() -> None:
    raise GeneratorExit


def leaves_its_thread() -> None:
    raise GeneratorExit


def interrupts_its_thread() -> None:
    raise KeyboardInterrupt


def gives_up(context: Context) -> None:
    raise asyncio.CancelledError


@virtual
@pytest.mark.parametrize(
    ("function", "error"),
    [
        (leaves, "GeneratorExit"),
        (leaves_its_thread, "GeneratorExit"),
    ],
)
async def test_whatever_an_executor_raises_is_recorded(
    function: Any, error: str
) -> None:
    async with World() as world:
        p0 = world.build("p0")
        p0.register(function, name="odd")
        await world.start(p0)
        run = await p0.wait(await p0.schedule(Job("odd")), timeout=5)
        assert run.outcome is Outcome.FAILED
        assert run.error is not None
        assert run.error.type == error
        # The peer is none the worse for it.
        assert (await p0.result(await p0.schedule(Job("work")), timeout=5)) is None
        assert p0.health().ok


@pytest.mark.parametrize(
    ("function", "error"),
    [(stops, "RuntimeError"), (interrupts_its_thread, "KeyboardInterrupt")],
)
async def test_what_a_real_thread_raises_is_recorded(function: Any, error: str) -> None:
    p0 = Scheduler()
    p0.register(function, name="odd")
    async with p0:
        job = await p0.schedule(Job("odd"))
        run = await p0.wait(job, timeout=5)
        assert run.outcome is Outcome.FAILED
        assert run.error is not None
        assert run.error.type == error


@pytest.mark.virtual(timeout=100_000, thread_delay=3.0)
async def test_a_function_that_gives_up_when_it_is_cancelled_ends() -> None:
    async with World() as world:
        p0 = world.build("p0")
        p0.register(gives_up)
        await world.start(p0)
        run = await p0.wait(await p0.schedule(Job("gives_up", timeout=1)), timeout=9)
        assert run.outcome is Outcome.TIMED_OUT


@virtual
async def test_a_run_that_no_way_out_has_settled_is_settled() -> None:
    async with World() as world:
        p0 = await world.peer()
        engine = p0._engine
        assert engine is not None

        async def broken(live: Any) -> Any:
            raise ZeroDivisionError("bug")

        engine.runner._attempt = broken  # type: ignore[method-assign]
        run = await p0.wait(await p0.schedule(Job("work")), timeout=5)
        assert run.outcome is Outcome.FAILED
        assert len(engine.runner.live) == 0


# Threads


def test_no_work_lies_while_threads_go_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    # Threads that stop waiting at the very moment at which work arrives.
    monkeypatch.setattr("aiosched._engine.threads.IDLE", 0.0005)
    pool = DaemonThreads("pool")
    pause = threading.Event()
    for number in range(400):
        futures = [pool.submit(int) for _ in range(3)]
        assert [future.result(5) for future in futures] == [0, 0, 0]
        pause.wait(0.0005 * (0.9 + 0.02 * (number % 10)))
    pool.close()
    assert pool._idle >= 0


def test_each_function_gets_a_thread_even_if_one_is_idle() -> None:
    pool = DaemonThreads("pool")
    pool.submit(int).result(5)
    gate = threading.Barrier(3)
    futures = [pool.submit(gate.wait, 5) for _ in range(3)]
    assert sorted(future.result(5) for future in futures) == [0, 1, 2]
    pool.close()


def test_idle_threads_end_when_the_pool_is_closed() -> None:
    pool = DaemonThreads("closing")
    gate = threading.Barrier(3)
    for future in [pool.submit(gate.wait, 5) for _ in range(3)]:
        future.result(5)
    threads = [t for t in threading.enumerate() if t.name.startswith("closing")]
    assert len(threads) == 3
    pool.close()
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)
    assert pool.submit(int).result(5) == 0, "late work is done, too"


# Declared jobs that cannot be stored


def campaign(seconds: float) -> Job:
    return Job(
        "work", id="campaign", trigger=IntervalTrigger(seconds=1, end=at(seconds))
    )


@virtual
async def test_a_declared_job_whose_time_is_over_does_not_prevent_the_start() -> None:
    async with World() as world:
        await asyncio.sleep(10)
        p0 = world.build("p0")
        told: list[Event] = []
        p0.on("declared_failed", told.append)
        p0.declare(campaign(5))
        p0.declare(Job("work", id="tick", trigger=IntervalTrigger(seconds=1)))
        await world.start(p0)
        assert [event.job_id for event in told] == ["campaign"]
        await asyncio.sleep(3.5)
        assert len(world.of("tick")) == 3
        assert p0.health().ok


@virtual
async def test_a_declared_job_that_is_wrong_prevents_the_start() -> None:
    async with World() as world:
        p0 = world.build("p0")
        p0.declare(Job("nobody", id="a", keyword="k"))
        with pytest.raises(UnknownExecutorError):
            await world.start(p0)


@virtual
async def test_lost_data_is_put_back_job_by_job() -> None:
    store = MemoryJobStore()
    async with World(store) as world:
        p0 = world.build("p0")
        told: list[Event] = []
        p0.on("declared_failed", told.append)
        p0.declare(campaign(3))
        p0.declare(Job("work", id="tick", trigger=IntervalTrigger(seconds=1)))
        await world.start(p0)
        await asyncio.sleep(10)
        (space,) = store._spaces.values()
        space.shards[:] = [Shard() for _ in space.shards]
        space.epoch = "another"
        await asyncio.sleep(10)
        assert [event.job_id for event in told] == ["campaign"]
        assert (await p0.get_job("tick")).last_outcome is Outcome.SUCCEEDED
        assert p0.health().ok

        async def wrong(job: Job, **options: Any) -> Any:
            raise UnknownExecutorError("work")

        p0._definition = wrong  # type: ignore[method-assign]
        space.epoch = "a third"
        await asyncio.sleep(10)
        assert {event.job_id for event in told} == {"campaign", "tick"}
        assert p0.health().ok


# Settlements whose answer was lost


@virtual
@pytest.mark.parametrize("options", [{}, {"trigger": IntervalTrigger(seconds=60)}])
async def test_a_settlement_whose_answer_was_lost_is_not_called_too_late(
    options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    store = FaultyStore(MemoryJobStore())
    async with World(store) as world:
        p0 = await world.peer("p0")
        fenced: list[Event] = []
        ended: list[Event] = []
        p0.on("fenced", fenced.append)
        p0.on("run_ended", ended.append)
        await p0.schedule(Job("work", id="a", kwargs={"seconds": 3}, **options))
        await asyncio.sleep(1 if not options else 61)
        store.plan(Fault("transact", kind="lost_reply"))
        await asyncio.sleep(10)
        assert not store.unused
        assert not fenced
        assert "too late" not in caplog.text
        (event,) = ended
        assert event.data["run"].outcome is Outcome.SUCCEEDED
        await asyncio.sleep(111)
        assert len(world.runs) == (3 if options else 1)


@virtual
async def test_an_outcome_that_did_come_too_late_is_called_so() -> None:
    store = FaultyStore(MemoryJobStore())
    async with World(store, lease=15) as world:
        p0 = await world.peer("p0")
        fenced: list[Event] = []
        p0.on("fenced", fenced.append)
        await p0.schedule(Job("work", id="a", kwargs={"seconds": 3}))
        await asyncio.sleep(1)
        p1 = Scheduler(store.inner, name="p1")
        p1.register(world.worker("p1"), name="work")
        await loop().spawn("p1", p1.start())
        store.plan(Fault("*", times=None))
        await asyncio.sleep(60)
        store.heal()
        await asyncio.sleep(10)
        assert [event.job_id for event in fenced] == ["a"]
        assert [ran.peer for ran in world.runs] == ["p0", "p1"]
        await p1.shutdown()
