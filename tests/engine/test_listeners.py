"""What listeners do to themselves does nothing to anybody else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from aiosched import Context, Event, IntervalTrigger, Job, MemoryJobStore, Scheduler
from aiosched.testing import Fault, FaultyStore
from tests.engine.kit import World, after

pytestmark = pytest.mark.virtual(timeout=100_000)


class OddError(BaseException):
    """Nothing that ``except Exception`` catches."""


def _cancelled() -> None:
    """Look at something that was cancelled: the error of that is its own."""
    gone = asyncio.get_running_loop().create_future()
    gone.cancel()
    gone.result()


def _odd() -> None:
    raise OddError


def _plain() -> None:
    raise LookupError


RAISING = [
    pytest.param(_cancelled, asyncio.CancelledError, id="cancelled"),
    pytest.param(_odd, OddError, id="odd"),
    pytest.param(_plain, LookupError, id="plain"),
]
TOLD = [
    "job_scheduled",
    "peer_joined",
    "peer_left",
    "run_ended",
    "run_started",
    "slots_passed",
    "unclaimable",
]


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(("raising", "kind"), RAISING)
async def test_a_listener_that_raises_harms_nothing(
    raising: Callable[[], None], kind: type[BaseException], *, asynchronous: bool
) -> None:
    """Neither the services, nor a claim that is told of, nor who called a verb."""
    async with World() as world:
        p0 = await world.peer("p0")
        heard: list[str] = []
        failed: list[Event] = []

        def handler(event: Event) -> None:
            heard.append(event.name)
            raising()

        async def later(event: Event) -> None:
            heard.append(event.name)
            await asyncio.sleep(0.1)
            raising()

        for name in TOLD:
            p0.on(name, later if asynchronous else handler)
        p0.on("callback_failed", failed.append)
        ten = IntervalTrigger(seconds=10)
        await p0.schedule(Job("work", id="a", trigger=ten, kwargs={"seconds": 12}))
        await p0.schedule(Job("work", id="b", trigger=ten))
        await p0.schedule(Job("none", id="c", trigger=ten), allow_unknown=True)
        p1 = await world.peer("p1", work=False)
        await asyncio.sleep(60)
        await p1.shutdown()
        await asyncio.sleep(140.5)
        assert set(heard) == set(TOLD)
        assert len(failed) == len(heard)
        assert all(isinstance(event.data["error"], kind) for event in failed)
        slots = {name: [ran.fire_time for ran in world.of(name)] for name in "ab"}
        assert slots["a"] == [20.0 * n - 10 for n in range(1, 11)]
        assert slots["b"] == [10.0 * n for n in range(1, 21)]
        health = p0.health()
        assert (health.ok, health.failure) == (True, None), health


@pytest.mark.parametrize(("raising", "kind"), RAISING)
async def test_a_done_callback_that_raises_harms_nothing(
    raising: Callable[[], None], kind: type[BaseException]
) -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        heard: list[str] = []
        failed: list[Event] = []
        p0.on("callback_failed", failed.append)

        def callback(run: Any) -> None:
            heard.append(run.job_id)
            raising()

        p0.add_done_callback(callback)
        await p0.schedule(Job("work", id="a", trigger=IntervalTrigger(seconds=10)))
        await asyncio.sleep(100.5)
        assert len(heard) == len(failed) == len(world.runs) == 10
        assert {type(event.data["error"]) for event in failed} == {kind}
        assert p0.health().ok


async def test_a_listener_that_is_cancelled_at_the_end_has_not_failed() -> None:
    world = World()
    p0 = await world.peer("p0")
    told: list[str] = []

    async def slow(event: Event) -> None:
        await asyncio.sleep(1000)

    p0.on("job_scheduled", slow)
    p0.on("*", lambda event: told.append(event.name))
    await p0.schedule(Job("work", id="a"))
    await p0.shutdown()
    assert "job_scheduled" in told
    assert "callback_failed" not in told


async def test_a_setup_that_ends_in_a_cancellation_of_its_own_is_told() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        failed: list[Event] = []
        p0.on("callback_failed", failed.append)

        class Executor:
            async def setup(self) -> None:
                _cancelled()

            async def run(self, context: Context) -> None:
                """Do nothing."""

        p0.register(Executor(), name="late")
        await asyncio.sleep(1)
        (event,) = failed
        assert event.data["of"] == "late"


@pytest.mark.parametrize("operation", ["beat", "transact"])
async def test_a_service_that_is_cancelled_by_nobody_ends_the_scheduler_loudly(
    operation: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A task group takes that for an end like any other, and says nothing."""
    async with World(FaultyStore(MemoryJobStore())) as world:
        store: Any = world.store
        p0 = await world.peer("p0")
        failed: list[Event] = []
        p0.on("service_failed", failed.append)
        forever = asyncio.create_task(p0.run_forever())
        await p0.schedule(Job("work", id="a", when=after(5)))
        await asyncio.sleep(1)
        gone = asyncio.CancelledError()
        store.plan(Fault(operation, kind="error", error=gone))
        caplog.set_level(logging.CRITICAL, "aiosched")
        with pytest.raises(RuntimeError, match="cancelled, and nobody had asked"):
            await forever
        assert len(failed) == 1
        assert "the scheduler has failed" in caplog.text
        assert not p0.health().ok


async def test_several_tasks_that_read_one_stream_all_end_with_it() -> None:
    scheduler = Scheduler()
    await scheduler.start()
    stream = scheduler.events()

    async def read() -> list[str]:
        return [event.name async for event in stream]

    readers = [asyncio.create_task(read()) for _ in range(3)]
    await asyncio.sleep(1)
    scheduler.register(_cancelled, name="work")
    await scheduler.schedule(Job("work", id="a"))
    await asyncio.sleep(1)
    await scheduler.shutdown()
    async with asyncio.timeout(10):
        heard = await asyncio.gather(*readers)
    names = sorted(name for names in heard for name in names)
    assert names == ["job_finished", "job_scheduled", "run_ended", "run_started"]
    assert [event async for event in stream] == []
