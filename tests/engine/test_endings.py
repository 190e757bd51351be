"""Ends that are cut short, and executors that would take the peer with them."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from aiosched import (
    Context,
    Executor,
    Job,
    MemoryJobStore,
    Reason,
    RedisJobStore,
    Scheduler,
)
from aiosched._engine.lifeline import BOUND, Lifeline
from aiosched._engine.teardown import TEARDOWN_LIMIT, tear_down
from aiosched.clock import SystemClock
from aiosched.instants import SECOND
from aiosched.registry import Registry
from tests.engine.kit import World, now
from tests.waiting import wait_until

virtual = pytest.mark.virtual(timeout=100_000)


# A shutdown that is cut short


@virtual
@pytest.mark.parametrize("within", [1, 3])
async def test_a_shutdown_that_is_cut_short_ends_all_the_same(within: float) -> None:
    before = asyncio.all_tasks()
    store = MemoryJobStore()
    async with World(store) as world:
        p0 = await world.peer("p0")
        await p0.schedule(Job("work", id="a", kwargs={"seconds": 1000}))
        await asyncio.sleep(1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(p0.shutdown(grace=None), within)
        await asyncio.sleep(0.1)
        (ran,) = world.runs
        assert (ran.until, ran.reason) == (1.0 + within, Reason.SHUTDOWN)
        assert asyncio.all_tasks() == before
        assert store.sessions == 0
        await world.peer("p1")
        await asyncio.sleep(0.3)
        assert [(run.peer, run.attempt) for run in world.runs] == [("p0", 1), ("p1", 1)]


@virtual
async def test_a_block_that_is_cancelled_twice_leaves_nothing() -> None:
    before = asyncio.all_tasks()
    async with World() as world:
        p0 = world.build("p0")

        async def body() -> None:
            async with p0:
                await p0.schedule(Job("work", id="a", kwargs={"seconds": 1000}))
                await asyncio.sleep(10_000)

        task = asyncio.create_task(body())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.sleep(1)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(0.1)
        assert now() == 2.1
        assert world.runs[0].until == 2.0
        assert asyncio.all_tasks() == before


@virtual
async def test_a_second_call_with_force_hurries_and_waits_for_the_end() -> None:
    async with World() as world:
        p0 = world.build("p0")
        release = asyncio.Event()

        @p0.executor
        async def slow() -> None:
            try:
                await asyncio.sleep(1000)
            finally:
                await asyncio.sleep(1)
                release.set()

        await world.start(p0)
        await p0.schedule(Job("slow", id="a"))
        await asyncio.sleep(1)
        first = asyncio.create_task(p0.shutdown(grace=None))
        await asyncio.sleep(4)
        await p0.shutdown(force=True)
        assert release.is_set()
        assert now() == 6.0
        await asyncio.wait_for(first, 0.1)


@virtual
async def test_who_ends_the_loop_while_it_drains_cuts_no_run_of_its_due() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        await p0.schedule(Job("work", id="a", kwargs={"seconds": 1000}))
        await asyncio.sleep(1)
        ending = asyncio.create_task(p0.shutdown(grace=None))
        await asyncio.sleep(1)
        # As asyncio.run does at its end: everything at once.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.wait(others)
        assert ending.done()
        await asyncio.sleep(1)
        p1 = await world.peer("p1")
        await asyncio.sleep(30)
        entry = await p1.get_job("a")
        assert (entry.running, entry.counts.cancelled) == (1, 0)


def lifelines() -> list[str]:
    return [t.name for t in threading.enumerate() if "lifeline" in t.name]


async def test_the_lifeline_ends_with_a_shutdown_that_is_cut_short(
    redis_url: str,
) -> None:
    store = RedisJobStore(redis_url)
    p0 = Scheduler(store, namespace="cut", lease=1.0)

    begun = asyncio.Event()

    @p0.executor
    async def work() -> None:
        begun.set()
        await asyncio.sleep(1000)

    await p0.start()
    await p0.schedule(Job("work", id="a"))
    await asyncio.wait_for(begun.wait(), 5)
    assert lifelines()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(p0.shutdown(), 0.2)
    await asyncio.wait_for(p0.shutdown(force=True), 10)
    await wait_until(lambda: not lifelines(), "the lifeline ends")


@virtual
async def test_the_lifeline_ends_by_itself_when_the_engine_has_ended() -> None:
    store = MemoryJobStore()
    session = await store.open("aiosched", {})
    over = False
    asked: list[float] = []

    def snapshot() -> tuple[tuple[int, str, int], ...]:
        asked.append(now())
        return ()

    lifeline = Lifeline(
        SystemClock(),
        lambda: store.open("aiosched", {}),
        "p0",
        15 * SECOND,
        lambda: -1000.0,
        snapshot,
        lambda: over,
    )
    task = asyncio.create_task(lifeline.run())
    await asyncio.sleep(10)
    assert asked
    assert not task.done()
    over = True
    await asyncio.wait_for(task, 5)
    assert now() < BOUND * 15
    await session.close()


# Teardown


class Last(Executor):
    """Its end is not as it should be."""

    def __init__(self, story: list[str], name: str, end: Any = None) -> None:
        self.story, self.name, self.end = story, name, end

    async def teardown(self) -> None:
        self.story.append(self.name)
        if isinstance(self.end, BaseException):
            raise self.end
        while self.end is not None and not self.end.is_set():
            try:
                await self.end.wait()
            except asyncio.CancelledError:
                self.story.append("cancelled")

    async def run(self, context: Context) -> None:
        """Do nothing."""


@virtual
@pytest.mark.parametrize("end", [asyncio.CancelledError(), BaseException("odd")])
async def test_a_teardown_that_fails_does_not_stop_the_others(
    end: BaseException,
) -> None:
    story: list[str] = []
    store = MemoryJobStore()
    async with World(store) as world:
        p0 = world.build("p0")
        p0.register(Last(story, "first"), name="first")
        p0.register(Last(story, "second", end), name="second")
        await world.start(p0)
        await p0.shutdown()
        assert story == ["second", "first"]
        assert store.sessions == 0


@virtual
async def test_a_teardown_that_never_returns_does_not_hold_up_the_end() -> None:
    story: list[str] = []
    release = asyncio.Event()
    async with World() as world:
        p0 = world.build("p0")
        p0.register(Last(story, "first"), name="first")
        p0.register(Last(story, "second", release), name="second")
        await world.start(p0)
        await p0.shutdown()
        assert now() <= TEARDOWN_LIMIT + 1
        assert story == ["second", "cancelled", "first"]
        release.set()
        await asyncio.sleep(1)


@virtual
@pytest.mark.parametrize("end", [KeyboardInterrupt(), SystemExit(3)])
async def test_an_exit_in_a_teardown_is_raised_after_the_others(
    end: BaseException,
) -> None:
    story: list[str] = []
    registry = Registry()
    registry.register(Last(story, "first", end), name="first")
    registry.register(Last(story, "second"), name="second")
    with pytest.raises(type(end)):
        await tear_down(registry)
    assert story == ["first", "second"]
