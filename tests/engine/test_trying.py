"""Time limits and second attempts."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from aiosched import (
    Context,
    IntervalTrigger,
    Job,
    Outcome,
    Reason,
    Retry,
    RunFailedError,
)
from aiosched.enums import RowKind
from tests.engine.kit import World, adds_up

pytestmark = pytest.mark.virtual(timeout=1_000_000)


class TemporaryError(OSError):
    """Worth another try."""


async def failing(world: World, error: Exception, times: int = 10_000) -> None:
    p0 = world.build("p0")

    @p0.executor
    async def flaky(context: Context) -> str:
        world.note("p0", context)
        if context.attempt <= times:
            raise error
        return "at last"

    await world.start(p0)


async def test_a_run_ends_at_its_time_limit() -> None:
    async with World() as world:
        p0 = await world.peer()
        job = await p0.schedule(Job("work", kwargs={"seconds": 60}, timeout=7.5))
        run = await p0.wait(job)
        assert (run.outcome, run.reason) == (Outcome.TIMED_OUT, Reason.TIMEOUT)
        (ran,) = world.runs
        assert (ran.until, ran.reason) == (7.5, Reason.TIMEOUT)


async def test_a_run_that_is_in_time_is_not_disturbed() -> None:
    async with World() as world:
        p0 = await world.peer()
        job = await p0.schedule(Job("work", kwargs={"seconds": 7}, timeout=7.5))
        assert (await p0.wait(job)).outcome is Outcome.SUCCEEDED


async def test_without_a_rule_a_failed_run_is_not_tried_again() -> None:
    async with World() as world:
        await failing(world, TemporaryError("x"))
        p0 = world.peers["p0"]
        with pytest.raises(RunFailedError):
            await p0.result(await p0.schedule(Job("flaky")))
        await asyncio.sleep(100)
        assert len(world.runs) == 1


async def test_back_off_grows_to_its_cap() -> None:
    async with World() as world:
        await failing(world, TemporaryError("x"))
        p0 = world.peers["p0"]
        rule = Retry(6, delay=1, factor=3, cap=20)
        job = await p0.schedule(Job("flaky", id="a", retry=rule))
        run = await p0.wait(job)
        assert (run.attempt, run.outcome) == (6, Outcome.FAILED)
        assert world.begun("a") == [0.0, 1.0, 4.0, 13.0, 33.0, 53.0]
        rows = [entry for entry in await p0.history("a") if entry.run]
        assert [row.run.attempt for row in rows] == [6, 5, 4, 3, 2, 1]
        assert [row.run.final for row in rows] == [True] + [False] * 5


async def test_back_off_is_varied_downwards_and_alike_everywhere() -> None:
    begun = []
    for _ in range(2):
        async with World() as world:
            await failing(world, TemporaryError("x"))
            p0 = world.peers["p0"]
            rule = Retry(5, delay=10, factor=1, jitter=0.5)
            # The first attempt's slot is part of what the share is drawn from.
            job = Job("flaky", id="a", retry=rule, keyword="k")
            await p0.schedule(job)
            (firing,) = await p0.fire_job("k", fire_id="f")
            await p0.wait(firing)
            ran = world.begun("a")
            begun.append([round(b - a, 6) for a, b in itertools.pairwise(ran)])
    assert begun[0] == begun[1]
    assert len(set(begun[0])) == 4
    assert all(5 <= gap <= 10 for gap in begun[0])


@pytest.mark.parametrize(
    ("errors", "attempts"),
    [
        ((), 3),
        ((OSError,), 3),
        ((TemporaryError,), 3),
        (("OSError",), 3),
        ((ValueError, KeyError), 1),
    ],
)
async def test_only_listed_errors_are_tried_again(errors: tuple, attempts: int) -> None:
    async with World() as world:
        await failing(world, TemporaryError("x"))
        p0 = world.peers["p0"]
        rule = Retry(3, delay=1, errors=errors)
        run = await p0.wait(await p0.schedule(Job("flaky", retry=rule)))
        assert run.attempt == len(world.runs) == attempts


@pytest.mark.parametrize(("timeouts", "attempts"), [(True, 3), (False, 1)])
async def test_a_run_over_its_limit_is_tried_again_if_the_rule_says_so(
    *, timeouts: bool, attempts: int
) -> None:
    async with World() as world:
        p0 = await world.peer()
        rule = Retry(3, delay=1, factor=1, timeouts=timeouts)
        job = Job("work", kwargs={"seconds": 9}, timeout=2, retry=rule)
        run = await p0.wait(await p0.schedule(job))
        assert (run.outcome, run.attempt) == (Outcome.TIMED_OUT, attempts)


async def test_a_second_attempt_may_run_on_another_peer() -> None:
    async with World() as world:
        await failing(world, TemporaryError("x"), times=1)
        p0 = world.peers["p0"]
        p1 = world.build("p1")

        @p1.executor
        async def flaky(context: Context) -> str:
            world.note("p1", context)
            return "elsewhere"

        await p0.schedule(Job("flaky", id="a", retry=Retry(3, delay=60)))
        await asyncio.sleep(1)
        await world.start(p1)
        await p0.shutdown()
        assert await p1.result("a") == "elsewhere"
        assert [(ran.peer, ran.attempt, ran.at) for ran in world.runs] == [
            ("p0", 1, 0.0),
            ("p1", 2, 60.0),
        ]


async def test_a_back_off_keeps_its_place() -> None:
    async with World() as world:
        await failing(world, TemporaryError("x"), times=1)
        p0 = world.peers["p0"]
        trigger = IntervalTrigger(seconds=10)
        job = Job("flaky", id="a", trigger=trigger, retry=Retry(2, delay=25))
        await p0.schedule(job)
        await asyncio.sleep(46)
        assert world.begun("a") == [10.0, 35.0, 40.0]
        stored = await p0.get_job("a")
        assert stored.counts.skipped == 2
        adds_up(stored)
        skipped = [e for e in await p0.history("a") if e.kind is RowKind.SKIPPED]
        assert {entry.reason for entry in skipped} == {Reason.OVERLAP}


async def test_what_a_stopped_job_retries_is_dropped() -> None:
    async with World() as world:
        await failing(world, TemporaryError("x"))
        p0 = world.peers["p0"]
        await p0.schedule(Job("flaky", id="a", retry=Retry(9, delay=10, factor=1)))
        await asyncio.sleep(15)
        await p0.stop_job("a")
        await asyncio.sleep(100)
        assert world.begun("a") == [0.0, 10.0]
        job = await p0.get_job("a")
        assert job.last_outcome is Outcome.CANCELLED
        adds_up(job)
